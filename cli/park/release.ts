/** Letting a key go on: without its letter, without it for good, or without anything that is parked. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Command } from 'commander';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { sendReleases } from '../../runtime/dead-letters/parking/send.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import { discardLetters, type StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { rangesOf } from '../../runtime/delivery/offset-ranges.ts';
import type { KeyRelease } from '../../runtime/delivery/release.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { offsetsOfLetters, placeOf } from '../../runtime/replay/evidence.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { allPages, type WaitingKey, type WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
import { CommandFailed } from '../command-failed.ts';
import { confirm, refuseUnasked } from '../dlq/confirmation.ts';
import { startFunction } from '../dlq/consumer-function.ts';
import { lineOf, openExport } from '../dlq/export-file.ts';
import { keyText, type View } from '../dlq/letter-view.ts';
import { oneConsumerOption } from '../dlq/options.ts';
import { auditedAt, chooseConsumer, type DlqSession, inDlqSession, requireDeclared } from '../dlq/session.ts';
import { hint } from '../hints.ts';
import { jsonOption, seconds } from '../options.ts';
import { progressLine } from '../progress-line.ts';
import { count, epilogue, plural, printJson, printLine, printNote } from '../terminal.ts';
import { findKey, type KeyOptions, keyOf, letterIdOf, withKey, withWaitingKeys } from './keys.ts';

type Verb = 'release' | 'skip' | 'discard';

interface ReleaseOptions extends KeyOptions {
  readonly reason?: string;
  readonly export?: string;
  readonly wait: number;
  readonly yes?: true;
}

const RELEASE_EXAMPLE = `
Example:
  millrace park release reader-4711

The letter stays a dead letter. It counts as overtaken from now on, so a redrive
applies it only with --allow-overtaken. If its letter expired or was purged, this
is how a key goes on. If parkLimit was reached, the same goes for the dead letters
that later records of the key became.`;

const SKIP_EXAMPLE = `
Example:
  millrace park skip reader-4711 --reason "a test order"

Millrace first writes the letter to a file: "millrace dlq import --input FILE"
takes it back. If parkLimit was reached, later records of the key are dead letters
too: the key then waits for the next of them, and a redrive applies it.`;

const DISCARD_EXAMPLE = `
Example:
  millrace park discard reader-4711 --reason "a load test"

Millrace first writes the letters and the parked records to a file, as JSON lines
with their bytes as base64. Discarded records count as settled: no redrive and no
replay applies them. What arrives for the key from then on is applied.`;

export function releaseCommand(): Command {
  return command(
    'release',
    'Applies what is parked behind a key’s dead letter, in order. The letter stays one.',
  )
    .addOption(jsonOption('print {released, discarded, parked, blockedBy, export}; needs --yes'))
    .addHelpText('after', epilogue(RELEASE_EXAMPLE));
}

export function skipCommand(): Command {
  return discarding(
    'skip',
    'Discards the dead letter that a key waits for, and applies what is parked behind it.',
  ).addHelpText('after', epilogue(SKIP_EXAMPLE));
}

export function discardCommand(): Command {
  return discarding(
    'discard',
    'Discards all dead letters that a key waits for, and all that is parked behind them.',
  ).addHelpText('after', epilogue(DISCARD_EXAMPLE));
}

function discarding(verb: Verb, description: string): Command {
  return command(verb, description)
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option(
      '--export <file>',
      'the file that keeps what is discarded (default: a new one in the state folder)',
    )
    .addOption(jsonOption('print {released, discarded, parked, blockedBy, export}; needs --yes'));
}

function command(verb: Verb, description: string): Command {
  return withKey(new Command(verb))
    .description(description)
    .addOption(oneConsumerOption())
    .option('--wait <seconds>', 'how long to wait for the consumer’s function', seconds, 60)
    .option('--yes', 'do not ask for confirmation')
    .action(async (text: string | undefined, options: ReleaseOptions, self: Command) => {
      const key = keyOf(text, options, self);
      if (verb !== 'release' && !options.reason?.trim())
        self.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, self);
      const owner = await chooseConsumer(options.consumer, options);
      await requireDeclared(owner, options);
      await inDlqSession(owner, options, (session) =>
        withWaitingKeys(session, options, (keys) => release(verb, key, session, keys, options)),
      );
    });
}

/** The copies of the letters that the key waits for, as far as they are among the dead letters. */
export async function lettersOfKey(
  { topic, partition, key, blockedBy, lastLetter }: WaitingKey,
  { resources, consumer }: DlqSession,
): Promise<readonly StoredLetter[]> {
  const found: StoredLetter[] = [];
  if (blockedBy === null || lastLetter === null) return found;
  for await (const copy of resources.reader.scan()) {
    if (!('letter' in copy)) continue;
    const { record, epoch } = copy.letter;
    if (record.topic !== topic || record.partition !== partition || epoch !== consumer.epoch) continue;
    if (record.offset < blockedBy || record.offset > lastLetter) continue;
    // The place tells it where its bytes are lost.
    const whole = record.offset === blockedBy ? undefined : await fetchIfKept(copy, resources.objects);
    if (record.offset === blockedBy || whole?.record.key?.equals(key)) found.push(copy);
  }
  return found;
}

