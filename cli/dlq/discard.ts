import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import { sendReleases } from '../../runtime/dead-letters/parking/send.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import { discardLetters, type ScannedLetter } from '../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import type { KeyRelease } from '../../runtime/delivery/release.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { offsetsOfLetters, type PlacedLetter, placeOf } from '../../runtime/replay/evidence.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { loadApp } from '../app.ts';
import { hint } from '../hints.ts';
import { jsonOption, seconds } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { withWaitingKeys } from '../park/keys.ts';
import { count, epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { startFunction } from './consumer-function.ts';
import { lineOf, openExport } from './export-file.ts';
import { describeFilter, noneMatch, oneConsumerOption, WHERE_HELP, whereOption } from './options.ts';
import { chosenReader } from './overtaken.ts';
import {
  auditedAt,
  chooseConsumer,
  type DlqSession,
  type DlqSessionOptions,
  generationNamed,
  inDlqSession,
} from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq discard --where error=FRAME_UNKNOWN --reason "from a load test"
${WHERE_HELP}

Nothing is lost: Millrace first writes the letters to a file, which
"millrace dlq import --input FILE" reads. The file holds the original bytes, personal data
included; only its owner can read it. "millrace audit" and "millrace find" then
say that these records were discarded.`;

interface DiscardOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly reason: string;
  readonly export?: string;
  readonly wait: number;
  readonly yes?: true;
  readonly json?: true;
}

export function discardCommand(): Command {
  return new Command('discard')
    .description('Removes dead letters that nobody wants applied, and keeps them in a file.')
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('--export <file>', 'the file that keeps them (default: a new one in the state folder)')
    .option('--yes', 'do not ask for confirmation')
    .option('--wait <seconds>', 'how long to wait for a consumer that parks', seconds, 60)
    .addOption(postgresOption())
    .addOption(jsonOption('print {discarded, export}; needs --yes'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DiscardOptions, command: Command) => {
      if (!options.reason.trim())
        command.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, command);
      await inDlqSession(await chooseConsumer(options.consumer, options), options, async (session) => {
        const { resources, named, folder } = session;
        const where = describeFilter(options.where);
        // What matches later was not confirmed.
        const planned = new Set<string>();
        const reader = await chosenReader(session, options);
        for await (const copy of reader.scan()) {
          if (!matches(copy, options.where)) continue;
          planned.add(copy.ref);
        }
        if (planned.size === 0) {
          if (options.json) return printJson({ discarded: 0, export: null });
          return printLine(noneMatch(named, options.where));
        }
        printNote(`Discard ${plural(planned.size, 'dead letter')} of ${named} (${session.at}): ${where}`);
        await confirm(options, named);

        const id = randomUUID();
        const path = options.export ?? join(folder.path, `discarded-${id}.jsonl`);
        const plan = { where, letters: planned.size, reason: options.reason, export: path };
        const parks = await mayKeysWait(session, options);
        const function_ = parks ? await startFunction(session, options.postgres) : undefined;
        const result = await auditedAt(session, { id, action: 'discard', plan }, async (note) => {
          const file = openExport(path);
          const gone: PlacedLetter[] = [];
          try {
            const discarded = await discardLetters(resources.reader, planned, async (copies) => {
              for (const copy of copies) file.write(await lineOf(copy, resources.objects));
              file.flush();
              gone.push(...copies.flatMap((copy) => ('letter' in copy ? [placeOf(copy.letter)] : [])));
              // What tells the audit from then on that nobody wants these records.
              await note({ offsets: offsetsOfLetters(gone) });
              if (parks) await letKeysGo(copies, session, options);
            });
            return { discarded, export: path };
          } finally {
            file.close();
          }
        }).finally(() => function_?.stop());
        if (options.json) printJson(result);
        else {
          printLine(`${count(result.discarded)} discarded. They are in ${path}; to take them back:`);
          printLine(`  ${hint(['dlq', 'import', '--consumer', named, '--input', path], session.place)}`);
        }
      });
    });
}

/**
 * Whether later records of a letter's key may wait for it: its consumer's function then has to be told that it is gone. The
 * declaration alone does not say so: a key that waited before its consumer stopped parking still waits.
 */
async function mayKeysWait(session: DlqSession, options: DiscardOptions): Promise<boolean> {
  const { consumers } = await loadApp();
  const declared = generationNamed(session.consumer.name, consumers);
  if (!declared || isArchive(declared)) return false;
  if (declared.onDeadLetter === 'park-key') return true;
  try {
    return await withWaitingKeys(session, options, (keys) =>
      keys.isAnyWaiting(ledgerOwner(session.consumer)),
    );
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    // Its keys do not wait by what it declares: a sink that is down keeps nobody from discarding.
    printNote(
      `Whether keys wait for these letters is unknown: ${error.message} ` +
        `To see it later: ${hint(['park', 'list', '--consumer', session.named], session.place)}`,
    );
    return false;
  }
}

/** How many letters the function is told of before the first answer has come. */
const AT_ONCE = 100;

/** Has the function note that these letters are discarded, and apply what is parked behind them. */
async function letKeysGo(
  copies: readonly ScannedLetter[],
  { consumer, resources }: DlqSession,
  { wait }: DiscardOptions,
): Promise<void> {
  const releases: KeyRelease[] = [];
  for (const copy of copies) {
    const letter = 'letter' in copy ? await fetchIfKept(copy, resources.objects) : undefined;
    if (!letter || letter.record.key === null) continue;
    const { topic, partition, offset, key } = letter.record;
    const discardedLetters = [{ from: offset, to: offset + 1 }];
    releases.push({
      topic,
      partition,
      key,
      epoch: letter.epoch,
      below: null,
      discardedLetters,
      discardedParked: [],
    });
  }
  const { redrive, objects } = resources;
  const ports = { redrive, objects, clock: systemClock };
  // Of each portion another id: its results are numbered from 0.
  await sendReleases(consumer.name, randomUUID(), releases, ports, {
    patienceMs: wait * 1_000,
    atOnce: AT_ONCE,
  });
}
