/** The answers that our tests of `millrace doctor` give for AWS, held to the output shapes of botocore. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, jest, test } from '@jest/globals';
import type { AwsCalls } from '../../adapters/aws/aws-calls.ts';
import { createDeploymentReader } from '../../adapters/aws/deployment-reader.ts';
import { motoPython } from '../../local/parts/moto.ts';
import { examineBefore, examineDeployment } from '../../runtime/doctor/examine.ts';
import { resolveEnvironment } from '../../runtime/environment.ts';
import { fakeAccount } from '../adapters/aws/fake-account.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { part } from './part.ts';

jest.setTimeout(120_000);
// moto brings botocore.
part('MILLRACE_TEST_AWS');

/** botocore's names of the services, by the operations that doctor calls. */
const SERVICES: Readonly<Record<Exclude<keyof AwsCalls, 'region'>, string>> = {
  getCallerIdentity: 'sts',
  describeStacks: 'cloudformation',
  listStackResources: 'cloudformation',
  listClustersV2: 'kafka',
  describeClusterV2: 'kafka',
  describeTopic: 'kafka',
  getSchema: 'glue',
  getSchemaByDefinition: 'glue',
  checkSchemaVersionValidity: 'glue',
  getQueueUrl: 'sqs',
  getQueueAttributes: 'sqs',
  getFunctionConfiguration: 'lambda',
  listEventSourceMappings: 'lambda',
  updateEventSourceMapping: 'lambda',
  getAccountSettings: 'lambda',
  invoke: 'lambda',
  describeAlarms: 'cloudwatch',
  getMetricData: 'cloudwatch',
  getParameter: 'ssm',
  putParameter: 'ssm',
  listSubscriptionsByTopic: 'sns',
  filterLogEvents: 'logs',
  describeSecurityGroups: 'ec2',
  describeVpcEndpoints: 'ec2',
  describeAvailabilityZones: 'ec2',
  getRole: 'iam',
};

interface Answer {
  readonly service: string;
  readonly operation: string;
  readonly output: unknown;
}

/** Every answer of a healthy account, deployed and before. */
async function answers(): Promise<readonly Answer[]> {
  const heard: Answer[] = [];
  for (const env of ['dev', 'staging']) {
    const environments = { [env]: { ...newsdesk.environments[env]!, probe: true } };
    const environment = resolveEnvironment({ environments, root: NEWSDESK }, { env });
    const account = fakeAccount(newsdesk, environment);
    const listening = Object.fromEntries(
      Object.entries(SERVICES).map(([operation, service]) => [
        operation,
        async (input: never) => {
          const output = await account[operation as keyof AwsCalls](input);
          // A stream of bytes is none of JSON's; botocore has a blob for it.
          heard.push({ service, operation, output: operation === 'invoke' ? { StatusCode: 200 } : output });
          return output;
        },
      ]),
    );
    const reader = createDeploymentReader({ ...account, ...listening }, { now: () => 0 });
    const examination = { app: newsdesk, environment, reader, onProgress: () => {}, probes: true };
    await examineDeployment(examination);
    await examineBefore(examination);
    await (listening as unknown as AwsCalls).getCallerIdentity({});
    await (listening as unknown as AwsCalls).describeClusterV2({ ClusterArn: 'arn' });
    await (listening as unknown as AwsCalls).updateEventSourceMapping({
      UUID: '8a1c6f0e-0000-4000-8000-000000000001',
      Enabled: true,
    });
    await (listening as unknown as AwsCalls).putParameter({ Name: 'name', Value: 'true' });
    const period = { StartTime: new Date(0), EndTime: new Date(60_000) };
    await (listening as unknown as AwsCalls).getMetricData({ MetricDataQueries: [], ...period });
  }
  return heard;
}

function complaintsOf(heard: readonly Answer[]): readonly string[] {
  const script = fileURLToPath(new URL('output-shapes.py', import.meta.url));
  const { status, stdout, stderr } = spawnSync(motoPython, [script], {
    input: JSON.stringify(heard),
    encoding: 'utf8',
    maxBuffer: 1e8,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

test('every answer has the shape that AWS gives it, and every call is answered', async () => {
  const heard = await answers();
  expect([...new Set(heard.map(({ operation }) => operation))].sort()).toEqual(Object.keys(SERVICES).sort());
  expect(complaintsOf(heard)).toEqual([]);
});

test('an answer that AWS does not give is noticed', () => {
  expect(
    complaintsOf([
      { service: 'kafka', operation: 'describeTopic', output: { PartitionCount: '12', Partitions: 12 } },
      {
        service: 'cloudwatch',
        operation: 'describeAlarms',
        output: { MetricAlarms: [{ StateValue: 'FINE' }] },
      },
    ]),
  ).toEqual([
    expect.stringMatching(/kafka DescribeTopic: .*Partitions.*PartitionCount/),
    expect.stringMatching(/StateValue: 'FINE' is none of/),
  ]);
});
