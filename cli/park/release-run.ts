/** Planning what becomes of a parked key and doing it, without a terminal: the commands of "park" and the console have it from here. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { sendReleases } from '../../runtime/dead-letters/parking/send.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import { copyName, discardLetters, type StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { letterKey } from '../../runtime/delivery/dead-letter.ts';
import { rangesOf } from '../../runtime/delivery/offset-ranges.ts';
import type { KeyRelease } from '../../runtime/delivery/release.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { offsetsOfLetters, placeOf } from '../../runtime/replay/evidence.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { allPages, type WaitingKey, type WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
import type { PlanWords } from '../dlq/confirmation.ts';
import { withFunction } from '../dlq/consumer-function.ts';
import { lineOf, openExport } from '../dlq/export-file.ts';
import { keyText, type View } from '../dlq/letter-view.ts';
import { type FolderMark, folderMark, requireSameFolder } from '../dlq/planned-folder.ts';
import { auditedAt, type DlqSession } from '../dlq/session.ts';
import { hint } from '../hints.ts';
import type { PostgresOptions } from '../outside-options.ts';
import { plural } from '../terminal.ts';
import { findKey, type KeyName, type KeyOptions, letterIdOf } from './keys.ts';

/** To go on without its letter, without it for good, or without anything that is parked. */
export type Verb = 'release' | 'skip' | 'discard';

export interface PlannedRelease {
  readonly verb: Verb;
  readonly waiting: WaitingKey;
  /** The copies that are discarded. */
  readonly letters: readonly StoredLetter[];
  /** What is discarded of what is parked. */
  readonly parked: readonly RawRecord[];
  readonly view: View;
  readonly folder: FolderMark;
}

/**
 * What would become of the key. Changes nothing.
 * @throws INPUT_INVALID if no record waits with the key, if it waits in several partitions, or if there is no letter to skip
 */
