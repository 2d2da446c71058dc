/** What each check makes of each answer. */
import { describe, expect, test } from '@jest/globals';
import { consumerIn } from '../../../runtime/consumer-in-environment.ts';
import { topicOfDeadLetters } from '../../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import {
  judgeAlarms,
  judgeBootstrap,
  judgeConcurrency,
  judgeDrift,
  judgeLeftOver,
  judgePollers,
  judgeRole,
  judgeStack,
  judgeSubscriptions,
  judgeValidity,
  judgeZones,
  SERVICE_LINKED_ROLES,
} from '../../../runtime/doctor/account-checks.ts';
import type { Line, Observed } from '../../../runtime/doctor/line.ts';
import {
  judgeDatabasePath,
  judgeFunctionPaths,
  judgePollerPaths,
  reach,
} from '../../../runtime/doctor/network-checks.ts';
import {
  judgeCluster,
  judgeErrors,
  judgeFunction,
  judgeMappings,
  judgeQueues,
  judgeSchema,
  judgeTopic,
} from '../../../runtime/doctor/pipeline-checks.ts';
import type {
  AlarmFacts,
  ClusterFacts,
  FunctionFacts,
  GroupRule,
  MappingFacts,
  ParameterFacts,
  QueueFacts,
  StackFacts,
} from '../../../runtime/doctor/reader.ts';
import { type Environment, resolveEnvironment } from '../../../runtime/environment.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';

const consumer = editorialAnalytics as AnyConsumer;
const unseen = { problem: 'TimeoutError: late' };
const gone = { value: null };
const environment = (name: string, changes: Partial<Environment> = {}): Environment => ({
  ...resolveEnvironment({ environments: newsdesk.environments, root: '/' }, { env: name }),
  ...changes,
});
const told = ({ verdict, evidence }: Line) => `${verdict}: ${evidence}`;
const fixOf = ({ fix }: Line) => fix;

describe('a stack', () => {
  const stack = (status: string, changes: Partial<StackFacts> = {}) => ({
    value: {
      status,
      reason: null,
      drift: null,
      driftCheckedAt: null,
      isProtected: false,
      outputs: {},
      ...changes,
    },
  });

  test.each([
    ['CREATE_COMPLETE', 'pass', null],
    ['UPDATE_COMPLETE', 'pass', null],
    ['IMPORT_COMPLETE', 'pass', null],
    ['UPDATE_COMPLETE_CLEANUP_IN_PROGRESS', 'pass', null],
    ['UPDATE_IN_PROGRESS', 'unknown', /when the deployment is over/],
    [
      'ROLLBACK_COMPLETE',
      'fail',
      /^aws cloudformation delete-stack --stack-name s && aws cloudformation wait stack-delete-complete --stack-name s && npx cdk deploy -c env=dev s$/,
    ],
    ['ROLLBACK_FAILED', 'fail', /^aws cloudformation delete-stack --stack-name s && /],
    ['CREATE_FAILED', 'fail', /^aws cloudformation delete-stack --stack-name s && /],
    [
      'REVIEW_IN_PROGRESS',
      'unknown',
      /If nobody deploys: aws cloudformation delete-stack --stack-name s && /,
    ],
    ['UPDATE_ROLLBACK_FAILED', 'fail', /continue-update-rollback/],
    ['UPDATE_ROLLBACK_COMPLETE', 'fail', /^npx cdk deploy -c env=dev s$/],
    ['DELETE_FAILED', 'fail', /^aws cloudformation delete-stack --stack-name s && /],
  ])('%s: %s', (status, verdict, fix) => {
    const line = judgeStack('dev', 's', stack(status, { reason: 'because' }));
    expect(line.verdict).toBe(verdict);
    if (fix) expect(line.fix).toMatch(fix);
    else expect(line.fix).toBeNull();
    expect(line.evidence).toContain(status);
  });

  test('that CloudFormation protects is deleted when its protection is off', () => {
    const fixFor = (status: string, name: string) =>
      fixOf(judgeStack('prod', name, stack(status, { isProtected: true })));
    const unprotect = (name: string) =>
      `aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name ${name} && aws cloudformation delete-stack --stack-name ${name} && `;
    expect(fixFor('ROLLBACK_COMPLETE', 'millrace-prod-cluster')).toContain(
      unprotect('millrace-prod-cluster'),
    );
    expect(fixFor('ROLLBACK_FAILED', 'millrace-prod-database')).toContain(
      `aws rds modify-db-cluster --db-cluster-identifier millrace-prod --no-deletion-protection --apply-immediately && ${unprotect('millrace-prod-database')}`,
    );
  });

  test('that is not there fails, unless it is about to be deployed for the first time', () => {
    expect(told(judgeStack('dev', 's', gone))).toBe('fail: CloudFormation has no such stack.');
    expect(told(judgeLeftOver('dev', 's', gone))).toBe('pass: Not there yet.');
    expect(judgeLeftOver('dev', 's', stack('ROLLBACK_COMPLETE')).verdict).toBe('fail');
    expect(judgeLeftOver('dev', 's', unseen).verdict).toBe('unknown');
    expect(judgeStack('dev', 's', unseen).verdict).toBe('unknown');
  });

  test('that drifted has a line, and those that nobody looked at share one', () => {
    const lines = judgeDrift('dev', [
      ['a', stack('CREATE_COMPLETE', { drift: 'DRIFTED', driftCheckedAt: '2026-11-26T12:00:00.000Z' })],
      ['b', stack('CREATE_COMPLETE', { drift: 'NOT_CHECKED' })],
      ['c', stack('CREATE_COMPLETE')],
      ['d', stack('CREATE_COMPLETE', { drift: 'IN_SYNC' })],
      ['e', gone],
      ['f', unseen],
    ]);
    expect(lines.map((line) => `${line.subject}: ${told(line)}`)).toEqual([
      'a: fail: StackDriftStatus is DRIFTED (2026-11-26T12:00:00.000Z).',
      '1 stack: pass: StackDriftStatus is IN_SYNC.',
      '2 stacks: unknown: Nobody has looked for drift.',
    ]);
    expect(fixOf(lines[0]!)).toBe('npx cdk deploy -c env=dev a --revert-drift');
    expect(fixOf(lines[2]!)).toBe(
      'for STACK in b c; do aws cloudformation detect-stack-drift --stack-name $STACK; done',
    );
  });

  test.each([
    [gone, 'fail: CloudFormation has no such stack in this region.'],
    [unseen, 'unknown: TimeoutError: late'],
    [stack('CREATE_COMPLETE', { outputs: { BootstrapVersion: '29' } }), 'pass: CREATE_COMPLETE, version 29.'],
    [
      stack('CREATE_COMPLETE', { outputs: { BootstrapVersion: '5' } }),
      'fail: BootstrapVersion is 5; the CDK needs 6.',
    ],
    [
      stack('ROLLBACK_COMPLETE', { outputs: { BootstrapVersion: '29' } }),
      'fail: ROLLBACK_COMPLETE, version 29.',
    ],
    [stack('CREATE_COMPLETE'), 'unknown: CREATE_COMPLETE, without an output BootstrapVersion.'],
  ])('of the bootstrap: %j', (seen, expected) => {
    expect(told(judgeBootstrap('dev', seen))).toBe(expected);
  });
});

