/** What provision() promises, whatever the driver. Roles belong to the whole server, so names are new ones each time. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { provisionOperator } from '../../../adapters/postgres/operator-role.ts';
import { createPageReader } from '../../../adapters/postgres/page-reader.ts';
import { provisionPage, withdrawPage } from '../../../adapters/postgres/page-role.ts';
import { createPostgresLedgers } from '../../../adapters/postgres/postgres-ledgers.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { provision } from '../../../adapters/postgres/provision.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { identifier } from '../../../adapters/postgres/sql-values.ts';
import { createPostgresWaitingKeys } from '../../../adapters/postgres/waiting-keys.ts';
import { type KeyChange, NO_CHANGE, type SqlTransaction } from '../../../runtime/delivery/sink.ts';
import { OPERATOR_ROLE } from '../../../runtime/operator/operator.ts';
import { PAGE_ROLE } from '../../../runtime/page.ts';

export interface ProvisionFixture {
  /** Connects as a role that may create roles. */
  readonly admin: SqlDriver;
  /** Connects, or acts, as the role of that name. */
  as(role: string): Promise<SqlDriver>;
}

let runs = 0;

const ANY_UUID = '00000000-0000-4000-8000-000000000000';

export function provisionSuite(open: () => ProvisionFixture): void {
  describe('provision()', () => {
    const run = `${Date.now().toString(36)}-${process.pid}-${runs++}`;
    const [readers, writers] = [`readers-${run}`, `writers_${run}`] as const;
    const table = (of: string, column = 'n') => ({
      name: `0001-${of}`,
      sql: `CREATE TABLE ${of} (id serial PRIMARY KEY, ${column} int)`,
    });
    const consumers = [
      { name: readers, migrations: [table('reader')] },
      { name: writers, migrations: [table('writer')] },
    ];
    const query = async (role: string, sql: string) => {
      const sink = new PostgresSink(await open().as(role));
      return sink.transaction(({ tx }: { tx: SqlTransaction }) => tx.query(sql));
    };
    const ledger = (consumer: string) =>
      `INSERT INTO millrace_ledger (consumer, epoch, topic, partition) VALUES ('${consumer}', 1, 't', 0)`;
    let first: readonly string[];

    beforeAll(async () => {
      first = await provision(open().admin, consumers);
    }, 120_000);

    test('applies the ledger’s migrations and each consumer’s, once', async () => {
      expect(first).toEqual([
        'millrace/0001-ledger',
        'millrace/0002-own-rows',
        'millrace/0003-ranges',
        'millrace/0004-generations',
        'millrace/0005-as-of',
        'millrace/0006-keys',
        'millrace/0007-breaker',
        'millrace/0008-seen',
        'millrace/0009-as-of-parked',
        `${readers}/0001-reader`,
        `${writers}/0001-writer`,
      ]);
      expect(await provision(open().admin, consumers)).toEqual([]);
    });

    test('two deployments at once take turns', async () => {
      const more = [...consumers, { name: `third-${run}`, migrations: [table('third')] }];
      const applied = await Promise.all([1, 2].map(() => provision(open().admin, more)));
      expect(applied.flat()).toEqual([`third-${run}/0001-third`]);
    });

    test('a consumer reads and writes rows of its own tables', async () => {
      await query(readers, 'INSERT INTO reader (n) VALUES (1), (2)');
      await query(readers, 'UPDATE reader SET n = n + 1');
      await query(readers, 'DELETE FROM reader WHERE n = 2');
      expect((await query(readers, 'SELECT n FROM reader')).rows).toEqual([{ n: 3 }]);
    });

    test('also of a table that a later deployment adds', async () => {
      const [own, other] = consumers;
      const later = { ...own!, migrations: [...own!.migrations, table('late')] };
      await provision(open().admin, [later, other!]);
      expect((await query(readers, 'SELECT n FROM late')).rows).toEqual([]);
    });

    test.each([
      ['see another consumer’s table', 'SELECT * FROM writer'],
      ['write to another consumer’s table', 'INSERT INTO writer (n) VALUES (1)'],
      ['drop its own', 'DROP TABLE reader'],
      ['change its own', 'ALTER TABLE reader ADD x int'],
      ['make another', 'CREATE TABLE mine (n int)'],
      ['empty its own at once, past its rows', 'TRUNCATE reader'],
      ['delete from the ledger', 'DELETE FROM millrace_ledger'],
      ['read the migrations', 'SELECT * FROM millrace_migration'],
    ])('a consumer cannot %s', async (_, sql) => {
      await expect(query(readers, sql)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
    });

    test('a consumer writes its own rows of the ledger, and no other’s', async () => {
      await query(readers, ledger(readers));
      await query(writers, ledger(writers));
      await expect(query(readers, ledger(`${writers}-x`))).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
      });
      const update = "UPDATE millrace_ledger SET max_timestamp = 7 WHERE topic = 't'";
      expect((await query(readers, update)).affectedRows).toBe(1);
      const { rows } = await query(
        writers,
        `SELECT consumer, max_timestamp FROM millrace_ledger WHERE consumer IN ('${readers}', '${writers}') ORDER BY 1`,
      );
      expect(rows).toEqual([
        { consumer: readers, max_timestamp: 7 },
        { consumer: writers, max_timestamp: -1 },
      ]);
    });

    test('a consumer keeps a breaker of its own, and cannot change those of others', async () => {
      const keep = (consumer: string, role: string) =>
        open()
          .as(role)
          .then((driver) =>
            new PostgresSink(driver).transaction(async ({ breaker }) => {
              const key = { consumer, epoch: 1 };
              const { state } = await breaker!.read(key);
              await breaker!.write(key, state);
            }),
          );
      await keep(readers, readers);
      await keep(writers, writers);
      await expect(keep(writers, readers)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      const taken = await query(
        readers,
        `UPDATE millrace_breaker SET epoch = 9 WHERE consumer = '${writers}'`,
      );
      expect(taken.affectedRows).toBe(0);
    });

    test('a consumer remembers keys of its own, and cannot see or change those of others', async () => {
      const at = { topic: 't', partition: 5, offset: 1, key: Buffer.from('k') };
      const record = { ...at, offset: 2, value: Buffer.from('secret'), headers: [] };
      const park = (role: string, consumer: string) =>
        open()
          .as(role)
          .then((driver) =>
            new PostgresSink(driver).transaction(async ({ lockLedgers, keys }) => {
              const key = { consumer, epoch: 1 };
              await lockLedgers({ consumer: role, epoch: 1 }, [{ ...at, from: 0, to: 1 }]);
              await keys!.write(key, {
                ...NO_CHANGE,
                opened: [{ ...at, isWaitedFor: true, overtakenBy: null }],
                parked: [{ ...record, timestamp: 0, timestampType: 'CREATE_TIME' }],
              });
              await keys!.write(key, { ...NO_CHANGE, closed: [at] });
              const next = await keys!.nextParked(key, [at], { records: 9, bytes: 999 });
              return next.map(({ value }) => String(value));
            }),
          );
      expect(await park(readers, readers)).toEqual(['secret']);
      expect(await park(writers, writers)).toEqual(['secret']);
      await expect(park(readers, writers)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      for (const table of ['millrace_key', 'millrace_parked']) {
        const { rows } = await query(readers, `SELECT DISTINCT consumer FROM ${table}`);
        expect(rows).toEqual([{ consumer: readers }]);
        const { affectedRows } = await query(readers, `DELETE FROM ${table} WHERE consumer = '${writers}'`);
        expect(affectedRows).toBe(0);
      }
      for (const pauses of [true, false]) await provisionOperator(open().admin, { pauses });
      const both = `FROM millrace_parked WHERE consumer IN ('${readers}', '${writers}')`;
      const seen = await query(OPERATOR_ROLE, `SELECT count(*)::int AS n ${both}`);
      expect(seen.rows).toEqual([{ n: 2 }]);
      await expect(query(OPERATOR_ROLE, `DELETE ${both}`)).rejects.toMatchObject({
        code: expect.stringMatching(/^SINK_(MISCONFIGURED|UNAVAILABLE)$/),
      });
    });

    test('rows under the numbers of another consumer’s keys are in nobody’s way, and nobody sees them', async () => {
      const at = { topic: 't', partition: 6, offset: 3, key: Buffer.from('k') };
      const of = { consumer: readers, epoch: 1 };
      const { rows } = await query(writers, 'SELECT coalesce(max(id), 0)::int AS id FROM millrace_key');
      const ids = `generate_series(1, ${(rows[0]!.id as number) + 50})`;
      for (const forged of [
        `millrace_key (id, consumer, epoch, topic, partition, hash, key)
           OVERRIDING SYSTEM VALUE SELECT id, current_user, 7, 't', id, '${ANY_UUID}', '' FROM ${ids} AS id
           WHERE NOT EXISTS (SELECT FROM millrace_key k WHERE k.id = id.id)`,
        `millrace_key_letter (key_id, "offset", consumer, is_waited_for)
           SELECT id, 3, current_user, true FROM ${ids} AS id`,
        `millrace_parked (key_id, "offset", consumer, "timestamp", timestamp_type, bytes)
           SELECT id, n, current_user, 0, 'CREATE_TIME', 0 FROM ${ids} AS id, generate_series(3, 5) AS n`,
      ]) {
        await query(writers, `INSERT INTO ${forged} ON CONFLICT DO NOTHING`);
      }
      const record = { ...at, timestamp: 0, timestampType: 'CREATE_TIME', value: null, headers: [] } as const;
      const park = async (driver: SqlDriver, change: Partial<KeyChange>) =>
        new PostgresSink(driver).transaction(async ({ lockLedgers, keys }) => {
          await lockLedgers(of, [{ ...at, from: 0, to: 1 }]);
          await keys!.write(of, { ...NO_CHANGE, ...change });
          return (await keys!.nextParked(of, [at], { records: 9, bytes: 999 })).map(({ offset }) => offset);
        });
      const driver = await open().as(readers);
      await park(driver, {
        opened: [{ ...at, isWaitedFor: true, overtakenBy: null }],
        parked: [{ ...record, offset: 4 }],
      });
      // Whom no policy keeps from a row: an operator, and who owns the tables.
      const reader = createPostgresWaitingKeys(open().admin);
      const owner = { ...of, topic: 't' };
      expect(await reader.find(owner, at.key)).toContainEqual(
        expect.objectContaining({ partition: 6, blockedBy: 3, lastLetter: 3, records: 1 }),
      );
      const { items } = await reader.records(owner, at, 0);
      expect(items.map(({ offset }) => offset)).toEqual([4]);
      const ledgers = await createPostgresLedgers(open().admin).read(owner);
      expect(ledgers.find(({ partition }) => partition === 6)).toMatchObject({
        parked: [{ from: 4, to: 5 }],
      });
      expect(await park(open().admin, { closed: [at] })).toEqual([4]);
    });

    test('a consumer sees, adds and removes ids of its own ledgers’ events, and no other’s', async () => {
      const ofTopic = (topic: string) =>
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition) VALUES (current_user, 1, '${topic}', 0) RETURNING id`;
      const add = (ledger: unknown) =>
        `INSERT INTO millrace_seen (ledger, id, at) VALUES (${ledger}, '${ANY_UUID}', 1) RETURNING ledger`;
      const [{ id: own } = {}] = (await query(readers, ofTopic('ids'))).rows;
      const [{ id: other } = {}] = (await query(writers, ofTopic('ids'))).rows;
      expect(own).not.toEqual(other);
      expect((await query(readers, add(own))).affectedRows).toBe(1);
      expect((await query(writers, add(other))).affectedRows).toBe(1);
      await expect(query(readers, add(other))).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      expect((await query(readers, 'SELECT ledger FROM millrace_seen')).rows).toEqual([{ ledger: own }]);
      expect((await query(readers, 'DELETE FROM millrace_seen')).affectedRows).toBe(1);
      expect((await query(writers, 'SELECT ledger FROM millrace_seen')).rows).toEqual([{ ledger: other }]);
    });

    test('a consumer cannot take the number of another one’s ledger', async () => {
      const columns = 'consumer, epoch, topic, partition, id';
      for (const sql of [
        `INSERT INTO millrace_ledger (${columns}) OVERRIDING SYSTEM VALUE VALUES (current_user, 1, 'taken', 0, 1)`,
        'UPDATE millrace_ledger SET id = DEFAULT',
      ]) {
        await expect(query(readers, sql)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      }
    });

    test('a migration that fails stops it, naming the consumer, and is tried again the next time', async () => {
      const name = `broken-${run}`;
      const broken = { name, migrations: [{ name: '0001-broken', sql: 'CREATE TABLE broken (n nonsense)' }] };
      await expect(provision(open().admin, [broken])).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining(`"0001-broken" of ${name}`),
      });
      const mended = { name, migrations: [{ name: '0001-broken', sql: 'CREATE TABLE broken (n int)' }] };
      expect(await provision(open().admin, [mended])).toEqual([`${name}/0001-broken`]);
    });

    test('a migration runs as the tables’ owner, who can do nothing to the ledger', async () => {
      const name = `greedy-${run}`;
      const greedy = {
        name,
        migrations: [{ name: '0001', sql: 'UPDATE millrace_ledger SET max_timestamp = 0' }],
      };
      await expect(provision(open().admin, [greedy])).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
    });

    test('a migration cannot make what would be found before the ledger', async () => {
      const name = `hider-${run}`;
      const hiding = { name, migrations: [{ name: '0001', sql: 'CREATE TABLE millrace_ledger (n int)' }] };
      await expect(provision(open().admin, [hiding])).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining('makes millrace_ledger'),
      });
    });

    test('a name is a name, whatever characters it has', () => {
      expect(identifier('a"b')).toBe('"a""b"');
    });

    test('operators read every ledger, and no table of a consumer', async () => {
      for (const pauses of [true, false]) await provisionOperator(open().admin, { pauses });
      await query(readers, ledger(readers).replace('0)', '77)'));
      const asOperator = (sql: string) => query(OPERATOR_ROLE, sql);
      const of = `FROM millrace_ledger WHERE consumer = '${readers}' AND partition = 77`;
      expect((await asOperator(`SELECT topic ${of}`)).rows).toEqual([{ topic: 't' }]);
      const { rows } = await asOperator(
        'SELECT count(*) AS holes FROM millrace_ledger_range, millrace_ledger_hole',
      );
      expect(rows).toHaveLength(1);
      const reading = asOperator(`SELECT * FROM "${readers}".reader`);
      await expect(reading).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      // A login of its own reads only, by the role's setting; one that takes the role on has its rights alone.
      const refused = expect.stringMatching(/^SINK_(MISCONFIGURED|UNAVAILABLE)$/);
      for (const writing of [`DELETE ${of}`, ledger('me')]) {
        await expect(asOperator(writing)).rejects.toMatchObject({ code: refused });
      }
    });

    describe('a page', () => {
      const shown = `shown-${run}`;
      const other = `other-${run}`;
      const tables = [
        { name: shown, migrations: [table('article')] },
        { name: other, migrations: [table('secret')] },
      ];
      const asPage = (sql: string) => query(PAGE_ROLE, sql);
      const ofShown = (view: string) => `"${shown}-reader".${view}`;
      const queries = { articles: 'SELECT n FROM article ORDER BY n -- by number' };
      const readPage = async (changes: Record<string, string> = {}) =>
        createPageReader(await open().as(PAGE_ROLE), {
          consumer: shown,
          queries: { ...queries, ...changes },
        })();

      beforeAll(async () => {
        await provision(open().admin, tables);
        await query(shown, 'INSERT INTO article (n) VALUES (7), (8)');
        for (const pauses of [true, false]) await provisionPage(open().admin, { consumer: shown, pauses });
      }, 120_000);

      test('sees what readers of its consumer see, with how fresh that is, in one answer', async () => {
        const empty = await readPage();
        expect(empty.data).toMatchObject({ asOf: null, rows: { articles: [{ n: 7 }, { n: 8 }] } });
        expect(empty.freshness).toMatchObject({ consumer: shown, verdict: 'UNKNOWN', old: { since: null } });
        const asOf = Date.now() - 1_000;
        await query(
          shown,
          ledger(shown)
            .replace('partition)', 'partition, first, next, max_timestamp, updated_at)')
            .replace('0)', `0, 0, 5, ${asOf}, now())`),
        );
        const { data, freshness } = await readPage();
        expect(data!.asOf).toBe(asOf);
        expect(freshness).toMatchObject({ verdict: 'OK', old: null, lag: null });
        expect(Math.abs(data!.at - Date.now())).toBeLessThan(60_000);
      });

      test('sees no table of it, no other consumer, no ledger and nothing that is parked', async () => {
        for (const relation of [
          `"${shown}".article`,
          `"${other}-reader".secret`,
          `"${other}".secret`,
          'millrace_ledger',
          'millrace_ledger_hole',
          'millrace_parked',
          'millrace_key',
          'millrace_seen',
        ]) {
          await expect(asPage(`SELECT * FROM ${relation}`)).rejects.toMatchObject({
            code: 'SINK_MISCONFIGURED',
          });
        }
      });

      test('changes nothing, whatever it asks for', async () => {
        const refused = { code: expect.stringMatching(/^SINK_/) };
        for (const sql of [
          `INSERT INTO ${ofShown('article')} (n) VALUES (1)`,
          `DELETE FROM ${ofShown('article')}`,
          `CREATE TABLE ${ofShown('mine')} (n int)`,
          'CREATE TABLE public.mine (n int)',
        ])
          await expect(asPage(sql)).rejects.toMatchObject(refused);
        for (const sql of [
          "SELECT set_config('transaction_read_only', 'off', true) AS off",
          `WITH gone AS (DELETE FROM article RETURNING n) SELECT n FROM gone`,
          'SELECT 1 AS one) AS q), (SELECT 2',
        ])
          await expect(readPage({ hostile: sql })).rejects.toMatchObject(refused);
        // Before PostgreSQL 16, a transaction that only reads takes it, and its end takes it back.
        await readPage({ hostile: 'SELECT lo_create(0) AS made' }).catch(() => {});
        const { rows } = await new PostgresSink(open().admin).transaction(({ tx }) =>
          (tx as SqlTransaction).query('SELECT oid FROM pg_largeobject_metadata'),
        );
        expect(rows).toEqual([]);
        expect((await readPage()).data!.rows.articles).toHaveLength(2);
      });

      test('its transaction writes nothing and its statement ends, whoever’s login it has', async () => {
        const reader = createPageReader(open().admin, {
          consumer: shown,
          queries: {
            settings: `SELECT current_setting('transaction_read_only') AS "readOnly",
              current_setting('statement_timeout') AS timeout`,
          },
        });
        expect((await reader()).data!.rows.settings).toEqual([{ readOnly: 'on', timeout: '5s' }]);
      });

      test('sees a table that a later deployment adds', async () => {
        const [own] = tables;
        await provision(open().admin, [{ ...own!, migrations: [...own!.migrations, table('later')] }]);
        expect((await asPage(`SELECT * FROM ${ofShown('later')}`)).rows).toEqual([]);
      });

      test('of another consumer sees the first one no more', async () => {
        await provisionPage(open().admin, { consumer: other, pauses: false });
        expect((await asPage(`SELECT * FROM "${other}-reader".secret`)).rows).toEqual([]);
        const before = asPage(`SELECT * FROM ${ofShown('article')}`);
        await expect(before).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
        const [own] = tables;
        const more = [...own!.migrations, table('later'), table('latest')];
        await provision(open().admin, [{ ...own!, migrations: more }]);
        const latest = asPage(`SELECT * FROM ${ofShown('latest')}`);
        await expect(latest).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      });

      test('that is gone leaves no role behind', async () => {
        for (let times = 0; times < 2; times++) await withdrawPage(open().admin);
        const roles = new PostgresSink(open().admin).transaction(({ tx }) =>
          (tx as SqlTransaction).query(`SELECT rolname FROM pg_roles WHERE rolname = '${PAGE_ROLE}'`),
        );
        expect((await roles).rows).toEqual([]);
      });
    });
  });
}
