import { expect, test } from '@jest/globals';
import { untilAnswering } from '../../../adapters/aws/migration-function.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';

const CONNECT_TIMEOUT_MS = 40_000;

/** A database that lets each connection time out until it has been waking for so long. */
function sleepingFor(ms: number, error = new Error('timeout expired')) {
  const clock = createFakeClock({ autoAdvance: true });
  const awakeAt = clock.now() + ms;
  const warnings: string[] = [];
  const statements: string[] = [];
  const log = { debug() {}, info() {}, error() {}, warn: (message: string) => void warnings.push(message) };
  const driver: SqlDriver = {
    async begin() {
      if (clock.now() < awakeAt) {
        await clock.sleep(CONNECT_TIMEOUT_MS);
        throw error;
      }
      return {
        query: async () => ({ columns: [], rows: [], affectedRows: 0 }),
        run: async (script) => void statements.push(script),
        commit: async () => true,
        rollback: async () => {},
        retire() {},
        destroy() {},
      };
    },
  };
  return { driver, clock, log, warnings, statements };
}

test('migrations wait for a database that takes minutes to wake up', async () => {
  const database = sleepingFor(120_000);
  await untilAnswering(database.driver, database);
  expect(database.warnings).toHaveLength(3);
  expect(database.statements).toEqual(["SET idle_session_timeout = '4min'"]);
});

test('migrations give up on a database that does not wake up in five minutes', async () => {
  const database = sleepingFor(3_600_000);
  const beganAt = database.clock.now();
  await expect(untilAnswering(database.driver, database)).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' });
  const waitedMs = database.clock.now() - beganAt;
  expect(waitedMs).toBeGreaterThanOrEqual(300_000);
  expect(waitedMs).toBeLessThan(300_000 + 2 * CONNECT_TIMEOUT_MS);
});

test('migrations do not wait for a login that is refused', async () => {
  const refused = Object.assign(new Error('password authentication failed'), {
    code: '28P01',
    severity: 'FATAL',
  });
  const database = sleepingFor(3_600_000, refused);
  await expect(untilAnswering(database.driver, database)).rejects.toMatchObject({
    code: 'SINK_MISCONFIGURED',
  });
  expect(database.warnings).toEqual([]);
});
