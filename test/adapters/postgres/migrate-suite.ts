/** What migrate() promises, whatever the driver. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { inTransaction } from '../../../adapters/postgres/sql-transaction.ts';

export function migrateSuite(driver: () => SqlDriver): void {
  describe('migrate()', () => {
    let scopes = 0;
    const newScope = () => `scope_${scopes++}`;
    const create = (scope: string, table: string) => ({
      name: `create-${table}`,
      sql: `CREATE TABLE ${scope}_${table} (n int); INSERT INTO ${scope}_${table} VALUES (1);`,
    });

    test('applies what is new, in order, and nothing when it runs again', async () => {
      const scope = newScope();
      const [a, b] = [create(scope, 'a'), { name: 'alter-a', sql: `ALTER TABLE ${scope}_a ADD m int` }];
      expect(await migrate(driver(), scope, [a])).toEqual(['create-a']);
      expect(await migrate(driver(), scope, [a, b])).toEqual(['alter-a']);
      expect(await migrate(driver(), scope, [a, b])).toEqual([]);
      // An older release, deployed again.
      expect(await migrate(driver(), scope, [a])).toEqual([]);
    });

    test('two processes at once take turns', async () => {
      const scope = newScope();
      const migrations = [create(scope, 'a'), create(scope, 'b')];
      const applied = await Promise.all([1, 2, 3].map(() => migrate(driver(), scope, migrations)));
      expect(applied.flat().sort()).toEqual(['create-a', 'create-b']);
    });

    test('a migration of the sink’s own gives up a lock that does not come, and is tried again', async () => {
      const scope = newScope();
      const waits: string[] = [];
      // Where a batch holds the table, PostgreSQL says so once the time is over.
      const busy: SqlDriver = {
        async begin() {
          const connection = await driver().begin();
          return {
            query: (sql, parameters) => connection.query(sql, parameters),
            commit: (last) => connection.commit(last),
            rollback: () => connection.rollback(),
            retire: () => connection.retire(),
            destroy: () => connection.destroy(),
            async run(script) {
              if (script.startsWith('SET LOCAL lock_timeout')) waits.push(script);
              if (script.startsWith('DO') && waits.length < 3)
                throw Object.assign(new Error('lock timeout'), { code: '55P03', severity: 'ERROR' });
              return connection.run(script);
            },
          };
        },
      };
      expect(await migrate(busy, scope, [create(scope, 'a')])).toEqual(['create-a']);
      expect(waits.slice(0, 3).map((set) => Number(set.split('= ')[1]))).toEqual([400, 500, 625]);
    });

    test('a migration runs under a lock that every other process would wait for', async () => {
      const scope = newScope();
      const held = `SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()`;
      await migrate(driver(), scope, [{ name: 'look', sql: `CREATE TABLE ${scope}_held AS ${held}` }]);
      const read = (sql: string) => inTransaction(driver(), (open) => open.query(sql, []));
      expect((await read(`SELECT n FROM ${scope}_held`)).rows).toEqual([['1']]);
      expect((await read(held)).rows).toEqual([['0']]);
    });

    test.each([
      ['edited', (a: { name: string; sql: string }) => [{ ...a, sql: `${a.sql} ` }], 'its SQL has changed'],
      [
        'moved',
        (a: { name: string; sql: string }) => [{ name: 'before', sql: 'SELECT 1' }, a],
        '"before" in its place',
      ],
    ])('refuses a migration that was %s after it was applied', async (_, change, why) => {
      const scope = newScope();
      const a = create(scope, 'a');
      await migrate(driver(), scope, [a]);
      await expect(migrate(driver(), scope, change(a))).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining(why),
        details: { scope, migration: 'create-a' },
      });
    });

    test('ends of lines do not count as an edit, whichever were recorded', async () => {
      for (const [first, second] of [
        ['\n', '\r\n'],
        ['\r\n', '\n'],
      ] as const) {
        const scope = newScope();
        const on = (end: string) => ({ name: 'a', sql: `CREATE TABLE ${scope}_a (${end}  n int${end})` });
        const recorded = createHash('sha256').update(on(first).sql).digest('hex');
        expect(await migrate(driver(), scope, [on(first)])).toEqual(['a']);
        // As earlier versions recorded it: the text as it was.
        await inTransaction(driver(), (open) =>
          open.query('UPDATE millrace_migration SET checksum = $1 WHERE scope = $2', [recorded, scope]),
        );
        for (const end of [first, second]) expect(await migrate(driver(), scope, [on(end)])).toEqual([]);
      }
    });

    test.each([
      'COMMIT',
      '; commit ;',
      '/* /* */ */ COMMIT AND CHAIN',
      'END',
      'ROLLBACK',
      'SAVEPOINT s',
      'DO $$ BEGIN COMMIT; END $$',
    ])('a migration with %s in it is refused, and leaves nothing of itself', async (statement) => {
      const scope = newScope();
      const { name, sql } = create(scope, 'a');
      const broken = { name: 'broken', sql: `${sql} ${statement}; SELECT 1 / 0` };
      for (let run = 0; run < 2; run++) {
        await expect(migrate(driver(), scope, [broken])).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
          message: expect.stringContaining('"broken"'),
        });
      }
      expect(await migrate(driver(), scope, [{ name, sql }])).toEqual([name]);
    });

    test('a migration may hold whatever SQL holds, each statement seeing those before', async () => {
      const scope = newScope();
      const all = {
        name: 'all',
        sql: String.raw`
          -- It's a comment; with 'quotes' and \ backslashes.
          CREATE TABLE ${scope}_a (t text);
          INSERT INTO ${scope}_a VALUES ('it''s'), (E'a\nb'), ('a\nb'), ($t$ $$ ; COMMIT; '$t$), (U&'\00e9');
          CREATE FUNCTION ${scope}_f() RETURNS bigint LANGUAGE plpgsql AS $$
            BEGIN RETURN (SELECT count(*) FROM ${scope}_a); END $$;
          SELECT ${scope}_f();
          ALTER TABLE ${scope}_a ADD n int;
          UPDATE ${scope}_a SET n = ${scope}_f();
        `,
      };
      expect(await migrate(driver(), scope, [all])).toEqual(['all']);
      const { rows } = await inTransaction(driver(), (open) =>
        open.query(`SELECT t FROM ${scope}_a WHERE n = 5 ORDER BY t COLLATE "C"`, []),
      );
      expect(rows.flat()).toEqual([" $$ ; COMMIT; '", 'a\nb', 'a\\nb', "it's", 'é']);
    });

    test('a migration that fails leaves nothing of itself, and keeps those before', async () => {
      const scope = newScope();
      const a = create(scope, 'a');
      const broken = { name: 'broken', sql: `CREATE TABLE ${scope}_b (n int); SELECT 1 / 0;` };
      await expect(migrate(driver(), scope, [a, broken])).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining('"broken"'),
      });
      expect(await migrate(driver(), scope, [a, create(scope, 'b')])).toEqual(['create-b']);
    });
  });
}