export async function planRelease(
  verb: Verb,
  key: KeyName,
  session: DlqSession,
  keys: WaitingKeyReader,
  options: Pick<KeyOptions, 'partition'>,
): Promise<PlannedRelease> {
  const { consumer } = session;
  const folder = folderMark(session.place);
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
  return { verb, waiting, letters, parked, view: { topic: consumer.topic, showsValues: false }, folder };
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

export interface ReleaseSettings extends PostgresOptions {
  /** For the audit log; required where something is discarded. */
  readonly reason?: string;
  /** The file that keeps what is discarded. @default a new one in the state folder */
  readonly export?: string;
  /** Seconds for an answer of the consumer's function. */
  readonly wait: number;
}

export interface ReleaseEnd {
  /** What the commands print as JSON: scripts rely on it. */
  readonly result: {
    readonly released: number;
    readonly discarded: number;
    readonly parked: number;
    readonly blockedBy: string | null;
    readonly export: string | null;
  };
  /** The offset of the letter that the key waits for now. */
  readonly blockedAt: number | null;
}

/**
 * Has the consumer's function do what was planned, with an export of what is discarded and an entry in the audit log.
 * @param onProgress hears how many messages the function has answered, and of how many
 * @throws FUNCTION_UNAVAILABLE where it does not answer: it may still do it later; INPUT_INVALID where the state folder was cleared
 * since it was planned
 */
export async function doRelease(
  session: DlqSession,
  { verb, waiting, letters, parked, view, folder: plannedIn }: PlannedRelease,
  settings: ReleaseSettings,
  onProgress: (done: number, messages: number) => void,
): Promise<ReleaseEnd> {
  requireSameFolder(plannedIn, session.place);
  const { consumer, folder, resources } = session;
  const id = randomUUID();
  const path = verb === 'release' ? null : (settings.export ?? join(folder.path, `discarded-${id}.jsonl`));
  const { partition, topic, blockedBy } = waiting;
  const plan = {
    command: `park ${verb}`,
    key: keyText(waiting.key, view),
    partition,
    ...(blockedBy !== null && { letter: letterIdOf(waiting, session) }),
    parked: waiting.records,
    ...(path !== null && { letters: letters.length, reason: settings.reason, export: path }),
  };
  const action = verb === 'release' ? 'release' : 'discard';
  let blockedAt = null as number | null;
  const result = await withFunction(session, settings.postgres, () =>
    auditedAt(session, { id, action, plan }, async (note) => {
      if (path !== null) await writeExport(path, letters, parked, session);
      const blocking = { epoch: consumer.epoch, record: { topic, partition, offset: blockedBy ?? 0 } };
      const releases = releasesOf(verb, waiting, consumer.epoch, letters, parked);
      // What tells the audit from then on that nobody wants these records.
      if (path !== null && blockedBy !== null)
        await note({
          offsets: offsetsOfLetters([...letters.map(({ letter }) => placeOf(letter)), blocking]),
        });
      const { redrive, objects, reader } = resources;
      const released = await sendReleases(
        consumer.name,
        id,
        releases,
        { redrive, objects, clock: systemClock },
        { patienceMs: settings.wait * 1_000, onProgress: (done) => onProgress(done, releases.length) },
      );
      if (letters.length > 0) await discardLetters(reader, new Set(letters.map(copyName)), async () => {});
      blockedAt = released.blockedBy;
      return {
        released: released.letters,
        discarded: released.discardedLetters + released.discardedParked,
        parked: released.parked,
        blockedBy: letterIdOf({ ...waiting, blockedBy: released.blockedBy }, session),
        export: path,
      };
    }),
  );
  return { result, blockedAt };
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

export function releaseWords(
  { verb, waiting, letters, parked, view }: PlannedRelease,
  session: DlqSession,
): PlanWords {
  const id = letterIdOf(waiting, session);
  const applied = `${plural(waiting.records, 'parked record')} ${waiting.records === 1 ? 'is' : 'are'} applied, in order`;
  const isGone = id !== null && letters.length === 0;
  const later = laterLetters(verb, waiting, letters);
  return {
    head: `${{ release: 'Release', skip: 'Skip', discard: 'Discard' }[verb]} the key ${keyText(waiting.key, view)} of ${session.named} (${session.at})`,
    facts: [
      ...(id === null ? [] : [['letter', id] as const, ['', letterOutcome(verb, isGone)] as const]),
      ...(later === undefined ? [] : [['', later] as const]),
      ['parked', verb === 'discard' ? `${plural(parked.length, 'record')}: discarded` : applied],
    ],
  };
}

/** More than one only where `parkLimit` was reached. */
function laterLetters(
  verb: Verb,
  { blockedBy, lastLetter }: WaitingKey,
  letters: readonly StoredLetter[],
): string | undefined {
  if (blockedBy === lastLetter) return undefined;
  const later = new Set(letters.map(({ letter }) => letter.record.offset));
  later.delete(blockedBy ?? -1);
  const outcome = {
    release: 'later letters of the key stay dead letters, too',
    skip: 'the key then waits for its next letter',
    discard: `and ${plural(later.size, 'later letter')} of the key: discarded`,
  }[verb];
  return `${outcome} (parkLimit was reached)`;
}

function letterOutcome(verb: Verb, isGone: boolean): string {
  if (verb === 'release') return 'stays a dead letter, and counts as overtaken';
  return isGone
    ? 'is not among the dead letters any more: the export lacks it'
    : 'discarded; the export keeps it';
}

/** How many letters and parked records are to be discarded. Copies of a letter are one. */
export function discardsOf({ letters, parked }: Pick<PlannedRelease, 'letters' | 'parked'>): number {
  return parked.length + new Set(letters.map(({ letter }) => letterKey(letter))).size;
}

/** What the release has come to, and what to do next. */
export function releaseEndLines(
  end: ReleaseEnd,
  planned: PlannedRelease,
  { named, place }: DlqSession,
): readonly string[] {
  const { verb, waiting } = planned;
  const { lastLetter } = waiting;
  const { discarded, parked, blockedBy } = end.result;
  const lines =
    verb === 'release'
      ? []
      : [`${plural(discarded, 'record')} discarded. The export is in ${end.result.export}.`];
  const missing = verb === 'discard' ? discardsOf(planned) - discarded : 0;
  if (missing > 0)
    lines.push(
      `${plural(missing, 'record')} of the plan did not wait with the key any more: released, redriven or discarded elsewhere since. The export has ${missing === 1 ? 'it' : 'them'}, too.`,
    );
  // A letter that was one before; any other is of a parked record that failed now.
  const wasLetter = end.blockedAt !== null && lastLetter !== null && end.blockedAt <= lastLetter;
  if (blockedBy !== null && wasLetter)
    lines.push(
      `The key waits for its next dead letter: ${blockedBy}`,
      `${plural(parked, 'record')} still parked behind it. To apply them all:`,
      `  ${hint(['dlq', 'redrive', '--consumer', named, '--where', `id=${blockedBy}`], place)}`,
    );
  else if (blockedBy !== null)
    lines.push(
      `One of the parked records failed, and the key waits for it: ${blockedBy}`,
      `${plural(parked, 'record')} still parked behind it. To see why:`,
      `  ${hint(['dlq', 'show', blockedBy], place)}`,
    );
  else if (parked > 0)
    lines.push(`${plural(parked, 'record')} still parked; deliveries to the partition apply them.`);
  else if (verb !== 'discard')
    lines.push('What was parked with the key is applied. The key waits no longer.');
  else lines.push('The key waits no longer.');
  return lines;
}

function waitsForNoLetter({ named, place }: DlqSession): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `The key waits for no letter, so there is none to skip: what is parked is being applied. To see it: ${hint(['park', 'list', '--consumer', named], place)}`,
    { details: { consumer: named } },
  );
}
