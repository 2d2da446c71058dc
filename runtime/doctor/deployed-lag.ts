/** Samples of a deployed environment's consumers, from what AWS's APIs say of them: nothing inside its network is asked. */
import { type ConsumerInEnvironment, consumerIn } from '../consumer-in-environment.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import { METRICS_NAMESPACE, type MetricName } from '../delivery/metrics.ts';
import {
  deadLetterQueueName,
  deployedName,
  environmentName,
  hasOperator,
  pausedParameterName,
} from '../deployment.ts';
import type { Environment } from '../environment.ts';
import type { LagMetricName } from '../lag/metrics.ts';
import type { ConsumerSample, LagSource, Runner } from '../lag/sample.ts';
import { sampledConsumers } from '../operator/operator.ts';
import type { Clock } from '../ports.ts';
import type { ParkedTotals } from '../replay/waiting-keys.ts';
import { type Observed, observe } from './line.ts';
import type {
  DeploymentReader,
  ErrorCount,
  MappingFacts,
  MetricPoint,
  MetricQuery,
  ParameterFacts,
} from './reader.ts';

/** Enough for rates and trends. */
const HISTORY_MS = 30 * 60_000;
/** Metrics come a minute or two late; older ones say nothing of now. */
const FRESH_MS = 5 * 60_000;
/** Lambda's longest invocation: a batch that is under way for longer is not. */
const RECENT_MS = 15 * 60_000;
const MINUTE_MS = 60_000;

type Reader = Pick<
  DeploymentReader,
  'mappings' | 'function' | 'queue' | 'recentErrors' | 'parameter' | 'metrics'
>;

export interface DeployedLagOptions {
  readonly environment: Environment;
  readonly consumers: readonly AnyConsumer[];
  readonly reader: Reader;
  readonly clock: Pick<Clock, 'now'>;
}

/** What is known of one consumer beside its metrics. */
interface Seen {
  readonly deployed: ConsumerInEnvironment;
  readonly mapping: Observed<MappingFacts | undefined>;
  readonly paused: Observed<ParameterFacts | null>;
  readonly errors: Observed<readonly ErrorCount[] | null>;
  readonly deadLetters: number | null;
}

/** Of one consumer, by the minute. */
interface Measured {
  readonly lag: readonly MetricPoint[];
  readonly age: readonly MetricPoint[];
  readonly lost: readonly MetricPoint[];
  readonly parkedKeys: readonly MetricPoint[];
  readonly parkedRecords: readonly MetricPoint[];
  readonly parkedAge: readonly MetricPoint[];
  /** MSK's own, where the operator function has written nothing. */
  readonly offsets: readonly MetricPoint[];
  readonly throttles: readonly MetricPoint[];
  readonly tried: readonly MetricPoint[];
  readonly failed: readonly MetricPoint[];
  /** Records that wait, since the code is broken. */
  readonly broken: readonly MetricPoint[];
  /** Of provisioned pollers: records committed. */
  readonly committed: readonly MetricPoint[];
}

/**
 * Looks at metrics, mappings, pauses, errors and queues. What cannot be seen is null with the reason; a metric without data is
 * no 0.
 */
export function createDeployedLag({ environment, consumers, reader, clock }: DeployedLagOptions): LagSource {
  const retention = new Map(
    sampledConsumers(environment, consumers).map(({ consumer, retentionMs }) => [consumer, retentionMs]),
  );
  return {
    async sample(watched) {
      const now = clock.now();
      const chosen = consumers.filter(({ name }) => watched.some(({ consumer }) => consumer === name));
      const seen: Seen[] = [];
      // One after another: an account's API limits are shared with everybody who works in it.
      for (const consumer of chosen) seen.push(await look(environment, consumer, reader));
      const measured = await observe(() => measure(environment, seen, reader, now - HISTORY_MS));
      return seen.flatMap((each, index) => {
        const { name } = each.deployed.consumer;
        const common = {
          consumer: name,
          partitions: null,
          retentionMs: retention.get(name) ?? null,
          deadLetters: each.deadLetters,
        };
        if ('problem' in measured) {
          const runner = runnerOf(environment.name, each, undefined, now);
          return [{ ...common, at: now, runner, unknown: measured.problem }];
        }
        const of = measured.value[index]!;
        return samplesOf(
          { ...common, parked: parkedIn(of, now) },
          of,
          runnerOf(environment.name, each, of, now),
          {
            now,
            name,
            hasOperator: hasOperator(environment),
          },
        );
      });
    },
  };
}

