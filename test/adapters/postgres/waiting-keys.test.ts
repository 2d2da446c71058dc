/** Keys that wait, read from a PostgreSQL sink itself and through a process that has it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { createPostgresWaitingKeys } from '../../../adapters/postgres/waiting-keys.ts';
import { NO_CHANGE } from '../../../runtime/delivery/sink.ts';
import { answerKeyCall, createCallingKeys } from '../../../runtime/operator/key-calls.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { allPages, type WaitingKeyReader } from '../../../runtime/replay/waiting-keys.ts';
import { createPglite } from '../../prepared-pglite.ts';

const OF = { consumer: 'c', epoch: 1, topic: 't' };
/** No text, and as long as Kafka takes them. */
const LONG = Buffer.alloc(900_000, 0xff);
const KEYS = [Buffer.from('a'), Buffer.from([0, 0xff]), LONG];

let pglite: ReturnType<typeof createPglite>;
let reader: WaitingKeyReader;

beforeAll(async () => {
  pglite = createPglite();
  const driver = pgliteDriver(pglite);
  await migrate(driver, 'millrace', ledgerMigrations);
  reader = createPostgresWaitingKeys(driver);
  const parked = KEYS.flatMap((key, n) => [2, 1].map((at) => recordOf(key, 10 * n + at)));
  await new PostgresSink(driver).transaction(async ({ lockLedgers, writeLedgers, keys }) => {
    await lockLedgers(OF, [{ topic: 't', partition: 3, from: 0, to: 1 }]);
    await writeLedgers(OF, [
      {
        topic: 't',
        partition: 3,
        first: 0,
        next: 100,
        maxTimestamp: -1,
        closed: [],
        deadLettered: [],
        skipped: [],
      },
    ]);
    const letter = (key: Buffer, offset: number) => ({
      topic: 't',
      partition: 3,
      key,
      offset,
      isWaitedFor: true,
      overtakenBy: null,
    });
    // The last key waits for none; one more has a letter, and nothing behind it.
    const opened = [
      letter(KEYS[0]!, 0),
      letter(KEYS[0]!, 5),
      letter(KEYS[1]!, 10),
      letter(Buffer.from('b'), 50),
    ];
    await keys!.write(OF, { ...NO_CHANGE, opened, parked });
  });
}, 120_000);
afterAll(() => pglite.close());

function recordOf(key: Buffer, offset: number): RawRecord {
  return {
    topic: 't',
    partition: 3,
    offset,
    timestamp: 1_700_000_000_000 + offset,
    timestampType: 'CREATE_TIME',
    key,
    value: Buffer.alloc(600_000, offset),
    headers: [{ name: 'h', value: null }],
  };
}

describe.each(['itself', 'a call away'])('the sink %s', (where) => {
  const keys = (): WaitingKeyReader =>
    where === 'itself'
      ? reader
      : createCallingKeys(async (of, call) =>
          JSON.parse(JSON.stringify(await answerKeyCall(reader, of, JSON.parse(JSON.stringify(call))))),
        );

  test('counts what is parked', async () => {
    expect(await keys().totals(OF)).toEqual({ keys: 3, records: 6, oldestAt: expect.any(Number) });
    expect(await keys().totals({ ...OF, consumer: 'other' })).toEqual({
      keys: 0,
      records: 0,
      oldestAt: null,
    });
    expect(await keys().totals({ ...OF, epoch: 2 })).toMatchObject({ keys: 0 });
    expect(await keys().isAnyWaiting(OF)).toBe(true);
    expect(await keys().isAnyWaiting({ ...OF, consumer: 'other' })).toBe(false);
  });

  test('lists the keys that have parked records, in pages that fit an answer', async () => {
    const first = await keys().list(OF, 0);
    expect(first.items.length).toBeLessThanOrEqual(3);
    const all = await allPages((from) => keys().list(OF, from));
    const common = { topic: 't', partition: 3, records: 2, oldestAt: expect.any(Number) };
    expect(all.toSorted((a, b) => a.key.length - b.key.length)).toEqual([
      { ...common, key: KEYS[0], blockedBy: 0, lastLetter: 5 },
      { ...common, key: KEYS[1], blockedBy: 10, lastLetter: 10 },
      { ...common, key: LONG, blockedBy: null, lastLetter: null },
    ]);
  });

  test('finds a key, also one that has nothing parked yet', async () => {
    expect(await keys().find(OF, KEYS[1]!)).toMatchObject([{ partition: 3, blockedBy: 10, records: 2 }]);
    expect(await keys().find(OF, Buffer.from('b'))).toMatchObject([
      { blockedBy: 50, records: 0, oldestAt: null },
    ]);
    expect(await keys().find(OF, Buffer.from('c'))).toEqual([]);
  });

  test('reads parked records as they came, in order, a page after the other', async () => {
    const at = { topic: 't', partition: 3, key: KEYS[1]! };
    const first = await keys().records(OF, at, 0);
    expect({ offsets: first.items.map(({ offset }) => offset), next: first.next }).toEqual({
      offsets: [11],
      next: 12,
    });
    const all = await allPages((from) => keys().records(OF, at, from));
    expect(all.map(({ offset }) => offset)).toEqual([11, 12]);
    const { key, value, timestamp, headers } = all[0]!;
    expect({ key, value, timestamp, headers }).toEqual({
      key: KEYS[1],
      value: Buffer.alloc(600_000, 11),
      timestamp: 1_700_000_000_011,
      headers: [{ name: 'h', value: null }],
    });
  });
});
