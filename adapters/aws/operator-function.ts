import { randomUUID } from 'node:crypto';
import { MillraceError } from '../../runtime/errors.ts';
import { createOffsetSource } from '../../runtime/lag/offsets.ts';
import type { LagWatch } from '../../runtime/lag/status.ts';
import { createLagWatch } from '../../runtime/lag/watch.ts';
import { answerKeyCall } from '../../runtime/operator/key-calls.ts';
import { ledgersPage } from '../../runtime/operator/ledger-pages.ts';
import { answerLogCalls } from '../../runtime/operator/log-calls.ts';
import {
  OPERATOR_ROLE,
  type OperatorRequest,
  parkedOf,
  type SampledConsumer,
} from '../../runtime/operator/operator.ts';
import { probeConsumer } from '../../runtime/probe/pipeline.ts';
import { type ProbeReport, runProbe } from '../../runtime/probe/probe.ts';
import { EmbeddedMetrics } from '../lambda/embedded-metrics.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { createPostgresLedgers } from '../postgres/postgres-ledgers.ts';
import { PostgresSink } from '../postgres/postgres-sink.ts';
import { createPostgresWaitingKeys } from '../postgres/waiting-keys.ts';
import { systemClock } from '../system/system-clock.ts';
import { setting } from './function-settings.ts';
import { connectToRds } from './rds-connection.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { glueRegistry, once } from './services.ts';

const SERVICE = 'operator';
/** Pollers that have been idle, a database that was paused: less together than the function has (lib/stacks/operator-stack.ts). */
const PATIENCE_MS = 4 * 60_000;

/** Of who runs a consumer, its cluster knows nothing: Lambda's pollers are no members of its group. */
const RUNNER = { isRunning: null, who: 'Lambda’s event source mapping' };

/**
 * What operators need inside the network, as one Lambda function that only their policy and its own schedule may invoke. It
 * reads topics and ledgers, and writes to the probe's topic alone, where the environment has one.
 * @throws FUNCTION_MISCONFIGURED when a setting is missing
 */
export function operatorFunction() {
  const region = setting('region');
  const brokers = setting('brokers');
  const environment = setting('environment');
  const database = { host: setting('databaseHost'), database: setting('databaseName'), region };
  const registryName = setting('registryName');
  const log = new PowertoolsLogger(SERVICE);
  const metrics = new EmbeddedMetrics(systemClock, environment);
  const msk = { brokers, region, clientId: SERVICE };
  const openLog = once(async () => (await import('#msk')).openMskLog(msk));
  const openOffsets = once(async () => (await import('#msk')).openMskOffsets(msk));
  /** By the consumers that are looked at together: samples are kept from one minute to the next, while the function lives. */
  const watches = new Map<string, LagWatch>();

  const sample = async (consumers: readonly SampledConsumer[]): Promise<{ readonly sampled: number }> => {
    const key = JSON.stringify(consumers);
    let watch = watches.get(key);
    if (!watch) {
      const retention = new Map(consumers.map(({ consumer, retentionMs }) => [consumer, retentionMs]));
      const watched = consumers.map((each) => ({ ...each, group: each.consumer }));
      watch = createLagWatch({
        source: createOffsetSource({
          offsets: await openOffsets(),
          clock: systemClock,
          async factsOf() {
            const parked = await parkedOf(
              consumers,
              async () => createPostgresWaitingKeys(await openDatabase()),
              (consumer, error) => log.error('Parked records unknown', { consumer, code: error.code, error }),
            );
            return (of) => ({
              retentionMs: retention.get(of.consumer) ?? null,
              deadLetters: null,
              parked: parked.get(of.consumer) ?? null,
              runner: RUNNER,
            });
          },
        }),
        clock: systemClock,
        consumers: () => watched,
      });
      watches.set(key, watch);
    }
    const statuses = await watch.look();
    for (const status of statuses) metrics.reportLag(status);
    const unknown = statuses.filter(({ verdict }) => verdict === 'UNKNOWN');
    for (const { consumer, evidence } of unknown) log.error('Lag unknown', { consumer, evidence });
    const sampled = statuses.length - unknown.length;
    metrics.reportSampled(sampled);
    return { sampled };
  };

  const registry = glueRegistry({ region, ...requestTimeouts(5_000) }, registryName);
  const openDatabase = once(async () => connectToRds({ ...database, user: OPERATOR_ROLE }));
  const openSink = once(
    async () => new PostgresSink(connectToRds({ ...database, user: probeConsumer.name })),
  );
  const openProducer = once(async () => (await import('#msk')).openMskProducer(msk));
  const probe = async (): Promise<ProbeReport> => {
    const sink = await openSink();
    const report = await runProbe({
      registry,
      producer: { send: async (topic, records) => (await openProducer()).send(topic, records) },
      clock: systemClock,
      probeId: randomUUID(),
      read: (sql) => sink.transaction(async ({ tx }) => Object.values((await tx.query(sql)).rows[0] ?? {})),
      patienceMs: PATIENCE_MS,
    });
    log.info('Probed', { ...report });
    return report;
  };

  return async (request: OperatorRequest): Promise<unknown> => {
    switch (request.action) {
      case 'probe':
        return probe();
      case 'sample':
        return sample(request.consumers);
      case 'log':
        return answerLogCalls(await openLog(), request.calls);
      case 'ledgers':
        return ledgersPage(
          await createPostgresLedgers(await openDatabase()).read(request.of),
          request.fromPartition,
        );
      case 'keys':
        return answerKeyCall(createPostgresWaitingKeys(await openDatabase()), request.of, request.call);
      default:
        throw new MillraceError(
          'INPUT_INVALID',
          `The operator function was asked for ${JSON.stringify((request as { action?: unknown }).action)}; it knows probe, sample, log, ledgers and keys. Deploy the environment again, so that it has this version.`,
        );
    }
  };
}
