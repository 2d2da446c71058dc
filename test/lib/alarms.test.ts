import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { ExistingSource } from '../../runtime/capture/environment.ts';
import { type AnyConsumer, defineConsumer } from '../../runtime/delivery/consumer.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { RULES } from '../runtime/prometheus/rule-cases.ts';
import {
  consumerWith,
  DEAD_LETTERS_IN_KAFKA,
  ENVIRONMENT_NAMES,
  type Resource,
  resourcesOf,
  templatesOf,
  withVariant,
} from './synthesized.ts';
import { CAPTURE, VARIANTS } from './variants.ts';

const RUNBOOKS = new URL('../../docs/runbooks/', import.meta.url);

const ALARM_TYPES = ['AWS::CloudWatch::Alarm', 'AWS::CloudWatch::CompositeAlarm'];
const byEnvironment = Object.fromEntries(
  ENVIRONMENT_NAMES.map((env) => [env, resourcesOf(templatesOf(env))]),
);

/** Those of capture and the warehouse: no environment of the newsdesk has any. */
const capturing = resourcesOf(templatesOf('prod', withVariant(VARIANTS['a captured table and an archive']!)));
const onRds = resourcesOf(
  templatesOf('prod', {
    consumers: captured.consumers,
    tables: captured.tables!,
    settings: {
      capture: {
        ...CAPTURE,
        databases: {
          cms: { ...(CAPTURE.databases.cms as ExistingSource), resourceId: 'db-ABCDEFGHIJKLMNOPQRSTUVWXYZ' },
        },
      },
    },
  }),
);

const paging = resourcesOf(templatesOf('prod', withVariant(VARIANTS['a page for whoever IAM lets in']!)));

const nameOf = ({ Properties }: Resource): string => Properties.AlarmName;
const alarmsOf = (env: string) => byEnvironment[env]!.filter(({ Type }) => ALARM_TYPES.includes(Type));
/** The alarms that notify, by the part of their name that says which: composites for those that can be suppressed. */
const notifyingOf = (env: string) => alarmsOf(env).filter(({ Properties }) => Properties.AlarmActions);
const alarm = (env: string, kind: string, of = 'editorial-analytics') =>
  alarmsOf(env).find((each) => nameOf(each) === `millrace-${env}-${of}-${kind}`)?.Properties;
const measuring = (env: string, kind: string) => alarm(env, `${kind}-unsuppressed`) ?? alarm(env, kind);

/** A description without what is only known in the account. */
const textOf = ({ Properties: { AlarmDescription } }: Resource): string =>
  typeof AlarmDescription === 'string'
    ? AlarmDescription
    : AlarmDescription['Fn::Join'][1].map(String).join('');

describe.each(ENVIRONMENT_NAMES)('in %s', (env) => {
  test('every alarm says what happened, what to run first, and has its runbook', () => {
    const runbooks = new Set(readdirSync(RUNBOOKS));
    for (const each of alarmsOf(env)) {
      const [happened, first, then, runbook, ...more] = textOf(each).split('\n');
      expect(happened).toMatch(/\.$/);
      expect(first).toBe(`First: npx millrace status --env ${env}`);
      expect(then).toMatch(/^Then: (aws [a-z0-9-]+ [a-z0-9-]+|npx millrace [a-z]+ )/);
      expect(more).toEqual([]);
      const [, file] = /^Runbook: docs\/runbooks\/(.+\.md)$/.exec(runbook!) ?? [];
      expect(runbooks).toContain(file);
      expect(textOf(each).length).toBeLessThan(1_024);
    }
  });

  test('names are fixed and each is there once', () => {
    const names = alarmsOf(env).map(nameOf);
    expect(names.length).toBeGreaterThan(15);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !name.startsWith(`millrace-${env}-`))).toEqual([]);
  });

  test('each tells one topic when it goes off, and the same one when it is over', () => {
    for (const { Properties } of notifyingOf(env)) {
      expect(Properties.AlarmActions).toHaveLength(1);
      expect(Properties.OKActions).toEqual(Properties.AlarmActions);
      expect(Properties.ActionsEnabled ?? true).toBe(env !== 'dev');
    }
    // Those that tell nobody are what a composite looks at.
    const silent = alarmsOf(env).filter(({ Properties }) => !Properties.AlarmActions);
    expect(silent.map(nameOf).filter((name) => !name.endsWith('-unsuppressed'))).toEqual([]);
  });

  test('every alarm is on the dashboard', () => {
    const dashboards = byEnvironment[env]!.filter(({ Type }) => Type === 'AWS::CloudWatch::Dashboard');
    expect(dashboards).toHaveLength(1);
    const body = JSON.stringify(dashboards[0]!.Properties.DashboardBody);
    for (const each of notifyingOf(env)) expect(body).toContain(`:alarm:${nameOf(each)}`);
  });
});

