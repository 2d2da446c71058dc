import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Clock } from '../../runtime/ports.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import type { LogReader, OutgoingRecord, Producer, TopicAdmin } from '../../runtime/topics.ts';
import { createFakeClock, type FakeClock } from '../../testing/fake-clock.ts';
import { codeOf } from '../rejection.ts';

export type Log = Producer & TopicAdmin & LogReader;

/** What every log that can be written, read and committed to must do. `open` gives an empty one each time. */
export function logSuite(
  name: string,
  open: (clock: Clock) => { readonly log: Log; readonly dispose: () => void },
): void {
  describe(`${name} as a log`, () => {
    let clock: FakeClock;
    let log: Log;
    let dispose: () => void;

    beforeEach(() => {
      clock = createFakeClock();
      ({ log, dispose } = open(clock));
    });
    afterEach(() => dispose());

    const readAll = async (topic: string) => {
      const partitions = await log.partitions(topic);
      const records = await Promise.all(
        Array.from({ length: partitions }, (_, partition) => log.read({ topic, partition }, 0, 10_000)),
      );
      return records.flat();
    };

    test('keeps every byte, name, null and order of what was sent', async () => {
      const bytes = fc.option(
        fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
        { nil: null },
      );
      const outgoing: fc.Arbitrary<OutgoingRecord> = fc.record({
        key: bytes,
        value: bytes,
        headers: fc.array(fc.record({ name: fc.string({ unit: 'binary' }), value: bytes }), { maxLength: 4 }),
        timestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
      });
      let topics = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(outgoing), fc.integer({ min: 1, max: 5 }), async (records, partitions) => {
          const topic = `topic-${topics++}`;
          await log.createTopic(topic, partitions);
          const positions = await log.send(topic, records);
          const kept = await readAll(topic);

          expect(positions).toHaveLength(records.length);
          expect(kept).toHaveLength(records.length);
          for (const [index, position] of positions.entries()) {
            const record = kept.find(
              (each) => each.partition === position.partition && each.offset === position.offset,
            );
            expect(record).toEqual({ ...position, timestampType: 'CREATE_TIME', ...records[index] });
          }
        }),
        { numRuns: 50 },
      );
    });

    test('tells an empty key, value or header from a null one', async () => {
      await log.createTopic('t', 1);
      const empty = Buffer.alloc(0);
      await log.send('t', [
        { key: empty, value: empty, headers: [{ name: 'h', value: empty }] },
        { key: null, value: null, headers: [{ name: 'h', value: null }] },
      ]);
      const [first, second] = await log.read({ topic: 't', partition: 0 }, 0, 10);
      expect(first).toMatchObject({ key: empty, value: empty, headers: [{ name: 'h', value: empty }] });
      expect(second).toMatchObject({ key: null, value: null, headers: [{ name: 'h', value: null }] });
    });

    test('keeps repeated headers in order', async () => {
      await log.createTopic('t', 1);
      const headers = ['a', 'b', 'a'].map((name, index) => ({ name, value: Buffer.from([index, 195]) }));
      await log.send('t', [{ key: null, value: null, headers }]);
      const [record] = await log.read({ topic: 't', partition: 0 }, 0, 1);
      expect(record!.headers).toEqual(headers);
    });

    test('is not changed by what the sender does with its buffers afterwards', async () => {
      await log.createTopic('t', 1);
      const value = Buffer.from('as sent');
      await log.send('t', [{ key: null, value }]);
      value.fill(0);
      expect((await log.read({ topic: 't', partition: 0 }, 0, 1))[0]!.value).toEqual(Buffer.from('as sent'));
    });

    test('puts a keyed record where Kafka would, and counts offsets from 0 in each partition', async () => {
      await log.createTopic('t', 4);
      const keys = Array.from({ length: 100 }, (_, index) => Buffer.from(`key-${index % 17}`));
      const positions = await log.send(
        't',
        keys.map((key) => ({ key, value: null })),
      );
      const next = [0, 0, 0, 0];
      expect(positions).toEqual(
        keys.map((key) => {
          const partition = partitionOf(key, 4);
          return { topic: 't', partition, offset: next[partition]!++ };
        }),
      );
    });

    test('spreads sends without keys over the partitions, each send in one', async () => {
      await log.createTopic('t', 3);
      const used: number[] = [];
      for (let send = 0; send < 3; send++) {
        const positions = await log.send('t', [
          { key: null, value: null },
          { key: null, value: null },
        ]);
        const partitions = new Set(positions.map(({ partition }) => partition));
        expect(partitions.size).toBe(1);
        used.push(...partitions);
      }
      expect(used.sort()).toEqual([0, 1, 2]);
    });

    test('stamps a record without a timestamp with the time of sending', async () => {
      await log.createTopic('t', 1);
      await clock.advance(1_234);
      await log.send('t', [{ key: null, value: null }]);
      expect((await log.read({ topic: 't', partition: 0 }, 0, 1))[0]!.timestamp).toBe(clock.now());
    });

    test('reads from an offset, up to a number of records, and nothing at the end', async () => {
      await log.createTopic('t', 1);
      await log.send(
        't',
        Array.from({ length: 10 }, () => ({ key: null, value: null })),
      );
      const offsets = async (from: number, max: number) =>
        (await log.read({ topic: 't', partition: 0 }, from, max)).map(({ offset }) => offset);
      expect(await offsets(3, 4)).toEqual([3, 4, 5, 6]);
      expect(await offsets(8, 100)).toEqual([8, 9]);
      expect(await offsets(10, 100)).toEqual([]);
    });

    test('knows its bounds', async () => {
      await log.createTopic('t', 2);
      expect(await log.bounds({ topic: 't', partition: 0 })).toEqual({ start: 0, end: 0 });
      const positions = await log.send('t', [{ key: Buffer.from('k'), value: null }]);
      expect(await log.bounds(positions[0]!)).toEqual({ start: 0, end: 1 });
    });

    test('finds the first offset at or after a time, also where times go back', async () => {
      await log.createTopic('t', 1);
      await log.send(
        't',
        [10, 30, 20, 40].map((timestamp) => ({ key: null, value: null, timestamp })),
      );
      const offsetAt = (timestampMs: number) => log.offsetAt({ topic: 't', partition: 0 }, timestampMs);
      expect(await offsetAt(0)).toBe(0);
      expect(await offsetAt(20)).toBe(1);
      expect(await offsetAt(31)).toBe(3);
      expect(await offsetAt(41)).toBe(4);
    });

    test("keeps each group's commits apart, all positions of a commit at once", async () => {
      await log.createTopic('t', 2);
      const [p0, p1] = [0, 1].map((partition) => ({ topic: 't', partition }));
      expect(await log.committed('a', p0!)).toBeUndefined();
      await log.commit('a', [
        { ...p0!, offset: 5 },
        { ...p1!, offset: 7 },
      ]);
      await log.commit('b', [{ ...p0!, offset: 1 }]);
      await log.commit('a', [{ ...p0!, offset: 6 }]);
      expect(await log.committed('a', p0!)).toBe(6);
      expect(await log.committed('a', p1!)).toBe(7);
      expect(await log.committed('b', p0!)).toBe(1);
      expect(await log.committed('b', p1!)).toBeUndefined();
    });

    test('commits nothing when one topic of a commit does not exist', async () => {
      await log.createTopic('t', 1);
      const commit = log.commit('a', [
        { topic: 't', partition: 0, offset: 5 },
        { topic: 'missing', partition: 0, offset: 5 },
      ]);
      expect(await codeOf(commit)).toBe('TOPIC_UNKNOWN');
      expect(await log.committed('a', { topic: 't', partition: 0 })).toBeUndefined();
    });

    test('creates a topic once, and refuses another number of partitions', async () => {
      await log.createTopic('t', 3);
      const [position] = await log.send('t', [{ key: Buffer.from('k'), value: null }]);
      await log.createTopic('t', 3);
      expect((await log.bounds(position!)).end).toBe(1);
      expect(await log.partitions('t')).toBe(3);
      expect(await codeOf(log.createTopic('t', 4))).toBe('INPUT_INVALID');
      expect(await codeOf(log.createTopic('u', 0))).toBe('INPUT_INVALID');
      expect(await codeOf(log.createTopic('u', 1.5))).toBe('INPUT_INVALID');
    });

    test.each<[string, (log: Log) => Promise<unknown>]>([
      ['send', (log) => log.send('missing', [])],
      ['partitions', (log) => log.partitions('missing')],
      ['read', (log) => log.read({ topic: 'missing', partition: 0 }, 0, 1)],
      ['bounds', (log) => log.bounds({ topic: 'missing', partition: 0 })],
      ['offsetAt', (log) => log.offsetAt({ topic: 'missing', partition: 0 }, 0)],
      ['committed', (log) => log.committed('a', { topic: 'missing', partition: 0 })],
    ])('%s refuses a topic that does not exist', async (_, use) => {
      expect(await codeOf(use(log))).toBe('TOPIC_UNKNOWN');
    });
  });
}
