/** What a sink that remembers keys promises the engine: promise 3 of docs/delivery.md rests on it. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyCounts } from '../../runtime/delivery/ledger.ts';
import {
  type KeyChange,
  type KeyPosition,
  type KeyStore,
  type LedgerKey,
  NO_CHANGE,
  type OpenedLetter,
  type Sink,
} from '../../runtime/delivery/sink.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord, TopicPartition } from '../../runtime/record.ts';
import type { WholeLedger } from '../../runtime/replay/ledgers.ts';

export interface KeyFixture {
  readonly sink: Sink<unknown>;
  /** What is remembered of a partition, as whoever reads whole ledgers gets it. */
  whole(key: LedgerKey, of: TopicPartition): Promise<Pick<WholeLedger, 'discarded' | 'parked' | 'overtaken'>>;
}

export function keySuite(name: string, open: () => Promise<KeyFixture>): void {
  describe(`${name}, of keys whose records failed`, () => {
    let fixture: KeyFixture;
    let consumers = 0;
    /** A consumer no other test has used. */
    const newKey = (): LedgerKey => ({ consumer: `keys of ${name} ${consumers++}`, epoch: 1 });

    beforeAll(async () => {
      fixture = await open();
    }, 120_000);

    const inKeys = <Result>(
      key: LedgerKey,
      work: (keys: KeyStore) => Promise<Result>,
      partitions: readonly number[] = [0, 1],
    ) =>
      fixture.sink.transaction(async ({ lockLedgers, writeLedgers, keys }) => {
        await lockLedgers(
          key,
          partitions.map((partition) => ({ ...at(partition), from: 0, to: 1 })),
        );
        const result = await work(keys!);
        await writeLedgers(
          key,
          partitions.map((partition) => ({ ...at(partition), ...SETTLED })),
        );
        return result;
      });
    const write = (key: LedgerKey, change: Partial<KeyChange>) =>
      inKeys(key, (keys) => keys.write(key, { ...NO_CHANGE, ...change }));
    const read = (key: LedgerKey, positions: readonly KeyPosition[]) =>
      inKeys(key, (keys) => keys.read(key, positions));
    const nextParked = (key: LedgerKey, partition: number, most = MOST) =>
      inKeys(key, (keys) => keys.nextParked(key, [at(partition)], most));
    const offsetsOf = async (raws: Promise<readonly RawRecord[]>) => (await raws).map(({ offset }) => offset);
    const counts = (key: LedgerKey, partition = 0): Promise<KeyCounts | undefined> =>
      fixture.sink.transaction(
        async ({ lockLedgers }) => (await lockLedgers(key, [{ ...at(partition), from: 0, to: 1 }]))[0]!.keys,
      );

    test('remembers nothing at first, and a view says so', async () => {
      const key = newKey();
      expect(await counts(key)).toBeUndefined();
      expect(await read(key, [position('a', 0)])).toEqual({
        states: [],
        parkedInAll: { records: 0, bytes: 0 },
      });
      expect(await nextParked(key, 0)).toEqual([]);
    });

    test('opens letters, and knows each by its offset', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 3, { overtakenBy: 9 }), letter('a', 5), letter('b', 4, { isWaitedFor: false })],
      });
      expect(await counts(key)).toEqual({ letters: 3, parked: 0, isDraining: false });
      const { states } = await read(key, [
        position('a', 3),
        position('a', 4),
        position('b', 4),
        position('b', 7),
        position('c', 8),
      ]);
      expect(states).toEqual([
        state('a', { firstLetter: 3, letters: [{ offset: 3, overtakenBy: 9 }] }),
        state('b', { letters: [{ offset: 4, overtakenBy: null }] }),
      ]);
    });

    test('keeps what it knows of a letter that is opened again, and counts it once', async () => {
      const key = newKey();
      await write(key, { opened: [letter('a', 3, { isWaitedFor: false, overtakenBy: 7 })] });
      await write(key, { opened: [letter('a', 3), letter('b', 4)] });
      expect(await counts(key)).toMatchObject({ letters: 2 });
      const { states } = await read(key, [position('a', 3), position('b', 4)]);
      expect(states).toEqual([
        state('a', { letters: [{ offset: 3, overtakenBy: 7 }] }),
        state('b', { firstLetter: 4, letters: [{ offset: 4, overtakenBy: null }] }),
      ]);
    });

    test('closes letters: the next one of the key comes first then, and a key without any is forgotten', async () => {
      const key = newKey();
      await write(key, { opened: [letter('a', 3), letter('a', 5), letter('b', 4)] });
      await write(key, { closed: [position('a', 3), position('b', 4), position('c', 9)] });
      expect(await counts(key)).toMatchObject({ letters: 1 });
      const { states } = await read(key, [position('a', 5), position('b', 4)]);
      expect(states).toEqual([state('a', { firstLetter: 5, letters: [{ offset: 5, overtakenBy: null }] })]);
      await write(key, { closed: [position('a', 5)] });
      expect(await counts(key)).toBeUndefined();
    });

    test('remembers the first record that overtook a letter, of those below it', async () => {
      const key = newKey();
      await write(key, {
        opened: [
          letter('a', 3, { isWaitedFor: false }),
          letter('a', 8, { isWaitedFor: false }),
          letter('b', 4),
        ],
      });
      await write(key, { applied: [position('a', 6), position('c', 9)] });
      await write(key, { applied: [position('a', 10), position('a', 10, 1)] });
      const { states } = await read(key, [position('a', 3), position('a', 8), position('b', 4)]);
      expect(states.map(({ letters }) => letters)).toEqual([
        [
          { offset: 3, overtakenBy: 6 },
          { offset: 8, overtakenBy: 10 },
        ],
        [{ offset: 4, overtakenBy: null }],
      ]);
    });

    test('a key waits no longer for a letter that was overtaken', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 3), letter('a', 5), letter('a', 9), letter('b', 4), letter('c', 2)],
        parked: [record('c', 6)],
      });
      await write(key, { applied: [position('a', 7), position('b', 8), position('c', 5)] });
      const { states } = await read(key, [position('a', 5), position('b', 4), position('c', 2)]);
      expect(states).toEqual([
        state('a', { firstLetter: 9, letters: [{ offset: 5, overtakenBy: 7 }] }),
        state('b', { letters: [{ offset: 4, overtakenBy: 8 }] }),
        state('c', { firstParked: 6, parked: 1, letters: [{ offset: 2, overtakenBy: 5 }] }),
      ]);
      expect(await counts(key)).toMatchObject({ letters: 5, parked: 1 });
      expect(await offsetsOf(nextParked(key, 0))).toEqual([6]);
      await write(key, { closed: [position('a', 9)], applied: [position('a', 9)] });
      const after = await read(key, [position('a', 9)]);
      expect(after.states).toEqual([state('a', {})]);
    });

    test('releases a key from its letter, which stays open', async () => {
      const key = newKey();
      await write(key, { opened: [letter('a', 3), letter('b', 4)], parked: [record('a', 6)] });
      expect(await nextParked(key, 0)).toEqual([]);
      await write(key, { released: [position('a', 3), position('c', 3)] });
      expect(await counts(key)).toMatchObject({ letters: 2, parked: 1 });
      const { states } = await read(key, [position('a', 3), position('b', 4)]);
      expect(states).toEqual([
        state('a', { firstParked: 6, parked: 1, letters: [{ offset: 3, overtakenBy: null }] }),
        state('b', { firstLetter: 4, letters: [{ offset: 4, overtakenBy: null }] }),
      ]);
      expect(await offsetsOf(nextParked(key, 0))).toEqual([6]);
    });

    test('parks records, and tells how many of a key and in all', async () => {
      const key = newKey();
      await write(key, { opened: [letter('a', 3), letter('b', 4)] });
      await write(key, { parked: [record('a', 5), record('b', 6), record('a', 7), record('a', 7, {}, 1)] });
      await write(key, { parked: [record('a', 9)] });
      expect(await counts(key)).toEqual({ letters: 2, parked: 4, isDraining: false });
      expect(await read(key, [position('a', 7), position('a', 8), position('a', 7, 1)])).toEqual({
        states: [
          state('a', { firstLetter: 3, firstParked: 5, parked: 3, parkedAt: [7] }),
          state('a', { ...at(1), firstParked: 7, parked: 1, parkedAt: [7] }),
        ],
        parkedInAll: { records: 5, bytes: 5 * 'avalue of 5'.length },
      });
    });

    test('gives parked records back as they came, whatever they hold', async () => {
      const key = newKey();
      const megabyte = Buffer.alloc(1024 * 1024, 0xe9);
      const hostile: RawRecord[] = [
        record('a', 1, { value: null }),
        record('a', 2, { value: Buffer.alloc(0), timestampType: 'NO_TIMESTAMP_TYPE', timestamp: -1 }),
        record('a', 3, { timestamp: Number(2n ** 63n - 1n) }),
        record('a', 4, { timestamp: Number(-(2n ** 63n)) }),
        record('a', 5, { timestamp: Number.MIN_SAFE_INTEGER, timestampType: 'LOG_APPEND_TIME' }),
        record('a', 6, {
          headers: [
            { name: 'a\0b', value: Buffer.from([0, 255, 0xd8]) },
            { name: '\ud800 "\\', value: null },
            { name: '', value: Buffer.alloc(0) },
            { name: 'a\0b', value: megabyte },
          ],
        }),
        record('a', 7, { value: megabyte }),
        record('', 8),
        { ...record('', 9), key: Buffer.from([0xff, 0xfe, 0]) },
        { ...record('', 10), key: Buffer.from([0xff, 0xfd, 0]) },
        { ...record('', 11), key: megabyte },
        record('a', 12, {
          fault: new MillraceError('AVRO_INVALID', 'not what "Kafka" sends: \0', {
            action: 'dead-letter',
            details: { field: 'headers' },
          }),
        }),
        record('a', Number.MAX_SAFE_INTEGER),
      ];
      await write(key, { parked: hostile });
      const back = await nextParked(key, 0, { records: 99, bytes: 2 ** 30 });
      expect(back.map(readable)).toEqual(hostile.map(readable));
      const faults = back.map(({ fault }) => fault).filter((fault) => fault);
      expect(faults).toEqual([hostile.at(-2)!.fault]);
      expect(faults[0]).toMatchObject({
        code: 'AVRO_INVALID',
        action: 'dead-letter',
        details: { field: 'headers' },
      });
      expect(await counts(key)).toMatchObject({ parked: hostile.length });

      const { states } = await read(key, hostile as KeyPosition[]);
      expect(states.map(({ parked }) => parked).toSorted((a, b) => a - b)).toEqual([1, 1, 1, 1, 9]);
      await write(key, { unparked: hostile as KeyPosition[] });
      expect(await counts(key)).toBeUndefined();
    });

    test('gives those that wait for no letter, the lowest first, each key up to its letter', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 10), letter('b', 2)],
        parked: [
          record('a', 8),
          record('a', 12),
          record('b', 3),
          record('c', 9),
          record('c', 7),
          record('c', 1, {}, 1),
        ],
      });
      expect(await offsetsOf(nextParked(key, 0))).toEqual([7, 8, 9]);
      expect(await offsetsOf(nextParked(key, 1))).toEqual([1]);
      const both = await inKeys(key, (keys) => keys.nextParked(key, [at(1), at(0)], MOST));
      expect(both.map(({ partition, offset }) => [partition, offset])).toEqual([
        [1, 1],
        [0, 7],
        [0, 8],
        [0, 9],
      ]);

      await write(key, { closed: [position('b', 2)] });
      expect(await offsetsOf(nextParked(key, 0))).toEqual([3, 7, 8, 9]);
    });

    test('gives no more records and bytes than asked for, and at least one', async () => {
      const key = newKey();
      const headers = [{ name: 'trace', value: Buffer.alloc(200) }];
      await write(key, {
        parked: [
          record('a', 1, { value: Buffer.alloc(500) }),
          record('b', 2, { headers }),
          record('a', 3, { value: null }),
          record('c', 4),
        ],
      });
      expect(await offsetsOf(nextParked(key, 0, { records: 2, bytes: 9_999 }))).toEqual([1, 2]);
      expect(await offsetsOf(nextParked(key, 0, { records: 9, bytes: 1 }))).toEqual([1]);
      expect(await offsetsOf(nextParked(key, 0, { records: 9, bytes: 600 }))).toEqual([1]);
      expect(await offsetsOf(nextParked(key, 0, { records: 9, bytes: 9_999 }))).toEqual([1, 2, 3, 4]);
      const large = record('a', 0, {}, 1);
      await write(key, { parked: [{ ...large, key: Buffer.alloc(700) }, record('b', 1, {}, 1)] });
      expect(await offsetsOf(nextParked(key, 1, { records: 9, bytes: 600 }))).toEqual([0]);
    });

    test('takes parked records away, from whichever place, and forgets a key without any', async () => {
      const key = newKey();
      await write(key, { parked: [1, 2, 3, 4].map((offset) => record('a', offset)) });
      await write(key, { unparked: [position('a', 1), position('a', 3), position('b', 9)] });
      expect(await counts(key)).toMatchObject({ parked: 2 });
      expect((await read(key, [position('a', 2)])).states).toEqual([
        state('a', { firstParked: 2, parked: 2, parkedAt: [2] }),
      ]);
      // Its last one fails, and is the key's letter now.
      await write(key, {
        opened: [letter('a', 2)],
        unparked: [position('a', 2), position('a', 4)],
      });
      expect((await read(key, [position('a', 2)])).states).toEqual([
        state('a', { firstLetter: 2, letters: [{ offset: 2, overtakenBy: null }] }),
      ]);
      await write(key, { closed: [position('a', 2)] });
      expect(await counts(key)).toBeUndefined();
      expect(await read(key, [position('a', 2)])).toEqual({
        states: [],
        parkedInAll: { records: 0, bytes: 0 },
      });
    });

    test('opens, closes, parks and takes away in one change', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 1), letter('b', 2)],
        parked: [record('a', 3), record('a', 4)],
      });
      await write(key, {
        opened: [letter('a', 3), letter('c', 5)],
        closed: [position('a', 1), position('b', 2)],
        applied: [position('b', 9)],
        parked: [record('c', 6)],
        unparked: [position('a', 3)],
        draining: [{ ...at(0), isDraining: true }],
      });
      expect(await counts(key)).toEqual({ letters: 2, parked: 2, isDraining: true });
      expect((await read(key, [position('a', 3), position('b', 2), position('c', 6)])).states).toEqual([
        state('a', {
          firstLetter: 3,
          firstParked: 4,
          parked: 1,
          letters: [{ offset: 3, overtakenBy: null }],
        }),
        state('c', { firstLetter: 5, firstParked: 6, parked: 1, parkedAt: [6] }),
      ]);
    });

    test('says which partitions may have something to drain, also where nothing is left', async () => {
      const key = newKey();
      await write(key, { draining: [{ ...at(1), isDraining: true }] });
      expect(await counts(key)).toBeUndefined();
      expect(await counts(key, 1)).toEqual({ letters: 0, parked: 0, isDraining: true });
      await write(key, { draining: [{ ...at(1), isDraining: false }] });
      expect(await counts(key, 1)).toBeUndefined();
    });

    test('remembers what was discarded', async () => {
      const key = newKey();
      const range = (from: number, to: number) => ({ from, to });
      await write(key, { discarded: [{ ...at(0), offsets: [range(3, 4), range(9, 12)] }] });
      await write(key, {
        discarded: [
          { ...at(0), offsets: [range(4, 6)] },
          { ...at(1), offsets: [] },
        ],
      });
      expect((await fixture.whole(key, at(0))).discarded).toEqual([range(3, 6), range(9, 12)]);
      expect((await fixture.whole(key, at(1))).discarded).toEqual([]);
    });

    test('a letter that was discarded and is applied after all is discarded no longer', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 3), letter('a', 4)],
        discarded: [{ ...at(0), offsets: [{ from: 2, to: 6 }] }],
      });
      // Nobody opened the last one.
      await write(key, { closed: [position('a', 4), position('a', 5)] });
      expect((await fixture.whole(key, at(0))).discarded).toEqual([
        { from: 2, to: 4 },
        { from: 5, to: 6 },
      ]);
    });

    test('shows whoever reads the ledger what is parked, and which letters are overtaken', async () => {
      const key = newKey();
      await write(key, {
        opened: [letter('a', 3, { overtakenBy: 8 }), letter('b', 4), letter('b', 5)],
        parked: [9, 6, 7].map((offset) => record('a', offset)),
      });
      await write(key, { applied: [position('b', 5)] });
      expect(await fixture.whole(key, at(0))).toMatchObject({
        parked: [
          { from: 6, to: 8 },
          { from: 9, to: 10 },
        ],
        overtaken: [
          [3, 8],
          [4, 5],
        ],
      });
      expect(await fixture.whole(key, at(1))).toMatchObject({ parked: [], overtaken: [] });
    });

    test('keeps consumers and epochs apart', async () => {
      const key = newKey();
      const others = [newKey(), { ...key, epoch: 2 }];
      await write(key, { opened: [letter('a', 3)], parked: [record('b', 4)] });
      for (const other of others) {
        expect(await counts(other)).toBeUndefined();
        expect(await read(other, [position('a', 3), position('b', 4)])).toEqual({
          states: [],
          parkedInAll: { records: 0, bytes: 0 },
        });
        expect(await nextParked(other, 0)).toEqual([]);
        await write(other, { closed: [position('a', 3)], unparked: [position('b', 4)] });
      }
      expect(await counts(key)).toEqual({ letters: 1, parked: 1, isDraining: false });
    });

    test('takes everything back where the transaction fails', async () => {
      const key = newKey();
      await write(key, { opened: [letter('a', 3)], parked: [record('a', 4)] });
      const outcome = inKeys(key, async (keys) => {
        await keys.write(key, {
          ...NO_CHANGE,
          opened: [letter('b', 5)],
          closed: [position('a', 3)],
          unparked: [position('a', 4)],
          draining: [{ ...at(0), isDraining: true }],
        });
        throw new Error('no');
      });
      await expect(outcome).rejects.toThrow('no');
      expect(await counts(key)).toEqual({ letters: 1, parked: 1, isDraining: false });
      expect((await read(key, [position('a', 3), position('b', 5)])).states).toMatchObject([
        { firstLetter: 3, parked: 1 },
      ]);
    });

    test('a transaction sees its own changes', async () => {
      const key = newKey();
      const seen = await inKeys(key, async (keys) => {
        await keys.write(key, { ...NO_CHANGE, opened: [letter('a', 3)], parked: [record('b', 4)] });
        const [{ states, parkedInAll }, next] = [
          await keys.read(key, [position('a', 3)]),
          await keys.nextParked(key, [at(0)], MOST),
        ];
        return { states, parkedInAll, next: next.map(({ offset }) => offset) };
      });
      expect(seen).toEqual({
        states: [state('a', { firstLetter: 3, letters: [{ offset: 3, overtakenBy: null }] })],
        parkedInAll: { records: 1, bytes: 'bvalue of 4'.length },
        next: [4],
      });
    });
  });
}

