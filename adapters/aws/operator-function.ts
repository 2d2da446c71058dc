import { randomUUID } from 'node:crypto';
import { MillraceError } from '../../runtime/errors.ts';
import type { OperatorRequest } from '../../runtime/probe/operator.ts';
import { probeConsumer } from '../../runtime/probe/pipeline.ts';
import { type ProbeReport, runProbe } from '../../runtime/probe/probe.ts';
import type { Producer } from '../../runtime/topics.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { PostgresSink } from '../postgres/postgres-sink.ts';
import { systemClock } from '../system/system-clock.ts';
import { setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { glueRegistry, once } from './services.ts';

const SERVICE = 'operator';
/** Pollers that have been idle, a database that was paused: less together than the function has (lib/stacks/operator-stack.ts). */
const PATIENCE_MS = 4 * 60_000;

/**
 * What operators need inside the network, as one Lambda function that only their policy may invoke. It logs in to the
 * database as the probe's consumer, and writes to the probe's topic alone.
 * @throws FUNCTION_MISCONFIGURED when a setting is missing
 */
export function operatorFunction() {
  const region = setting('region');
  const brokers = setting('brokers');
  const log = new PowertoolsLogger(SERVICE);
  const registry = glueRegistry({ region, ...requestTimeouts(5_000) }, setting('registryName'));
  const sink = new PostgresSink(
    connectToRds({
      host: setting('databaseHost'),
      database: setting('databaseName'),
      user: probeConsumer.name,
      region,
    }),
  );
  const open = once(async () =>
    (await import('#msk')).openMskProducer({ brokers, region, clientId: SERVICE }),
  );
  const producer: Producer = { send: async (topic, records) => (await open()).send(topic, records) };
  return async ({ action }: OperatorRequest): Promise<ProbeReport> => {
    if (action !== 'probe') {
      throw new MillraceError(
        'INPUT_INVALID',
        `The operator function was asked for ${JSON.stringify(action)}; it knows probe. Deploy the environment again, so that it has this version.`,
      );
    }
    const report = await runProbe({
      registry,
      producer,
      clock: systemClock,
      probeId: randomUUID(),
      read: (sql) => sink.transaction(async ({ tx }) => Object.values((await tx.query(sql)).rows[0] ?? {})),
      patienceMs: PATIENCE_MS,
    });
    log.info('Probed', { ...report });
    return report;
  };
}
