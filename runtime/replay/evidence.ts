/** Gathers what `audit.ts` accounts with, in the order that makes it true while the consumer goes on. */
import { readAuditLog } from '../dead-letters/audit-log.ts';
import { createQueueReader } from '../dead-letters/queue-letters.ts';
import type { DeadLetterReader } from '../dead-letters/reader.ts';
import type { DeadLetterResources } from '../dead-letters/resources.ts';
import { beginningOf } from '../delivery/beginning.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import { intersect, type OffsetRange, rangesOf, subtract, union } from '../delivery/offset-ranges.ts';
import { MillraceError } from '../errors.ts';
import type { ObjectStore } from '../objects.ts';
import type { TopicPartition } from '../record.ts';
import { type LogReader, partitionsOf } from '../topics.ts';
import { account, type PartitionFacts } from './audit.ts';
import { type LedgerOwner, type LedgerReader, ledgerOwner, type WholeLedger } from './ledgers.ts';

export type EvidenceLog = Pick<
  LogReader,
  'partitions' | 'read' | 'passed' | 'bounds' | 'offsetAt' | 'committed'
>;

export interface EvidenceSources {
  readonly consumer: Pick<AnyConsumer, 'name' | 'epoch' | 'topic' | 'startingPosition'>;
  /** The group whose offsets are the consumer's. */
  readonly group: string;
  readonly log: EvidenceLog;
  readonly ledgers: LedgerReader;
  readonly letters: Pick<DeadLetterResources, 'reader' | 'redrive' | 'objects'>;
}

export interface Evidence {
  /** One a partition, by partition. */
  readonly partitions: readonly PartitionFacts[];
  /** Letters on their way back to the consumer: on SQS, those that somebody holds are not seen. */
  readonly redriving: number;
}

/** A letter that is being redriven is applied between two looks, or back; more than this is no coincidence. */
const LOOKS = 3;

/**
 * What is known of the consumer's partitions, or of one. The committed offsets are read before the ledger, and the ledger
 * before the letters, since that is the order in which each comes to hold what the next one has.
 * @throws TOPIC_UNKNOWN; SINK_UNAVAILABLE, QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE
 */
export async function gatherEvidence(sources: EvidenceSources, only?: number): Promise<Evidence> {
  for (let look = 1; ; look++) {
    // Where a queue can only be shown by hiding its messages, the redrive's is left alone unless a letter is missing.
    const evidence = await lookOnce(sources, only, look > 1);
    if (!evidence.partitions.some(lacksLetters)) return evidence;
    if (look === LOOKS || (look > 1 && evidence.redriving === 0)) return evidence;
  }
}

function lacksLetters(facts: PartitionFacts): boolean {
  return intersect(facts.ledger?.deadLettered ?? [], account(facts).unaccounted).length > 0;
}

async function lookOnce(
  { consumer, group, log, ledgers, letters }: EvidenceSources,
  only: number | undefined,
  withRedriven: boolean,
): Promise<Evidence> {
  const owner = ledgerOwner(consumer);
  const { topic } = owner;
  const partitions = (await partitionsOf(log, topic)).filter(
    (partition) => only === undefined || partition === only,
  );
  const committed = await Promise.all(
    partitions.map(async (partition) => (await log.committed(group, { topic, partition })) ?? null),
  );
  const ledgerOf = new Map((await ledgers.read(owner)).map((ledger) => [ledger.partition, ledger]));
  const redriving = await letters.redrive.depth();
  const readers = [letters.reader, ...(withRedriven ? [createQueueReader({ queue: letters.redrive })] : [])];
  // First where they come from, so that none can pass by.
  const lettersOf = await readLetters(readers, owner);
  const discardsOf = await readDiscards(letters.objects, owner);
  const facts = await Promise.all(
    partitions.map(async (partition, at): Promise<PartitionFacts> => {
      const of = { topic, partition };
      const ledger = ledgerOf.get(partition);
      const { start, end } = await log.bounds(of);
      const begins = await accountableFrom(consumer, log, of, {
        ledger,
        committed: committed[at]!,
        start,
        end,
      });
      const known: Omit<PartitionFacts, 'empty'> = {
        partition,
        ledger,
        start,
        end,
        committed: committed[at]!,
        begins,
        letters: lettersOf.get(partition) ?? [],
        discards: discardsOf.get(partition) ?? [],
      };
      return { ...known, empty: await emptyOffsets(log, of, known) };
    }),
  );
  return { partitions: facts, redriving };
}

async function accountableFrom(
  { startingPosition, epoch }: EvidenceSources['consumer'],
  log: EvidenceLog,
  of: TopicPartition,
  at: {
    readonly ledger: WholeLedger | undefined;
    readonly committed: number | null;
    readonly start: number;
    readonly end: number;
  },
): Promise<number> {
  const first = at.ledger?.first ?? null;
  // What is below the ledger of a later epoch, an earlier one may have applied.
  if (startingPosition === 'TRIM_HORIZON') return epoch > 1 ? (first ?? 0) : 0;
  const known = startingPosition === 'LATEST' ? (first ?? at.committed) : null;
  if (known !== null) return known;
  const begins = await beginningOf(startingPosition, {
    start: at.start,
    end: at.end,
    // An audit asks for nothing that only a runner knows: what it has not reached is not due.
    commitsBeginning: false,
    hasBegun: false,
    offsetAt: (timestampMs) => log.offsetAt(of, timestampMs),
  });
  return Math.min(first ?? at.end, begins ?? at.end);
}

