/** The migrations function as operators ask it, on a PostgreSQL with roles; the trigger asks for nothing. */
import { afterAll, describe, expect, test } from '@jest/globals';
import { migrationHandler } from '../../../adapters/aws/migration-function.ts';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import { declarationOf } from '../../../runtime/operator/generation-requests.ts';
import { editorialAnalytics } from '../../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { createPglite } from '../../prepared-pglite.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const consumer: AnyConsumer = {
  ...editorialAnalytics,
  name: 'reading',
  migrations: [{ name: '0001-read', sql: 'CREATE TABLE read (at bigint PRIMARY KEY)' }],
};
const rebuild = { id: 'r1', code: 'c1' };
const declaration = declarationOf(consumer);

describe('the migrations function', () => {
  const pglite = createPglite();
  const driver = pgliteDriver(pglite);
  afterAll(() => pglite.close());
  const options = { pauses: false, clock: systemClock, log: silent };
  const handler = migrationHandler([consumer], driver, options);
  const ask = (request: object) => handler({ consumer: 'reading', ...request });
  const run = (sql: string) =>
    new PostgresSink(driver).transaction(({ tx }) => tx.query(sql)).then(({ rows }) => rows);

  test('migrates for the event of a trigger, which asks for nothing', async () => {
    expect(await handler({})).toMatchObject({ applied: expect.arrayContaining(['reading/0001-read']) });
    expect(await handler()).toEqual({ applied: [] });
    expect(await ask({ action: 'generations' })).toMatchObject({ done: [{ number: 1, state: 'live' }] });
  });

  test('makes a candidate with a role and tables of its own, once', async () => {
    const made = await ask({ action: 'create', declaration, rebuild });
    expect(made).toMatchObject({ done: { consumer: 'reading', number: 2, state: 'candidate', code: 'c1' } });
    expect(await ask({ action: 'create', declaration, rebuild })).toEqual(made);
    expect(
      await run("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'reading%' ORDER BY 1"),
    ).toEqual([{ rolname: 'reading' }, { rolname: 'reading-g2' }]);
    expect(await run('SELECT count(*)::int AS n FROM "reading-g2".read')).toEqual([{ n: 0 }]);
  });

  test('makes none for another declaration than the deployed one', async () => {
    const other = declarationOf({ ...consumer, migrations: [] });
    const rebuilt = { id: 'r2', code: 'c2' };
    expect(await ask({ action: 'create', declaration: other, rebuild: rebuilt })).toMatchObject({
      refused: {
        code: 'REBUILD_REFUSED',
        message: expect.stringContaining('Deploy the stack of the migrations'),
      },
    });
    expect(await ask({ action: 'generations' })).toMatchObject({ done: { length: 2 } });
  });

  test('a deployment brings the tables of every generation up to date', async () => {
    const later = { name: '0002-title', sql: 'ALTER TABLE read ADD COLUMN title text' };
    const newer = migrationHandler(
      [{ ...consumer, migrations: [...consumer.migrations, later] }],
      driver,
      options,
    );
    expect(await newer({})).toEqual({ applied: ['reading/0002-title', 'reading-g2/0002-title'] });
  });

  test('promotes, rolls back and drops, and says no with the code', async () => {
    const deployed = migrationHandler(
      [
        {
          ...consumer,
          migrations: [
            ...consumer.migrations,
            { name: '0002-title', sql: 'ALTER TABLE read ADD COLUMN title text' },
          ],
        },
      ],
      driver,
      options,
    );
    const of = (request: object) => deployed({ consumer: 'reading', ...request });
    const promote = { action: 'promote', number: 2, mayLose: 0, oldest: [[0, 0]] };
    const ledger = (name: string, next: number) =>
      run(
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, max_timestamp)
         VALUES ('${name}', ${consumer.epoch}, '${consumer.topic.name}', 0, 0, ${next}, 1)
         ON CONFLICT (consumer, epoch, topic, partition) DO UPDATE SET next = excluded.next`,
      );
    await ledger('reading', 5);
    await ledger('reading-g2', 4);
    const code = 'REBUILD_REFUSED';
    expect(await of({ ...promote, code: 'other' })).toMatchObject({ refused: { code } });
    expect(await of({ ...promote, code: 'c1' })).toMatchObject({
      refused: { code, message: expect.stringContaining('behind the live tables in partition 0') },
    });
    await ledger('reading-g2', 5);
    expect(await of({ ...promote, code: 'c1' })).toMatchObject({
      done: { from: { number: 1 }, to: { number: 2 } },
    });
    expect(await of({ action: 'drop', number: 2 })).toMatchObject({ refused: { code } });
    expect(await of({ action: 'rollback' })).toMatchObject({
      done: { from: { number: 2 }, to: { number: 1 } },
    });
    expect(await of({ action: 'drop', number: 2 })).toEqual({ done: {} });
    expect(await run("SELECT FROM pg_roles WHERE rolname = 'reading-g2'")).toEqual([]);
  }, 60_000);

  test.each([
    [{ action: 'promote', consumer: 'nobody' }, 'knows no consumer "nobody"'],
    [{ action: 'truncate' }, 'it knows generations, create, promote, rollback and drop'],
  ])('refuses %j', async (request, message) => {
    expect(await ask(request)).toMatchObject({
      refused: { code: 'INPUT_INVALID', message: expect.stringContaining(message) },
    });
  });
});
