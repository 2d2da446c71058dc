import type { RecordReader } from '../archive/reader.ts';
import type { Replay } from '../delivery/ledger.ts';
import { type OffsetRange, sizeOf, union } from '../delivery/offset-ranges.ts';
import { MillraceError } from '../errors.ts';
import type { BatchResponse } from '../lambda/kafka-batch.ts';
import { encodeKafkaEvent, type KafkaEvent } from '../lambda/kafka-event.ts';
import { PayloadSize } from '../lambda/payload-limit.ts';
import type { Clock, Random } from '../ports.ts';
import type { RawRecord } from '../record.ts';

/** The consumer's own function. */
export interface ReplayFunction {
  /** As its event source would invoke it. @throws whatever the function throws */
  deliver(event: KafkaEvent): Promise<BatchResponse>;
}

export interface ReplayRun {
  readonly replay: Replay;
  readonly ranges: readonly { readonly partition: number; readonly ranges: readonly OffsetRange[] }[];
  readonly reader: Pick<RecordReader, 'read'>;
  readonly function: ReplayFunction;
  readonly clock: Clock;
  readonly random: Random;
  /** The most records of one delivery. */
  readonly batchRecords: number;
  /** Infinite for as many as go. */
  readonly ratePerSecond: number;
  /** How long a delivery that the function does not take is tried again. */
  readonly patienceMs: number;
}

export interface ReplayProgress {
  /** Records that the function has taken. */
  delivered: number;
  /** Offsets behind which the replay is; of `planned` in all. */
  passed: number;
  readonly planned: number;
  /** The code of what holds the delivery under way; null where nothing does. */
  heldBy: string | null;
}

export interface ReplayResult {
  readonly delivered: number;
  /** By partition: what neither the archive nor the log has any more. */
  readonly deleted: ReadonlyMap<number, readonly OffsetRange[]>;
  /** By partition: offsets of which no record could be delivered, whether there was none or it was too large. */
  readonly unread: ReadonlyMap<number, readonly OffsetRange[]>;
  readonly tooLarge: number;
  /** False where the signal ended it: the same plan goes on. */
  readonly isWhole: boolean;
}

const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 10_000;

/**
 * Delivers the records of the ranges to the consumer's function: each partition in offset order, one batch at a time, so
 * that the ledger settles each batch before the next one begins. What it has settled already has no effect.
 * @throws whatever the function keeps failing with; the same plan goes on from there
 */
export async function runReplay(
  run: ReplayRun,
  onProgress: (progress: ReplayProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<ReplayResult> {
  const { reader, clock, ratePerSecond } = run;
  const progress: ReplayProgress = {
    delivered: 0,
    passed: 0,
    planned: run.ranges.reduce((sum, { ranges }) => sum + sizeOf(ranges), 0),
    heldBy: null,
  };
  const deleted = new Map<number, OffsetRange[]>();
  const unread = new Map<number, OffsetRange[]>();
  const note = (in_: Map<number, OffsetRange[]>, partition: number, range: OffsetRange) => {
    in_.set(partition, union(in_.get(partition) ?? [], [range]));
  };
  let tooLarge = 0;
  const startedAt = clock.now();
  const most = Math.max(1, Math.min(run.batchRecords, ratePerSecond));
  const isOver = () => signal?.aborted === true;

  let batch: RawRecord[] = [];
  let size = new PayloadSize();
  const flush = async () => {
    const records = batch;
    batch = [];
    size = new PayloadSize();
    if (records.length === 0 || isOver()) return;
    if (!(await deliver(records, run, progress, onProgress, signal))) return;
    progress.delivered += records.length;
    onProgress(progress);
    const dueMs = (progress.delivered / ratePerSecond) * 1_000 - (clock.now() - startedAt);
    if (dueMs > 0) await clock.sleep(dueMs, signal);
  };
  const add = async (record: RawRecord) => {
    if (!size.add(record)) {
      await flush();
      if (!size.add(record)) {
        tooLarge++;
        note(unread, record.partition, { from: record.offset, to: record.offset + 1 });
        size = new PayloadSize();
        return;
      }
    }
    batch.push(record);
    if (batch.length >= most) await flush();
  };

  let before = 0;
  for (const { partition, ranges } of run.ranges) {
    for (const { from, to } of ranges) {
      let next = from;
      const onMissing = (range: OffsetRange) => note(deleted, partition, range);
      for await (const record of reader.read(partition, from, to, onMissing)) {
        if (record.offset > next) note(unread, partition, { from: next, to: record.offset });
        next = record.offset + 1;
        progress.passed = before + next - from;
        await add(record);
        if (isOver()) break;
      }
      if (isOver()) break;
      if (next < to) note(unread, partition, { from: next, to });
      before += to - from;
      progress.passed = before;
    }
    // A delivery holds one partition, so that what holds it up holds up no other.
    await flush();
    if (isOver()) break;
  }
  return { delivered: progress.delivered, deleted, unread, tooLarge, isWhole: !isOver() };
}

/** Until the function has settled all of it; false where the signal was first. */
async function deliver(
  batch: readonly RawRecord[],
  { replay, clock, random, patienceMs, function: function_ }: ReplayRun,
  progress: ReplayProgress,
  onProgress: (progress: ReplayProgress) => void,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  let rest = batch;
  let heldSince = clock.now();
  for (let failures = 0; rest.length > 0; ) {
    try {
      const { batchItemFailures } = await function_.deliver(encodeKafkaEvent(rest, replay));
      const returned = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier.offset));
      const left = rest.filter(({ offset }) => returned.has(offset));
      if (left.length < rest.length) {
        failures = 0;
        heldSince = clock.now();
      }
      rest = left;
      progress.heldBy = null;
      if (rest.length === 0) return true;
    } catch (error) {
      const { code = null, action = 'hold' } = error instanceof MillraceError ? error : {};
      if (signal?.aborted) return false;
      // Nothing but a person helps, or nobody has for long.
      if (action === 'halt' || clock.now() - heldSince >= patienceMs) throw error;
      progress.heldBy = code;
    }
    onProgress(progress);
    const waitMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(failures++, 30));
    await clock.sleep((0.5 + random.next() / 2) * waitMs, signal);
    if (signal?.aborted) return false;
  }
  return true;
}