describe('a cluster', () => {
  const cluster = (changes: Partial<ClusterFacts>) => ({
    value: { arn: 'arn', state: 'ACTIVE', takesIam: true, subnetIds: [], securityGroupIds: [], ...changes },
  });

  test.each([
    [cluster({}), 'pass: State is ACTIVE.'],
    [cluster({ takesIam: null }), 'pass: State is ACTIVE.'],
    [cluster({ state: 'UPDATING' }), 'pass: State is UPDATING.'],
    [cluster({ state: 'CREATING' }), 'unknown: State is CREATING.'],
    [cluster({ state: 'FAILED' }), 'fail: State is FAILED.'],
    [cluster({ state: 'DELETING' }), 'fail: State is DELETING.'],
    [
      cluster({ takesIam: false }),
      'fail: ClientAuthentication.Sasl.Iam is off, and nothing else logs in here.',
    ],
    [gone, 'fail: MSK knows no such cluster.'],
    [unseen, 'unknown: TimeoutError: late'],
  ])('%j', (seen, expected) => {
    expect(told(judgeCluster('dev', 'millrace-dev', seen))).toBe(expected);
  });

  test('that does not take IAM has a command that is complete', () => {
    expect(fixOf(judgeCluster('dev', 'millrace-dev', cluster({ takesIam: false })))).toContain(
      '--current-version $(aws kafka describe-cluster-v2 --cluster-arn arn --query ClusterInfo.CurrentVersion --output text) ',
    );
  });
});

describe('a topic', () => {
  const settings = { 'cleanup.policy': 'delete', 'retention.ms': String(pageviews.retentionMs) };
  const topic = (changes: object) => ({ value: { status: 'ACTIVE', partitions: 12, settings, ...changes } });

  test.each([
    [
      topic({}),
      ['pass: It has 12 partitions.', expect.stringMatching(/^pass: cleanup.policy=delete, retention.ms=/)],
    ],
    [
      topic({ partitions: null }),
      ['unknown: MSK gives no number of partitions.', expect.stringMatching(/^pass/)],
    ],
    [
      topic({ partitions: 24 }),
      ['fail: It has 24 partitions, and its contract says 12.', expect.stringMatching(/^pass/)],
    ],
    [
      topic({ settings: { ...settings, 'retention.ms': '1000' } }),
      ['pass: It has 12 partitions.', `fail: retention.ms is 1000 and should be ${pageviews.retentionMs}.`],
    ],
    [
      topic({ settings: {} }),
      ['pass: It has 12 partitions.', 'unknown: MSK does not show cleanup.policy, retention.ms.'],
    ],
    [topic({ status: 'CREATING' }), ['unknown: Status is CREATING.']],
    [gone, ['fail: The cluster has no such topic.']],
    [unseen, ['unknown: TimeoutError: late']],
  ])('%j', (seen, expected) => {
    expect(judgeTopic('dev', pageviews, 'arn', false, seen).map(told)).toEqual(expected);
  });

  test('that has too many partitions is corrected in its contract', () => {
    expect(fixOf(judgeTopic('dev', pageviews, 'arn', false, topic({ partitions: 24 }))[0]!)).toContain(
      'partitions: 24',
    );
  });

  test('of others is theirs: no settings, and a contract that follows', () => {
    const adopted = (seen: Parameters<typeof judgeTopic>[4]) =>
      judgeTopic('dev', pageviews, 'arn', true, seen);
    expect(adopted(topic({ settings: {} })).map(told)).toEqual(['pass: It has 12 partitions.']);
    expect(fixOf(adopted(topic({ partitions: 3 }))[0]!)).toContain('partitions: 3');
    expect(fixOf(adopted(gone)[0]!)).toContain('existingTopics');
  });

  test('of dead letters is compared with what its consumer needs', () => {
    const of = topicOfDeadLetters(consumer);
    const lines = judgeTopic('dev', of, 'arn', false, topic({ settings: { 'cleanup.policy': 'delete' } }));
    expect(told(lines[1]!)).toBe('unknown: MSK does not show retention.ms, max.message.bytes.');
  });
});

