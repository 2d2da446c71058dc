/** The whole examination, over an account that answers as AWS's APIs do. */
import { describe, expect, test } from '@jest/globals';
import type { AwsCalls } from '../../../adapters/aws/aws-calls.ts';
import { createDeploymentReader, whoIsAsking } from '../../../adapters/aws/deployment-reader.ts';
import { examineBefore, examineDeployment, tally } from '../../../runtime/doctor/examine.ts';
import type { Line } from '../../../runtime/doctor/line.ts';
import { type EnvironmentSettings, resolveEnvironment } from '../../../runtime/environment.ts';
import { awsError, fakeAccount, payload } from '../../adapters/aws/fake-account.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../../newsdesk.ts';
import { codeOf } from '../../rejection.ts';

const app = newsdesk;
const clock = { now: () => Date.parse('2026-11-26T12:00:00Z') };

function environmentOf(env: string, settings: Partial<EnvironmentSettings> = {}) {
  const environments = { [env]: { ...app.environments[env]!, ...settings } };
  return resolveEnvironment({ environments, root: NEWSDESK }, { env });
}

interface Case {
  readonly env?: string;
  readonly settings?: Partial<EnvironmentSettings>;
  /** What the account answers otherwise. */
  readonly answers?: (healthy: AwsCalls) => Partial<AwsCalls>;
  readonly before?: boolean;
  readonly probes?: boolean;
}

async function examined({
  env = 'dev',
  settings = { alarmActions: true },
  answers,
  before,
  probes = false,
}: Case = {}) {
  const environment = environmentOf(env, settings);
  const healthy = fakeAccount(app, environment);
  const calls = { ...healthy, ...answers?.(healthy) };
  const asked: string[] = [];
  const examination = {
    app,
    environment,
    reader: createDeploymentReader(calls, clock),
    onProgress: (what: string) => asked.push(what),
    probes,
  };
  const lines = await (before ? examineBefore : examineDeployment)(examination);
  expect(asked.length).toBeGreaterThan(0);
  return lines;
}

const failing = (lines: readonly Line[]) => lines.filter(({ verdict }) => verdict === 'fail');
const about = (lines: readonly Line[], check: string) => lines.filter((line) => line.check === check);

/** A network and a cluster of others. */
const THEIRS: Partial<EnvironmentSettings> = {
  network: {
    type: 'existing',
    vpcId: 'vpc-0123456789abcdef0',
    subnetIds: {
      brokers: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      functions: ['subnet-0123456789abcdef2', 'subnet-0123456789abcdef3'],
      databases: ['subnet-0123456789abcdef4', 'subnet-0123456789abcdef5'],
    },
  },
  brokers: {
    type: 'existing',
    clusterArn: 'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/1f2e3d4c-5b6a-4789-8abc-def012345678-1',
    securityGroupId: 'sg-0123456789abcdef0',
  },
};