test('every metric of our own is of one environment, because an account may have several', () => {
  for (const env of ENVIRONMENT_NAMES) {
    const own = byEnvironment[env]!.filter(({ Properties }) => Properties?.Namespace === 'Millrace').filter(
      ({ Properties }) => !Properties.MetricName.startsWith(`millrace-${env}-`),
    );
    expect(own.length).toBeGreaterThan(2);
    for (const { Properties } of own)
      expect(Properties.Dimensions).toContainEqual({ Name: 'environment', Value: env });
    const [board] = byEnvironment[env]!.filter(({ Type }) => Type === 'AWS::CloudWatch::Dashboard');
    const shown = JSON.stringify(board!.Properties.DashboardBody).match(/"Millrace[^[]*?"[A-Z]\w+\W+\w+/g)!;
    expect(shown.length).toBeGreaterThan(5);
    for (const each of shown) expect(each).toMatch(/environment$/);
  }
});

describe('capture and the warehouse', () => {
  const ofThem = (resources: readonly Resource[]) =>
    resources
      .filter(({ Type, Properties }) => ALARM_TYPES.includes(Type) && Properties.AlarmActions)
      .filter((each) => /-capture-|-warehouse-/.test(nameOf(each)));
  const found = (resources: readonly Resource[], kind: string) =>
    resources.find(
      ({ Type, Properties }) =>
        Type === 'AWS::CloudWatch::Alarm' &&
        Properties.AlarmName.startsWith(`millrace-prod-capture-cms-${kind}`),
    )!.Properties;

  test('have these alarms, each on the dashboard with its runbook', () => {
    expect(ofThem(capturing).map(nameOf).toSorted()).toEqual([
      'millrace-prod-capture-cms-connector-failed',
      'millrace-prod-capture-cms-connector-stopped',
      'millrace-prod-capture-cms-slot-behind',
      'millrace-prod-capture-cms-slot-fills-disk',
      'millrace-prod-warehouse-warehouse-stale',
    ]);
    const board = JSON.stringify(capturing.filter(({ Type }) => Type === 'AWS::CloudWatch::Dashboard'));
    for (const each of ofThem(capturing)) {
      expect(board).toContain(`:alarm:${nameOf(each)}`);
      expect(textOf(each)).toMatch(
        /\.\nFirst: npx millrace status --env prod\nThen: aws [a-z]+ [a-z-]+ .*\nRunbook: docs\/runbooks\/[a-z-]+\.md$/,
      );
    }
  });

  test('a connector of which nothing is heard is an incident', () => {
    expect(found(capturing, 'connector-stopped')).toMatchObject({
      Namespace: 'AWS/KafkaConnect',
      MetricName: 'RunningTaskCount',
      Dimensions: [{ Name: 'ConnectorName', Value: 'millrace-prod-cms-1' }],
      TreatMissingData: 'breaching',
      EvaluationPeriods: 5,
    });
    expect(found(capturing, 'connector-failed')).toMatchObject({
      MetricName: 'ErroredTaskCount',
      Threshold: 1,
      EvaluationPeriods: 1,
    });
  });

  test('what a slot keeps is measured on Aurora’s writer, or on the instance of RDS, whose disk is watched too', () => {
    const dimensions = (resources: readonly Resource[]) =>
      found(resources, 'slot-fills-disk')
        .Metrics.filter(({ MetricStat }: { MetricStat?: object }) => MetricStat)
        .map(({ MetricStat }: { MetricStat: { Metric: { Dimensions: { Name: string }[] } } }) =>
          MetricStat.Metric.Dimensions.map(({ Name }) => Name).join(),
        );
    expect(new Set(dimensions(capturing))).toEqual(new Set(['DBClusterIdentifier,Role']));
    expect(new Set(dimensions(onRds))).toEqual(new Set(['DBInstanceIdentifier']));
    expect(found(onRds, 'source-disk')).toMatchObject({
      MetricName: 'FreeStorageSpace',
      Statistic: 'Minimum',
      Threshold: 20 * 1_024 ** 3,
    });
    expect(found(capturing, 'slot-fills-disk').Threshold).toBe(20 * 1_024 ** 3);
    expect(found(capturing, 'slot-behind').Threshold).toBe(5 * 1_024 ** 3);
  });
});