describe('a schema', () => {
  const schema = (statuses: (string | null)[], compatibility = 'FULL_ALL') => ({
    value: { statuses, compatibility },
  });

  test.each([
    [schema(['AVAILABLE', 'AVAILABLE']), 'pass: v1, v2 available, FULL_ALL.'],
    [schema(['AVAILABLE', 'PENDING']), 'unknown: Status is AVAILABLE, PENDING.'],
    [schema(['AVAILABLE', 'FAILURE']), 'fail: Glue refused v2: Status is FAILURE.'],
    [schema([null, 'AVAILABLE']), "fail: Glue's registry millrace-dev does not know v1."],
    [
      schema(['AVAILABLE', 'AVAILABLE'], 'NONE'),
      'fail: Compatibility is NONE, and the contract says FULL_ALL.',
    ],
    [gone, "fail: Glue's registry millrace-dev has no such schema."],
    [unseen, 'unknown: TimeoutError: late'],
  ])('%j', (seen, expected) => {
    expect(told(judgeSchema('dev', pageviews, seen))).toBe(expected);
  });

  test.each([
    [[{ value: null }, { value: null }], /^pass: Glue reads all 2 versions/],
    [[{ value: null }, { value: 'no such type' }], /^fail: Glue refuses v2: no such type$/],
    [[{ value: null }, unseen], /^unknown: TimeoutError: late$/],
  ])('before it is registered: %j', (seen, expected) => {
    expect(told(judgeValidity(pageviews, seen))).toMatch(expected);
  });
});

describe('the queues of a consumer', () => {
  const arn = (name: string) => `arn:aws:sqs:eu-west-1:1:millrace-dev-editorial-analytics-${name}`;
  const queue = (name: string, changes: Partial<QueueFacts> = {}) => ({
    value: {
      url: `https://sqs/${name}`,
      arn: arn(name),
      messages: 0,
      deadLetterTargetArn: arn('dead-letters'),
      maxReceiveCount: 10,
      allowedSources: [arn('redrive')],
      ...changes,
    },
  });

  test('as the stack makes them, pass', () => {
    const lines = judgeQueues('dev', consumer, queue('dead-letters'), queue('redrive'));
    expect(lines.map(({ verdict }) => verdict)).toEqual(['pass', 'pass']);
    const open = judgeQueues(
      'dev',
      consumer,
      queue('dead-letters', { allowedSources: null }),
      queue('redrive'),
    );
    expect(open[0]!.verdict).toBe('pass');
  });

  test.each([
    [gone, gone, 'fail: SQS has no such queue.', 'fail: SQS has no such queue.'],
    [unseen, unseen, 'unknown: TimeoutError: late', 'unknown: TimeoutError: late'],
    [
      queue('dead-letters', { allowedSources: [] }),
      queue('redrive', { deadLetterTargetArn: null }),
      'fail: RedriveAllowPolicy does not name millrace-dev-editorial-analytics-redrive.',
      'fail: It has no RedrivePolicy.',
    ],
    [
      queue('dead-letters'),
      queue('redrive', { maxReceiveCount: 3 }),
      expect.stringMatching(/^pass/),
      `fail: RedrivePolicy is ${arn('dead-letters')} after 3, and should be ${arn('dead-letters')} after 10.`,
    ],
  ])('%#', (deadLetters, redrive, first, second) => {
    expect(judgeQueues('dev', consumer, deadLetters, redrive).map(told)).toEqual([first, second]);
  });

  test('have a command that gives the policy back, and is JSON in JSON', () => {
    const [, line] = judgeQueues(
      'dev',
      consumer,
      queue('dead-letters'),
      queue('redrive', { deadLetterTargetArn: null }),
    );
    const [, attributes = ''] = /--attributes '(.*)'$/.exec(line!.fix!) ?? [];
    expect(JSON.parse(JSON.parse(attributes).RedrivePolicy)).toEqual({
      deadLetterTargetArn: arn('dead-letters'),
      maxReceiveCount: 10,
    });
  });
});

