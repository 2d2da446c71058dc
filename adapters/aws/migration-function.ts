import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { provision } from '../postgres/provision.ts';
import { setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';

/**
 * The function that a deployment runs before any consumer starts: brings the database's roles and tables up to date.
 * It throws, and the deployment stops, when a migration fails.
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
  return async (): Promise<{ readonly applied: readonly string[] }> => {
    try {
      const applied = await provision(driver, consumers);
      log.info('Database up to date', { applied });
      return { applied };
    } catch (error) {
      log.error('Migration failed', { error });
      throw error;
    }
  };
}
