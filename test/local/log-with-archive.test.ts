import { describe, expect, test } from '@jest/globals';
import { watchReach } from '../../local/live-reach.ts';
import { boundedReader, limitedReader, logWithArchive } from '../../local/log-with-archive.ts';
import { type Pace, pacedReader } from '../../local/paced-reader.ts';
import type { RecordReader } from '../../runtime/archive/reader.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord } from '../../runtime/record.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { eventRecord, events } from '../runtime/events.ts';

const of = { topic: events.name, partition: 0 };
const recordsOf = (offsets: readonly number[]) =>
  offsets.map((offset) => eventRecord(0, offset, { timestamp: offset * 10 }));

/** A topic that still has these offsets. */
function logOf(
  offsets: readonly number[],
  end = offsets.at(-1)! + 1,
): LogReader & { readonly reads: number[] } {
  const records = recordsOf(offsets);
  const reads: number[] = [];
  return {
    reads,
    partitions: async () => 1,
    bounds: async () => ({ start: offsets[0]!, end }),
    async read(_, from, most) {
      reads.push(from);
      return records.filter(({ offset }) => offset >= from).slice(0, most);
    },
    offsetAt: async (_, ms) => records.find(({ timestamp }) => timestamp >= ms)?.offset ?? end,
    committed: async () => undefined,
    commit: async () => {},
  };
}

function archiveOf(offsets: readonly number[]): RecordReader {
  return {
    bounds: async () => ({ start: offsets[0]!, end: offsets.at(-1)! + 1 }),
    async *read(_, from, to) {
      yield* recordsOf(offsets.filter((offset) => offset >= from && offset < to));
    },
  };
}

async function readAll(log: LogReader, from: number, most: number): Promise<readonly number[]> {
  const found: RawRecord[] = [];
  for (let next = from; ; ) {
    const page = await log.read(of, next, most);
    if (page.length === 0) return found.map(({ offset }) => offset);
    found.push(...page);
    next = page.at(-1)!.offset + 1;
  }
}

describe('a log with its archive', () => {
  const topic = logOf([5, 6, 7]);
  const log = logWithArchive(topic, events.name, archiveOf([0, 1, 2, 3, 4, 5, 6]));

  test.each([1, 2, 3, 100])('has every record once and in order, read by %i', async (most) => {
    expect(await readAll(log, 0, most)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await readAll(log, 3, most)).toEqual([3, 4, 5, 6, 7]);
    expect(await readAll(log, 6, most)).toEqual([6, 7]);
  });

  test('begins where the archive does, and finds times in both', async () => {
    expect(await log.bounds(of)).toEqual({ start: 0, end: 8 });
    expect(await log.offsetAt(of, 25)).toBe(3);
    expect(await log.offsetAt(of, 61)).toBe(7);
    expect(await log.offsetAt(of, 0)).toBe(0);
  });

  test('goes on with the topic where the archive lacks something', async () => {
    const gap = logWithArchive(logOf([5, 6]), events.name, archiveOf([0, 1]));
    expect(await readAll(gap, 0, 10)).toEqual([0, 1, 5, 6]);
  });

  test('may be asked again for what it has given, as a batch that was full does', async () => {
    expect((await log.read(of, 0, 3)).map(({ offset }) => offset)).toEqual([0, 1, 2]);
    expect((await log.read(of, 1, 2)).map(({ offset }) => offset)).toEqual([1, 2]);
  });

  test('reads what retention takes while it reads from the archive', async () => {
    const all = Array.from({ length: 30 }, (_, at) => at);
    const later = { start: 10, isTakenAtRead: false };
    const moving: LogReader = {
      ...logOf(all),
      bounds: async () => ({ start: later.start, end: 30 }),
      async read(_, from, most) {
        if (later.isTakenAtRead) Object.assign(later, { start: 25, isTakenAtRead: false });
        return recordsOf(all.filter((offset) => offset >= Math.max(from, later.start))).slice(0, most);
      },
    };
    const log = logWithArchive(moving, events.name, archiveOf(all));
    const page = async (from: number) => (await log.read(of, from, 10)).map(({ offset }) => offset);
    // The page ends where the archive's part does.
    expect(await page(0)).toEqual(all.slice(0, 10));
    later.start = 20;
    expect(await page(10)).toEqual(all.slice(10, 20));
    later.isTakenAtRead = true;
    expect(await page(20)).toEqual(all.slice(20, 25));
    expect(await page(25)).toEqual(all.slice(25));
  });

  test('leaves other topics alone', async () => {
    expect(await log.bounds({ topic: 'other', partition: 0 })).toEqual({ start: 5, end: 8 });
  });
});

test('a bounded log ends where its plan says, whatever is published meanwhile', async () => {
  const bounded = boundedReader(logOf([0, 1, 2, 3]), [{ partition: 0, from: 0, to: 3 }]);
  expect(await readAll(bounded, 0, 2)).toEqual([0, 1, 2]);
  expect(await bounded.bounds(of)).toEqual({ start: 0, end: 3 });
  expect(await bounded.read({ ...of, partition: 1 }, 0, 10)).toEqual([]);
});

test('a limited log gives nothing from its limit on, and the rest once that has risen', async () => {
  let limit = 0;
  const log = { ...logOf([0, 1, 4, 5]), passed: async () => 6 };
  const limited = limitedReader(log, async () => limit);
  expect(await limited.read(of, 0, 10)).toEqual([]);
  expect(await limited.passed!(of, 0)).toBe(0);
  limit = 4;
  expect(await readAll(limited, 0, 10)).toEqual([0, 1]);
  expect(await limited.passed!(of, 2)).toBe(4);
  limit = Number.POSITIVE_INFINITY;
  expect(await readAll(limited, 2, 10)).toEqual([4, 5]);
});

test('how far the live generation has come is asked at most five times a second, and an outage leaves it as it was', async () => {
  const clock = createFakeClock();
  let [next, asked, isAway] = [3, 0, false];
  const reach = watchReach(async () => {
    asked++;
    if (isAway) throw new MillraceError('SINK_UNAVAILABLE', 'down');
    return new Map([[0, next]]);
  }, clock);
  expect(await Promise.all([reach(0), reach(1)])).toEqual([3, 0]);
  next = 5;
  expect([await reach(0), asked]).toEqual([3, 1]);
  await clock.advance(200);
  isAway = true;
  expect([await reach(0), asked]).toEqual([3, 2]);
  await clock.advance(200);
  isAway = false;
  expect([await reach(0), asked]).toEqual([5, 3]);
});

test('a paced log gives no more than its pace allows, until that is lifted', async () => {
  const clock = createFakeClock({ autoAdvance: true });
  const pace: Pace = { recordsPerSecond: 4 };
  const paced = pacedReader(logOf(Array.from({ length: 100 }, (_, at) => at)), pace, clock);
  const startedAt = clock.now();
  for (let from = 0; from < 8; from++) expect(await paced.read(of, from, 50)).toHaveLength(1);
  expect(clock.now() - startedAt).toBe(1_750);
  pace.recordsPerSecond = null;
  expect(await paced.read(of, 8, 50)).toHaveLength(50);
});