describe('a function', () => {
  const fn = (changes: Partial<FunctionFacts>) => ({
    value: {
      state: 'Active',
      stateReason: null,
      lastUpdate: 'Successful',
      lastUpdateReason: null,
      changedAt: null,
      logGroup: 'g',
      vpcId: null,
      subnetIds: [],
      securityGroupIds: [],
      ...changes,
    },
  });

  test.each([
    [fn({}), 'pass: State is Active.'],
    [fn({ state: 'Inactive' }), expect.stringMatching(/^pass: Inactive: idle for two weeks/)],
    [fn({ state: 'Pending' }), 'unknown: State is Pending, LastUpdateStatus Successful.'],
    [fn({ lastUpdate: 'InProgress' }), 'unknown: State is Active, LastUpdateStatus InProgress.'],
    [fn({ state: 'Failed', stateReason: 'no subnet' }), 'fail: State is Failed: no subnet'],
    [fn({ lastUpdate: 'Failed' }), 'fail: LastUpdateStatus is Failed.'],
    [gone, 'fail: Lambda has no such function.'],
    [unseen, 'unknown: TimeoutError: late'],
  ])('%j', (seen, expected) => {
    expect(told(judgeFunction('dev', 'f', 's', seen))).toEqual(expected);
  });

  test.each([
    [{ value: [] }, 'pass: No error in the last hour.'],
    [{ value: [{ code: 'A', count: 2, firstAt: 1, lastAt: 2 }] }, 'fail: In the last hour: A 2.'],
    [gone, 'unknown: There is no log group g.'],
    [unseen, 'unknown: TimeoutError: late'],
  ])('and its log: %j', (seen, expected) => {
    expect(told(judgeErrors('f', 'g', seen))).toBe(expected);
  });
});

describe('the mappings of a consumer', () => {
  const mapping = (changes: Partial<MappingFacts> = {}): MappingFacts => ({
    id: 'id',
    eventSourceArn: 'arn:cluster',
    topics: ['news.pageviews'],
    group: 'editorial-analytics',
    state: 'Enabled',
    stateReason: null,
    lastResult: 'OK',
    batchSize: consumer.batch.maxRecords,
    windowSeconds: consumer.batch.windowMs === 500 ? null : consumer.batch.windowMs / 1_000,
    minimumPollers: null,
    maximumPollers: null,
    pollerGroup: null,
    retries: null,
    bisects: false,
    reportsItems: false,
    ...changes,
  });
  const redrive = mapping({
    eventSourceArn: 'arn:aws:sqs:eu-west-1:1:millrace-dev-editorial-analytics-redrive',
    topics: [],
  });
  const inDev = (settings: Partial<Environment> = {}) =>
    consumerIn({ ...environment('dev'), ...settings }, consumer);
  const running = { value: { value: 'false', changedAt: null } };
  const judged = (ofTopic: MappingFacts, polling: Environment['polling'] = { mode: 'on-demand' }) =>
    judgeMappings('dev', inDev({ polling }), { value: [ofTopic, redrive] }, running);

  test('as declared, pass', () => {
    expect(judged(mapping()).map(({ verdict }) => verdict)).toEqual(['pass', 'pass', 'pass', 'pass', 'pass']);
    const provisioned = mapping({
      minimumPollers: 1,
      maximumPollers: 4,
      pollerGroup: 'millrace-dev',
      retries: 10_000,
      bisects: true,
      reportsItems: true,
    });
    const polling = { mode: 'provisioned' as const, minimumPollers: 1, maximumPollers: 4 };
    expect(judged(provisioned, polling).map(({ verdict }) => verdict)).toEqual([
      'pass',
      'pass',
      'pass',
      'pass',
      'pass',
    ]);
  });

  test.each([
    ['Disabling', 'fail'],
    ['Disabled', 'fail'],
    ['Creating', 'unknown'],
    ['Enabling', 'unknown'],
    ['Updating', 'unknown'],
    ['Deleting', 'unknown'],
  ])('State %s: %s', (state, verdict) => {
    expect(judged(mapping({ state, stateReason: 'User action' }))[0]).toMatchObject({
      verdict,
      evidence: `news.pageviews: State is ${state} (User action).`,
    });
  });

  test('LastProcessingResult decides, where there is one', () => {
    expect(told(judged(mapping({ lastResult: null }))[1]!)).toBe(
      'unknown: Lambda has not said yet how polling went.',
    );
    expect(told(judged(mapping({ lastResult: 'PROBLEM: Connection error.' }))[1]!)).toBe(
      'fail: PROBLEM: Connection error.',
    );
    expect(told(judged(mapping({ lastResult: 'No records processed' }))[1]!)).toBe(
      'pass: No records processed',
    );
  });

  test('every setting that differs is named', () => {
    const polling = { mode: 'provisioned' as const, minimumPollers: 1, maximumPollers: 4 };
    expect(told(judged(mapping({ group: null, batchSize: 1, windowSeconds: 7 }), polling)[2]!)).toBe(
      'fail: ConsumerGroupId is not set and should be editorial-analytics; BatchSize is 1 and should be ' +
        `${consumer.batch.maxRecords}; MaximumBatchingWindowInSeconds is 7 and should be 0; MinimumPollers is not set and should be 1; ` +
        'MaximumPollers is not set and should be 4; PollerGroupName is not set and should be millrace-dev; MaximumRetryAttempts is not set and should be 10000; ' +
        'BisectBatchOnFunctionError is false and should be true; ReportBatchItemFailures is false and should be true.',
    );
    expect(told(judged(mapping({ minimumPollers: 1, maximumPollers: 2 }))[2]!)).toBe(
      'fail: MinimumPollers is 1 and should be left out; MaximumPollers is 2 and should be left out.',
    );
  });

  test('that are not there fail', () => {
    const lines = judgeMappings('dev', inDev(), { value: [] }, running);
    expect(lines.map(told)).toEqual([
      'fail: Nothing polls news.pageviews for it.',
      'fail: Nothing polls millrace-dev-editorial-analytics-redrive for it.',
      'pass: Nobody has paused it.',
    ]);
    expect(judgeMappings('dev', inDev(), unseen, running).map(told)).toEqual(['unknown: TimeoutError: late']);
  });

  test('of a consumer that the environment turns off, are to be disabled', () => {
    const off = inDev({ consumers: { [consumer.name]: { enabled: false } } });
    const seen = (state: string) => ({
      value: [mapping({ state, lastResult: null }), { ...redrive, state }],
    });
    expect(judgeMappings('dev', off, seen('Disabled'), running).map(({ verdict }) => verdict)).toEqual([
      'pass',
      'pass',
      'pass',
      'pass',
      'pass',
    ]);
    const [ofTopic, , , ofRedrive] = judgeMappings('dev', off, seen('Enabled'), running);
    expect(ofTopic).toMatchObject({ verdict: 'fail', fix: expect.stringContaining('--no-enabled') });
    expect(ofRedrive).toMatchObject({ verdict: 'fail' });
    expect(judgeMappings('dev', off, seen('Disabling'), running)[0]).toMatchObject({ verdict: 'unknown' });
  });

  describe('of a consumer that an operator has paused', () => {
    const ofPaused = (
      state: string,
      paused: Observed<ParameterFacts | null> = { value: { value: 'true', changedAt: 1 } },
    ) => judgeMappings('dev', inDev(), { value: [mapping({ state }), redrive] }, paused);

    test('are to be disabled, and the redrive queue is polled all the same', () => {
      const [ofTopic, , , ofRedrive, pause] = ofPaused('Disabled');
      expect(told(ofTopic!)).toBe('pass: news.pageviews: State is Disabled: an operator has paused it.');
      expect(ofRedrive).toMatchObject({ verdict: 'pass' });
      expect(told(pause!)).toBe(
        'pass: An operator has paused it. npx millrace resume editorial-analytics --env dev ends that.',
      );
      expect(ofPaused('Disabling')[0]).toMatchObject({ verdict: 'unknown' });
    });

    test.each(['Enabled', 'Enabling'])('contradict it when they are %s', (state) => {
      expect(ofPaused(state)[4]).toMatchObject({
        verdict: 'fail',
        evidence: `An operator has paused it, and the mapping of news.pageviews is ${state}.`,
        fix: 'npx millrace pause editorial-analytics --env dev',
      });
    });

    test('cannot be told from others where the parameter is missing or cannot be read', () => {
      expect(told(ofPaused('Enabled', gone)[4]!)).toBe(
        'fail: SSM has no parameter /millrace/dev/consumers/editorial-analytics/paused, which keeps a pause.',
      );
      expect(told(ofPaused('Enabled', unseen)[4]!)).toBe('unknown: TimeoutError: late');
    });
  });

  test('that are disabled though nobody has paused the consumer are resumed by the command that says so', () => {
    expect(judged(mapping({ state: 'Disabled' }))[0]).toMatchObject({
      fix: 'npx millrace resume editorial-analytics --env dev',
    });
  });
});