async function release(
  verb: Verb,
  key: Buffer,
  session: DlqSession,
  keys: WaitingKeyReader,
  options: ReleaseOptions,
): Promise<void> {
  const { named, consumer, folder } = session;
  const waiting = await findKey(keys, key, session, options);
  if (verb === 'skip' && waiting.blockedBy === null) throw waitsForNoLetter(session);
  const letters =
    verb === 'release'
      ? []
      : (await lettersOfKey(waiting, session)).filter(
          ({ letter }) => verb === 'discard' || letter.record.offset === waiting.blockedBy,
        );
  const parked =
    verb === 'discard' ? await allPages((from) => keys.records(ledgerOwner(consumer), waiting, from)) : [];
  const view: View = { topic: consumer.topic, showsValues: false };
  printPlan(verb, waiting, letters, parked, session, view);
  await confirm(options, named);

  const id = randomUUID();
  const path = verb === 'release' ? null : (options.export ?? join(folder.path, `discarded-${id}.jsonl`));
  const { partition, topic, blockedBy } = waiting;
  const plan = {
    command: `park ${verb}`,
    key: keyText(key, view),
    partition,
    ...(blockedBy !== null && { letter: letterIdOf(waiting, session) }),
    parked: waiting.records,
    ...(path !== null && { letters: letters.length, reason: options.reason, export: path }),
  };
  const action = verb === 'release' ? 'release' : 'discard';
  const line = progressLine();
  let blockedAfter: number | null = null as number | null;
  const function_ = await startFunction(session, options.postgres);
  try {
    const result = await auditedAt(session, { id, action, plan }, async (note) => {
      if (path !== null) await writeExport(path, letters, parked, session);
      const blocking = { epoch: consumer.epoch, record: { topic, partition, offset: blockedBy ?? 0 } };
      const releases = releasesOf(verb, waiting, consumer.epoch, letters, parked);
      // What tells the audit from then on that nobody wants these records.
      if (path !== null && blockedBy !== null)
        await note({
          offsets: offsetsOfLetters([...letters.map(({ letter }) => placeOf(letter)), blocking]),
        });
      const { redrive, objects } = session.resources;
      const released = await sendReleases(
        consumer.name,
        id,
        releases,
        { redrive, objects, clock: systemClock },
        {
          patienceMs: options.wait * 1_000,
          onProgress: (done) => line.show(`${count(done)} of ${plural(releases.length, 'message')} done`),
        },
      );
      if (letters.length > 0)
        await discardLetters(
          session.resources.reader,
          new Set(letters.map(({ ref }) => ref)),
          async () => {},
        );
      blockedAfter = released.blockedBy;
      return {
        released: released.letters,
        discarded: released.discardedLetters + released.discardedParked,
        parked: released.parked,
        blockedBy: letterIdOf({ ...waiting, blockedBy: released.blockedBy }, session),
        export: path,
      };
    });
    line.end();
    if (options.json) printJson(result);
    else {
      // A letter that was one before; any other is of a parked record that failed now.
      const wasLetter =
        blockedAfter !== null && waiting.lastLetter !== null && blockedAfter <= waiting.lastLetter;
      printEnd(verb, result, wasLetter, session);
    }
    if (result.blockedBy !== null) throw new CommandFailed();
  } finally {
    line.end();
    await function_.stop();
  }
}

/** As many as a message may name, with room to spare. */
const OFFSETS_A_MESSAGE = 5_000;

/** What is to be discarded goes before the key does: nothing of it is applied. */
function releasesOf(
  verb: Verb,
  { topic, partition, key, blockedBy, lastLetter }: WaitingKey,
  epoch: number,
  letters: readonly StoredLetter[],
  parked: readonly RawRecord[],
): readonly KeyRelease[] {
  const common = { topic, partition, key, epoch };
  const releases: KeyRelease[] = [];
  for (let at = 0; at < parked.length; at += OFFSETS_A_MESSAGE) {
    const discardedParked = rangesOf(parked.slice(at, at + OFFSETS_A_MESSAGE).map(({ offset }) => offset));
    releases.push({ ...common, below: null, discardedLetters: [], discardedParked });
  }
  const discarded =
    verb === 'release' || blockedBy === null
      ? []
      : [blockedBy, ...letters.map(({ letter }) => letter.record.offset)];
  // What `parkLimit` made letters of is sound: after a skip, the key waits for the next of them.
  const below = lastLetter === null || verb === 'skip' ? null : lastLetter + 1;
  return [...releases, { ...common, below, discardedLetters: rangesOf(discarded), discardedParked: [] }];
}