/**
 * Of what the group has left behind and the ledger lacks, the offsets at its beginning that hold no record: the marks of
 * transactions, which the event source passes without a batch.
 */
async function emptyOffsets(
  log: EvidenceLog,
  of: TopicPartition,
  { ledger, committed, begins, start }: PartitionFacts,
): Promise<readonly OffsetRange[]> {
  const known = ledger?.first == null ? [] : [{ from: ledger.first, to: ledger.next! }];
  const unknown = subtract([{ from: Math.max(begins, start), to: committed ?? 0 }], known);
  const empty: OffsetRange[] = [];
  for (const { from, to } of unknown) {
    let next = from;
    while (next < to) {
      const [record] = await log.read(of, next, 1);
      const passed = record?.offset ?? (await log.passed?.(of, next)) ?? to;
      if (passed <= next) break;
      next = Math.min(passed, to);
      if (record) break;
    }
    empty.push({ from, to: next });
  }
  return union(empty);
}

type OffsetsByPartition = ReadonlyMap<number, readonly OffsetRange[]>;

/** The offsets of a consumer's letters. */
async function readLetters(
  readers: readonly Pick<DeadLetterReader, 'scan'>[],
  { epoch, topic }: LedgerOwner,
): Promise<OffsetsByPartition> {
  const found = new Map<number, OffsetRange[]>();
  for (const reader of readers) {
    for await (const copy of reader.scan()) {
      if (!('letter' in copy) || copy.letter.epoch !== epoch || copy.letter.record.topic !== topic) continue;
      const { partition, offset } = copy.letter.record;
      const offsets = found.get(partition) ?? [];
      if (offsets.length === 0) found.set(partition, offsets);
      offsets.push({ from: offset, to: offset + 1 });
    }
  }
  return unions(found);
}

/** Which offsets a discard takes letters of, or an import brings some back to: in the progress of its audit entry. */
export interface LetterOffsets {
  readonly topic: string;
  readonly epoch: number;
  readonly partition: number;
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/** Of a letter, what tells which record it is of. */
export interface PlacedLetter {
  readonly epoch: number;
  readonly record: TopicPartition & { readonly offset: number };
}

/** Without the record's bytes. */
export function placeOf({ epoch, record: { topic, partition, offset } }: PlacedLetter): PlacedLetter {
  return { epoch, record: { topic, partition, offset } };
}

/** The letters' offsets as audit entries have them. */
export function offsetsOfLetters(letters: Iterable<PlacedLetter>): LetterOffsets[] {
  const byPartition = Map.groupBy(letters, ({ epoch, record: { topic, partition } }) =>
    JSON.stringify([topic, epoch, partition]),
  );
  return Array.from(byPartition, ([key, of]) => {
    const [topic, epoch, partition] = JSON.parse(key) as [string, number, number];
    const ranges = rangesOf(of.map(({ record: { offset } }) => offset));
    return { topic, epoch, partition, ranges: ranges.map(({ from, to }) => [from, to] as const) };
  });
}

/** The offsets whose letters were discarded and not imported since, as the consumer's audit log says. */
async function readDiscards(
  objects: ObjectStore,
  { epoch, topic }: LedgerOwner,
): Promise<OffsetsByPartition> {
  const found = new Map<number, readonly OffsetRange[]>();
  const { entries, unreadable } = await readAuditLog(objects);
  const lost = unreadable.find(({ action }) => ['discard', 'import', ''].includes(action));
  if (lost)
    throw new MillraceError(
      'STATE_UNREADABLE',
      `The audit log's entry ${lost.key} cannot be read, so nobody knows which records were discarded. Restore the object, or delete it: its records then count as missing.`,
      { details: { key: lost.key } },
    );
  for (const { action, progress } of entries) {
    if (action !== 'discard' && action !== 'import') continue;
    // What was only planned is not done. Entries of earlier versions do not say of which offsets they are.
    for (const each of (progress?.offsets ?? []) as readonly LetterOffsets[]) {
      if (each.epoch !== epoch || each.topic !== topic) continue;
      const ranges = each.ranges.map(([from, to]) => ({ from, to }));
      const before = found.get(each.partition) ?? [];
      found.set(each.partition, action === 'discard' ? union(before, ranges) : subtract(before, ranges));
    }
  }
  return found;
}

function unions(of: ReadonlyMap<number, readonly OffsetRange[]>): OffsetsByPartition {
  return new Map(Array.from(of, ([partition, ranges]) => [partition, union(ranges)]));
}
