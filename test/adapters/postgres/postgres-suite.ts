/** What the PostgreSQL sink promises beyond the port, whatever the driver; sinkSuite comes with it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { createPostgresLedgers } from '../../../adapters/postgres/postgres-ledgers.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import type { SqlConnection, SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { inTransaction } from '../../../adapters/postgres/sql-transaction.ts';
import {
  type KeyChange,
  NO_CHANGE,
  type SinkTransaction,
  type SqlTransaction,
} from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { breakerSuite } from '../../ports/breaker-suite.ts';
import { keySuite } from '../../ports/key-suite.ts';
import { seenSuite } from '../../ports/seen-suite.ts';
import { type SinkFixture, type StoredLedger, sinkSuite } from '../../ports/sink-suite.ts';
import { keysSuite } from './keys-suite.ts';
import { migrateSuite } from './migrate-suite.ts';
import { seenOfPostgresSuite } from './seen-suite.ts';
import { valuesSuite } from './values-suite.ts';

/** An empty database of the test's own. */
export interface Database {
  readonly driver: SqlDriver;
  close(): Promise<void>;
}

const patchOf = (first: number, next: number) => ({
  topic: 't',
  partition: 0,
  first,
  next,
  maxTimestamp: -1,
  closed: [],
  deadLettered: [],
  skipped: [],
});

