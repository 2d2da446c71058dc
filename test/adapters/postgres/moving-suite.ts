/** Tables of a version that had them all in `public`: they move to their consumer's schema, once and all together. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { migrateTables } from '../../../adapters/postgres/consumer-schema.ts';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { provision } from '../../../adapters/postgres/provision.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { inTransaction } from '../../../adapters/postgres/sql-transaction.ts';
import type { GenerationsDatabase } from './generations-suite.ts';

export function movingSuite(name: string, open: () => Promise<Omit<GenerationsDatabase, 'close'>>): void {
  describe(`tables in public, on ${name}`, () => {
    let database: Omit<GenerationsDatabase, 'close'>;
    beforeAll(async () => {
      database = await open();
      await migrate(database.admin, 'millrace', ledgerMigrations);
    }, 120_000);
    const run = async (...statements: string[]) => {
      const sink = new PostgresSink(database.admin);
      let rows: readonly unknown[] = [];
      for (const sql of statements) ({ rows } = await sink.transaction(({ tx }) => tx.query(sql)));
      return rows;
    };
    const newName = () => `m.${randomUUID().slice(0, 8)}`;

    const everything = (t: string) => ({
      name: '0001',
      sql: `
        CREATE TYPE ${t}_mood AS ENUM ('fine', 'not');
        CREATE DOMAIN ${t}_count AS int CHECK (VALUE >= 0);
        CREATE TYPE ${t}_pair AS (a int, b int);
        CREATE SEQUENCE ${t}_number;
        CREATE TABLE ${t} (id serial PRIMARY KEY, mood ${t}_mood NOT NULL, n ${t}_count, pair ${t}_pair, day date NOT NULL DEFAULT '2026-01-01');
        CREATE TABLE ${t}_part (n int, day date) PARTITION BY RANGE (day);
        CREATE TABLE ${t}_part_2026 PARTITION OF ${t}_part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE TABLE ${t}_gone (n int);
        CREATE INDEX ON ${t} (n);
        CREATE STATISTICS ${t}_statistics ON n, mood FROM ${t};
        CREATE VIEW ${t}_fine AS SELECT * FROM ${t} WHERE mood = 'fine';
        CREATE MATERIALIZED VIEW ${t}_daily AS SELECT day, count(*) FROM ${t} GROUP BY 1;
        CREATE FUNCTION ${t}_of(${t}_mood) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM ${t} WHERE mood = $1';
        CREATE PROCEDURE ${t}_add() LANGUAGE sql AS 'INSERT INTO ${t} (mood) VALUES (''not'')';
        DROP TABLE ${t}_gone`,
    });
    /** As the version before did it: in `public`, as the owner where there are roles. */
    const asBefore = async (consumer: string, migrations: readonly { name: string; sql: string }[]) => {
      if (database.as) {
        await run(
          `CREATE ROLE "${consumer}" LOGIN`,
          `CREATE ROLE "${consumer}-owner"`,
          `GRANT "${consumer}-owner" TO CURRENT_USER`,
          `GRANT USAGE, CREATE ON SCHEMA public TO "${consumer}-owner"`,
          `ALTER DEFAULT PRIVILEGES FOR ROLE "${consumer}-owner" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "${consumer}"`,
          `ALTER DEFAULT PRIVILEGES FOR ROLE "${consumer}-owner" IN SCHEMA public GRANT USAGE ON SEQUENCES TO "${consumer}"`,
        );
      }
      await inTransaction(database.admin, async (open) => {
        if (database.as) await open.run(`SET LOCAL ROLE "${consumer}-owner"`);
        for (const { sql } of migrations) await open.run(sql);
      });
      const checked = migrations.map(({ name: migration, sql }, at) => ({ migration, sql, at }));
      for (const { migration, sql, at } of checked) {
        await run(
          `INSERT INTO millrace_migration (scope, position, name, checksum) VALUES
             ('${consumer}', ${at}, '${migration}', encode(sha256(convert_to($m$${sql}$m$, 'UTF8')), 'hex'))`,
        );
      }
    };
    const bring = (consumer: string, migrations: readonly { name: string; sql: string }[]) =>
      database.as
        ? provision(database.admin, [{ name: consumer, migrations }])
        : migrateTables(database.admin, { name: consumer, migrations });
    const sinkOf = async (consumer: string) =>
      database.as
        ? new PostgresSink(await database.as(consumer))
        : new PostgresSink(database.admin, { schema: consumer });
    const inSchema = (schema: string, like: string) =>
      run(`
        SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace('"${schema}"') AND relname LIKE '${like}%' AND relkind <> 'c'
        UNION ALL SELECT typname || ' type' FROM pg_type WHERE typnamespace = to_regnamespace('"${schema}"') AND typname LIKE '${like}%'
          AND (typrelid = 0 OR typname LIKE '%pair') AND typelem = 0
        UNION ALL SELECT proname || '()' FROM pg_proc WHERE pronamespace = to_regnamespace('"${schema}"') AND proname LIKE '${like}%'
        UNION ALL SELECT stxname FROM pg_statistic_ext WHERE stxnamespace = to_regnamespace('"${schema}"') AND stxname LIKE '${like}%'
        ORDER BY 1`).then((rows) => (rows as { name: string }[]).map((row) => row.name.replace(like, '')));

    test('move with all that the migrations made, and nothing of anybody else’s', async () => {
      const consumer = newName();
      const t = `t${randomUUID().slice(0, 6)}`;
      const migrations = [everything(t), { name: '0002', sql: `ALTER TABLE ${t} ADD late int` }];
      await asBefore(consumer, migrations);
      await run(`INSERT INTO ${t} (mood, n) VALUES ('fine', 1)`, `CREATE TABLE ${t}_of_another (n int)`);
      const before = await inSchema('public', t);
      expect(before.length).toBeGreaterThan(15);
      const later = [
        ...migrations,
        { name: '0003', sql: `ALTER TABLE ${t} ADD later int; CREATE TABLE ${t}_new (n int)` },
      ];
      expect(await bring(consumer, later)).toEqual([`${consumer}/0003`]);
      expect(await inSchema('public', t)).toEqual(['_of_another']);
      expect((await inSchema(consumer, t)).toSorted()).toEqual(
        [...before.filter((each) => each !== '_of_another'), '_new'].toSorted(),
      );
      // A function, of this version or the one before, goes on by the same names.
      await (await sinkOf(consumer)).transaction(async ({ tx }) => {
        await tx.query(`INSERT INTO ${t} (mood, n) VALUES ('fine', 2)`);
        expect((await tx.query(`SELECT ${t}_of('fine')::int AS n`)).rows).toEqual([{ n: 2 }]);
        expect((await tx.query(`SELECT max(id) AS id FROM ${t}_fine`)).rows).toEqual([{ id: 2 }]);
      });
      expect(await run(`SELECT id, later FROM "${consumer}-reader".${t} ORDER BY 1`)).toEqual([
        { id: 1, later: null },
        { id: 2, later: null },
      ]);
      expect(await bring(consumer, later)).toEqual([]);
    });

    test('stay where they are while migrations name public', async () => {
      const consumer = newName();
      const t = `t${randomUUID().slice(0, 6)}`;
      const migrations = [{ name: '0001', sql: `CREATE TABLE public.${t} (n int)` }];
      await asBefore(consumer, migrations);
      const later = [...migrations, { name: '0002', sql: `ALTER TABLE ${t} ADD m int` }];
      expect(await bring(consumer, later)).toEqual([`${consumer}/0002`]);
      await (await sinkOf(consumer)).transaction(({ tx }) =>
        tx.query(`INSERT INTO public.${t} (m) VALUES (1)`),
      );
      expect(await run(`SELECT m FROM ${t}`)).toEqual([{ m: 1 }]);
    });

    test('readers keep their rights: those on the tables, and the promise of later ones', async () => {
      const consumer = newName();
      const t = `t${randomUUID().slice(0, 6)}`;
      const [one, all] = [`one_${t}`, `all_${t}`];
      const migrations = [{ name: '0001', sql: `CREATE TABLE ${t} (n int, m int)` }];
      await asBefore(consumer, migrations);
      await run(`CREATE ROLE ${one}`, `CREATE ROLE ${all}`, `GRANT SELECT (n) ON ${t} TO ${one}`);
      // Without roles of their own, nobody is promised anything by whom.
      const by = database.as ? `FOR ROLE "${consumer}-owner" ` : '';
      if (database.as)
        await run(`ALTER DEFAULT PRIVILEGES ${by}IN SCHEMA public GRANT SELECT ON TABLES TO ${all}`);
      await bring(consumer, [...migrations, { name: '0002', sql: `CREATE TABLE ${t}_new (n int)` }]);
      const may = async (role: string, table: string, column: string) =>
        (
          await run(
            `SELECT has_schema_privilege('${role}', '${consumer}-reader', 'USAGE')
               AND has_column_privilege('${role}', '"${consumer}-reader".${table}', '${column}', 'SELECT') AS may`,
          )
        )[0];
      expect([await may(one, t, 'n'), await may(one, t, 'm'), await may(one, `${t}_new`, 'n')]).toEqual([
        { may: true },
        { may: false },
        { may: false },
      ]);
      expect(await may(all, `${t}_new`, 'n')).toEqual({ may: database.as !== undefined });
    });

    test('a delivery under way ends first, and the next one finds them', async () => {
      const consumer = newName();
      const t = `t${randomUUID().slice(0, 6)}`;
      const migrations = [{ name: '0001', sql: `CREATE TABLE ${t} (n int)` }];
      await asBefore(consumer, migrations);
      const of = { topic: 't', partition: 0 };
      const settle = async (sink: PostgresSink, at: number) =>
        sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
          const key = { consumer, epoch: 1 };
          await lockLedgers(key, [{ ...of, from: at, to: at + 1 }]);
          await tx.query(`INSERT INTO ${t} VALUES (${at})`);
          await writeLedgers(key, [
            { ...of, first: 0, next: at + 1, maxTimestamp: 1, closed: [], deadLettered: [], skipped: [] },
          ]);
        });
      await bring(`${consumer}-other`, []);
      if (database.as) {
        await run(
          `GRANT SELECT, INSERT, UPDATE ON millrace_ledger TO "${consumer}"`,
          `GRANT SELECT ON millrace_generation TO "${consumer}"`,
        );
      }
      const sink = database.as ? new PostgresSink(await database.as(consumer)) : await sinkOf(consumer);
      await settle(sink, 0);
      await Promise.all([
        bring(consumer, migrations),
        ...[1, 2, 3].map((at) => settle(sink, at).catch(() => settle(sink, at))),
      ]);
      expect(await run(`SELECT count(*)::int AS n FROM "${consumer}".${t}`)).toEqual([{ n: 4 }]);
    });
  });
}

/** What only a database with one owner for everything can meet. */
export function movingByTrialSuite(open: () => Promise<SqlDriver>): void {
  test('where migrations do not run once more, nothing moves, and the way on is named', async () => {
    const admin = await open();
    const t = `t${randomUUID().slice(0, 6)}`;
    const sql = `CREATE TABLE ${t} (n int); CREATE ROLE r_${t}`;
    await migrate(admin, 'millrace', ledgerMigrations);
    await migrate(admin, `c-${t}`, [{ name: '0001', sql }]);
    await expect(
      migrateTables(admin, { name: `c-${t}`, migrations: [{ name: '0001', sql }] }),
    ).rejects.toMatchObject({
      code: 'SINK_MISCONFIGURED',
      message: expect.stringMatching(/"0001" of .*already exists.*ALTER TABLE … SET SCHEMA/s),
    });
    const { rows } = await inTransaction(admin, (transaction) =>
      transaction.query(`SELECT to_regclass('public.${t}')::text, to_regnamespace('"c-${t}"')::text`, []),
    );
    expect(rows).toEqual([[t, null]]);
  });
}