async function writeExport(
  path: string,
  letters: readonly StoredLetter[],
  parked: readonly RawRecord[],
  { resources }: DlqSession,
): Promise<void> {
  const file = openExport(path);
  try {
    for (const copy of letters) file.write(await lineOf(copy, resources.objects));
    for (const record of parked) file.write(parkedLine(record));
    file.flush();
  } finally {
    file.close();
  }
}

/** A parked record as it came. It is no dead letter: "millrace dlq import" leaves it out. */
function parkedLine({
  topic,
  partition,
  offset,
  timestamp,
  timestampType,
  key,
  value,
  headers,
}: RawRecord): string {
  const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null;
  return JSON.stringify({
    parked: {
      topic,
      partition,
      offset,
      timestamp,
      timestampType,
      key: base64(key),
      value: base64(value),
      headers: headers.map((header) => ({ name: header.name, value: base64(header.value) })),
    },
  });
}

function printPlan(
  verb: Verb,
  waiting: WaitingKey,
  letters: readonly StoredLetter[],
  parked: readonly RawRecord[],
  session: DlqSession,
  view: View,
): void {
  const id = letterIdOf(waiting, session);
  const applied = `${plural(waiting.records, 'parked record')} ${waiting.records === 1 ? 'is' : 'are'} applied, in order`;
  const isGone = id !== null && letters.length === 0;
  printNote(
    [
      `${{ release: 'Release', skip: 'Skip', discard: 'Discard' }[verb]} the key ${keyText(waiting.key, view)} of ${session.named} (${session.at})`,
      ...(id === null ? [] : [`  letter  ${id}`, `          ${letterOutcome(verb, isGone)}`]),
      ...laterLetters(verb, waiting, letters),
      `  parked  ${verb === 'discard' ? `${plural(parked.length, 'record')}: discarded` : applied}`,
    ].join('\n'),
  );
}

/** More than one only where `parkLimit` was reached. */
function laterLetters(
  verb: Verb,
  { blockedBy, lastLetter }: WaitingKey,
  letters: readonly StoredLetter[],
): readonly string[] {
  if (blockedBy === lastLetter) return [];
  const later = new Set(letters.map(({ letter }) => letter.record.offset));
  later.delete(blockedBy ?? -1);
  const outcome = {
    release: 'later letters of the key stay dead letters, too',
    skip: 'the key then waits for its next letter',
    discard: `and ${plural(later.size, 'later letter')} of the key: discarded`,
  }[verb];
  return [`          ${outcome} (parkLimit was reached)`];
}

function letterOutcome(verb: Verb, isGone: boolean): string {
  if (verb === 'release') return 'stays a dead letter, and counts as overtaken';
  return isGone
    ? 'is not among the dead letters any more: the export lacks it'
    : 'discarded; the export keeps it';
}

function printEnd(
  verb: Verb,
  result: {
    readonly discarded: number;
    readonly parked: number;
    readonly blockedBy: string | null;
    readonly export: string | null;
  },
  wasLetter: boolean,
  { named, place }: DlqSession,
): void {
  if (verb !== 'release')
    printLine(`${plural(result.discarded, 'record')} discarded. The export is in ${result.export}.`);
  if (result.blockedBy !== null && wasLetter) {
    printLine(`The key waits for its next dead letter: ${result.blockedBy}`);
    printLine(`${plural(result.parked, 'record')} still parked behind it. To apply them all:`);
    printLine(
      `  ${hint(['dlq', 'redrive', '--consumer', named, '--where', `id=${result.blockedBy}`], place)}`,
    );
  } else if (result.blockedBy !== null) {
    printLine(`One of the parked records failed, and the key waits for it: ${result.blockedBy}`);
    printLine(`${plural(result.parked, 'record')} still parked behind it. To see why:`);
    printLine(`  ${hint(['dlq', 'show', result.blockedBy], place)}`);
  } else if (result.parked > 0) {
    printLine(`${plural(result.parked, 'record')} still parked; deliveries to the partition apply them.`);
  } else if (verb !== 'discard') {
    printLine(`What was parked with the key is applied. The key waits no longer.`);
  } else printLine('The key waits no longer.');
}

function waitsForNoLetter({ named, place }: DlqSession): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `The key waits for no letter, so there is none to skip: what is parked is being applied. To see it: ${hint(['park', 'list', '--consumer', named], place)}`,
    { details: { consumer: named } },
  );
}