const TOPIC = 'shop.orders';
const MOST = { records: 1_000, bytes: 1_000_000 };
const SETTLED = { first: 0, next: 1, maxTimestamp: 0, closed: [], deadLettered: [], skipped: [] };

const at = (partition: number): TopicPartition => ({ topic: TOPIC, partition });

function position(key: string, offset: number, partition = 0): KeyPosition {
  return { ...at(partition), offset, key: Buffer.from(key) };
}

function letter(key: string, offset: number, facts: Partial<OpenedLetter> = {}): OpenedLetter {
  return { ...position(key, offset), isWaitedFor: true, overtakenBy: null, ...facts };
}

function record(key: string, offset: number, fields: Partial<RawRecord> = {}, partition = 0): RawRecord {
  return {
    ...position(key, offset, partition),
    timestamp: 1_700_000_000_000 + offset,
    timestampType: 'CREATE_TIME',
    value: Buffer.from(`value of ${offset}`),
    headers: [],
    ...fields,
  };
}

/** Without its fault, and with text for bytes, which is compared at once. */
function readable({ key, value, headers, fault: _, ...raw }: RawRecord) {
  return {
    ...raw,
    key: key!.toString('latin1'),
    value: value?.toString('latin1') ?? null,
    headers: headers.map(({ name, value: bytes }) => [name, bytes?.toString('latin1') ?? null]),
  };
}

function state(key: string, facts: object) {
  return {
    ...at(0),
    key: Buffer.from(key),
    firstLetter: null,
    firstParked: null,
    parked: 0,
    letters: [],
    parkedAt: [],
    ...facts,
  };
}
