import { describe, expect, test } from '@jest/globals';
import { createDeployedLag } from '../../../runtime/doctor/deployed-lag.ts';
import type {
  DeploymentReader,
  ErrorCount,
  MappingFacts,
  MetricPoint,
} from '../../../runtime/doctor/reader.ts';
import { resolveEnvironment } from '../../../runtime/environment.ts';
import { createLagWatch } from '../../../runtime/lag/watch.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';

const NOW = 1_764_000_000_000;
const MINUTE = 60_000;
const consumer = newsdesk.consumers.find(({ name }) => name === 'editorial-analytics')!;

const mapping = (changes: Partial<MappingFacts> = {}): MappingFacts => ({
  id: 'an-id',
  eventSourceArn: 'arn:aws:kafka:eu-west-1:1:cluster/x/y',
  topics: [consumer.topic.name],
  group: consumer.name,
  state: 'Enabled',
  stateReason: null,
  lastResult: 'OK',
  batchSize: null,
  windowSeconds: null,
  minimumPollers: null,
  maximumPollers: null,
  pollerGroup: null,
  retries: null,
  bisects: false,
  reportsItems: false,
  ...changes,
});

/** A value a minute, the newest of the minute before. */
const series = (values: readonly number[], lateMs = 0): MetricPoint[] =>
  values.map((value, index) => ({ at: NOW - lateMs - (values.length - index) * MINUTE, value }));
const flat = (value: number, minutes = 20) => series(Array.from({ length: minutes }, () => value));

interface Account {
  readonly metrics?: Readonly<Record<string, readonly MetricPoint[]>>;
  readonly mappings?: readonly MappingFacts[];
  readonly paused?: string | null;
  readonly errors?: readonly ErrorCount[];
  readonly reader?: Partial<DeploymentReader>;
  readonly settings?: object;
}

async function status(account: Account) {
  const { metrics = {}, mappings = [mapping()], paused = 'false', errors = [], settings = {} } = account;
  const environments = { prod: { ...newsdesk.environments.prod!, ...settings } };
  const source = createDeployedLag({
    environment: resolveEnvironment({ environments, root: '/' }, { env: 'prod' }),
    consumers: [consumer],
    clock: { now: () => NOW },
    reader: {
      mappings: async () => mappings,
      function: async () => ({ logGroup: 'logs' }) as never,
      queue: async () => ({ messages: 3 }) as never,
      recentErrors: async () => errors,
      parameter: async () => (paused === null ? null : { value: paused, changedAt: NOW - 5 * MINUTE }),
      metrics: async (queries) => queries.map(({ name }) => metrics[name] ?? []),
      ...account.reader,
    },
  });
  const watched = {
    consumer: consumer.name,
    group: consumer.name,
    topic: consumer.topic.name,
    ...consumer.lag,
    windowMs: consumer.batch.windowMs,
    startingPosition: consumer.startingPosition,
  };
  const watch = createLagWatch({ source, clock: { now: () => NOW }, consumers: () => [watched] });
  return (await watch.look())[0]!;
}

const BUSY = { CommittedEventCount: flat(100) };

test('a consumer that keeps up is well, with its letters and its age', async () => {
  expect(await status({ metrics: { Lag: flat(0), Age: flat(0), Lost: flat(0), ...BUSY } })).toMatchObject({
    verdict: expect.stringMatching(/^(OK|IDLE)$/),
    lag: 0,
    ageMs: 0,
    deadLetters: 3,
    isPaused: false,
  });
});

test('what is parked is as the operator function has counted it lately, and unknown where it does not', async () => {
  const metrics = { Lag: flat(0), Age: flat(0), Lost: flat(0), ...BUSY };
  const parked = { ParkedKeys: flat(2), ParkedRecords: flat(40), ParkedOldestAge: flat(600_000) };
  const counted = await status({ metrics: { ...metrics, ...parked } });
  expect(counted.parked).toEqual({ keys: 2, records: 40, oldestAgeMs: expect.any(Number) });
  expect(counted.evidence.join()).toMatch(
    /40 records of 2 keys are parked behind dead letters, the oldest for/,
  );
  expect((await status({ metrics })).parked).toBeNull();
});

test('the samples of the last half hour tell at the first look which way it goes', async () => {
  const rising = Array.from({ length: 6 }, (_, minute) => 20_000 + minute * 10_000);
  const { verdict, lag, ageMs } = await status({
    metrics: { Lag: series(rising), Age: flat(90_000), ...BUSY },
  });
  expect({ verdict, lag, ageMs }).toEqual({ verdict: 'RISING', lag: 70_000, ageMs: 90_000 });
  expect(await status({ metrics: { Lag: series(rising.toReversed()), ...BUSY } })).toMatchObject({
    verdict: 'RECOVERING',
  });
});

test('what retention took is lost, without a partition to blame', async () => {
  const found = await status({ metrics: { Lag: flat(10), Lost: series([0, 0, 40]), ...BUSY } });
  expect(found).toMatchObject({ verdict: 'LOST', lost: 40 });
  expect(found.evidence[0]).toMatch(/^retention deleted 40 unread offsets/);
});

