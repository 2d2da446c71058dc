import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  beginJournal,
  findJournal,
  type OpenJournal,
  type RedriveRequest,
} from '../../local/redrive-journal.ts';
import { findLetters, type RedriveProgress, runRedrive } from '../../runtime/dead-letters/redrive/send.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { CommandFailed } from '../command-failed.ts';
import { hint } from '../hints.ts';
import { jsonOption, seconds, wholeFrom } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { progressLine } from '../progress-line.ts';
import { count, epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { startFunction } from './consumer-function.ts';
import { describeFilter, noneMatch, oneConsumerOption, WHERE_HELP, whereOption } from './options.ts';
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
before changes nothing, so redriving too many does no harm.`;

interface RedriveCommandOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly rate: number;
  readonly canary: number;
  readonly maxFailures: number;
  readonly wait: number;
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
    .option('--yes', 'do not ask for confirmation')
    .addOption(postgresOption())
    .addOption(jsonOption('print {planned, applied, alreadyApplied, failed, remaining}; needs --yes'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: RedriveCommandOptions, command: Command) => {
      refuseUnasked(options, command);
      const owner = await chooseConsumer(options.consumer, options);
      await requireDeclared(owner, options);
      await inDlqSession(owner, options, (session) => redrive(session, options));
    });
}

async function redrive(session: DlqSession, options: RedriveCommandOptions): Promise<void> {
  const { consumer, named, at, folder } = session;
  const request: RedriveRequest = { consumer: consumer.name, at, where: describeFilter(options.where) };
  const killed = findJournal(folder.files.redrives, request);
  if (killed) {
    printNote(
      `Going on with redrive ${killed.plan.id} of ${killed.begunAt}: ${count(killed.sent.size)} of ${count(killed.plan.letters.size)} were sent.`,
    );
  }
  const letters = killed?.plan.letters ?? (await findLetters(session.resources.reader, options.where));
  if (letters.size === 0) {
    if (options.json)
      printJson(summary({ planned: 0, sent: 0, applied: 0, alreadyApplied: 0, failed: 0, remaining: 0 }));
    else printLine(noneMatch(named, options.where));
    return;
  }
  printPlan(letters.size, request, options);
  await confirm(options, named);

  const journal =
    killed ??
    beginJournal(folder.files.redrives, request, {
      id: randomUUID(),
      consumer: consumer.name,
      letters,
    });
  const function_ = await startFunction(session, options.postgres);
  try {
    const progress = await run(session, journal, request, options);
    if (options.json) printJson({ ...summary(progress), redrive: journal.plan.id });
    else printEnd(progress, session);
    if (progress.failed > 0 || progress.remaining > 0) throw new CommandFailed();
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
  const showProgress = ({ planned, sent, applied, alreadyApplied, failed }: RedriveProgress) =>
    line.show(
      `${count(sent)} of ${count(planned)} sent, ${count(applied + alreadyApplied)} applied, ${count(failed)} failed again`,
    );
  const plan = { where: request.where, letters: journal.plan.letters.size, ...settings };
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

function printPlan(
  letters: number,
  { consumer, at, where }: RedriveRequest,
  { rate, canary, maxFailures }: RedriveCommandOptions,
): void {
  const order =
    canary > 0 && canary < letters
      ? `${plural(canary, 'letter')} first, then the others if those were applied`
      : 'all at once';
  printNote(
    [
      `Redrive ${plural(letters, 'dead letter')} of ${consumer} (${at})`,
      `  which   ${where}`,
      `  how     ${order}; at most ${count(rate)} a second`,
      `          stops when ${count(maxFailures)} have failed again`,
    ].join('\n'),
  );
}

function summary({ planned, applied, alreadyApplied, failed, remaining }: RedriveProgress) {
  return { planned, applied, alreadyApplied, failed, remaining };
}

function printEnd(
  { planned, sent, applied, alreadyApplied, failed, remaining }: RedriveProgress,
  { named, place }: DlqSession,
): void {
  const gone = planned - sent;
  const waiting = remaining - gone;
  if (applied === 0 && alreadyApplied === planned) {
    const which = planned === 1 ? 'the letter' : `all ${count(planned)}`;
    printLine(`Nothing to do: ${which} had been applied already.`);
    return;
  }
  const parts = [
    `${count(applied)} applied`,
    alreadyApplied > 0 ? `${count(alreadyApplied)} had been applied already` : '',
    failed > 0 ? `${count(failed)} failed again` : '',
    waiting > 0 ? `${count(waiting)} without a result yet (they stay in the redrive queue)` : '',
    gone > 0 ? `${count(gone)} gone (somebody else redrove or discarded them)` : '',
  ];
  printLine(`${parts.filter(Boolean).join(', ')}.`);
  if (failed > 0) {
    printLine(`To see why: ${hint(['dlq', 'triage', '--consumer', named], place)}`);
  }
}
