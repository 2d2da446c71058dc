import { isArchive } from '../../runtime/archive/archive.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock, Logger } from '../../runtime/ports.ts';
import { probeConsumer } from '../../runtime/probe/pipeline.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { provisionOperator } from '../postgres/operator-role.ts';
import { provision } from '../postgres/provision.ts';
import type { SqlDriver } from '../postgres/sql-driver.ts';
import { inTransaction } from '../postgres/sql-transaction.ts';
import { systemClock } from '../system/system-clock.ts';
import { flag, setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';

/** A database that has been paused for days, or fails over, is back by then; the function has 13 minutes. */
const PATIENCE_MS = 5 * 60_000;
const PAUSE_MS = 5_000;

/**
 * The function that a deployment runs before any consumer starts: brings the database's roles and tables up to date.
 * It waits for a database that is paused. It throws, and the deployment stops, when a migration fails.
 * @throws FUNCTION_MISCONFIGURED when a setting is missing
 */
export function migrationFunction(consumers: readonly AnyConsumer[]) {
  const log = new PowertoolsLogger('migrations');
  const driver = connectToRds({
    host: setting('databaseHost'),
    database: setting('databaseName'),
    user: setting('databaseUser'),
    region: setting('region'),
  });
  const pauses = flag('databasePauses');
  return async (): Promise<{ readonly applied: readonly string[] }> => {
    try {
      await untilAnswering(driver, { clock: systemClock, log });
      const all = flag('probe') ? [...consumers, probeConsumer] : consumers;
      const applied = await provision(
        driver,
        all.filter((each) => !isArchive(each)),
        { pauses },
      );
      await provisionOperator(driver, { pauses });
      log.info('Database up to date', { applied });
      return { applied };
    } catch (error) {
      log.error('Migration failed', { error });
      throw error;
    }
  };
}

/**
 * Resolves when the database takes statements.
 * @throws SINK_UNAVAILABLE when it has not after five minutes, SINK_MISCONFIGURED at once when it refuses the login
 */
export async function untilAnswering(
  driver: SqlDriver,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const giveUpAt = clock.now() + PATIENCE_MS;
  for (;;) {
    try {
      // This function is frozen when it is done, and its session must not keep the database awake.
      return await inTransaction(driver, (open) => open.run("SET idle_session_timeout = '4min'"));
    } catch (error) {
      const isAway = error instanceof MillraceError && error.code === 'SINK_UNAVAILABLE';
      if (!isAway || clock.now() >= giveUpAt) throw error;
      log.warn('Database does not answer: trying again', { error });
      await clock.sleep(PAUSE_MS);
    }
  }
}