async function look(environment: Environment, consumer: AnyConsumer, reader: Reader): Promise<Seen> {
  const { name: env } = environment;
  const { name, topic } = consumer;
  const functionName = deployedName(env, name);
  const mapping = await observe(async () =>
    (await reader.mappings(functionName)).find(({ topics }) => topics.includes(topic.name)),
  );
  const errors = await observe(async () => {
    const found = await reader.function(functionName);
    return found && reader.recentErrors(found.logGroup);
  });
  const queue = await observe(() => reader.queue(deadLetterQueueName(env, name)));
  return {
    deployed: consumerIn(environment, consumer),
    mapping,
    errors,
    paused: await observe(() => reader.parameter(pausedParameterName(env, name))),
    // How many letters a topic holds nobody measures.
    deadLetters:
      consumer.deadLetter === 'kafka' || 'problem' in queue ? null : (queue.value?.messages ?? null),
  };
}

async function measure(
  environment: Environment,
  seen: readonly Seen[],
  reader: Reader,
  sinceMs: number,
): Promise<readonly Measured[]> {
  const { name: env, brokers } = environment;
  const clusterName = brokers.type === 'existing' ? brokers.clusterArn.split('/')[1]! : environmentName(env);
  const queries = seen.map(({ deployed: { consumer }, mapping }): Record<keyof Measured, MetricQuery> => {
    const { name, topic } = consumer;
    const own = (
      metric: LagMetricName | MetricName,
      statistic: MetricQuery['statistic'] = 'Maximum',
    ): MetricQuery => ({
      namespace: METRICS_NAMESPACE,
      name: metric,
      dimensions: { environment: env, service: name, topic: topic.name },
      statistic,
    });
    const ofFunction = (metric: string): MetricQuery => ({
      namespace: 'AWS/Lambda',
      name: metric,
      dimensions: { FunctionName: deployedName(env, name) },
      statistic: 'Sum',
    });
    const id = 'value' in mapping ? mapping.value?.id : undefined;
    return {
      lag: own('Lag'),
      age: own('Age'),
      lost: own('Lost'),
      broken: own('Broken', 'Sum'),
      parkedKeys: own('ParkedKeys'),
      parkedRecords: own('ParkedRecords'),
      parkedAge: own('ParkedOldestAge'),
      offsets: {
        namespace: 'AWS/Kafka',
        name: 'SumOffsetLag',
        dimensions: { 'Cluster Name': clusterName, 'Consumer Group': name, Topic: topic.name },
        statistic: 'Maximum',
      },
      throttles: ofFunction('Throttles'),
      tried: ofFunction('Invocations'),
      failed: ofFunction('Errors'),
      committed: {
        namespace: 'AWS/Lambda',
        name: 'CommittedEventCount',
        dimensions: { EventSourceMappingUUID: id ?? 'none' },
        statistic: 'Sum',
      },
    };
  });
  const names = Object.keys(queries[0] ?? {}) as (keyof Measured)[];
  const points = await reader.metrics(
    queries.flatMap((each) => names.map((name) => each[name])),
    sinceMs,
  );
  return queries.map(
    (_, index) =>
      Object.fromEntries(
        names.map((name, at) => [name, points[index * names.length + at] ?? []]),
      ) as unknown as Measured,
  );
}

/** A sample a minute, oldest first; the newest has everything else that was seen. */
function samplesOf(
  common: Pick<ConsumerSample, 'consumer' | 'partitions' | 'retentionMs' | 'deadLetters' | 'parked'>,
  { lag, age, lost, offsets }: Measured,
  runner: Runner,
  { now, name, hasOperator }: { readonly now: number; readonly name: string; readonly hasOperator: boolean },
): readonly ConsumerSample[] {
  const isFresh = (points: readonly MetricPoint[]) => (points.at(-1)?.at ?? 0) >= now - FRESH_MS;
  const sampled = isFresh(lag) ? lag : isFresh(offsets) ? offsets : [];
  if (sampled.length === 0)
    return [{ ...common, at: now, runner, unknown: whyUnknown(lag, name, hasOperator) }];
  const isOwn = sampled === lag;
  const valueAt = (points: readonly MetricPoint[], at: number) =>
    isOwn ? (points.find((point) => point.at === at)?.value ?? null) : null;
  return sampled.map((point): ConsumerSample => {
    // A period's value is that of its end.
    const at = Math.min(now, point.at + MINUTE_MS);
    const ageMs = valueAt(age, point.at);
    return {
      ...common,
      at,
      total: {
        lag: point.value,
        nextAt: ageMs === null || point.value === 0 ? null : at - ageMs,
        lost: valueAt(lost, point.at),
      },
      runner,
    };
  });
}

