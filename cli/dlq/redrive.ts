import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  beginJournal,
  findJournal,
  type OpenJournal,
  type RedriveRequest,
} from '../../local/redrive-journal.ts';
import { type ChosenLetters, chooseLetters } from '../../runtime/dead-letters/redrive/plan.ts';
import { type RedriveProgress, runRedrive } from '../../runtime/dead-letters/redrive/send.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { CommandFailed } from '../command-failed.ts';
import { hint } from '../hints.ts';
import { jsonOption, seconds, wholeFrom } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { progressLine } from '../progress-line.ts';
import { columnsOf, count, epilogue, plural, printJson, printLine, printNote, wrapped } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { startFunction } from './consumer-function.ts';
import {
  describeFilter,
  noneMatch,
  oneConsumerOption,
  WHERE_HELP,
  whereOption,
  whereText,
} from './options.ts';
import { markedReader, refusesOvertaken } from './overtaken.ts';
import {
  auditedAt,
  chooseConsumer,
  type DlqSession,
  type DlqSessionOptions,
  inDlqSession,
  requireDeclared,
} from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq redrive --where error=HANDLER_FAILED
  millrace dlq redrive --where error=HANDLER_FAILED,partition=3 --yes --json
  millrace dlq redrive --env prod --where stage=write,since=2h
${WHERE_HELP}

If a redrive is killed, the same command continues it. A letter that was applied
before changes nothing, so redriving too many does no harm.