describe('alarms', () => {
  const alarm = (name: string, changes: Partial<AlarmFacts> = {}): AlarmFacts => ({
    name,
    state: 'OK',
    reason: 'because',
    description:
      'It happened.\nFirst: npx millrace status --env dev\nThen: aws sqs list-queues\nRunbook: docs/runbooks/stalled.md',
    notifies: true,
    actions: ['arn:sns'],
    ...changes,
  });
  const judged = (alarms: AlarmFacts[], notifies = true, made = alarms.map(({ name }) => name)) =>
    judgeAlarms('dev', 's', { value: made }, { value: alarms }, notifies);

  test('that are as they should be share a line', () => {
    expect(judged([alarm('a'), alarm('b')]).map(told)).toEqual(['pass: 2 alarms, none in ALARM.']);
    expect(judged([])).toEqual([]);
  });

  test('missing, in alarm, silent and without data are told apart', () => {
    const lines = judged(
      [
        alarm('a', { state: 'ALARM' }),
        alarm('b', { notifies: false }),
        alarm('c', { actions: [] }),
        alarm('d', { state: 'INSUFFICIENT_DATA' }),
        alarm('e-unsuppressed', { state: 'ALARM', actions: [] }),
        alarm('g', { state: 'ALARM', description: '' }),
      ],
      true,
      ['a', 'b', 'c', 'd', 'e-unsuppressed', 'f', 'g'],
    );
    expect(lines.map((line) => `${line.subject}: ${told(line)}`)).toEqual([
      'f: fail: CloudWatch has no such alarm.',
      'a: fail: In ALARM: because (docs/runbooks/stalled.md)',
      'g: fail: In ALARM: because (docs/runbooks/README.md)',
      'b: fail: It notifies nobody: no action is enabled.',
      'c: fail: It notifies nobody: no action is enabled.',
      's: unknown: Without data: d.',
    ]);
    expect(lines[1]!.fix).toBe('aws sqs list-queues');
    expect(lines[2]!.fix).toBe('See docs/runbooks/README.md.');
  });

  test('notify nobody where the environment says so', () => {
    expect(judged([alarm('a', { notifies: false })], false).map(told)).toEqual([
      'pass: 1 alarms, none in ALARM.',
    ]);
  });

  test('that cannot be seen, or whose stack cannot, cannot be told', () => {
    expect(judgeAlarms('dev', 's', unseen, { value: [] }, true).map(told)).toEqual([
      'unknown: TimeoutError: late',
    ]);
    expect(judgeAlarms('dev', 's', { value: ['a'] }, unseen, true).map(told)).toEqual([
      'unknown: TimeoutError: late',
    ]);
  });

  test.each([
    [{ value: { confirmed: 2, pending: 1 } }, 'pass: 2 confirmed.'],
    [{ value: { confirmed: 0, pending: 1 } }, 'fail: 1 not confirmed yet.'],
    [{ value: { confirmed: 0, pending: 0 } }, 'fail: Nobody hears of its alarms.'],
    [gone, 'fail: SNS has no such topic.'],
    [unseen, 'unknown: TimeoutError: late'],
  ])('reach who has subscribed: %j', (seen, expected) => {
    expect(told(judgeSubscriptions('dev', 'arn:aws:sns:eu-west-1:1:incident', [], seen))).toBe(expected);
  });
});

