import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { createTopicReader } from '../../../runtime/archive/reader.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { KafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { type ReplayRun, runReplay } from '../../../runtime/replay/run.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { codeOf } from '../../rejection.ts';
import { eventRecord, events } from '../events.ts';

const offsetsIn = ({ records }: KafkaEvent) =>
  Object.values(records).flatMap((each) => each.map(({ offset }) => offset));
const SETTLED = { batchItemFailures: [] };

/** A log of one partition, and a function that notes what it gets. */
function setUp(records: readonly RawRecord[], of: Partial<ReplayRun> = {}, start = 0) {
  const clock = createFakeClock({ autoAdvance: true });
  const delivered: number[][] = [];
  const log = {
    bounds: async () => ({ start, end: (records.at(-1)?.offset ?? -1) + 1 }),
    read: async (_: unknown, from: number, most: number) =>
      records.filter(({ offset }) => offset >= from).slice(0, most),
  };
  const run: ReplayRun = {
    replay: { id: 'r1', kind: 'gaps' },
    ranges: [{ partition: 0, ranges: [{ from: 0, to: 10 }] }],
    reader: createTopicReader({ topic: events.name, log }),
    function: {
      async deliver(event) {
        expect(event.millraceReplay).toEqual({ id: 'r1', kind: 'gaps' });
        delivered.push(offsetsIn(event));
        return SETTLED;
      },
    },
    clock,
    random: createSeededRandom(1),
    batchRecords: 4,
    ratePerSecond: Number.POSITIVE_INFINITY,
    patienceMs: 60_000,
    ...of,
  };
  return { run, delivered, clock };
}

const ten = Array.from({ length: 10 }, (_, offset) => eventRecord(0, offset));

describe('a replay', () => {
  test('delivers the ranges in order, in batches that may reach over the end of a range', async () => {
    const ranges = [
      {
        partition: 0,
        ranges: [
          { from: 0, to: 3 },
          { from: 6, to: 9 },
        ],
      },
    ];
    const { run, delivered } = setUp(ten, { ranges });
    expect(await runReplay(run)).toMatchObject({ delivered: 6, isWhole: true, tooLarge: 0 });
    expect(delivered).toEqual([
      [0, 1, 2, 6],
      [7, 8],
    ]);
  });

  test('tells what is deleted, and which offsets hold no record', async () => {
    const kept = ten.filter(({ offset }) => offset > 2 && offset !== 5 && offset !== 9);
    const { run, delivered } = setUp(kept, {}, 3);
    const result = await runReplay(run);
    expect(delivered.flat()).toEqual([3, 4, 6, 7, 8]);
    expect(result.deleted.get(0)).toEqual([{ from: 0, to: 3 }]);
    expect(result.unread.get(0)).toEqual([
      { from: 0, to: 3 },
      { from: 5, to: 6 },
      { from: 9, to: 10 },
    ]);
  });

  test('delivers again what the function gives back, before anything behind it', async () => {
    const { run, delivered } = setUp(ten);
    let calls = 0;
    const back = {
      async deliver(event: KafkaEvent) {
        await run.function.deliver(event);
        const failed = calls++ === 0 ? [2, 3] : [];
        return {
          batchItemFailures: failed.map((offset) => ({
            itemIdentifier: { partition: `${events.name}-0`, offset },
          })),
        };
      },
    };
    expect(await runReplay({ ...run, function: back })).toMatchObject({ delivered: 10 });
    expect(delivered).toEqual([
      [0, 1, 2, 3],
      [2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
  });

  test('keeps to its rate, a second’s records at a time', async () => {
    const { run, clock, delivered } = setUp(ten, { ratePerSecond: 2 });
    const startedAt = clock.now();
    await runReplay(run);
    expect(delivered.map(({ length }) => length)).toEqual([2, 2, 2, 2, 2]);
    expect(clock.now() - startedAt).toBe(5_000);
  });

  test('waits out an outage, and says what holds it', async () => {
    const { run, delivered } = setUp(ten);
    let failures = 3;
    const held: (string | null)[] = [];
    const flaky = {
      deliver: (event: KafkaEvent) =>
        failures-- > 0
          ? Promise.reject(new MillraceError('SINK_UNAVAILABLE', 'down'))
          : run.function.deliver(event),
    };
    await runReplay({ ...run, function: flaky }, ({ heldBy }) => held.push(heldBy));
    expect(held.slice(0, 3)).toEqual(['SINK_UNAVAILABLE', 'SINK_UNAVAILABLE', 'SINK_UNAVAILABLE']);
    expect(held.at(-1)).toBeNull();
    expect(delivered.flat()).toEqual(ten.map(({ offset }) => offset));
  });

  test.each([
    ['an outage that lasts', 'SINK_UNAVAILABLE', true],
    ['what only a person can fix', 'TOPIC_RECREATED', false],
  ] as const)('ends at %s', async (_, code, hasWaited) => {
    const { run, clock } = setUp(ten, {
      function: { deliver: () => Promise.reject(new MillraceError(code, 'no')) },
    });
    const startedAt = clock.now();
    expect(await codeOf(runReplay(run))).toBe(code);
    expect(clock.now() - startedAt >= run.patienceMs).toBe(hasWaited);
  });

  test('leaves out a record that no invocation can carry, and goes on', async () => {
    const large = ten.map((record) =>
      record.offset === 4 ? eventRecord(0, 4, { value: Buffer.alloc(5 * 2 ** 20) }) : record,
    );
    const { run, delivered } = setUp(large);
    const result = await runReplay(run);
    expect(result).toMatchObject({ tooLarge: 1, delivered: 9, isWhole: true });
    expect(result.unread.get(0)).toEqual([{ from: 4, to: 5 }]);
    expect(delivered.flat()).toEqual([0, 1, 2, 3, 5, 6, 7, 8, 9]);
  });

  test('ends after the batch under way when it is told to', async () => {
    const { run, delivered } = setUp(ten);
    const stop = new AbortController();
    const result = await runReplay(run, () => stop.abort(), stop.signal);
    expect(result).toMatchObject({ isWhole: false, delivered: 4 });
    expect(delivered).toEqual([[0, 1, 2, 3]]);
  });
});