A letter is overtaken once a newer record of its key was applied: its effects
would come too late, and may overwrite newer ones. Without --allow-overtaken it
stays a dead letter. A consumer with onOvertaken: 'apply' has none.`;

interface RedriveCommandOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly rate: number;
  readonly canary: number;
  readonly maxFailures: number;
  readonly wait: number;
  readonly allowOvertaken?: true;
  readonly yes?: true;
  readonly json?: true;
}

export function redriveCommand(): Command {
  return new Command('redrive')
    .description(
      'Gives dead letters back to the consumer that failed them: a few first, then the others if those were applied.',
    )
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .option('--rate <n>', 'letters a second, at most', wholeFrom(1), 100)
    .option('--canary <n>', 'how many letters to try first; 0 for none', wholeFrom(0), 5)
    .option('--max-failures <n>', 'stop when this many have failed again', wholeFrom(1), 20)
    .option('--wait <seconds>', 'how long to wait for a result', seconds, 60)
    .option('--allow-overtaken', 'also letters after which a newer record of their key was applied')
    .option('--yes', 'do not ask for confirmation')
    .addOption(postgresOption())
    .addOption(
      jsonOption('print {planned, applied, alreadyApplied, failed, overtaken, remaining}; needs --yes'),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: RedriveCommandOptions, command: Command) => {
      refuseUnasked(options, command);
      const owner = await chooseConsumer(options.consumer, options);
      const declared = await requireDeclared(owner, options);
      await inDlqSession(owner, options, (session) => redrive(session, declared, options));
    });
}

async function redrive(
  session: DlqSession,
  declared: AnyConsumer,
  options: RedriveCommandOptions,
): Promise<void> {
  const { consumer, named, at, folder } = session;
  const mayBeOvertaken = options.allowOvertaken === true;
  const request: RedriveRequest = {
    consumer: consumer.name,
    at,
    where: describeFilter(options.where),
    mayBeOvertaken,
  };
  const killed = findJournal(folder.files.redrives, request);
  if (killed) {
    printNote(
      `Going on with redrive ${killed.plan.id} of ${killed.begunAt}: ${count(killed.sent.size)} of ${count(killed.plan.letters.size)} were sent.`,
    );
  }
  const marked = await markedReader(session, options);
  const chosen =
    killed?.plan ??
    (await chooseLetters(
      { reader: marked.reader, objects: session.resources.objects },
      { filter: options.where, mayBeOvertaken, inOrder: keepsOrder(declared) },
    ));
  if (chosen.letters.size === 0) {
    const { leftOut } = chosen;
    if (options.json) printJson({ ...NOTHING_DONE, planned: leftOut, overtaken: leftOut });
    else if (leftOut === 0) printLine(noneMatch(named, options.where));
    else
      printLine(`Nothing to do: ${leftOut === 1 ? 'the letter is' : `all ${count(leftOut)} are`} overtaken.`);
    if (leftOut === 0) return;
    if (!options.json) printOvertakenHint(session, options);
    throw new CommandFailed();
  }
  printPlan(chosen, marked.problem(), request, options);
  await confirm(options, named);

  const journal =
    killed ??
    beginJournal(folder.files.redrives, request, {
      id: randomUUID(),
      consumer: consumer.name,
      mayBeOvertaken,
      ...chosen,
    });
  const function_ = await startFunction(session, options.postgres);
  try {
    const progress = await run(session, journal, request, options);
    if (options.json) printJson({ ...summary(progress), redrive: journal.plan.id });
    else printEnd(progress, session, chosen.leftOut, options);
    if (progress.failed + progress.overtaken + progress.remaining > 0) throw new CommandFailed();
  } finally {
    await function_.stop();
  }
}

async function run(
  session: DlqSession,
  journal: OpenJournal,
  request: RedriveRequest,
  options: RedriveCommandOptions,
): Promise<RedriveProgress> {
  const { resources } = session;
  const settings = {
    ratePerSecond: options.rate,
    canary: options.canary,
    maxFailures: options.maxFailures,
    patienceMs: options.wait * 1_000,
  };
  const line = progressLine();
  const showProgress = ({ sent, applied, alreadyApplied, failed, overtaken }: RedriveProgress) => {
    const refused = overtaken - journal.plan.leftOut;
    line.show(
      `${count(sent)} of ${count(journal.plan.letters.size)} sent, ${count(applied + alreadyApplied)} applied, ${count(failed)} failed again` +
        (refused > 0 ? `, ${count(refused)} overtaken` : ''),
    );
  };
  const { letters, leftOut, mayBeOvertaken } = journal.plan;
  const plan = { where: request.where, letters: letters.size, leftOut, mayBeOvertaken, ...settings };
  try {
    const progress = await auditedAt(session, { id: journal.plan.id, action: 'redrive', plan }, async () => ({
      ...(await runRedrive(journal, { ...resources, clock: systemClock }, settings, showProgress)),
    }));
    journal.end();
    return progress;
  } catch (error) {
    // What a person has to look at first is not gone on with; an outage is.
    if (error instanceof MillraceError && error.code === 'REDRIVE_STOPPED') {
      journal.end();
      if (options.json)
        printJson({ ...summary(error.details as unknown as RedriveProgress), redrive: journal.plan.id });
      else printNote(`To see why: ${hint(['dlq', 'triage', '--consumer', session.named], session.place)}`);
    }
    throw error;
  } finally {
    line.end();
  }
}

/** Letters of a key are sent in order where their effects depend on it. */
function keepsOrder(consumer: AnyConsumer): boolean {
  return consumer.onDeadLetter === 'park-key' || refusesOvertaken(consumer);
}

function printPlan(
  { letters, leftOut }: ChosenLetters,
  problem: string | undefined,
  { consumer, at, where, mayBeOvertaken }: RedriveRequest,
  { rate, canary, maxFailures }: RedriveCommandOptions,
): void {
  const order =
    canary > 0 && canary < letters.size
      ? `${plural(canary, 'letter')} first, then the others if those were applied`
      : 'all at once';
  const without = leftOut > 0 ? [`  without ${plural(leftOut, 'overtaken letter')}`] : [];
  printNote(
    [
      `Redrive ${plural(letters.size, 'dead letter')} of ${consumer} (${at})`,
      `  which   ${where}`,
      ...(mayBeOvertaken ? ['          overtaken ones too: they may overwrite newer state'] : without),
      ...(problem === undefined || mayBeOvertaken ? [] : unknownLines(problem)),
      `  how     ${order}; at most ${count(rate)} a second`,
      `          stops when ${count(maxFailures)} have failed again`,
    ].join('\n'),
  );
}

/** The consumer knows, whatever is known here. */
function unknownLines(problem: string): readonly string[] {
  const text = `Which letters are overtaken cannot be read here, so the consumer refuses them as they come. ${problem}`;
  return wrapped(text, columnsOf(process.stderr) - 10).map((line) => `          ${line}`);
}

function printOvertakenHint(
  { named, place }: DlqSession,
  { where }: Pick<RedriveCommandOptions, 'where'>,
): void {
  const filter = whereText({ ...where, overtaken: true });
  const words = ['--consumer', named, ...(filter === undefined ? [] : ['--where', filter])];
  printLine(`To see them: ${hint(['dlq', 'list', ...words], place)}`);
  printLine('To apply them all the same, over newer state:');
  printLine(`  ${hint(['dlq', 'redrive', ...words, '--allow-overtaken'], place)}`);
}

const NOTHING_DONE = summary({
  planned: 0,
  sent: 0,
  applied: 0,
  alreadyApplied: 0,
  failed: 0,
  overtaken: 0,
  remaining: 0,
  heldBack: 0,
});

function summary({ planned, applied, alreadyApplied, failed, overtaken, remaining }: RedriveProgress) {
  return { planned, applied, alreadyApplied, failed, overtaken, remaining };
}

function printEnd(
  { planned, sent, applied, alreadyApplied, failed, overtaken, remaining, heldBack }: RedriveProgress,
  session: DlqSession,
  leftOut: number,
  options: RedriveCommandOptions,
): void {
  const unsent = planned - leftOut - sent;
  const gone = unsent - heldBack;
  const waiting = remaining - unsent;
  if (applied === 0 && alreadyApplied === planned) {
    const which = planned === 1 ? 'the letter' : `all ${count(planned)}`;
    printLine(`Nothing to do: ${which} had been applied already.`);
    return;
  }
  const parts = [
    `${count(applied)} applied`,
    alreadyApplied > 0 ? `${count(alreadyApplied)} had been applied already` : '',
    failed > 0 ? `${count(failed)} failed again` : '',
    overtaken > 0 ? `${count(overtaken)} overtaken (they stay dead letters)` : '',
    heldBack > 0 ? `${count(heldBack)} not sent (an earlier letter of their key was not applied)` : '',
    waiting > 0 ? `${count(waiting)} without a result yet (they stay in the redrive queue)` : '',
    gone > 0 ? `${count(gone)} gone (somebody else redrove or discarded them)` : '',
  ];
  printLine(`${parts.filter(Boolean).join(', ')}.`);
  if (failed > 0) {
    const { named, place } = session;
    printLine(`To see why: ${hint(['dlq', 'triage', '--consumer', named], place)}`);
  }
  if (overtaken > 0) printOvertakenHint(session, options);
}
