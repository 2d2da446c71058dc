import { isArchive } from '../../runtime/archive/archive.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { SETTINGS } from '../../runtime/deployment.ts';
import { MillraceError } from '../../runtime/errors.ts';
import {
  answerGenerationRequest,
  type GenerationAnswer,
  isGenerationRequest,
} from '../../runtime/operator/generation-requests.ts';
import type { Clock, Logger } from '../../runtime/ports.ts';
import { probeConsumer } from '../../runtime/probe/pipeline.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { createPostgresGenerations } from '../postgres/generations.ts';
import { provisionOperator } from '../postgres/operator-role.ts';
import { provisionPage, withdrawPage } from '../postgres/page-role.ts';
import { provision } from '../postgres/provision.ts';
import type { SqlDriver } from '../postgres/sql-driver.ts';
import { inTransaction } from '../postgres/sql-transaction.ts';
import { systemClock } from '../system/system-clock.ts';
import { flag, setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';

/** A database that has been paused for days, or fails over, is back by then; the function has 13 minutes. */
const PATIENCE_MS = 5 * 60_000;
/** Whoever asks for something waits for the answer, for about five minutes (aws-calls.ts). */
const REQUEST_PATIENCE_MS = 3 * 60_000;
const PAUSE_MS = 5_000;

interface Migrated {
  readonly applied: readonly string[];
}

/**
 * The function that a deployment runs before any consumer starts: brings the database's roles and tables up to date, those
 * of every generation. It waits for a database that is paused. It throws, and the deployment stops, when a migration fails.
 * Invoked with a request, as `millrace rebuild --env` does, it makes, promotes, rolls back or drops a generation instead.
 * @throws FUNCTION_MISCONFIGURED when a setting is missing
 */
export function migrationFunction(consumers: readonly AnyConsumer[]): (event?: unknown) => Promise<unknown> {
  const driver = connectToRds({
    host: setting('databaseHost'),
    database: setting('databaseName'),
    user: setting('databaseUser'),
    region: setting('region'),
  });
  const all = flag('probe') ? [...consumers, probeConsumer] : consumers;
  return migrationHandler(all, driver, {
    pauses: flag('databasePauses'),
    pageConsumer: process.env[SETTINGS.pageConsumer],
    clock: systemClock,
    log: new PowertoolsLogger('migrations'),
  });
}

/** What the function does, on a connection of who owns the tables. */
export function migrationHandler(
  consumers: readonly AnyConsumer[],
  driver: SqlDriver,
  {
    pauses,
    pageConsumer,
    clock,
    log,
  }: {
    readonly pauses: boolean;
    /** The consumer whose tables a deployed page shows. @default there is no such page, and nobody logs in for it */
    readonly pageConsumer?: string | undefined;
    readonly clock: Clock;
    readonly log: Logger;
  },
): (event?: unknown) => Promise<Migrated | GenerationAnswer> {
  const migrate = async (): Promise<Migrated> => {
    await untilAnswering(driver, { clock, log });
    const applied = await provision(
      driver,
      consumers.filter((each) => !isArchive(each)),
      { pauses },
    );
    await provisionOperator(driver, { pauses });
    if (pageConsumer === undefined) await withdrawPage(driver);
    else await provisionPage(driver, { consumer: pageConsumer, pauses });
    log.info('Database up to date', { applied });
    return { applied };
  };
  const generations = createPostgresGenerations(driver, { roles: { pauses }, clock });
  return async (event) => {
    const request = isGenerationRequest(event) ? event : undefined;
    try {
      if (!request) return await migrate();
      await untilAnswering(driver, { clock, log, patienceMs: REQUEST_PATIENCE_MS });
      const answer = await answerGenerationRequest(consumers, generations, request);
      const { action, consumer } = request;
      if ('refused' in answer) log.warn('Request refused', { action, consumer, ...answer.refused });
      else log.info('Request done', { action, consumer });
      return answer;
    } catch (error) {
      log.error(request ? 'Request failed' : 'Migration failed', { error });
      throw error;
    }
  };
}

/**
 * Resolves when the database takes statements.
 * @param patienceMs @default five minutes
 * @throws SINK_UNAVAILABLE when it has not by then, SINK_MISCONFIGURED at once when it refuses the login
 */
export async function untilAnswering(
  driver: SqlDriver,
  {
    clock,
    log,
    patienceMs = PATIENCE_MS,
  }: { readonly clock: Clock; readonly log: Logger; readonly patienceMs?: number },
): Promise<void> {
  const giveUpAt = clock.now() + patienceMs;
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