test('a topic that nobody has subscribed to is no fault where alarms go to others as well', () => {
  const nobody = { value: { confirmed: 0, pending: 0 } };
  expect(
    told(
      judgeSubscriptions(
        'dev',
        'arn:aws:sns:eu-west-1:1:incident',
        ['arn:aws:sns:eu-west-1:1:pager'],
        nobody,
      ),
    ),
  ).toBe('pass: Nobody; its alarms go to arn:aws:sns:eu-west-1:1:pager as well.');
});

describe('the account', () => {
  const limits = (concurrency: number, unreserved = concurrency) => ({ value: { concurrency, unreserved } });
  const reserving = { ...consumer, reservedConcurrency: 20 };

  test.each([
    // Twelve partitions, two for a redrive, one instance of a collector without a limit.
    [
      limits(15),
      [consumer],
      'pass: The account has 15, of which 15 are not reserved. Functions here can run 15 at once, and reserve 0.',
    ],
    [
      // A new account's, where nothing is reserved.
      limits(10),
      [consumer],
      'unknown: The account has 10, of which 10 are not reserved. Functions here can run 15 at once: they work, and at peaks Lambda throttles them.',
    ],
    [
      limits(119),
      [reserving],
      'fail: The account has 119, of which 119 are not reserved. This environment reserves 20, and Lambda keeps 100 back.',
    ],
    [limits(120), [reserving], expect.stringMatching(/^pass/)],
    [unseen, [consumer], 'unknown: TimeoutError: late'],
  ])('has enough concurrency before a deployment: %j', (seen, consumers, expected) => {
    expect(
      told(
        judgeConcurrency({ consumers, collected: [pageviews as never] }, environment('dev'), new Map(), seen),
      ),
    ).toEqual(expected);
  });

  test('has it after one, when its reservations are taken off already', () => {
    const stack = (status: string) => ({
      value: { status, reason: null, drift: null, driftCheckedAt: null, isProtected: false, outputs: {} },
    });
    const judged = (seen: Parameters<typeof judgeStack>[2]) =>
      judgeConcurrency(
        { consumers: [reserving] },
        environment('dev'),
        new Map([
          ['millrace-dev-operations', stack('CREATE_COMPLETE')],
          ['millrace-dev-consumer-editorial-analytics', seen],
        ]),
        limits(1_000, 100),
      ).verdict;
    expect(judged(stack('CREATE_COMPLETE'))).toBe('pass');
    expect(judged(stack('UPDATE_ROLLBACK_COMPLETE'))).toBe('pass');
    // Another stack that is there says nothing of this one.
    expect(judged(gone)).toBe('fail');
    expect(judged(stack('ROLLBACK_COMPLETE'))).toBe('fail');
    expect(judged(unseen)).toBe('unknown');
  });

  test('reserves nothing for a collector that has no topic', () => {
    const prod = environment('prod');
    expect(prod.collector?.maxConcurrency).toBeGreaterThan(0);
    const stack = { status: 'CREATE_COMPLETE', reason: null, drift: null, driftCheckedAt: null };
    const stacks = new Map([
      [
        'millrace-prod-consumer-editorial-analytics',
        { value: { ...stack, isProtected: false, outputs: {} } },
      ],
    ]);
    const judged = (collected: never[]) =>
      judgeConcurrency({ consumers: [consumer], collected }, prod, stacks, limits(1_000, 100)).verdict;
    expect(judged([])).toBe('pass');
    expect(judged([pageviews as never])).toBe('fail');
  });

  test('reserves what a page has, where there is one', () => {
    const { collector, ...others } = environment('dev');
    const judged = (page: object) =>
      told(
        judgeConcurrency(
          { consumers: [], collected: [pageviews as never] },
          { ...others, collector: { ...collector!, ...page } },
          new Map(),
          limits(1_000),
        ),
      );
    expect(judged({})).toMatch(/reserve 0\.$/);
    expect(judged({ page: { authorizer: 'iam' } })).toMatch(/reserve 5\.$/);
    expect(judged({ page: { authorizer: 'iam', maxConcurrency: 7 } })).toMatch(/reserve 7\.$/);
  });

  test('has pollers enough, for what AWS documents', () => {
    expect(told(judgePollers({ consumers: [consumer] }, environment('dev')))).toMatch(/^pass: On demand/);
    expect(told(judgePollers({ consumers: [consumer] }, environment('prod')))).toBe(
      'pass: Up to 12 pollers.',
    );
    const many = (length: number, partitions: number) => ({
      consumers: Array.from({ length }, () => ({ ...consumer, topic: { ...consumer.topic, partitions } })),
    });
    const prod = environment('prod', {
      polling: { mode: 'provisioned', minimumPollers: 1, maximumPollers: 50, group: 'millrace-prod' },
    });
    expect(told(judgePollers(many(60, 40), prod))).toBe(
      'fail: 60 consumers with up to 2400 pollers in the group millrace-prod; a group takes 100 with 2000.',
    );
    expect(told(judgePollers(many(101, 1), prod))).toBe(
      'fail: 101 consumers with up to 101 pollers in the group millrace-prod; a group takes 100 with 2000.',
    );
    // Each has pollers of its own.
    const alone = environment('prod', {
      polling: { mode: 'provisioned', minimumPollers: 1, maximumPollers: 50, group: null },
    });
    expect(told(judgePollers(many(101, 40), alone))).toBe('pass: Up to 4040 pollers.');
  });

  test('has the roles that services make for themselves', () => {
    const [rds, kafka] = SERVICE_LINKED_ROLES;
    expect(told(judgeRole(rds, { value: { arn: 'arn' } }))).toBe('pass: arn');
    expect(told(judgeRole(rds, gone))).toBe('fail: The account has no such role.');
    expect(told(judgeRole(kafka, gone))).toMatch(/^pass: Not there yet/);
    expect(told(judgeRole(rds, unseen))).toBe('unknown: TimeoutError: late');
  });
});

