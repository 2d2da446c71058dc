import { describe, expect, test } from '@jest/globals';
import type { RecordsBatch } from '@platformatic/kafka';
import {
  type AbortedTransaction,
  offsetAfter,
  readableRecords,
} from '../../../adapters/kafka/record-batches.ts';

const LOG_APPEND_TIME = 8;
const TRANSACTIONAL = 16;
const CONTROL = 32;
const OF = { topic: 't', partition: 0 };

/** A batch of these offsets; `last` where compaction has removed records behind them. */
function batch(
  offsets: readonly number[],
  { attributes = 0, producer = -1, first = offsets[0]!, last = offsets.at(-1)!, of = {} } = {},
): RecordsBatch {
  return {
    firstOffset: BigInt(first),
    lastOffsetDelta: last - first,
    attributes,
    producerId: BigInt(producer),
    firstTimestamp: 1_000n,
    maxTimestamp: 2_000n,
    records: offsets.map((offset) => ({
      offsetDelta: offset - first,
      timestampDelta: BigInt(offset),
      key: Buffer.from('k'),
      value: Buffer.from(`v${offset}`),
      headers: [],
      ...of,
    })),
  } as unknown as RecordsBatch;
}

const transactional = (offsets: readonly number[], producer: number) =>
  batch(offsets, { attributes: TRANSACTIONAL, producer });
const mark = (offset: number, producer: number, kind: 'abort' | 'commit') =>
  batch([offset], {
    attributes: TRANSACTIONAL | CONTROL,
    producer,
    of: { key: Buffer.from([0, 0, 0, kind === 'abort' ? 0 : 1]) },
  });

const offsetsOf = (batches: readonly RecordsBatch[], aborted: readonly AbortedTransaction[] = [], from = 0) =>
  readableRecords(OF, batches, aborted, from).map(({ offset }) => offset);
const aborted = (producer: number, first: number): AbortedTransaction => ({
  producerId: BigInt(producer),
  firstOffset: BigInt(first),
});

describe('the records of what was fetched', () => {
  test('begin where it was asked, also within a batch', () => {
    expect(offsetsOf([batch([3, 4, 5]), batch([6])], [], 5)).toEqual([5, 6]);
  });

  test('lack what compaction removed, and go on behind it', () => {
    const compacted = [batch([4, 7], { first: 2, last: 9 }), batch([], { first: 10, last: 19 })];
    expect(offsetsOf(compacted)).toEqual([4, 7]);
    expect(offsetAfter(compacted)).toBe(20);
    expect(offsetAfter([])).toBeUndefined();
  });

  test('lack aborted transactions and every mark, and keep what other producers wrote among them', () => {
    const batches = [
      transactional([0, 1], 7),
      transactional([2], 8),
      batch([3]),
      mark(4, 7, 'abort'),
      mark(5, 8, 'commit'),
      transactional([6], 7),
      mark(7, 7, 'commit'),
      transactional([8], 7),
      mark(9, 7, 'abort'),
    ];
    // In any order.
    expect(offsetsOf(batches, [aborted(7, 8), aborted(7, 0)])).toEqual([2, 3, 6]);
    expect(offsetAfter(batches)).toBe(10);
  });

  test('lack an aborted transaction whose mark was not fetched, from wherever one reads on', () => {
    expect(offsetsOf([transactional([0, 1], 7), transactional([2, 3], 7)], [aborted(7, 0)])).toEqual([]);
    expect(
      offsetsOf([transactional([2, 3], 7), mark(4, 7, 'abort'), batch([5])], [aborted(7, 0)], 2),
    ).toEqual([5]);
  });

  test('have the time of whoever stamped them', () => {
    const timeOf = (of: RecordsBatch) => {
      const { timestamp, timestampType } = readableRecords(OF, [of], [], 0)[0]!;
      return [timestamp, timestampType];
    };
    expect(timeOf(batch([5]))).toEqual([1_005, 'CREATE_TIME']);
    expect(timeOf(batch([5], { attributes: LOG_APPEND_TIME }))).toEqual([2_000, 'LOG_APPEND_TIME']);
    expect(timeOf({ ...batch([0]), firstTimestamp: -1n })).toEqual([-1, 'NO_TIMESTAMP_TYPE']);
  });

  test('keep nulls apart from what is empty, and headers whose names repeat', () => {
    const headers = [
      [Buffer.from('h'), Buffer.alloc(0)],
      [Buffer.from('h'), null],
    ];
    const [record] = readableRecords(OF, [batch([0], { of: { key: null, value: null, headers } })], [], 0);
    expect(record).toMatchObject({
      key: null,
      value: null,
      headers: [
        { name: 'h', value: Buffer.alloc(0) },
        { name: 'h', value: null },
      ],
    });
  });
});