/** What somebody sets out to do: no alarm begins these. */
const PROCEDURES = [
  'connector-upgraded.md',
  'database-restored-or-upgraded.md',
  'database-restored.md',
  'pause-a-consumer.md',
  're-snapshot-one-table.md',
  'rebuild-a-table.md',
  'replay-a-range.md',
  'schema-changed.md',
  'slot-lost.md',
  'was-it-processed.md',
];

test('a page has one alarm more, on the dashboard with its runbook', () => {
  const own = paging.filter(({ Type }) => ALARM_TYPES.includes(Type));
  const before = new Set(alarmsOf('prod').map(nameOf));
  const [added, ...others] = own.filter((each) => !before.has(nameOf(each)));
  expect(others).toEqual([]);
  expect(nameOf(added!)).toBe('millrace-prod-collector-page-failing');
  expect(textOf(added!)).toMatch(/\nRunbook: docs\/runbooks\/page-failing\.md$/);
  const board = JSON.stringify(paging.filter(({ Type }) => Type === 'AWS::CloudWatch::Dashboard'));
  expect(board).toContain(`:alarm:${nameOf(added!)}`);
});

test('every runbook has an alarm or an alert, or is of something that somebody sets out to do', () => {
  const alarms = [...ENVIRONMENT_NAMES.flatMap(alarmsOf), ...capturing, ...onRds, ...paging].filter(
    ({ Type }) => ALARM_TYPES.includes(Type),
  );
  const kinds = alarms.map((each) => textOf(each));
  const unused = readdirSync(RUNBOOKS).filter(
    (file) =>
      file !== 'README.md' &&
      !kinds.some((text) => text.endsWith(`/${file}`)) &&
      !RULES.some(({ runbook }) => file === `${runbook}.md`),
  );
  // Only a cluster with metrics by broker has these; no environment here is one.
  expect(unused.toSorted()).toEqual(
    ['broker-connections.md', 'broker-throttled.md', ...PROCEDURES].toSorted(),
  );
});

test('every runbook’s links lead somewhere', () => {
  for (const file of readdirSync(RUNBOOKS)) {
    const text = readFileSync(new URL(file, RUNBOOKS), 'utf8');
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g)) {
      expect(() => readFileSync(new URL(target!, new URL(file, RUNBOOKS)))).not.toThrow();
    }
  }
});

describe('lag', () => {
  test.each(ENVIRONMENT_NAMES)('in %s warns at 10,000 messages and is an incident at 100,000', (env) => {
    const common = {
      Namespace: 'AWS/Kafka',
      MetricName: 'SumOffsetLag',
      // A gauge: its sum over samples means nothing, its average hides the worst.
      Statistic: 'Maximum',
      Period: 60,
      DatapointsToAlarm: 3,
      EvaluationPeriods: 5,
      // While a group rebalances there are no data: neither good news nor bad.
      TreatMissingData: 'ignore',
      ComparisonOperator: 'GreaterThanOrEqualToThreshold',
    };
    expect(measuring(env, 'lag-warning')).toMatchObject({ ...common, Threshold: 10_000 });
    expect(measuring(env, 'lag-incident')).toMatchObject({ ...common, Threshold: 100_000 });
  });

  test('has thresholds of the declaration', () => {
    const own = defineConsumer({
      name: 'editorial-analytics',
      topic: pageviews,
      sink: 'postgres',
      lag: { warning: 7, incident: 70 },
      handle: async () => {},
    }) as AnyConsumer;
    const alarms = resourcesOf(templatesOf('prod', { consumers: [own] }));
    const threshold = (name: string) =>
      alarms.find(({ Properties }) => Properties?.AlarmName === name)?.Properties.Threshold;
    expect(threshold('millrace-prod-editorial-analytics-lag-warning-unsuppressed')).toBe(7);
    expect(threshold('millrace-prod-editorial-analytics-lag-incident')).toBe(70);
  });

  test('that grows is worth as much as the time it takes to drain', () => {
    const { Metrics, Threshold } = measuring('prod', 'lag-rising');
    expect(Metrics.map(({ Expression }: { Expression?: string }) => Expression)).toContain(
      'IF(RATE(behind) > 0, drain, 0)',
    );
    expect(Threshold).toBe(300);
  });
});