describe('without data it is UNKNOWN, with the reason, and never 0', () => {
  test.each<[string, Account, string]>([
    [
      'nothing at all',
      {},
      'The operator function has written nothing about editorial-analytics in the last 30 minutes.',
    ],
    [
      'old data',
      { metrics: { Lag: series([7], 10 * MINUTE) } },
      'The operator function wrote its lag last at',
    ],
    [
      'no operator function',
      { settings: { operator: false } },
      'The environment has no operator function, which would know.',
    ],
    [
      'no permission',
      { reader: { metrics: () => Promise.reject(new Error('AccessDenied: cloudwatch:GetMetricData')) } },
      'AccessDenied: cloudwatch:GetMetricData',
    ],
  ])('%s', async (_, account, reason) => {
    const { verdict, lag, ageMs, headroomMs, lost, evidence } = await status(account);
    expect({ verdict, lag, ageMs, headroomMs, lost }).toEqual({
      verdict: 'UNKNOWN',
      lag: null,
      ageMs: null,
      headroomMs: null,
      lost: null,
    });
    expect(evidence.join(' ')).toContain(reason);
  });

  test('MSK’s own lag counts where nobody else has written one, and leaves the age unknown', async () => {
    const found = await status({
      metrics: { SumOffsetLag: flat(500), ...BUSY },
      settings: { operator: false },
    });
    expect(found).toMatchObject({ lag: 500, ageMs: null });
    expect(found.verdict).not.toBe('UNKNOWN');
  });
});

describe('a consumer with work that nobody does is STALLED, and the cause is named', () => {
  const behind = { Lag: flat(5_000), Age: flat(600_000) };
  test.each<[string, Account, string]>([
    ['paused', { paused: 'true', mappings: [mapping({ state: 'Disabled' })] }, 'paused by an operator since'],
    [
      'disabled by hand',
      { mappings: [mapping({ state: 'Disabled' })] },
      'the event source mapping is Disabled',
    ],
    ['without a mapping', { mappings: [] }, 'no event source mapping polls news.pageviews'],
    [
      'off',
      { settings: { consumers: { [consumer.name]: { enabled: false } } } },
      'prod turns it off in millrace.config.ts',
    ],
    [
      'failing',
      {
        errors: [{ code: 'SINK_UNAVAILABLE', count: 31, firstAt: NOW - 20 * MINUTE, lastAt: NOW - MINUTE }],
      },
      'held by SINK_UNAVAILABLE since',
    ],
    [
      'throttled',
      { metrics: { ...behind, Throttles: flat(4) } },
      'Lambda refused 20 invocations in five minutes',
    ],
  ])('%s', async (_, account, cause) => {
    const found = await status({ metrics: behind, ...account });
    expect(found.verdict).toBe('STALLED');
    expect(found.evidence.join(' ')).toContain(cause);
  });

  test('errors of a consumer that settles batches hold nothing', async () => {
    const errors = [{ code: 'HANDLER_FAILED', count: 9, firstAt: NOW - 20 * MINUTE, lastAt: NOW - MINUTE }];
    const found = await status({ metrics: { ...behind, ...BUSY }, errors });
    expect(found.verdict).not.toBe('STALLED');
    expect(found.heldBy).toBeNull();
  });

  test('a mapping that cannot be seen is nobody’s fault', async () => {
    const reader = { mappings: () => Promise.reject(new Error('late')) };
    const found = await status({ metrics: { ...behind, ...BUSY }, reader });
    expect(found.verdict).not.toBe('STALLED');
    expect(found.evidence.join(' ')).toContain('an event source mapping that cannot be seen: late');
  });
});

describe('broken code', () => {
  const failing = 'TypeError in settleOrders (orders/consumer.ts:29)';
  const errors = [{ code: 'CONSUMER_BROKEN', count: 4, firstAt: NOW - MINUTE, lastAt: NOW, failing }];

  test('blocks as soon as its metric says so, also while other partitions go on', async () => {
    const found = await status({
      metrics: { Lag: flat(50), Broken: series([0, 0, 40]), ...BUSY },
      errors,
    });
    expect(found).toMatchObject({ verdict: 'BLOCKED', heldBy: 'CONSUMER_BROKEN' });
    expect(found.evidence[0]).toContain(failing);
  });

  test('blocks also where nobody may read the log', async () => {
    const reader = { recentErrors: () => Promise.reject(new Error('AccessDenied')) };
    const metrics = { Lag: flat(50), Broken: series([40, 40]), ...BUSY };
    expect(await status({ metrics, reader })).toMatchObject({
      verdict: 'BLOCKED',
      heldBy: 'CONSUMER_BROKEN',
    });
  });

  test.each([
    ['the last batch holds nothing', series([40, 40, 0])],
    ['nothing was reported for long', series([40], 10 * MINUTE)],
  ])('blocks no longer where %s', async (_, broken) => {
    const found = await status({ metrics: { Lag: flat(50), Broken: broken, ...BUSY }, errors });
    expect(found.verdict).not.toBe('BLOCKED');
    expect(found.heldBy).toBeNull();
  });
});
