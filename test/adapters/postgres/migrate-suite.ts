/** What migrate() promises, whatever the driver. */
import { describe, expect, test } from '@jest/globals';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';

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