test.each([
  ['lag-warning', 'lag-incident'],
  ['lag-rising', 'lag-incident'],
  ['dead-letters', 'dead-letters-rising'],
])('%s tells nobody while %s does', (kind, by) => {
  const incident = byEnvironment.prod!.find(
    ({ Properties }) => Properties?.AlarmName === `millrace-prod-editorial-analytics-${by}`,
  )!;
  expect(alarm('prod', kind)).toMatchObject({
    AlarmRule: expect.anything(),
    ActionsSuppressor: { 'Fn::GetAtt': [incident.id.split('/')[1], 'Arn'] },
  });
});

describe('stalled', () => {
  const metricsOf = (env: string): string => JSON.stringify(measuring(env, 'stalled').Metrics);

  test('is behind with nothing committed, where the mapping has metrics', () => {
    expect(metricsOf('prod')).toContain('CommittedEventCount');
  });

  test.each([
    ['prod', ['PolledEventCount', 'InvokedEventCount']],
    ['dev', ['Invocations']],
  ])('in %s has work by what is tried too, for a group that has never committed has no lag', (env, names) => {
    expect(metricsOf(env)).toContain(
      'IF((FILL(behind, 0) > 0 OR FILL(tried, 0) > 0) AND FILL(done, 0) == 0, 1, 0)',
    );
    for (const name of names) expect(metricsOf(env)).toContain(`"${name}"`);
  });

  test('waits for longer than a retry, and for a figure that is late', () => {
    expect(measuring('prod', 'stalled')).toMatchObject({ DatapointsToAlarm: 3, EvaluationPeriods: 4 });
    for (const metric of measuring('prod', 'stalled').Metrics) {
      expect(metric.Period ?? metric.MetricStat?.Period ?? 300).toBe(300);
    }
  });

  test('is behind with no invocation that succeeded, where it has none', () => {
    expect(metricsOf('dev')).toContain('FILL(invocations, 0) - FILL(errors, 0)');
    expect(metricsOf('dev')).not.toContain('EventSourceMappingUUID');
  });
});

test('pollers that say nothing are an incident; on demand they never say anything', () => {
  expect(alarm('prod', 'silent-poller')).toMatchObject({
    MetricName: 'PolledEventCount',
    TreatMissingData: 'breaching',
    ComparisonOperator: 'LessThanThreshold',
  });
  expect(alarm('dev', 'silent-poller')).toBeUndefined();
});

test('a writer that says nothing is an incident, unless it may have paused', () => {
  expect(alarm('prod', 'no-writer', 'database')).toMatchObject({ TreatMissingData: 'breaching' });
  expect(alarm('dev', 'no-writer', 'database')).toBeUndefined();
});

test('the oldest dead letter is an incident days before SQS deletes it', () => {
  expect(alarm('prod', 'dead-letters-expiring')).toMatchObject({
    MetricName: 'ApproximateAgeOfOldestMessage',
    Threshold: 10 * 86_400,
  });
});

test('what is parked for a day is a warning, on a database that does not pause', () => {
  const parking = consumerWith({ onDeadLetter: 'park-key' });
  const found = (env: string) =>
    resourcesOf(templatesOf(env, { consumers: [parking] })).find(
      ({ Properties }) => Properties?.AlarmName === `millrace-${env}-editorial-analytics-parked-too-long`,
    )?.Properties;
  expect(found('prod')).toMatchObject({
    MetricName: 'ParkedOldestAge',
    Threshold: 86_400_000,
    Statistic: 'Maximum',
  });
  expect(found('dev')).toBeUndefined();
  expect(found('prod')).toMatchObject({ TreatMissingData: 'ignore' });
  // What it parked before it stopped parking still waits.
  expect(alarm('prod', 'parked-too-long')).toMatchObject({ TreatMissingData: 'notBreaching' });
});

test('an invocation near its timeout is a warning', () => {
  expect(alarm('prod', 'duration')).toMatchObject({ Threshold: 48_000, Statistic: 'Maximum' });
});