describe.each<[string, Partial<EnvironmentSettings>]>([
  ['dev', {}],
  ['dev', { alarmActions: true }],
  ['staging', {}],
  ['staging', { probe: true }],
  ['prod', {}],
  ['prod', THEIRS],
  ['prod', { ...THEIRS, existingTopics: ['news.pageviews'] }],
  ['prod', { consumers: { 'editorial-analytics': { enabled: false, polling: { maximumPollers: 3 } } } }],
])('a healthy %s, %j', (env, settings) => {
  test('passes every line, deployed and before', async () => {
    for (const before of [false, true]) {
      const lines = await examined({ env, settings, before });
      expect(lines.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
      expect(tally(lines)).toEqual({ failed: 0, unknown: 0, passed: lines.length });
    }
  });
});

test('every kind of thing that is deployed has a line', async () => {
  const lines = await examined();
  expect([...new Set(lines.map(({ check }) => check))].sort()).toEqual(
    [
      'alarm',
      'cluster',
      'concurrency',
      'drift',
      'function',
      'last-result',
      'mapping',
      'mapping-settings',
      'network',
      'pause',
      'pollers',
      'queue',
      'recent-errors',
      'schema',
      'stack',
      'subscriber',
      'topic',
      'topic-settings',
    ].sort(),
  );
});

const FAULTS: Readonly<
  Record<string, { answers: NonNullable<Case['answers']>; line: Partial<Line>; fix: RegExp }>
> = {
  'a mapping that is disabled': {
    answers: ({ listEventSourceMappings }) => ({
      async listEventSourceMappings(input) {
        const { EventSourceMappings = [] } = await listEventSourceMappings(input);
        return {
          EventSourceMappings: EventSourceMappings.map((mapping) =>
            mapping.Topics ? { ...mapping, State: 'Disabled' } : mapping,
          ),
        };
      },
    }),
    line: {
      check: 'mapping',
      subject: 'editorial-analytics',
      evidence: 'news.pageviews: State is Disabled (USER_INITIATED).',
    },
    fix: /^npx millrace resume editorial-analytics --env dev$/,
  },
  'a topic with too few partitions': {
    answers: ({ describeTopic }) => ({
      describeTopic: async (input) => ({ ...(await describeTopic(input)), PartitionCount: 3 }),
    }),
    line: {
      check: 'topic',
      subject: 'news.pageviews',
      evidence: 'It has 3 partitions, and its contract says 12.',
    },
    fix: /^aws kafka update-topic --cluster-arn arn:aws:kafka:\S+ --topic-name news.pageviews --partition-count 12$/,
  },
  'a queue without a redrive policy': {
    answers: ({ getQueueAttributes }) => ({
      async getQueueAttributes(input) {
        const { Attributes: { RedrivePolicy: _, ...Attributes } = {} } = await getQueueAttributes(input);
        return { Attributes };
      },
    }),
    line: {
      check: 'queue',
      subject: 'millrace-dev-editorial-analytics-redrive',
      evidence: 'It has no RedrivePolicy.',
    },
    fix: /^aws sqs set-queue-attributes --queue-url \S+-redrive --attributes '\{"RedrivePolicy":"\{.*-dead-letters.*\}"\}'$/,
  },
  'a schema version that is missing': {
    answers: ({ getSchemaByDefinition }) => ({
      async getSchemaByDefinition(input) {
        const isSecond = input.SchemaDefinition?.includes('"TV"');
        if (isSecond) throw awsError('EntityNotFoundException');
        return getSchemaByDefinition(input);
      },
    }),
    line: {
      check: 'schema',
      subject: 'news.pageviews',
      evidence: "Glue's registry millrace-dev does not know v2.",
    },
    fix: /^npx cdk deploy -c env=dev millrace-dev-contracts --revert-drift$/,
  },
  'an alarm without a subscriber': {
    answers: () => ({ listSubscriptionsByTopic: async () => ({ Subscriptions: [] }) }),
    line: { check: 'subscriber', subject: 'millrace-dev-incident', evidence: 'Nobody hears of its alarms.' },
    fix: /^aws sns subscribe --topic-arn arn:aws:sns:eu-west-1:123456789012:millrace-dev-incident --protocol email /,
  },
};

test.each(Object.entries(FAULTS))(
  '%s fails with its fix, and nothing else does',
  async (_, { answers, line, fix }) => {
    const failed = failing(await examined({ answers }));
    expect(failed).toEqual([{ ...line, verdict: 'fail', fix: expect.stringMatching(fix) }]);
  },
);

test('all five faults at once are five failures', async () => {
  const answers = (healthy: AwsCalls) => {
    let calls = healthy;
    for (const fault of Object.values(FAULTS)) calls = { ...calls, ...fault.answers(calls) };
    return calls;
  };
  const failed = failing(await examined({ answers }));
  expect(failed.map(({ check }) => check).sort()).toEqual([
    'mapping',
    'queue',
    'schema',
    'subscriber',
    'topic',
  ]);
});

describe('what could not be seen', () => {
  const operations = Object.keys(fakeAccount(app, environmentOf('dev'))).filter(
    (name) => !['region', 'getCallerIdentity', 'invoke'].includes(name),
  ) as (keyof AwsCalls)[];

  test.each(operations)('without %s, no line passes that rests on it, and none fails', async (operation) => {
    const denied = {
      [operation]: async () => Promise.reject(awsError('AccessDeniedException', 'not allowed')),
    };
    for (const before of [false, true]) {
      const seen = await examined({ before });
      const lines = await examined({ before, answers: () => denied });
      expect(failing(lines)).toEqual([]);
      const lost = lines.filter(({ verdict }) => verdict === 'unknown');
      const passed = new Set(
        lines.filter(({ verdict }) => verdict === 'pass').map((line) => JSON.stringify(line)),
      );
      // Whatever still passes, passed before with the same evidence.
      for (const line of passed) expect(seen.map((each) => JSON.stringify(each))).toContain(line);
      if (lost.length > 0) expect(lost.map(({ fix }) => fix)).not.toContain(null);
    }
  });

  test('with nothing allowed, everything cannot tell but what needs no look', async () => {
    const denied = Object.fromEntries(
      operations.map((name) => [name, async () => Promise.reject(awsError('AccessDeniedException'))]),
    );
    const lines = await examined({ answers: () => denied });
    expect(lines.filter(({ verdict }) => verdict === 'pass').map(({ check }) => check)).toEqual(['pollers']);
    expect(failing(lines)).toEqual([]);
    expect(lines[0]).toEqual({
      check: 'stack',
      subject: 'millrace-dev-operations',
      verdict: 'unknown',
      evidence: 'AccessDeniedException: AccessDeniedException says so',
      fix: 'Allow this call for your credentials (docs/doctor.md lists the calls), and run this again.',
    });
  });

  test('a timeout says so, and asks for another try', async () => {
    const answers = () => ({
      getAccountSettings: async () => Promise.reject(awsError('TimeoutError', 'too\n late')),
    });
    expect(about(await examined({ answers }), 'concurrency')).toEqual([
      expect.objectContaining({
        verdict: 'unknown',
        evidence: 'TimeoutError: too late',
        fix: 'Run this again. If it stays, ask the same with the AWS CLI.',
      }),
    ]);
  });
});

describe('a probe', () => {
  const probed = async (of: Case) => about(await examined({ probes: true, ...of }), 'probe');
  const settings = { probe: true };

  test('is what the operator function says of it', async () => {
    expect(
      (await probed({ settings })).map(({ subject, verdict, evidence }) => [subject, verdict, evidence]),
    ).toEqual([
      ['published', 'pass', 'millrace.probe-0 at 7, after 120 ms.'],
      ['ledger', 'pass', 'Settled after 900 ms.'],
      ['sink', 'pass', 'Applied after 900 ms.'],
    ]);
  });

  test('that the function could not send fails with its reason', async () => {
    const throwing = (errorType: string) => () => ({
      invoke: async () => ({
        StatusCode: 200,
        FunctionError: 'Unhandled',
        Payload: payload({ errorType, errorMessage: 'No broker answered.' }),
      }),
    });
    expect((await probed({ settings, answers: throwing('MillraceError') }))[0]).toMatchObject({
      verdict: 'fail',
      evidence: 'No broker answered.',
    });
    // What is missing for the function is not the function.
    expect((await probed({ settings, answers: throwing('NotFoundException') }))[0]).toMatchObject({
      verdict: 'fail',
      evidence: 'NotFoundException: No broker answered.',
    });
  });

  test('that nobody may send cannot tell', async () => {
    const answers = () => ({ invoke: async () => Promise.reject(awsError('AccessDeniedException')) });
    const lines = await probed({ settings, answers });
    expect(lines.map(({ verdict }) => verdict)).toEqual(['unknown', 'unknown', 'unknown']);
    expect(lines[0]!.fix).toMatch(/^Allow this call/);
  });

  test('takes an operator function', async () => {
    const answers = () => ({ invoke: async () => Promise.reject(awsError('ResourceNotFoundException')) });
    expect(await probed({ settings, answers })).toMatchObject([
      { verdict: 'fail', fix: 'npx cdk deploy -c env=dev millrace-dev-operator' },
    ]);
    expect(await probed({})).toMatchObject([
      { verdict: 'unknown', fix: expect.stringContaining('probe: true for dev') },
    ]);
  });

  test('is not sent unless it is asked for', async () => {
    expect(about(await examined({ settings }), 'probe')).toEqual([]);
  });
});

describe('an environment that is not there', () => {
  const nothing = async () => Promise.reject(awsError('ValidationError', 'Stack with id x does not exist'));

  test('is one line, which leads to --before and the first deployment', async () => {
    const lines = await examined({ answers: () => ({ describeStacks: nothing }) });
    expect(lines).toEqual([
      {
        check: 'stack',
        subject: 'millrace-dev-*',
        verdict: 'fail',
        evidence: 'Nothing of dev is deployed in this account and region.',
        fix: 'npx millrace doctor --env dev --before && npx cdk deploy -c env=dev --all',
      },
    ]);
  });

  test('in part, names the deployment, and not a drift', async () => {
    const lines = await examined({
      answers: ({ describeStacks }) => ({
        describeStacks: (input) =>
          input.StackName?.includes('-consumer-') ? nothing() : describeStacks(input),
        getFunctionConfiguration: async () => Promise.reject(awsError('ResourceNotFoundException')),
        listEventSourceMappings: async () => Promise.reject(awsError('ResourceNotFoundException')),
      }),
    });
    const deploy = 'npx cdk deploy -c env=dev millrace-dev-consumer-editorial-analytics';
    expect(about(lines, 'stack').filter(({ verdict }) => verdict === 'fail')).toEqual([
      expect.objectContaining({ fix: deploy }),
    ]);
    expect(about(lines, 'mapping').map(({ fix }) => fix)).toEqual([deploy, deploy]);
    expect(about(lines, 'function')[0]).toMatchObject({
      subject: 'millrace-dev-migrations',
      fix: 'npx cdk deploy -c env=dev millrace-dev-migrations --revert-drift',
    });
    expect(about(lines, 'network')).toEqual([expect.objectContaining({ verdict: 'unknown' })]);
  });
});

describe('pages of answers', () => {
  test('are read to the end, for alarms, resources and clusters', async () => {
    const twice =
      <Input extends { NextToken?: string | undefined }, Output extends object>(
        call: (input: Input) => Promise<Output>,
        first: Partial<Output>,
      ) =>
      async (input: Input) =>
        input.NextToken ? call(input) : ({ ...first, NextToken: 'more' } as never);
    const lines = await examined({
      answers: (healthy) => ({
        describeAlarms: twice(healthy.describeAlarms, { MetricAlarms: [] }),
        listStackResources: twice(healthy.listStackResources, { StackResourceSummaries: [] }),
        listClustersV2: twice(healthy.listClustersV2, { ClusterInfoList: [] }),
        describeVpcEndpoints: twice(healthy.describeVpcEndpoints, { VpcEndpoints: [] }),
        listSubscriptionsByTopic: twice(healthy.listSubscriptionsByTopic, { Subscriptions: [] }),
      }),
    });
    expect(lines.filter(({ verdict }) => verdict !== 'pass')).toEqual([]);
  });
});

test("errors of the last hour are counted by their code, and Lambda's own have none", async () => {
  const asked: unknown[] = [];
  const event = (message: unknown) => ({ message: JSON.stringify(message) });
  const lines = await examined({
    answers: () => ({
      async filterLogEvents(input) {
        asked.push(input);
        return input.nextToken
          ? { events: [event({ level: 'ERROR', error: { code: 'SINK_UNAVAILABLE' } })] }
          : {
              events: [
                event({ level: 'ERROR', code: 'HANDLER_FAILED' }),
                event({ level: 'ERROR', error: { code: 'SINK_UNAVAILABLE' } }),
                { message: 'not JSON' },
              ],
              nextToken: 'more',
            };
      },
    }),
  });
  expect(about(lines, 'recent-errors')[0]).toEqual({
    check: 'recent-errors',
    subject: 'millrace-dev-migrations',
    verdict: 'fail',
    evidence: 'In the last hour: SINK_UNAVAILABLE 2, HANDLER_FAILED 1, without a code 1.',
    fix: expect.stringContaining('docs/errors.md'),
  });
  expect(asked[0]).toEqual({
    logGroupName: 'millrace-dev-migrations-logs',
    startTime: clock.now() - 3_600_000,
    filterPattern: '{ $.level = "ERROR" }',
  });
});

test('who is not signed in is told so, with the reason', async () => {
  const calls = fakeAccount(app, environmentOf('dev'));
  expect(await whoIsAsking(calls)).toEqual({
    account: '123456789012',
    region: 'eu-west-1',
    who: 'user/operator',
  });
  const nobody = (answers: Partial<AwsCalls>) => whoIsAsking({ ...calls, ...answers });
  const rejecting = (error: Error) => async () => Promise.reject(error);
  const without = { getCallerIdentity: rejecting(awsError('CredentialsProviderError', 'Could not load')) };
  expect(await codeOf(nobody(without))).toBe('INPUT_INVALID');
  await expect(nobody(without)).rejects.toThrow(/^No AWS credentials: Could not load\. Sign in, /);
  await expect(nobody({ region: rejecting(new Error('Region is missing')) })).rejects.toThrow(
    /^No AWS region is set\. Set AWS_REGION, or AWS_PROFILE with a region\.$/,
  );
  const expired = awsError('ExpiredTokenException', 'The token is expired.');
  await expect(nobody({ getCallerIdentity: rejecting(expired) })).rejects.toThrow(
    /^AWS does not know who is asking: ExpiredTokenException: The token is expired\. Sign in, /,
  );
});

test('a path that a prefix list or an IPv6 block may allow cannot be told', async () => {
  for (const named of [
    { PrefixListIds: [{ PrefixListId: 'pl-1' }] },
    { Ipv6Ranges: [{ CidrIpv6: '::/0' }] },
  ]) {
    const lines = await examined({
      answers: ({ describeSecurityGroups }) => ({
        async describeSecurityGroups(input) {
          const { SecurityGroups = [] } = await describeSecurityGroups(input);
          return {
            SecurityGroups: SecurityGroups.map(({ IpPermissions: _, ...group }) => ({
              ...group,
              IpPermissions: [{ IpProtocol: '-1', ...named }],
            })),
          };
        },
      }),
    });
    expect(failing(lines)).toEqual([]);
    expect(about(lines, 'network')[0]).toMatchObject({
      verdict: 'unknown',
      evidence: expect.stringContaining('name addresses, not groups'),
    });
  }
});

test('the newsdesk has what the faults are planted in', () => {
  expect(pageviews.versions).toHaveLength(2);
  expect(pageviews.partitions).toBe(12);
});
