/** What a sink that keeps the ids of events promises the engine. */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { LedgerPatch } from '../../runtime/delivery/ledger.ts';
import { type LogTime, NO_LOG_TIME } from '../../runtime/delivery/log-time.ts';
import type { LedgerKey, SeenStore, Sighting, Sink } from '../../runtime/delivery/sink.ts';

export interface SeenFixture {
  readonly sink: Sink<unknown>;
  /** How many ids are kept of a partition. */
  kept(key: LedgerKey, partition: number): Promise<number>;
}

const WINDOW_MS = 1_000;
const START = 1_700_000_000_000;

export function seenSuite(name: string, open: () => Promise<SeenFixture>): void {
  describe(`${name}, of ids of events`, () => {
    let fixture: SeenFixture;
    let consumers = 0;
    /** A consumer no other test has used. */
    const newKey = (): LedgerKey => ({ consumer: `ids of ${name} ${consumers++}`, epoch: 1 });

    beforeAll(async () => {
      fixture = await open();
    }, 120_000);

    /** @param time the log's time that is written with it */
    const inSeen = <Result>(key: LedgerKey, work: (seen: SeenStore) => Promise<Result>, time?: number) =>
      fixture.sink.transaction(async ({ lockLedgers, writeLedgers, seen }) => {
        const partitions = [0, 1];
        await lockLedgers(
          key,
          partitions.map((partition) => ({ topic: 't', partition, from: 0, to: 1 })),
        );
        const result = await work(seen!);
        const logTime = time === undefined ? undefined : { ...NO_LOG_TIME, time: START + time };
        await writeLedgers(
          key,
          partitions.map((partition) => patchOf(partition, logTime)),
        );
        return result;
      });
    const see = (key: LedgerKey, sightings: readonly Sighting[], time?: number) =>
      inSeen(key, (seen) => seen.see(key, sightings, WINDOW_MS), time);

    test('an id is seen from then on, and tells when it was', async () => {
      const key = newKey();
      expect(await see(key, [sighting('a', 0), sighting('b', 5)])).toEqual([null, null]);
      expect(await see(key, [sighting('c', 7), sighting('b', 8), sighting('a', 9)])).toEqual([
        null,
        START + 5,
        START,
      ]);
      expect(await see(key, [])).toEqual([]);
    });

    test('a uuid that is spelt like the hash of another id is an id of its own', async () => {
      const sha256 = createHash('sha256').update('a').digest('hex');
      for (const digits of [sha256, `${sha256.slice(0, 12)}f${sha256.slice(13)}`]) {
        const forged = digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/, '$1-$2-$3-$4-$5');
        const key = newKey();
        expect(await see(key, [sighting(forged, 1), sighting('a', 1)])).toEqual([null, null]);
        expect(await see(key, [sighting('a', 2), sighting(forged, 2)])).toEqual([START + 1, START + 1]);
      }
    });

    test('what it is seen again for within the window does not renew it', async () => {
      const key = newKey();
      await see(key, [sighting('a', 0)]);
      expect(await see(key, [sighting('a', WINDOW_MS)])).toEqual([START]);
      expect(await see(key, [sighting('a', WINDOW_MS + 1)])).toEqual([null]);
      expect(await see(key, [sighting('a', WINDOW_MS + 2)])).toEqual([START + WINDOW_MS + 1]);
    });

    test('the window reaches to both sides', async () => {
      const key = newKey();
      await see(key, [sighting('a', 5_000)]);
      expect(await see(key, [sighting('a', 4_000)])).toEqual([START + 5_000]);
      expect(await see(key, [sighting('a', 3_999)])).toEqual([null]);
    });

    test('partitions, consumers and epochs have ids of their own', async () => {
      const key = newKey();
      await see(key, [sighting('a', 0)]);
      expect(await see(key, [sighting('a', 0, 1)])).toEqual([null]);
      expect(await see({ ...key, epoch: 2 }, [sighting('a', 0)])).toEqual([null]);
      expect(await see(newKey(), [sighting('a', 0)])).toEqual([null]);
      expect(await see(key, [sighting('a', 0, 1), sighting('a', 0)])).toEqual([START, START]);
    });

    test('what is forgotten was never seen', async () => {
      const key = newKey();
      await inSeen(key, async (seen) => {
        await seen.see(key, [sighting('a', 0), sighting('b', 0)], WINDOW_MS);
        await seen.forget(key, [sighting('a', 0)]);
      });
      expect(await see(key, [sighting('a', 1), sighting('b', 1)])).toEqual([null, START]);
    });

    test('a transaction that fails leaves no ids', async () => {
      const key = newKey();
      const failed = inSeen(key, async (seen) => {
        await seen.see(key, [sighting('a', 0)], WINDOW_MS);
        throw new Error('the handler failed');
      });
      await expect(failed).rejects.toThrow('the handler failed');
      expect(await see(key, [sighting('a', 1)])).toEqual([null]);
    });

    test('tells ids apart, however alike, long or odd they are', async () => {
      const key = newKey();
      const ids = [
        'x',
        'X',
        ' x',
        "'; DROP TABLE millrace_seen; --",
        '{a,b}',
        '"',
        '\\',
        'NULL',
        '\0',
        'é',
        'e\u0301',
        'x'.repeat(1_000_000),
        `${'x'.repeat(1_000_000)}y`,
        '018f3c5e-7b1a-7c3e-9d2f-0123456789ab',
        '018F3C5E-7B1A-7C3E-9D2F-0123456789AB',
        '018f3c5e7b1a7c3e9d2f0123456789ab',
        '018f3c5e-7b1a-7c3e-9d2f-0123456789ab ',
      ];
      const sightings = ids.map((id) => sighting(id, 0));
      expect(await see(key, sightings)).toEqual(ids.map(() => null));
      expect(await see(key, sightings)).toEqual(ids.map(() => START));
      expect(await fixture.kept(key, 0)).toBe(ids.length);
    });

    test('takes the times of every date', async () => {
      const key = newKey();
      const last = 8.64e15;
      const at = (time: number): Sighting => ({ ...sighting('a', 0), at: time });
      expect(await see(key, [at(0)])).toEqual([null]);
      expect(await see(key, [at(last)])).toEqual([null]);
      expect(await see(key, [at(last)])).toEqual([last]);
    });

    test('forgets by and by what no window reaches, and nothing else', async () => {
      const key = newKey();
      const many = (from: number, at: number) =>
        Array.from({ length: 3_000 }, (_, nth) => sighting(`${from + nth}`, at));
      await see(key, many(0, 0), 0);
      await see(key, many(3_000, 1_500), 1_500);
      await see(key, [sighting('other', 0, 1)], 1_500);
      let batches = 0;
      while ((await fixture.kept(key, 0)) > 3_000 + batches) {
        expect(await see(key, [sighting(`n${batches++}`, 2_000)], 2_000)).toEqual([null]);
        expect(batches).toBeLessThan(20);
      }
      expect(await see(key, [sighting('3000', 2_500), sighting('5999', 2_500)], 2_500)).toEqual([
        START + 1_500,
        START + 1_500,
      ]);
      expect(await fixture.kept(key, 1)).toBe(1);
    });

    test('an old id that is seen again while it would be forgotten is kept', async () => {
      const key = newKey();
      await see(key, [sighting('a', 0), sighting('b', 0)], 0);
      expect(await see(key, [sighting('a', 5_000)], 5_000)).toEqual([null]);
      expect(await fixture.kept(key, 0)).toBe(1);
      expect(await see(key, [sighting('a', 5_001)], 5_001)).toEqual([START + 5_000]);
    });

    test('goes on forgetting after the time of the log has gone back', async () => {
      const key = newKey();
      await see(key, [sighting('a', 0)], 0);
      await see(key, [sighting('far', 900_000)], 900_000);
      await see(key, [sighting('b', 10_000)], 10_000);
      await see(key, [sighting('c', 20_000)], 20_000);
      expect(await see(key, [sighting('c', 20_000)], 20_000)).toEqual([START + 20_000]);
      expect(await fixture.kept(key, 0)).toBe(2);
    });

    test("keeps the log's time with the ledger, and as it was where a patch says nothing of it", async () => {
      const key = newKey();
      const logTime: LogTime = { time: 7, recent: [1, 8.64e15, 7], behind: 9_999 };
      const lockAnd = (patches: readonly LedgerPatch[]) =>
        fixture.sink.transaction(async ({ lockLedgers, writeLedgers }) => {
          const views = await lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
          await writeLedgers(key, patches);
          return views[0]!.logTime;
        });
      expect(await lockAnd([patchOf(0, logTime)])).toBeUndefined();
      expect(await lockAnd([patchOf(0, undefined)])).toEqual(logTime);
      expect(await lockAnd([])).toEqual(logTime);
    });
  });
}

function sighting(id: string, at: number, partition = 0): Sighting {
  return { topic: 't', partition, id, at: START + at };
}

function patchOf(partition: number, logTime: LogTime | undefined): LedgerPatch {
  return {
    topic: 't',
    partition,
    first: 0,
    next: 1,
    maxTimestamp: -1,
    closed: [],
    deadLettered: [],
    skipped: [],
    logTime,
  };
}