describe('the cluster', () => {
  const kindsOf = (env: string) =>
    alarmsOf(env)
      .map(nameOf)
      .filter((name) => name.includes('-cluster-'))
      .map((name) => name.replace(`millrace-${env}-cluster-`, ''))
      .toSorted();

  test('of standard brokers has the alarms that MSK recommends', () => {
    expect(kindsOf('dev')).toEqual([
      'broker-cpu',
      'broker-credits',
      'broker-disk',
      'broker-heap',
      'no-controller',
      'offline-partitions',
      'under-replicated',
    ]);
  });

  test('of standard brokers that do not live on credits has no alarm for them', () => {
    const brokers = { type: 'standard', instanceType: 'kafka.m7g.large', storageGiB: 50 } as const;
    const names = resourcesOf(templatesOf('dev', { settings: { brokers } })).map(
      ({ Properties }) => Properties?.AlarmName,
    );
    expect(names).toContain('millrace-dev-cluster-broker-heap');
    expect(names).not.toContain('millrace-dev-cluster-broker-credits');
  });

  test('pays for metrics only where an alarm uses them', () => {
    for (const env of ENVIRONMENT_NAMES)
      expect(newsdesk.environments[env]).toMatchObject({ monitoring: 'DEFAULT' });
  });

  test.each([
    ['dev', 'standard', 'under-min-isr'],
    ['prod', 'express', 'broker-throttled'],
  ])('in %s, of %s brokers with metrics by broker, has those that take them', (env, _, kind) => {
    const resources = resourcesOf(templatesOf(env, { settings: { monitoring: 'PER_BROKER' } }));
    const names = resources.map(({ Properties }) => Properties?.AlarmName);
    expect(names).toContain(`millrace-${env}-cluster-${kind}`);
    expect(names).toContain(`millrace-${env}-cluster-broker-connections`);
  });

  test('of express brokers has those that they have metrics for', () => {
    expect(kindsOf('prod')).toEqual(['broker-cpu', 'no-controller', 'storage-growing']);
  });
});