describe('zones', () => {
  const zones = (...ids: string[]) => ({
    value: ids.map((id, index) => ({ id, name: `us-east-1${'abcdef'[index]}` })),
  });
  const judged = (seen: Parameters<typeof judgeZones>[1], names?: string[]) =>
    judgeZones(environment('dev', { network: { type: 'new', ...(names && { zones: names }) } }), seen)!;

  test.each([
    [zones('use1-az1', 'use1-az2', 'use1-az4'), undefined, 'pass: us-east-1a, us-east-1b, us-east-1c'],
    [
      zones('use1-az1', 'use1-az3', 'use1-az4', 'use1-az5'),
      undefined,
      'fail: us-east-1b is use1-az3, where MSK places no brokers.',
    ],
    [
      zones('use1-az1', 'use1-az3', 'use1-az4', 'use1-az5'),
      ['us-east-1a', 'us-east-1c', 'us-east-1d'],
      'pass: us-east-1a, us-east-1c, us-east-1d',
    ],
    [
      zones('use1-az1', 'use1-az2', 'use1-az4'),
      ['us-east-1a', 'us-east-1b', 'us-east-1f'],
      'fail: The account does not have us-east-1f.',
    ],
    [
      zones('usw1-az1', 'usw1-az3'),
      undefined,
      'fail: The region has 2 zones for brokers; the network takes 3.',
    ],
    [unseen, undefined, 'unknown: TimeoutError: late'],
  ])('%j %j', (seen, names, expected) => {
    expect(told(judged(seen, names))).toBe(expected);
  });

  test('are named for the settings, without the one that MSK does not know', () => {
    expect(fixOf(judged(zones('use1-az1', 'use1-az3', 'use1-az4', 'use1-az5')))).toContain(
      "zones: ['us-east-1a', 'us-east-1c', 'us-east-1d']",
    );
  });

  test('of a network that somebody else runs are theirs', () => {
    const network = {
      type: 'existing' as const,
      vpcId: 'vpc-1',
      subnetIds: { brokers: [], functions: [], databases: [] },
    };
    expect(judgeZones(environment('dev', { network }), unseen)).toBeNull();
  });
});