export function postgresSuite(
  name: string,
  open: () => Promise<Database>,
  {
    transactions,
    sessions = 'own',
  }: {
    readonly transactions: 'many' | 'one';
    /** `shared` where all connections come to one session of the server, whatever becomes of them. */
    readonly sessions?: 'own' | 'shared';
  },
): void {
  describe(`PostgresSink on ${name}`, () => {
    let database: Database;
    let sink: PostgresSink;
    const inSink = <Result>(work: (tx: SqlTransaction) => Promise<Result>) =>
      sink.transaction(({ tx }) => work(tx));
    const query = (sql: string, parameters?: readonly unknown[]) =>
      inSink((tx) => tx.query(sql, parameters)).then(({ rows }) => rows);

    beforeAll(async () => {
      database = await open();
      await migrate(database.driver, 'millrace', ledgerMigrations);
      sink = new PostgresSink(database.driver);
      await query('CREATE TABLE item (id int PRIMARY KEY, name varchar(8) NOT NULL CHECK (name <> $$no$$))');
      await query('CREATE TABLE part (item int REFERENCES item DEFERRABLE INITIALLY DEFERRED)');
    }, 120_000);
    afterAll(() => database.close());

    sinkSuite('as a Sink', () => sinkFixture(sink, database.driver), { transactions });
    if (sessions === 'own') {
      const open = () =>
        sinkFixture(new PostgresSink(database.driver, { mostRangeBytes: 0 }), database.driver);
      sinkSuite('as a Sink whose ledgers keep no ranges in their rows', open, { transactions });
    }
    breakerSuite('as a Sink', async () => sink, { transactions });
    keySuite('as a Sink', async () => ({
      sink,
      async whole({ consumer, epoch }, { topic, partition }) {
        const ledgers = await createPostgresLedgers(database.driver).read({ consumer, epoch, topic });
        return ledgers.find((each) => each.partition === partition)!;
      },
    }));
    seenSuite('as a Sink', async () => ({
      sink,
      async kept({ consumer, epoch }, partition) {
        const [row] = await query(
          `SELECT count(*)::int AS ids FROM millrace_seen s JOIN millrace_ledger l ON l.id = s.ledger
           WHERE l.consumer = $1 AND l.epoch = $2 AND l.partition = $3`,
          [consumer, epoch, partition],
        );
        return row!.ids as number;
      },
    }));
    keysSuite(() => database.driver);
    seenOfPostgresSuite(() => database.driver);
    migrateSuite(() => database.driver);

    test('whole ledgers have every kind of range, of all partitions and one epoch', async () => {
      const ledger = (epoch: number, partition: number, next: number) =>
        query(
          `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, max_timestamp, dead_lettered)
           VALUES ('whole', $1, 't', $2, 0, $3, 7, '{[1,2)}')`,
          [epoch, partition, next],
        );
      await ledger(1, 0, 5);
      await ledger(2, 1, 60);
      await ledger(2, 0, 50);
      for (const [kind, from] of [
        ['dead-lettered', 2],
        ['skipped', 10],
        ['discarded', 20],
      ]) {
        await query(
          `INSERT INTO millrace_ledger_range (consumer, epoch, topic, partition, kind, lowest, beyond, offsets)
           VALUES ('whole', 2, 't', 0, $1, $2::bigint, $2::bigint + 1, int8multirange(int8range($2::bigint, $2::bigint + 1)))`,
          [kind, from],
        );
      }
      const ledgers = await createPostgresLedgers(database.driver).read({
        consumer: 'whole',
        epoch: 2,
        topic: 't',
      });
      expect(ledgers).toMatchObject([
        {
          partition: 0,
          first: 0,
          next: 50,
          maxTimestamp: 7,
          deadLettered: [{ from: 1, to: 3 }],
          skipped: [{ from: 10, to: 11 }],
          discarded: [{ from: 20, to: 21 }],
        },
        { partition: 1, next: 60, skipped: [], discarded: [] },
      ]);
    });

    test('how far the tables are can be read in the statement that reads them', async () => {
      await query(
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, max_timestamp, dead_lettered, passed_over, parked_records)
         VALUES ('as-of', 1, 't', 0, 0, 9, 5, '{}', '{}', 9), ('as-of', 2, 't', 0, 0, 50, 1500, '{[1,4)}', '{[10,12),[20,21)}', 7),
           ('as-of', 2, 't', 1, NULL, NULL, -1, '{}', '{}', 0)`,
      );
      const rows = await query(
        `SELECT partition, up_to_offset, up_to_time, settled_at IS NULL AS is_new, dead_lettered, skipped, parked
         FROM millrace_as_of WHERE consumer = 'as-of' ORDER BY partition`,
      );
      expect(rows).toEqual([
        {
          partition: 0,
          up_to_offset: 50,
          up_to_time: new Date(1500),
          is_new: false,
          dead_lettered: 3,
          skipped: 3,
          parked: 7,
        },
        {
          partition: 1,
          up_to_offset: null,
          up_to_time: null,
          is_new: true,
          dead_lettered: 0,
          skipped: 0,
          parked: 0,
        },
      ]);
    });

    describe('of dead letters that no record waits for', () => {
      const of = { topic: 't', partition: 0 };
      const at = (name: string, offset: number) => ({ ...of, offset, key: Buffer.from(name) });
      const letter = (name: string, offset: number, isWaitedFor = false) => ({
        ...at(name, offset),
        isWaitedFor,
        overtakenBy: null,
      });
      /** Writes a change, and tells how many statements that took. */
      const change = async (consumer: string, of: Partial<KeyChange>) => {
        const sent: string[] = [];
        const sink = new PostgresSink(recording(database.driver, (sql) => sent.push(sql.trim())));
        const key = { consumer, epoch: 1 };
        return sink.transaction(async ({ lockLedgers, keys }) => {
          await lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
          sent.length = 0;
          await keys!.write(key, { ...NO_CHANGE, ...of });
          return sent.length;
        });
      };
      const counts = async (consumer: string) => {
        const [row] = await query(
          `SELECT (SELECT count(*)::int FROM millrace_key WHERE consumer = $1) AS keys,
             (SELECT count(*)::int FROM millrace_key_letter WHERE consumer = $1) AS letters,
             (SELECT sum(open_letters)::int FROM millrace_ledger WHERE consumer = $1) AS counted`,
          [consumer],
        );
        return row;
      };
      const age = (consumer: string, days: number) =>
        query(`UPDATE millrace_key SET opened_at = opened_at - $2 * interval '1 day' WHERE consumer = $1`, [
          consumer,
          days,
        ]);

      test('keeps no key’s bytes, and those of a key only while it has parked records', async () => {
        const bytes = () =>
          query(
            `SELECT octet_length(key) AS bytes FROM millrace_key WHERE consumer = 'key-bytes' ORDER BY id`,
          );
        const [a, b] = [at('a'.repeat(100_000), 2), at('b', 9)];
        const parked = {
          ...a,
          timestamp: 0,
          timestampType: 'CREATE_TIME',
          value: null,
          headers: [],
        } as const;
        await change('key-bytes', { opened: [{ ...letter('', 1, true), key: a.key }, letter('b', 9)] });
        expect(await bytes()).toEqual([{ bytes: null }, { bytes: null }]);
        await change('key-bytes', { parked: [parked] });
        await change('key-bytes', { parked: [{ ...parked, offset: 3 }], unparked: [a] });
        expect(await bytes()).toEqual([{ bytes: 100_000 }, { bytes: null }]);
        await change('key-bytes', { unparked: [{ ...a, offset: 3 }], closed: [b] });
        expect(await bytes()).toEqual([{ bytes: null }]);
      });

      test('forgets them 90 days after the newest of the key, and what waits never', async () => {
        const consumer = 'old-letters';
        const opened = [letter('a', 1), letter('a', 2), letter('b', 3, true), letter('c', 4)];
        await change(consumer, { opened });
        await age(consumer, 89);
        await change(consumer, { opened: [letter('c', 5)] });
        expect(await counts(consumer)).toEqual({ keys: 3, letters: 5, counted: 5 });
        await age(consumer, 2);
        await change(consumer, { opened: [letter('d', 6)] });
        expect(await counts(consumer)).toEqual({ keys: 3, letters: 4, counted: 4 });
      });

      test('also where no further one comes', async () => {
        const applied = Array.from({ length: 20 }, (_, n) => at(`k${n}`, 10 + n));
        await change('stale', { opened: [letter('a', 1)] });
        await age('stale', 91);
        await change('stale', { applied });
        expect(await counts('stale')).toEqual({ keys: 0, letters: 0, counted: 0 });
      });

      test('asks which of few may be overtaken, and sends their keys alone', async () => {
        const applied = Array.from({ length: 20 }, (_, n) => at(`k${n}`, 10 + n));
        await change('few', { opened: [letter('a', 1), letter('k7', 2), letter('k8', 99)] });
        expect(await change('few', { applied })).toBe(2);
        const overtaken = `SELECT "offset", overtaken_by FROM millrace_key_letter WHERE consumer = 'few' ORDER BY 1`;
        expect(await query(overtaken)).toEqual([
          { offset: 1, overtaken_by: null },
          { offset: 2, overtaken_by: 17 },
          { offset: 99, overtaken_by: null },
        ]);
        // None is left that these can overtake.
        expect(await change('few', { applied })).toBe(1);
      });
    });

    test('adds two statements to BEGIN, COMMIT and the handler’s own, whatever the size of the batch', async () => {
      const statements: string[] = [];
      const counted = new PostgresSink(
        recording(database.driver, (sql) => statements.push(sql.trim().split(/\s/)[0]!)),
      );
      const key = { consumer: 'counted', epoch: 1 };
      const run = (partitions: number, next: number) =>
        counted.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
          const all = Array.from({ length: partitions }, (_, partition) => ({ topic: 't', partition }));
          await lockLedgers(
            key,
            all.map((of) => ({ ...of, from: 0, to: next })),
          );
          await tx.query('SELECT 1');
          await writeLedgers(
            key,
            all.map((of) => ({
              ...of,
              first: 0,
              next,
              maxTimestamp: next,
              closed: [],
              deadLettered: [{ from: next - 1, to: next }],
              skipped: [],
            })),
          );
        });
      await run(40, 1);

      const ofBatch = async (partitions: number, next: number) => {
        statements.length = 0;
        await run(partitions, next);
        return [...statements];
      };
      expect(await ofBatch(1, 2)).toEqual(['BEGIN', 'WITH', 'SELECT', 'UPDATE', 'COMMIT']);
      expect(await ofBatch(40, 10_000)).toEqual(['BEGIN', 'WITH', 'SELECT', 'UPDATE', 'COMMIT']);
    });

    describe('a batch of which each record is settled', () => {
      let batches = 0;
      /** Locks, does the work, and settles one record. */
      const settleOne = (
        work: (transaction: SinkTransaction<SqlTransaction>) => Promise<unknown>,
        of = sink,
      ) => {
        const key = { consumer: `settled-${batches++}`, epoch: 1 };
        const outcome = of.transaction(async (transaction) => {
          await transaction.lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
          await work(transaction);
          await transaction.writeLedgers(key, [patchOf(0, 1)]);
        });
        const ledger = () => query('SELECT next FROM millrace_ledger WHERE consumer = $1', [key.consumer]);
        return { key, outcome, ledger };
      };

      test('writes its ledger in the round trip of COMMIT', async () => {
        const statements: string[] = [];
        const counted = new PostgresSink(recording(database.driver, (sql) => statements.push(sql.trim())));
        const { outcome, ledger } = settleOne(({ tx }) => tx.query('SELECT 1'), counted);
        await outcome;
        expect(await ledger()).toEqual([{ next: 1 }]);
        expect(statements.at(-2)).toBe('SELECT 1');
        expect(statements.at(-1)).toMatch(/UPDATE millrace_ledger[\s\S]+; COMMIT$/);
      });

      test('keeps nothing where COMMIT itself is refused, and the session goes on', async () => {
        const { outcome, ledger } = settleOne(({ tx }) => tx.query('INSERT INTO part VALUES (999)'));
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          details: { sqlState: '23503' },
        });
        expect(await ledger()).toEqual([]);
        expect(await query('SELECT * FROM part')).toEqual([]);
        await settleOne(({ tx }) => tx.query('SELECT 1')).outcome;
      });

      test('keeps nothing where its handler swallowed a failure, whose code it has', async () => {
        const { outcome, ledger } = settleOne(async ({ tx }) => {
          await tx.query(`INSERT INTO item VALUES (11, 'eleven')`);
          await tx.query('SELECT 1/0').catch(() => {});
        });
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          details: { sqlState: '22012' },
        });
        expect(await ledger()).toEqual([]);
        expect(await query('SELECT * FROM item WHERE id = 11')).toEqual([]);
        await settleOne(({ tx }) => tx.query('SELECT 1')).outcome;
      });

      test('keeps nothing where its ledger cannot be written', async () => {
        await query(
          `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`,
        );
        const write = settleOne(async ({ tx }) => {
          await tx.query(`INSERT INTO item VALUES (12, 'twelve')`);
          await tx.query(
            'CREATE TRIGGER refusing BEFORE UPDATE ON millrace_ledger FOR EACH ROW EXECUTE FUNCTION refuse()',
          );
        });
        await expect(write.outcome).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          details: { sqlState: 'P0001' },
        });
        expect(await write.ledger()).toEqual([]);
        expect(await query('SELECT * FROM item WHERE id = 12')).toEqual([]);
        // The trigger has gone with the transaction.
        await settleOne(({ tx }) => tx.query('SELECT 1')).outcome;
      });

      test('writes its ledger before a statement that comes after it, which may be taken back', async () => {
        const { key, outcome, ledger } = settleOne(async ({ tx, savepoint, writeLedgers }) => {
          // A savepoint that the next one would take over as it is.
          await savepoint(async (part) => {
            await part.query(`INSERT INTO item VALUES (13, 'thirteen')`);
            throw new Error('taken back');
          }).catch(() => {});
          await writeLedgers(key, [{ ...patchOf(0, 1), next: 5 }]);
          await savepoint(async (part) => {
            await part.query('UPDATE millrace_ledger SET next = 7 WHERE consumer = $1', [key.consumer]);
            throw new Error('taken back');
          }).catch(() => {});
          const { rows } = await tx.query('SELECT next FROM millrace_ledger WHERE consumer = $1', [
            key.consumer,
          ]);
          expect(rows).toEqual([{ next: 5 }]);
        });
        await outcome;
        expect(await ledger()).toEqual([{ next: 1 }]);
        expect(await query('SELECT * FROM item WHERE id = 13')).toEqual([]);
      });

      test('leaves a row that is full, as an older version left it, to move its ranges first', async () => {
        const small = new PostgresSink(database.driver, { mostRangeBytes: 40 });
        const { key, outcome } = settleOne(async () => {}, small);
        await outcome;
        const many = Array.from({ length: 20 }, (_, n) => `[${n * 10},${n * 10 + 1})`).join(',');
        await query(
          'UPDATE millrace_ledger SET next = 900, dead_lettered = $2::int8multirange WHERE consumer = $1',
          [key.consumer, `{${many}}`],
        );
        await small.transaction(async ({ lockLedgers, writeLedgers }) => {
          await lockLedgers(key, [{ topic: 't', partition: 0, from: 900, to: 901 }]);
          await writeLedgers(key, [{ ...patchOf(0, 1), next: 901 }]);
        });
        const [ledger] = await query(
          'SELECT next, isempty(dead_lettered) AS is_empty, ranges_below FROM millrace_ledger WHERE consumer = $1',
          [key.consumer],
        );
        expect(ledger).toEqual({ next: 901, is_empty: true, ranges_below: 901 });
      });
    });

    // Where only one transaction can be open, whom it would keep waiting shows in its statements alone.
    describe('the locks of a batch', () => {
      const of = (partition: number) => ({ topic: 't', partition, from: 0, to: 10 });
      const lock = async (consumer: string, partitions: readonly number[]) => {
        const statements: { sql: string; parameters: readonly (string | null)[]; rows: number }[] = [];
        const recorded = recording(database.driver, (sql, parameters, rows) =>
          statements.push({ sql, parameters, rows }),
        );
        await new PostgresSink(recorded).transaction(({ lockLedgers }) =>
          lockLedgers({ consumer, epoch: 1 }, partitions.map(of)),
        );
        return statements.filter(({ rows, sql }) => rows > 0 || sql.includes('millrace_ledger'));
      };

      test('are taken on its rows, after these are in the order of topic and partition', async () => {
        await lock('locks', [2, 0, 1]);
        const [statement] = await lock('locks', [2, 0, 1]);
        const { sql, parameters } = statement!;
        const { rows } = await inTransaction(database.driver, async (open) => {
          // An index in the same order would do as well, and might be used by chance.
          await open.run('SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off');
          return open.query(`EXPLAIN (FORMAT JSON) ${sql}`, parameters);
        });
        const [{ Plan: top }] = JSON.parse(rows[0]![0]!) as [{ Plan: PlanNode }];
        const outer = ({ Plans: below = [] }: PlanNode) =>
          below.find((plan) => plan['Parent Relationship'] === 'Outer')!;
        let under = outer(top);
        // It works out the columns.
        if (under['Node Type'] === 'Result') under = outer(under);
        expect([top['Node Type'], under['Node Type']]).toEqual(['LockRows', 'Sort']);
        expect(under['Sort Key']).toEqual(['l.topic', 'l.partition']);
      });

      test('are taken on all of them or none: the rows that are missing are made before', async () => {
        await lock('all-or-none', [1]);
        expect((await lock('all-or-none', [0, 1, 2])).map(({ rows }) => rows)).toEqual([0, 0, 3]);
      });
    });

    test('moves many ranges out of a ledger’s row, and finds them again', async () => {
      const key = { consumer: 'many-holes', epoch: 1 };
      const of = { topic: 't', partition: 0 };
      const holes = Array.from({ length: 4_000 }, (_, n) => ({ from: n * 10 + 1, to: n * 10 + 2 + (n % 7) }));
      const write = (from: number, next: number, patch: object) =>
        sink.transaction(async ({ lockLedgers, writeLedgers }) => {
          const [view] = await lockLedgers(key, [{ ...of, from, to: next }]);
          await writeLedgers(key, [{ ...patchOf(0, next), ...patch }]);
          return view!;
        });
      const rowBytes = async () =>
        (
          await query(
            `SELECT pg_column_size(l.*) AS bytes, (SELECT count(*)::int FROM millrace_ledger_range r WHERE r.consumer = l.consumer) AS rows
             FROM millrace_ledger l WHERE consumer = 'many-holes'`,
          )
        )[0];

      await write(0, 50_000, { deadLettered: holes });
      expect(await rowBytes()).toEqual({ bytes: expect.any(Number), rows: 4 });
      expect((await rowBytes())!.bytes).toBeLessThan(300);
      expect((await write(19_990, 50_000, {})).holes).toEqual(
        holes.filter(({ from }) => from >= 19_990).map((hole) => hole),
      );
      // One closes, one is a dead letter again, and both are told apart from those beside them.
      await write(0, 50_000, { closed: [holes[7]!], deadLettered: [holes[8]!] });
      expect((await write(0, 200, {})).holes).toEqual(holes.slice(0, 20).filter((_, n) => n !== 7));
    });

    test('moves the ranges of the ledger that is full, and of no other', async () => {
      const key = { consumer: 'one-is-full', epoch: 1 };
      const holes = Array.from({ length: 4_000 }, (_, n) => ({ from: n * 10, to: n * 10 + 1 }));
      const write = (partition: number, deadLettered: typeof holes) =>
        sink.transaction(async ({ lockLedgers, writeLedgers }) => {
          await lockLedgers(key, [{ topic: 't', partition, from: 0, to: 40_000 }]);
          await writeLedgers(key, [{ ...patchOf(0, 40_000), partition, deadLettered }]);
        });
      await write(1, holes.slice(0, 3));
      await write(0, holes);
      const views = await sink.transaction(({ lockLedgers }) =>
        lockLedgers(
          key,
          [0, 1].map((partition) => ({ topic: 't', partition, from: 0, to: 40_000 })),
        ),
      );
      expect(views.map((view) => view.holes)).toEqual([holes, holes.slice(0, 3)]);
    });

    test('takes moved ranges of other kinds for no holes, and leaves them as they are', async () => {
      const key = { consumer: 'other-kinds', epoch: 1 };
      const others = () =>
        query(`SELECT kind, offsets::text FROM millrace_ledger_range WHERE consumer = $1 ORDER BY kind`, [
          key.consumer,
        ]);
      await query(
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, ranges_below) VALUES ($1, 1, 't', 0, 0, 40, 40)`,
        [key.consumer],
      );
      await query(
        `INSERT INTO millrace_ledger_range (consumer, epoch, topic, partition, kind, lowest, beyond, offsets)
         VALUES ($1, 1, 't', 0, 'discarded', 2, 9, '{[2,9)}'), ($1, 1, 't', 0, 'parked', 2, 30, '{[2,9),[20,30)}')`,
        [key.consumer],
      );
      const before = await others();
      const [view] = await sink.transaction(async ({ lockLedgers, writeLedgers }) => {
        const views = await lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 40 }]);
        await writeLedgers(key, [{ ...patchOf(0, 40), closed: [{ from: 0, to: 25 }] }]);
        return views;
      });
      expect(view!.holes).toEqual([]);
      expect(await others()).toEqual(before);
      expect(before).toHaveLength(2);
    });

    test('keeps the ledgers that an older version wrote whole for a day, since its functions may still run', async () => {
      const key = { consumer: 'of-an-older-version', epoch: 1 };
      await query(
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, moves_from, dead_lettered)
         SELECT $1, 1, 't', 0, 0, 40000, now() + interval '1 hour', range_agg(int8range(n * 10, n * 10 + 1))
         FROM generate_series(0, 3999) n`,
        [key.consumer],
      );
      const touch = () =>
        sink.transaction(async ({ lockLedgers, writeLedgers }) => {
          await lockLedgers(key, [{ topic: 't', partition: 0, from: 40_000, to: 40_001 }]);
          await writeLedgers(key, [patchOf(0, 40_001)]);
        });
      const moved = async () =>
        (
          await query('SELECT count(*)::int AS n FROM millrace_ledger_range WHERE consumer = $1', [
            key.consumer,
          ])
        )[0];
      await touch();
      expect(await moved()).toEqual({ n: 0 });
      await query('UPDATE millrace_ledger SET moves_from = now() WHERE consumer = $1', [key.consumer]);
      await touch();
      expect(await moved()).toEqual({ n: 4 });
    });

    valuesSuite(() => sink);

    describe('errors', () => {
      const SECRET = 'reader-4711';

      test.each([
        [
          `INSERT INTO item VALUES (1, 'a'), (1, 'b')`,
          'SINK_REJECTED',
          { sqlState: '23505', table: 'item', constraint: 'item_pkey' },
        ],
        [`INSERT INTO item VALUES (1, NULL)`, 'SINK_REJECTED', { sqlState: '23502', column: 'name' }],
        [
          `INSERT INTO item VALUES (1, 'no')`,
          'SINK_REJECTED',
          { sqlState: '23514', constraint: 'item_name_check' },
        ],
        [`INSERT INTO item VALUES (1, '${SECRET}')`, 'SINK_REJECTED', { sqlState: '22001' }],
        [`SELECT '${SECRET}'::int`, 'SINK_REJECTED', { sqlState: '22P02' }],
        [`SELECT '${SECRET}'::timestamptz`, 'SINK_REJECTED', { sqlState: '22007' }],
        [`SELECT 1 / 0`, 'SINK_REJECTED', { sqlState: '22012' }],
        [`SELECT (SELECT n FROM generate_series(1, 2) n)`, 'SINK_REJECTED', { sqlState: '21000' }],
        [`DO $$ BEGIN RAISE 'about ${SECRET}'; END $$`, 'SINK_REJECTED', { sqlState: 'P0001' }],
        [`SELECT * FROM nowhere`, 'SINK_MISCONFIGURED', { sqlState: '42P01' }],
        [`SELECT nothing FROM item`, 'SINK_MISCONFIGURED', { sqlState: '42703' }],
        [`SELEC 1`, 'SINK_MISCONFIGURED', { sqlState: '42601' }],
        [`SELECT 1; SELECT 2`, 'SINK_MISCONFIGURED', { sqlState: '42601' }],
      ])('%s', async (sql, code, details) => {
        const error = await failureOf(query(sql));
        expect(error).toBeInstanceOf(MillraceError);
        expect(error).toMatchObject({ code, details });
        expect(error.message).toContain(details.sqlState);
      });

      test('say nothing of the values, anywhere in the error', async () => {
        await query(`INSERT INTO item VALUES (4711, 'taken') ON CONFLICT DO NOTHING`);
        const errors = [
          await failureOf(query('INSERT INTO item VALUES ($1, $2)', [4711, 'secret'])),
          await failureOf(query('INSERT INTO item VALUES (1, $1)', [SECRET])),
          await failureOf(query('SELECT $1::int', [SECRET])),
          await failureOf(query(`DO $$ BEGIN RAISE '${SECRET}' USING DETAIL = '${SECRET}'; END $$`)),
          await failureOf(query('SELECT nothing FROM item WHERE name = $1', [SECRET])),
        ];
        for (const error of errors) {
          const everything = everythingIn(error);
          expect(everything).not.toContain(SECRET);
          expect(everything).not.toContain('secret');
          expect(everything).not.toContain('4711)');
        }
      });

      test('of a statement pass through transaction() as they are', async () => {
        let thrown: unknown;
        const outcome = inSink(async (tx) => {
          await tx.query('SELECT 1 / 0').catch((error) => {
            thrown = error;
            throw error;
          });
        });
        const error = await failureOf(outcome);
        expect(error).toBe(thrown);
        expect(error.code).toBe('SINK_REJECTED');
      });

      test('that the handler swallows come back with the next statement, under the same code', async () => {
        const outcome = inSink(async (tx) => {
          await tx.query('SELECT 1 / 0').catch(() => {});
          await tx.query('SELECT 1');
        });
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          message: expect.stringMatching(/failed before.*SAVEPOINT.*22012/s),
          details: { sqlState: '22012' },
        });
      });

      test('that the handler swallows as its last statement fail the commit', async () => {
        const outcome = inSink(async (tx) => {
          await tx.query(`INSERT INTO item VALUES (5, 'five')`);
          await tx.query('SELECT * FROM nowhere').catch(() => {});
        });
        await expect(outcome).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
        expect(await query('SELECT * FROM item WHERE id = 5')).toEqual([]);
      });

      test('of statements that nobody waited for fail the commit too', async () => {
        const unhandled: Promise<unknown>[] = [];
        const outcome = inSink(async (tx) => {
          unhandled.push(tx.query('SELECT 1 / 0').catch(() => {}));
          unhandled.push(tx.query(`INSERT INTO item VALUES (6, 'six')`).catch(() => {}));
        });
        await expect(outcome).rejects.toMatchObject({ code: 'SINK_REJECTED' });
        await Promise.all(unhandled);
        expect(await query('SELECT * FROM item WHERE id = 6')).toEqual([]);
      });

      test('that never reached the server count as those that did', async () => {
        const insert = (tx: SqlTransaction, id: number, text: unknown) =>
          tx.query('INSERT INTO item VALUES ($1, $2)', [id, text]);
        for (const refused of ['a\0', new Date(Number.NaN)]) {
          const swallowed = inSink(async (tx) => {
            await insert(tx, 8, 'eight');
            await insert(tx, 9, refused).catch(() => {});
          });
          await expect(swallowed).rejects.toMatchObject({ code: 'SINK_REJECTED' });
          const goesOn = inSink(async (tx) => {
            void insert(tx, 9, refused).catch(() => {});
            await insert(tx, 8, 'eight');
          });
          await expect(goesOn).rejects.toMatchObject({ code: 'SINK_REJECTED' });
          const kept = sink.transaction(async ({ tx, savepoint }) => {
            await savepoint(async () => {
              await insert(tx, 8, refused).catch(() => {});
            });
          });
          await expect(kept).rejects.toMatchObject({ code: 'SINK_REJECTED' });
          await inSink(async (tx) => {
            await tx.query('SAVEPOINT before');
            await insert(tx, 9, refused).catch(() => {});
            await tx.query('ROLLBACK TO SAVEPOINT before');
          });
          await sink.transaction(async ({ tx, savepoint }) => {
            await savepoint(() => insert(tx, 9, refused)).catch(() => {});
            await tx.query('SELECT 1');
          });
        }
        expect(await query('SELECT * FROM item WHERE id IN (8, 9)')).toEqual([]);
      });

      test('behind a SAVEPOINT of its own leave a part of the transaction as it was', async () => {
        await sink.transaction(async ({ savepoint }) => {
          for (const id of [20, 21]) {
            await savepoint(async (tx) => {
              await tx.query('SAVEPOINT mine');
              await tx.query('SELECT 1 / 0').catch(() => {});
              await tx.query('ROLLBACK TO SAVEPOINT mine');
              await tx.query('INSERT INTO item VALUES ($1, $2)', [id, 'mine']);
            });
          }
        });
        expect(await query(`SELECT id FROM item WHERE name = 'mine' ORDER BY 1`)).toEqual([
          { id: 20 },
          { id: 21 },
        ]);
      });

      test('that the handler swallows are as unclear as they were', async () => {
        const outcome = inSink(async (tx) => {
          await tx.query('SELECT to_tsquery($1)', ['foo bar']).catch(() => {});
          await tx.query('SELECT 1');
        });
        await expect(outcome).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED', isUnclear: true });
      });

      test('do not quote what a statement was given', async () => {
        for (const [cast, text] of [
          ['to_tsquery($1)', 'foo bar'],
          ['$1::regclass', 'secret-table'],
        ] as const) {
          const outcome = inSink((tx) => tx.query(`SELECT ${cast}`, [text]));
          await expect(outcome).rejects.toMatchObject({
            code: 'SINK_MISCONFIGURED',
            isUnclear: true,
            message: expect.not.stringContaining(text),
          });
        }
      });

      test("of the sink's own savepoints are not for the handler to touch", async () => {
        for (const sql of ['SAVEPOINT millrace_0', '/* x */ release savepoint "millrace_0"']) {
          await expect(inSink((tx) => tx.query(sql))).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
        }
      });

      test('behind a SAVEPOINT harm nothing', async () => {
        await inSink(async (tx) => {
          await tx.query('SAVEPOINT before');
          await tx.query('SELECT 1 / 0').catch(() => {});
          await tx.query('ROLLBACK TO SAVEPOINT before');
          await tx.query(`INSERT INTO item VALUES (7, 'seven')`);
        });
        expect(await query('SELECT name FROM item WHERE id = 7')).toEqual([{ name: 'seven' }]);
      });

      test('found by COMMIT itself are refusals of the data', async () => {
        const outcome = inSink((tx) => tx.query('INSERT INTO part VALUES (999)'));
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_REJECTED',
          details: { sqlState: '23503', constraint: 'part_item_fkey' },
        });
        expect(await query('SELECT * FROM part')).toEqual([]);
      });

      test.each([
        'COMMIT',
        ' end',
        '/* now */ rollback',
        '-- out\nABORT',
        'begin',
        'START TRANSACTION',
        'rollback work',
        '; COMMIT',
        '/* /* */ */ COMMIT',
        '/* a /* b */ -- c */ ; -- d\r\n /**/ ROLLBACK',
      ])('%j is refused: only the sink ends its transaction', async (sql) => {
        const outcome = inSink(async (tx) => {
          await tx.query(`INSERT INTO item VALUES (8, 'eight')`);
          await tx.query(sql);
        });
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
          message: expect.stringContaining('begins or ends a transaction'),
        });
        expect(await query('SELECT * FROM item WHERE id = 8')).toEqual([]);
      });
    });

    test.each([
      ['with COMMIT', 'clean', patchOf(0, 1)],
      ['before COMMIT', 'letter', { ...patchOf(0, 1), deadLettered: [{ from: 0, to: 1 }] }],
    ])(
      'a transaction that is no longer the one of the locks does not write the ledger, %s',
      async (_, name, patch) => {
        const key = { consumer: `other-transaction-${name}`, epoch: 1 };
        // The handler's words for it are refused, so the transaction is ended behind the sink's back.
        const ending: SqlDriver = {
          async begin() {
            const connection = await database.driver.begin();
            return {
              ...delegating(connection),
              query: async (sql, parameters) => {
                if (sql.includes('UPDATE millrace_ledger')) await connection.run('COMMIT; BEGIN');
                return connection.query(sql, parameters);
              },
              commit: async (last) => {
                if (last) await connection.run('COMMIT; BEGIN');
                return connection.commit(last);
              },
            };
          },
        };
        const outcome = new PostgresSink(ending).transaction(async (transaction) => {
          await transaction.lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
          await transaction.writeLedgers(key, [patch]);
        });
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
          message: expect.stringContaining('handler ended the transaction'),
        });
        const [ledger] = await query('SELECT first FROM millrace_ledger WHERE consumer = $1', [key.consumer]);
        expect(ledger).toEqual({ first: null });
      },
    );

    test('a ledger row that is gone when it is to be written fails the transaction', async () => {
      const key = { consumer: 'row-gone', epoch: 1 };
      const outcome = sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
        await lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
        await tx.query('DELETE FROM millrace_ledger WHERE consumer = $1', [key.consumer]);
        await writeLedgers(key, [patchOf(0, 1)]);
      });
      await expect(outcome).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining('has no row'),
      });
    });

    test('refusals that no wait can change are final, those that depend on other rows are not', async () => {
      const actionOf = async (sql: string) =>
        failureOf(inSink((tx) => tx.query(sql))).then(({ action }) => action);
      expect(await actionOf(`SELECT E'\\\\000'::bytea::text::int`)).toBe('dead-letter');
      expect(await actionOf(`INSERT INTO item VALUES (90, NULL)`)).toBe('dead-letter');
      expect(await actionOf(`INSERT INTO item VALUES (90, 'no')`)).toBe('dead-letter');
      await query(`INSERT INTO item VALUES (91, 'one')`);
      expect(await actionOf(`INSERT INTO item VALUES (91, 'two')`)).toBe('retry');
      expect(await actionOf(`DO $$ BEGIN RAISE 'no'; END $$`)).toBe('retry');
    });

    test.each(['COPY item FROM STDIN', '/* all */ copy item (id)\nfrom stdin', 'COPY (SELECT 1) TO STDOUT'])(
      '%j is refused, and the connection can be used',
      async (sql) => {
        const outcome = inSink(async (tx) => {
          await tx.query(`INSERT INTO item VALUES (70, 'seventy')`);
          await tx.query(sql);
        });
        await expect(outcome).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
          message: expect.stringContaining('takes no COPY'),
        });
        expect(await query('SELECT * FROM item WHERE id = 70')).toEqual([]);
      },
    );

    if (sessions === 'own') {
      test.each([
        'CREATE TEMP TABLE left_behind (n int)',
        'CREATE TEMPORARY TABLE left_behind (n int)',
        'create local temporary table left_behind (n int)',
        'CREATE OR REPLACE TEMP VIEW left_behind AS SELECT 1 AS n',
        'CREATE TEMPORARY SEQUENCE left_behind',
      ])('%j does not reach the next batch', async (sql) => {
        await inSink((tx) => tx.query(sql));
        expect(await query(`SELECT to_regclass('left_behind') AS found`)).toEqual([{ found: null }]);
      });

      test.each([
        ['a setting', `SET application_name = 'left-behind'`],
        ['a setting by function', `SELECT set_config('application_name', 'left-behind', false)`],
        [
          'a setting in a block',
          `DO $$ BEGIN PERFORM set_config('application_name', 'left-behind', false); END $$`,
        ],
      ])('%s that a handler leaves in the session does not reach the next batch', async (_, sql) => {
        await inSink((tx) => tx.query(sql));
        expect(await query('SHOW application_name')).not.toEqual([{ application_name: 'left-behind' }]);
        await inSink(async (tx) => {
          await tx.query(sql);
          throw new Error('rolled back');
        }).catch(() => {});
        expect(await query('SHOW application_name')).not.toEqual([{ application_name: 'left-behind' }]);
      });

      test('a lock that a handler leaves in the session does not outlive its batch', async () => {
        await inSink((tx) => tx.query('SELECT pg_advisory_lock(4711)'));
        const held = `SELECT count(*)::int AS held FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND pid = pg_backend_pid()`;
        expect(await query(held)).toEqual([{ held: 0 }]);
      });
    }

    test('statements sent at once run one after the other', async () => {
      await query('CREATE TABLE step (n serial, name text)');
      await inSink((tx) =>
        Promise.all(['a', 'b', 'c'].map((name) => tx.query('INSERT INTO step (name) VALUES ($1)', [name]))),
      );
      expect(await query('SELECT name FROM step ORDER BY n')).toEqual([
        { name: 'a' },
        { name: 'b' },
        { name: 'c' },
      ]);
    });
  });
}

async function sinkFixture(sink: PostgresSink, driver: SqlDriver): Promise<SinkFixture<SqlTransaction>> {
  const query = <Row>(sql: string, parameters: readonly unknown[] = []) =>
    sink.transaction(({ tx }) => tx.query<Row>(sql, parameters)).then(({ rows }) => rows);
  await query('CREATE TABLE IF NOT EXISTS counter (name text PRIMARY KEY, total int NOT NULL)');
  return {
    sink,
    async add(tx: SqlTransaction, counter: string, by: number) {
      await tx.query(
        'INSERT INTO counter VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET total = counter.total + excluded.total',
        [counter, by],
      );
    },
    async counter(name: string) {
      return (
        (await query<{ total: number }>('SELECT total FROM counter WHERE name = $1', [name]))[0]?.total ?? 0
      );
    },
    async ledger({ consumer, epoch }, { topic, partition }) {
      const ranges = (kind: string) => `(
        SELECT coalesce(jsonb_agg(jsonb_build_object('from', lower(r), 'to', upper(r)) ORDER BY lower(r)), '[]')
        FROM unnest((
          SELECT range_agg(r) FROM millrace_ledger_hole h, unnest(h.offsets) AS r
          WHERE (h.consumer, h.epoch, h.topic, h.partition) = (l.consumer, l.epoch, l.topic, l.partition)
            AND kind = '${kind}'
        )) AS r)`;
      const rows = await query<StoredLedger>(
        `SELECT first, next, max_timestamp AS "maxTimestamp",
           ${ranges('dead-lettered')} AS "deadLettered", ${ranges('skipped')} AS "skipped"
         FROM millrace_ledger l WHERE (consumer, epoch, topic, partition) = ($1, $2, $3, $4)`,
        [consumer, epoch, topic, partition],
      );
      // Whoever reads whole ledgers gets the same.
      const ledgers = await createPostgresLedgers(driver).read({ consumer, epoch, topic });
      const whole = ledgers.find((each) => each.partition === partition);
      if (whole) {
        const { partition: _, updatedAt, discarded, parked, overtaken, ...ledger } = whole;
        expect(ledger).toEqual(rows[0]);
        expect([discarded, parked, overtaken, typeof updatedAt]).toEqual([[], [], [], 'number']);
      } else expect(rows[0]).toBeUndefined();
      return rows[0];
    },
    close: async () => {},
  };
}

/** A connection whose parts can be replaced: the original's are not its own properties. */
const delegating = (connection: SqlConnection): SqlConnection => ({
  query: (sql, parameters) => connection.query(sql, parameters),
  run: (script) => connection.run(script),
  commit: () => connection.commit(),
  rollback: () => connection.rollback(),
  retire: () => connection.retire(),
  destroy: () => connection.destroy(),
});

/** What EXPLAIN says of a step: https://www.postgresql.org/docs/current/sql-explain.html (2026-11-26) */
interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Parent Relationship'?: string;
  readonly 'Sort Key'?: readonly string[];
  readonly Plans?: readonly PlanNode[];
}

/** Tells of each statement as the driver gets it, with its parameters and how many rows it gave. */
function recording(
  driver: SqlDriver,
  onStatement: (sql: string, parameters: readonly (string | null)[], rows: number) => void,
): SqlDriver {
  return {
    async begin() {
      onStatement('BEGIN', [], 0);
      const connection = await driver.begin();
      return {
        ...delegating(connection),
        async query(sql, parameters) {
          const result = await connection.query(sql, parameters);
          onStatement(sql, parameters, result.rows.length);
          return result;
        },
        run(script) {
          onStatement(script, [], 0);
          return connection.run(script);
        },
        commit(last) {
          if (last) onStatement(`${last.sql}; COMMIT`, last.parameters, 0);
          else onStatement('COMMIT', [], 0);
          return connection.commit(last);
        },
      };
    },
  };
}

async function failureOf(promise: Promise<unknown>): Promise<MillraceError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(MillraceError);
  return error as MillraceError;
}

/** Every string an error could put into a log: its own properties and its causes', enumerable or not. */
function everythingIn(error: unknown): string {
  const seen = new Set<unknown>();
  const collect = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return String(value);
    if (seen.has(value)) return '';
    seen.add(value);
    return Object.getOwnPropertyNames(value)
      .map((name) => collect((value as Record<string, unknown>)[name]))
      .join('\n');
  };
  return collect(error);
}