describe('the policy', () => {
  const STATISTIC: Readonly<Record<string, string>> = { Maximum: 'max', Sum: 'sum' };
  const COMPARISON: Readonly<Record<string, string>> = {
    GreaterThanThreshold: '>',
    GreaterThanOrEqualToThreshold: '>=',
    LessThanThreshold: '<',
    GreaterThanUpperThreshold: '> expected',
  };
  interface Stat {
    readonly Namespace: string;
    readonly MetricName: string;
    readonly Statistic: string;
    readonly ExtendedStatistic?: string;
    readonly Period: number;
  }

  /** What an alarm looks at, when it goes off, and what silence means, as a row of the table below. */
  const rowOf = (properties: Resource['Properties']): readonly string[] => {
    const { Metrics = [], Threshold, ComparisonOperator, DatapointsToAlarm, EvaluationPeriods } = properties;
    const stats: Stat[] = properties.MetricName
      ? [properties]
      : Metrics.flatMap(
          ({ MetricStat: stat }: { MetricStat?: { Metric: Stat; Stat: string; Period: number } }) =>
            stat ? [{ ...stat.Metric, Statistic: stat.Stat, Period: stat.Period }] : [],
        );
    const metrics = stats.map(
      ({ Namespace, MetricName, Statistic, ExtendedStatistic }) =>
        `${Namespace} ${MetricName} ${ExtendedStatistic ?? STATISTIC[Statistic]}`,
    );
    const expressions = Metrics.flatMap(({ Expression }: { Expression?: string }) => Expression ?? []);
    const [period, ...others] = new Set(stats.map(({ Period }) => Period));
    expect(others).toEqual([]);
    return [
      [...new Set([...expressions, ...metrics])].join('; '),
      [COMPARISON[ComparisonOperator], Threshold].filter((part) => part !== undefined).join(' '),
      `${DatapointsToAlarm} of ${EvaluationPeriods} × ${period} s`,
      properties.TreatMissingData,
    ];
  };

  const standard = resourcesOf(templatesOf('dev', { settings: { monitoring: 'PER_BROKER' } }));
  const rowsOf = (resources: readonly Resource[]) =>
    Object.fromEntries(
      resources
        .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
        .map((each) => {
          const [, kind] = /^Runbook: .*\/(.+)\.md$/m.exec(textOf(each))!;
          return [kind!, rowOf(each.Properties)];
        }),
    );
  const inProd = rowsOf(byEnvironment.prod!);
  const inDev = rowsOf(standard);

  const ALL: Readonly<Record<string, readonly string[]>> = {
    'lag-incident': ['AWS/Kafka SumOffsetLag max', '>= 100000', '3 of 5 × 60 s', 'ignore'],
    'lag-warning': ['AWS/Kafka SumOffsetLag max', '>= 10000', '3 of 5 × 60 s', 'ignore'],
    'lag-rising': [
      'IF(RATE(behind) > 0, drain, 0); AWS/Kafka SumOffsetLag max; AWS/Kafka EstimatedMaxTimeLag max',
      '> 300',
      '10 of 15 × 60 s',
      'ignore',
    ],
    'unread-deleted': ['Millrace Lost max', '> 0', '1 of 1 × 60 s', 'ignore'],
    'at-risk': ['IF(verdict == 9, 1, 0); Millrace Verdict max', '>= 1', '3 of 5 × 60 s', 'ignore'],
    'lag-unknown': ['IF(verdict == 2, 1, 0); Millrace Verdict max', '>= 1', '15 of 15 × 60 s', 'breaching'],
    'operator-silent': ['Millrace Sampled sum', '< 1', '3 of 3 × 300 s', 'breaching'],
    'records-passed-over': ['Millrace Holes sum', '> 0', '1 of 1 × 60 s', 'notBreaching'],
    'consumer-broken': ['Millrace Broken sum', '> 0', '1 of 1 × 60 s', 'notBreaching'],
    'redrive-failing': ['Millrace RedriveFailedAgain sum', '> 0', '1 of 1 × 60 s', 'notBreaching'],
    'redrive-refused': ['Millrace RedriveRefused sum', '> 0', '1 of 1 × 60 s', 'notBreaching'],
    'dead-letters': ['AWS/SQS ApproximateNumberOfMessagesVisible max', '> 0', '1 of 1 × 300 s', 'ignore'],
    'dead-letters-rising': [
      'DIFF(depth); AWS/SQS ApproximateNumberOfMessagesVisible max',
      '> 0',
      '3 of 3 × 300 s',
      'ignore',
    ],
    'dead-letters-expiring': [
      'AWS/SQS ApproximateAgeOfOldestMessage max',
      '> 864000',
      '1 of 1 × 300 s',
      'ignore',
    ],
    errors: ['AWS/Lambda Errors sum', '> 0', '3 of 5 × 60 s', 'notBreaching'],
    throttles: ['AWS/Lambda Throttles sum', '> 0', '3 of 5 × 60 s', 'notBreaching'],
    duration: ['AWS/Lambda Duration max', '> 48000', '3 of 5 × 60 s', 'notBreaching'],
    'collector-failing': [
      'IF(requests > 0, 100 * FILL(failures, 0) / requests, 0); AWS/ApiGateway Count sum; AWS/ApiGateway 5XXError sum',
      '> 5',
      '3 of 5 × 60 s',
      'notBreaching',
    ],
    'collector-errors': [
      'FILL(errors, 0) + FILL(throttles, 0); AWS/Lambda Errors sum; AWS/Lambda Throttles sum',
      '> 0',
      '3 of 5 × 60 s',
      'notBreaching',
    ],
    'collector-slow': ['AWS/ApiGateway Latency p99', '> 3000', '10 of 15 × 60 s', 'notBreaching'],
    'broker-cpu': [
      'MAX([user1 + system1, user2 + system2, user3 + system3]); AWS/Kafka CpuUser max; AWS/Kafka CpuSystem max',
      '> 60',
      '10 of 15 × 60 s',
      'ignore',
    ],
    'no-controller': ['AWS/Kafka ActiveControllerCount max', '< 1', '5 of 5 × 60 s', 'ignore'],
    capacity: ['AWS/RDS ACUUtilization max', '> 90', '15 of 15 × 60 s', 'notBreaching'],
    deadlocks: ['AWS/RDS Deadlocks max', '> 0', '3 of 3 × 300 s', 'notBreaching'],
    'transaction-ids': ['AWS/RDS MaximumUsedTransactionIDs max', '> 1000000000', '3 of 3 × 300 s', 'ignore'],
  };

  const throttled = (env: string) => [
    `Millrace millrace-${env}-collector-throttled sum`,
    '> 0',
    '3 of 5 × 60 s',
    'notBreaching',
  ];

  test('of provisioned pollers, Express brokers and a database that never pauses', () => {
    expect(inProd).toEqual({
      ...ALL,
      'collector-throttled': throttled('prod'),
      stalled: [
        'IF((FILL(behind, 0) > 0 OR FILL(tried, 0) > 0) AND FILL(done, 0) == 0, 1, 0); FILL(polled, 0) + FILL(invoked, 0); ' +
          'AWS/Kafka SumOffsetLag max; AWS/Lambda PolledEventCount sum; AWS/Lambda InvokedEventCount sum; ' +
          'AWS/Lambda CommittedEventCount sum',
        '>= 1',
        '3 of 4 × 300 s',
        'ignore',
      ],
      'parked-too-long': ['Millrace ParkedOldestAge max', '>= 86400000', '1 of 1 × 300 s', 'notBreaching'],
      'silent-poller': ['AWS/Lambda PolledEventCount sum', '< 0', '3 of 3 × 300 s', 'breaching'],
      'give-up-failed': [
        'AWS/Lambda OnFailureDestinationDeliveryErrorCount sum',
        '> 0',
        '1 of 1 × 300 s',
        'notBreaching',
      ],
      'storage-growing': [
        'ANOMALY_DETECTION_BAND(m0, 2); AWS/Kafka StorageUsed max',
        '> expected',
        '12 of 12 × 300 s',
        'notBreaching',
      ],
      'no-writer': ['AWS/RDS DatabaseConnections sum', '< 0', '5 of 5 × 60 s', 'breaching'],
    });
  });

  test('of pollers on demand, standard brokers and a database that pauses', () => {
    expect(inDev).toEqual({
      ...ALL,
      'collector-throttled': throttled('dev'),
      stalled: [
        'IF((FILL(behind, 0) > 0 OR FILL(tried, 0) > 0) AND FILL(done, 0) == 0, 1, 0); ' +
          'FILL(invocations, 0) - FILL(errors, 0); AWS/Kafka SumOffsetLag max; AWS/Lambda Invocations sum; ' +
          'AWS/Lambda Errors sum',
        '>= 1',
        '3 of 4 × 300 s',
        'ignore',
      ],
      'broker-disk': [
        'MAX([disk1, disk2, disk3]); AWS/Kafka KafkaDataLogsDiskUsed max',
        '>= 85',
        '3 of 5 × 60 s',
        'ignore',
      ],
      'broker-heap': [
        'MAX([heap1, heap2, heap3]); AWS/Kafka HeapMemoryAfterGC max',
        '> 60',
        '10 of 15 × 60 s',
        'ignore',
      ],
      'broker-credits': [
        'MIN([credits1, credits2, credits3]); AWS/Kafka CPUCreditBalance max',
        '< 100',
        '15 of 15 × 60 s',
        'ignore',
      ],
      'offline-partitions': ['AWS/Kafka OfflinePartitionsCount max', '> 0', '3 of 5 × 60 s', 'ignore'],
      'under-replicated': [
        'MAX([partitions1, partitions2, partitions3]); AWS/Kafka UnderReplicatedPartitions max',
        '> 0',
        '15 of 15 × 60 s',
        'ignore',
      ],
      'broker-connections': [
        'MAX([FILL(refused1, 0), FILL(refused2, 0), FILL(refused3, 0)]); AWS/Kafka IAMTooManyConnections max',
        '> 0',
        '3 of 5 × 60 s',
        'notBreaching',
      ],
      'under-min-isr': [
        'MAX([partitions1, partitions2, partitions3]); AWS/Kafka UnderMinIsrPartitionCount max',
        '>= 1',
        '3 of 5 × 60 s',
        'ignore',
      ],
    });
  });

  test('of dead letters in Kafka, whose number nobody measures', () => {
    expect(rowsOf(resourcesOf(templatesOf('prod', DEAD_LETTERS_IN_KAFKA)))).toMatchObject({
      'dead-letters': [
        'FILL(added, 0) + FILL(depth, 0); Millrace DeadLettered sum; AWS/SQS ApproximateNumberOfMessagesVisible max',
        '> 0',
        '1 of 1 × 300 s',
        'ignore',
      ],
      'dead-letters-rising': ['Millrace DeadLettered sum', '> 0', '3 of 3 × 300 s', 'notBreaching'],
    });
  });
});
