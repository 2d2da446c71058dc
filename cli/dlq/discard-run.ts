/** Planning a discard and doing it, without a terminal: "dlq discard" and the console have it from here. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import { sendReleases } from '../../runtime/dead-letters/parking/send.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import {
  copyName,
  type DeadLetterReader,
  discardLetters,
  type ScannedLetter,
} from '../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import type { KeyRelease } from '../../runtime/delivery/release.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { offsetsOfLetters, type PlacedLetter, placeOf } from '../../runtime/replay/evidence.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { loadApp } from '../app.ts';
import { hint } from '../hints.ts';
import type { PostgresOptions } from '../outside-options.ts';
import { withWaitingKeys } from '../park/keys.ts';
import { count, plural } from '../terminal.ts';
import type { PlanWords } from './confirmation.ts';
import { withFunction } from './consumer-function.ts';
import { lineOf, openExport } from './export-file.ts';
import { describeFilter } from './options.ts';
import { chosenReader } from './overtaken.ts';
import { type FolderMark, folderMark, requireSameFolder } from './planned-folder.ts';
import { auditedAt, type DlqSession, type DlqSessionOptions, generationNamed } from './session.ts';

export interface DiscardAsk extends DlqSessionOptions, PostgresOptions {
  readonly where: LetterFilter;
}

export interface PlannedDiscard {
  readonly filter: LetterFilter;
  /** The copies that were there, by `copyName`: what matches later was not confirmed. */
  readonly copies: ReadonlySet<string>;
  readonly folder: FolderMark;
}

/** What a discard would remove. Changes nothing. */
export async function planDiscard(session: DlqSession, ask: DiscardAsk): Promise<PlannedDiscard> {
  const folder = folderMark(session.place);
  const copies = new Set<string>();
  const reader = await chosenReader(session, ask);
  for await (const copy of reader.scan()) if (matches(copy, ask.where)) copies.add(copyName(copy));
  return { filter: ask.where, copies, folder };
}

export interface DiscardSettings extends DlqSessionOptions, PostgresOptions {
  readonly reason: string;
  /** The file that keeps the letters. @default a new one in the state folder */
  readonly export?: string;
  /** Seconds for an answer of a consumer that parks. */
  readonly wait: number;
}

export interface DiscardHooks {
  readonly onProgress?: (discarded: number) => void;
  /** Hears what a person has to know besides. */
  readonly onNote: (text: string) => void;
  /** Whether it is to end: what was discarded by then is. @default never */
  readonly isCancelled?: () => boolean;
}

export interface DiscardEnd {
  readonly discarded: number;
  readonly export: string;
  /** Present where it was cancelled before the end. */
  readonly cancelled?: true;
}

/**
 * Removes the planned letters, each once the export has it on the disk, with an entry in the audit log.
 * @throws STATE_IN_USE while the consumer's letters are given back; INPUT_INVALID where the export cannot be created, or the state
 * folder was cleared since it was planned
 */
export async function doDiscard(
  session: DlqSession,
  { filter, copies: planned, folder: plannedIn }: PlannedDiscard,
  settings: DiscardSettings,
  { onProgress = () => {}, onNote, isCancelled = () => false }: DiscardHooks,
): Promise<DiscardEnd> {
  requireSameFolder(plannedIn, session.place);
  const { resources, folder } = session;
  const id = randomUUID();
  const path = settings.export ?? join(folder.path, `discarded-${id}.jsonl`);
  const plan = {
    where: describeFilter(filter),
    letters: planned.size,
    reason: settings.reason,
    export: path,
  };
  const parks = await mayKeysWait(session, settings, onNote);
  const act = () =>
    auditedAt(session, { id, action: 'discard', plan }, async (note) => {
      const file = openExport(path);
      const gone: PlacedLetter[] = [];
      let done = 0;
      try {
        const reader = endedBy(isCancelled, resources.reader);
        const discarded = await discardLetters(reader, planned, async (copies) => {
          for (const copy of copies) file.write(await lineOf(copy, resources.objects));
          file.flush();
          gone.push(...copies.flatMap((copy) => ('letter' in copy ? [placeOf(copy.letter)] : [])));
          // What tells the audit from then on that nobody wants these records.
          await note({ offsets: offsetsOfLetters(gone) });
          if (parks) await letKeysGo(copies, session, settings);
          done += copies.length;
          onProgress(done);
        });
        const wasCut = isCancelled() && discarded < planned.size;
        return { discarded, export: path, ...(wasCut && { cancelled: true as const }) };
      } finally {
        file.close();
      }
    });
  return parks ? withFunction(session, settings.postgres, act) : act();
}

/** The same letters, and no more of them once it is to end. */
function endedBy(isOver: () => boolean, reader: DeadLetterReader): DeadLetterReader {
  return {
    async *scan() {
      for await (const copy of reader.scan()) {
        if (isOver()) return;
        yield copy;
      }
    },
    remove: (copies) => reader.remove(copies),
  };
}

export function discardWords({ filter, copies }: PlannedDiscard, { named, at }: DlqSession): PlanWords {
  return {
    head: `Discard ${plural(copies.size, 'dead letter')} of ${named} (${at}): ${describeFilter(filter)}`,
    facts: [],
  };
}

const GONE = 'Somebody else redrove or discarded them.';

/** What the discard has come to, and how to take it back. */
export function discardEndLines(
  { discarded, export: path, cancelled }: DiscardEnd,
  { copies }: PlannedDiscard,
  { named, place }: DlqSession,
): readonly string[] {
  const all = count(copies.size);
  if (cancelled && discarded === 0)
    return [`Cancelled before anything was discarded: all ${all} stay dead letters.`];
  const gone = copies.size - discarded;
  const cut = cancelled ? [`Cancelled: ${count(copies.size - discarded)} of ${all} stay dead letters.`] : [];
  if (!cancelled && discarded === 0)
    return [`Nothing to do: ${copies.size === 1 ? 'the letter is' : `all ${all} are`} gone. ${GONE}`];
  return [
    ...cut,
    ...(!cancelled && gone > 0 ? [`${count(gone)} of ${all} were gone. ${GONE}`] : []),
    `${count(discarded)} discarded. They are in ${path}; to take them back:`,
    `  ${hint(['dlq', 'import', '--consumer', named, '--input', path], place)}`,
  ];
}

/**
 * Whether later records of a letter's key may wait for it: its consumer's function then has to be told that it is gone. The
 * declaration alone does not say so: a key that waited before its consumer stopped parking still waits.
 */
async function mayKeysWait(
  session: DlqSession,
  settings: DiscardSettings,
  onNote: DiscardHooks['onNote'],
): Promise<boolean> {
  const { consumers } = await loadApp();
  const declared = generationNamed(session.consumer.name, consumers);
  if (!declared || isArchive(declared)) return false;
  if (declared.onDeadLetter === 'park-key') return true;
  try {
    return await withWaitingKeys(session, settings, (keys) =>
      keys.isAnyWaiting(ledgerOwner(session.consumer)),
    );
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    // Its keys do not wait by what it declares: a sink that is down keeps nobody from discarding.
    onNote(
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
  { wait }: DiscardSettings,
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
