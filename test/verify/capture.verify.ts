/** Capture with real parts: PostgreSQL, Kafka, Connect in both versions, Debezium. MILLRACE_TEST_CONNECT has them fetched. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { type KafkaLog, openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { type Capture, prepareCapture } from '../../local/parts/capture.ts';
import type { ConnectVersion } from '../../local/parts/connect.ts';
import { Processes } from '../../local/parts/processes.ts';
import { openSourceDatabase } from '../../local/source-database.ts';
import { checkSource } from '../../runtime/capture/check.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { snapshotSignal } from '../../runtime/capture/signal.ts';
import { CAPTURE_ROLE, captureSql } from '../../runtime/capture/sql.ts';
import { defineTable, UNAVAILABLE_VALUE } from '../../runtime/capture/table.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

jest.setTimeout(300_000);
const brokers = part('MILLRACE_TEST_KAFKA');
const versions = part('MILLRACE_TEST_CONNECT').split(',') as ConnectVersion[];

interface Captured {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: a change has whatever columns the table has.
  readonly change: any;
}

describe.each(versions)('Connect %s', (version) => {
  const database = defineDatabase({ name: `shop_${version.replaceAll('.', '')}`, epoch: 3 });
  const orders = defineTable({
    database,
    table: 'orders',
    key: ['id'],
    partitions: 3,
    columns: { id: 'bigint', amount: 'numeric(38,9)', note: 'text', state: 'text' },
  });
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  let capture: Capture;
  let log: KafkaLog;
  let client: pg.Client;

  beforeAll(async () => {
    log = openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
    capture = await prepareCapture(processes, {
      tables: [orders],
      brokers,
      version,
      heartbeatMs: 1_000,
      schema: `CREATE TYPE state AS ENUM ('new', 'paid');
        CREATE TABLE orders (id bigint PRIMARY KEY, amount numeric(38,9), note text, state state, more text);
        ALTER TABLE orders ALTER COLUMN note SET STORAGE EXTERNAL;
        INSERT INTO orders SELECT n, n + 0.000000001, repeat(n::text, 6000), 'new' FROM generate_series(1, 1000) n;
        INSERT INTO orders VALUES (9007199254740993, 12345678901234567890123456789.000000001, NULL, 'paid');`,
    });
    client = new pg.Client({ connectionString: capture.url });
    client.on('error', () => {});
    await client.connect();
    await capture.begin();
  });
  afterAll(async () => {
    await client?.end();
    await processes.endAll();
    await log?.close();
    temporary.remove();
  });

  const read = async (topic = orders.topic.name): Promise<Captured[]> => {
    const all: Captured[] = [];
    for (let partition = 0; partition < 3; partition++) {
      const bounds = await log.bounds({ topic, partition }).catch(() => undefined);
      if (!bounds) continue;
      for (let from = bounds.start; from < bounds.end; ) {
        const records = await log.read({ topic, partition }, from, bounds.end - from);
        for (const { offset, key, value, headers = [] } of records) {
          const text = value === null || value === undefined ? null : Buffer.from(value).toString();
          all.push({
            partition,
            offset,
            key: key ? Buffer.from(key).toString() : null,
            value: text,
            headers: Object.fromEntries(
              headers.map((each) => [each.name, Buffer.from(each.value ?? '').toString()]),
            ),
            change: text === null ? null : JSON.parse(text),
          });
          from = offset + 1;
        }
      }
    }
    return all;
  };
  const until = async (holds: (changes: Captured[]) => boolean, seconds = 60): Promise<Captured[]> => {
    for (const deadline = Date.now() + seconds * 1_000; ; await sleep(300)) {
      const changes = await read();
      if (holds(changes)) return changes;
      if (Date.now() > deadline) throw new Error(`not within ${seconds} seconds; ${changes.length} changes`);
    }
  };
  const of = (changes: readonly Captured[], id: number | string) =>
    changes.filter(({ key }) => key === `{"id":${id}}`);
  const ops = (changes: readonly Captured[]) => changes.map(({ change }) => change?.op ?? 'tombstone');

  test('a snapshot has each row once, digit for digit, with the epoch in a header', async () => {
    const changes = await until(({ length }) => length >= 1_001);
    expect(changes).toHaveLength(1_001);
    expect(new Set(ops(changes))).toEqual(new Set(['r']));
    expect(new Set(changes.map(({ key }) => key)).size).toBe(1_001);
    const [large] = of(changes, '9007199254740993');
    expect(large!.value).toContain(
      '"after":{"id":9007199254740993,"amount":"12345678901234567890123456789.000000001"',
    );
    expect(large!.headers).toEqual({ 'millrace.epoch': '3' });
  });

  test('an update leaves out a text that it did not touch', async () => {
    await client.query(`UPDATE orders SET state = 'paid' WHERE id = 7`);
    const changes = await until((all) => of(all, 7).length === 2);
    expect(of(changes, 7)[1]!.change.after).toMatchObject({ state: 'paid', note: UNAVAILABLE_VALUE });
  });

  test('a delete is followed by a tombstone, and a new key by the old one’s delete', async () => {
    await client.query('DELETE FROM orders WHERE id = 8');
    await client.query('UPDATE orders SET id = 9000 WHERE id = 9');
    const changes = await until((all) => of(all, 9_000).length === 1);
    expect(ops(of(changes, 8))).toEqual(['r', 'd', 'tombstone']);
    expect(ops(of(changes, 9))).toEqual(['r', 'd', 'tombstone']);
    expect(ops(of(changes, 9_000))).toEqual(['c']);
    expect(of(changes, 9_000)[0]!.change.source.lsn).toBe(of(changes, 9)[1]!.change.source.lsn);
    // Made up: nobody may read it.
    expect(of(changes, 8)[1]!.change.before).toMatchObject({ id: 8, note: null });
  });

  test('a snapshot by signal has the rows of its condition, without a position in the log', async () => {
    const source = await openSourceDatabase(capture.url);
    await source.signal(snapshotSignal(orders, `signal-${version}`, 'id between 20 and 24'));
    const read = (all: readonly Captured[]) =>
      all.filter(({ change }) => change?.source.snapshot === 'incremental');
    // Partitions are looked at one after another: the last row may be seen before the first.
    const again = read(await until((all) => read(all).length >= 5));
    expect(again.map(({ change }) => change.after.id).sort()).toEqual([20, 21, 22, 23, 24]);
    expect(new Set(again.map(({ change }) => change.source.lsn))).toEqual(new Set([null]));
    expect(await source.chunksSince(0)).toBeGreaterThan(0);
    await source.close();
  });

  test('the slot moves on while no captured table changes', async () => {
    await client.query('CREATE TABLE other (n int)');
    const {
      rows: [{ lsn }],
    } = await client.query(
      'INSERT INTO other SELECT generate_series(1, 10000) RETURNING pg_current_wal_lsn() AS lsn',
    );
    const passed = async () => {
      const { rows } = await client.query(
        'SELECT confirmed_flush_lsn >= $1::pg_lsn AS passed FROM pg_replication_slots WHERE slot_name = $2',
        [lsn, database.slot],
      );
      return rows[0].passed as boolean;
    };
    const began = Date.now();
    while (!(await passed())) {
      if (Date.now() - began > 60_000) throw new Error('the slot has stood still for a minute');
      await sleep(500);
    }
    expect(await read('other')).toEqual([]);
  });

  test('a kill of Connect repeats changes and loses none', async () => {
    const before = (await read()).length;
    const insert = (from: number, to: number) =>
      client.query(
        `INSERT INTO orders (id, state) SELECT n, 'new' FROM generate_series($1::int, $2::int) n`,
        [from, to],
      );
    for (let from = 10_001; from <= 16_000; from += 200) {
      await insert(from, from + 199);
      if (from === 14_001) {
        await until(({ length }) => length > before + 2_000);
        await capture.worker.kill();
      }
    }
    await capture.worker.start();
    await capture.worker.untilRunning(capture.connector);
    const insertedOf = (all: readonly Captured[]) =>
      all.filter(({ key }) => Number(/\d+/.exec(key ?? '')) > 10_000 && key !== '{"id":9007199254740993}');
    const distinct = (all: readonly Captured[]) => new Set(insertedOf(all).map(({ key }) => key)).size;
    const inserted = insertedOf(await until((all) => distinct(all) === 6_000, 120));
    // Else the kill has shown nothing.
    expect(inserted.length).toBeGreaterThan(6_000);
    // No second snapshot.
    expect(inserted.every(({ change }) => change.op === 'c')).toBe(true);
  });

  test('a truncate comes once, without a key', async () => {
    await client.query('TRUNCATE orders');
    await client.query(`INSERT INTO orders VALUES (1, 1, 'after', 'new')`);
    const changes = await until((all) => of(all, 1).length === 2);
    const truncates = changes.filter(({ change }) => change?.op === 't');
    expect(truncates.map(({ key, change }) => [key, change.before, change.after])).toEqual([
      [null, null, null],
    ]);
  });

  test('check finds nothing to do here, and names what somebody breaks', async () => {
    const problems = async () => {
      const source = await openSourceDatabase(capture.url);
      const facts = await source.facts(database, capture.tables, CAPTURE_ROLE).finally(() => source.close());
      return checkSource(database, capture.tables, facts, { role: CAPTURE_ROLE })
        .filter(({ verdict }) => verdict === 'problem')
        .map(({ subject, text }) => `${subject} ${text}`);
    };
    expect(await problems()).toEqual([]);
    await client.query(`CREATE TABLE nokey (n int); ALTER PUBLICATION ${database.publication} ADD TABLE nokey;
      ALTER PUBLICATION ${database.publication} DROP TABLE orders;
      ALTER PUBLICATION ${database.publication} SET (publish = 'insert, update, delete');
      REVOKE SELECT ON orders FROM ${CAPTURE_ROLE}; ALTER TABLE orders RENAME COLUMN amount TO total;
      ALTER TABLE orders ALTER note TYPE bytea USING NULL; ALTER ROLE ${CAPTURE_ROLE} NOREPLICATION`);
    const found = (await problems()).join('\n');
    for (const expected of [
      'public.orders column amount is not in the table',
      'public.orders column note is bytea; declared is text',
      'lacks public.orders: their changes would not be captured',
      'publishes public.nokey, which nobody declares',
      "public.nokey has no replica identity: once it is published, the application's UPDATE and DELETE fail",
      'does not publish truncate',
      'may not replicate',
      'lacks SELECT on public.orders',
    ]) {
      expect(found).toContain(expected);
    }
    await expect(client.query('UPDATE nokey SET n = 1')).rejects.toThrow('does not have a replica identity');
    await client.query(`ALTER TABLE orders RENAME COLUMN total TO amount; ALTER TABLE orders ALTER note TYPE text USING NULL;
      ALTER ROLE ${CAPTURE_ROLE} REPLICATION`);
    await client.query(captureSql(database, capture.tables));
    expect(await problems()).toEqual([]);
  });

  test('a slot that was dropped while Connect was down fails the task', async () => {
    await capture.worker.kill();
    for (;;) {
      const { rowCount } = await client.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active',
        [database.slot],
      );
      if (rowCount === 1) break;
      await sleep(200);
    }
    await capture.worker.start();
    await expect(
      (async () => {
        for (const until = Date.now() + 60_000; Date.now() < until; await sleep(500)) {
          await capture.worker.untilRunning(capture.connector, 60);
        }
      })(),
    ).rejects.toThrow('failed');
    // The connector itself says that it runs.
    expect((await capture.worker.status(capture.connector)).connector.state).toBe('RUNNING');
  });
});