/** What the operator function has counted lately; null where it does not count. */
function parkedIn({ parkedKeys, parkedRecords, parkedAge }: Measured, now: number): ParkedTotals | null {
  const [keys, records, age] = [parkedKeys.at(-1), parkedRecords.at(-1), parkedAge.at(-1)];
  if (!keys || !records || !age || records.at < now - FRESH_MS) return null;
  return {
    keys: keys.value,
    records: records.value,
    oldestAt: records.value > 0 ? Math.min(now, records.at + MINUTE_MS) - age.value : null,
  };
}

function whyUnknown(lag: readonly MetricPoint[], name: string, hasOperator: boolean): string {
  const last = lag.at(-1);
  const msk = `MSK measures no lag of ${name}: its group has committed nothing yet, or is unstable.`;
  if (!hasOperator) return `${msk} The environment has no operator function, which would know.`;
  return last
    ? `The operator function wrote its lag last at ${new Date(last.at).toISOString().slice(11, 16)}Z. ${msk}`
    : `The operator function has written nothing about ${name} in the last 30 minutes. ${msk}`;
}

function runnerOf(env: string, seen: Seen, measured: Measured | undefined, now: number): Runner {
  const { deployed, mapping, paused } = seen;
  if ('problem' in mapping)
    return { isRunning: null, who: `an event source mapping that cannot be seen: ${mapping.problem}` };
  if (mapping.value === undefined) {
    return {
      isRunning: false,
      who: `nobody runs it: no event source mapping polls ${deployed.consumer.topic.name} for it`,
    };
  }
  const { state, lastResult } = mapping.value;
  const who = `an event source mapping that is ${state}`;
  const result = lastResult === null ? {} : { lastResult };
  if (!deployed.isEnabled) {
    return { isRunning: false, who: `nobody runs it: ${env} turns it off in millrace.config.ts`, ...result };
  }
  const isOff = state === 'Disabled' || state === 'Disabling';
  if ('value' in paused && paused.value?.value === 'true' && isOff) {
    return {
      isRunning: false,
      who,
      // Who it was, the audit log says, which not everybody may read.
      paused: { by: 'an operator', at: paused.value.changedAt ?? now },
      ...result,
    };
  }
  if (isOff) return { isRunning: false, who, disabled: state, ...result };
  if (measured === undefined) return { isRunning: null, who, ...result };
  const recent = (points: readonly MetricPoint[], forMs: number) =>
    points.filter(({ at }) => at >= now - forMs).reduce((sum, { value }) => sum + value, 0);
  const throttles = recent(measured.throttles, FRESH_MS);
  const done =
    deployed.polling.mode === 'provisioned'
      ? recent(measured.committed, RECENT_MS)
      : recent(measured.tried, RECENT_MS) - recent(measured.failed, RECENT_MS);
  const held =
    brokenSince(measured.broken, seen.errors, now) ?? (done > 0 ? undefined : heldBy(seen.errors, now));
  const isBehind = ((measured.lag.at(-1) ?? measured.offsets.at(-1))?.value ?? 0) > 0;
  if (done === 0 && isBehind && !held) {
    const why = throttles > 0 ? `: Lambda refused ${throttles} invocations in five minutes` : '';
    return {
      isRunning: false,
      who: `nothing was settled in the last 15 minutes, by ${who}${why}`,
      throttles,
      ...result,
    };
  }
  return { isRunning: true, who, throttles, ...(held && { held }), ...result };
}

/** What the function logged last, where it did nothing else. */
function heldBy(errors: Seen['errors'], now: number): Runner['held'] {
  if ('problem' in errors || errors.value === null) return undefined;
  const [most] = errors.value.filter(({ lastAt }) => lastAt >= now - RECENT_MS);
  return (
    most && {
      code: most.code,
      since: most.firstAt,
      tries: most.count,
      ...(most.failing !== undefined && { why: most.failing }),
    }
  );
}

/** Set while the last batch says that records wait for code that works; other partitions may go on meanwhile. */
function brokenSince(broken: readonly MetricPoint[], errors: Seen['errors'], now: number): Runner['held'] {
  const last = broken.at(-1);
  if (!last || last.value === 0 || last.at < now - FRESH_MS) return undefined;
  const code = 'CONSUMER_BROKEN';
  const since = broken[broken.findLastIndex(({ value }) => value === 0) + 1]!;
  const logged = 'value' in errors ? errors.value?.find((each) => each.code === code) : undefined;
  return {
    code,
    since: since.at,
    tries: logged?.count ?? 1,
    ...(logged?.failing !== undefined && { why: logged.failing }),
  };
}