describe('the network', () => {
  const rule = (changes: Partial<GroupRule>): GroupRule => ({
    protocol: 'tcp',
    fromPort: 443,
    toPort: 443,
    groups: [],
    ranges: [],
    ...changes,
  });
  const group = (id: string, egress: GroupRule[], ingress: GroupRule[]) => ({ id, egress, ingress });

  test.each([
    ['yes', rule({ groups: ['b'] }), rule({ groups: ['a'] })],
    ['yes', rule({ ranges: ['0.0.0.0/0'] }), rule({ groups: ['a'] })],
    [
      'yes',
      rule({ protocol: '-1', fromPort: null, toPort: null, groups: ['b'] }),
      rule({ fromPort: 0, toPort: 65_535, groups: ['a'] }),
    ],
    ['maybe', rule({ ranges: ['10.0.0.0/16'] }), rule({ groups: ['a'] })],
    ['no', rule({ groups: ['c'] }), rule({ groups: ['a'] })],
    ['no', rule({ groups: ['b'] }), rule({ protocol: 'udp', groups: ['a'] })],
    ['no', rule({ groups: ['b'] }), rule({ fromPort: 444, toPort: 500, groups: ['a'] })],
  ] as const)('reach is %s where rules say so', (expected, egress, ingress) => {
    const groups = [group('a', [egress], []), group('b', [], [ingress])];
    expect(reach(groups, ['a'], ['b'], 443)).toBe(expected);
  });

  const kafka = rule({ fromPort: 9098, toPort: 9098, groups: ['b'] });
  const brokers = { name: 'pollers', groupIds: ['b'] };
  const functions = { name: 'functions', groupIds: ['f'] };
  const existing = {
    network: {
      type: 'existing' as const,
      vpcId: 'vpc-1',
      subnetIds: { brokers: [], functions: [], databases: [] },
    },
  };

  test('pollers that are provisioned need no endpoint', () => {
    const facts = { groups: { value: [group('b', [kafka], [kafka])] }, endpoints: unseen };
    expect(judgePollerPaths(environment('prod'), brokers, facts).map(told)).toEqual([
      'pass: Rules let b to b on 9098.',
    ]);
  });

  test('pollers on demand need those of Lambda and STS', () => {
    const facts = { groups: { value: [group('b', [], [kafka])] }, endpoints: { value: [] } };
    expect(judgePollerPaths(environment('dev'), brokers, facts).map(told)).toEqual([
      'fail: No rule lets b to b on 9098.',
      'fail: The VPC has no endpoint for it.',
      'fail: The VPC has no endpoint for it.',
    ]);
    expect(judgePollerPaths(environment('dev'), brokers, facts).map(fixOf)).toEqual([
      "aws ec2 authorize-security-group-ingress --group-id b --ip-permissions 'IpProtocol=tcp,FromPort=9098,ToPort=9098,UserIdGroupPairs=[{GroupId=b}]'; " +
        "aws ec2 authorize-security-group-egress --group-id b --ip-permissions 'IpProtocol=tcp,FromPort=9098,ToPort=9098,UserIdGroupPairs=[{GroupId=b}]'",
      'npx cdk deploy -c env=dev millrace-dev-network --revert-drift',
      'npx cdk deploy -c env=dev millrace-dev-network --revert-drift',
    ]);
  });

  test('an endpoint that is missing from a network of others may be replaced by a NAT', () => {
    const facts = { groups: { value: [] }, endpoints: { value: [] } };
    const [line] = judgeFunctionPaths(environment('dev', existing), functions, ['sqs'], facts);
    expect(told(line!)).toBe('unknown: The VPC has no endpoint for it; a NAT may lead there.');
  });

  const endpoint = (state: string, type = 'Interface') => ({
    service: 'com.amazonaws.eu-west-1.sqs',
    type,
    state,
    securityGroupIds: ['e'],
  });
  const open = [group('f', [rule({ groups: ['e'] })], []), group('e', [], [rule({ groups: ['f'] })])];

  test.each([
    [endpoint('available'), open, 'pass: Rules let f to e on 443.'],
    [endpoint('available', 'Gateway'), [], 'pass: A gateway endpoint is available.'],
    [endpoint('pending'), open, "fail: The endpoint's State is pending."],
    [endpoint('available'), [group('f', [], []), open[1]!], 'fail: No rule lets f to e on 443.'],
    [
      endpoint('available'),
      [group('f', [rule({ ranges: ['10.0.0.0/8'] })], []), open[1]!],
      'unknown: Rules for f to e on 443 name addresses, not groups.',
    ],
    [endpoint('available'), [open[0]!], 'unknown: EC2 does not show e.'],
  ])('functions and an endpoint: %#', (of, groups, expected) => {
    const facts = { groups: { value: groups }, endpoints: { value: [of] } };
    expect(judgeFunctionPaths(environment('dev'), functions, ['sqs'], facts).map(told)).toEqual([expected]);
  });

  test('what cannot be seen cannot be told', () => {
    const facts = { groups: unseen, endpoints: unseen };
    const lines = [
      ...judgePollerPaths(environment('dev'), brokers, facts),
      ...judgeFunctionPaths(environment('dev'), functions, ['sqs'], facts),
      judgeDatabasePath('dev', functions, unseen),
    ];
    expect(lines.map(told)).toEqual(lines.map(() => 'unknown: TimeoutError: late'));
  });

  test('the database is where the rule for its port leads', () => {
    const postgres = (groups: string[]) => rule({ fromPort: 5432, toPort: 5432, groups });
    const seen = [group('f', [postgres(['d'])], []), group('d', [], [postgres(['f'])])];
    expect(told(judgeDatabasePath('dev', functions, { value: seen }))).toBe(
      'pass: Rules let f to d on 5432.',
    );
    expect(told(judgeDatabasePath('dev', functions, { value: [group('f', [], [])] }))).toBe(
      'fail: No rule of f leads to port 5432.',
    );
    expect(told(judgeDatabasePath('dev', functions, { value: [seen[0]!, group('d', [], [])] }))).toBe(
      'fail: No rule lets f to d on 5432.',
    );
  });
});
