/** Asks a reader about everything that an app's declarations mean for one environment, and judges the answers. */
import { appIn } from '../app-in-environment.ts';
import { capturedTables } from '../capture/table.ts';
import { consumerIn } from '../consumer-in-environment.ts';
import { topicOfDeadLetters } from '../dead-letters/resources.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import {
  deadLetterQueueName,
  deployedName,
  environmentName,
  operatorFunctionName,
  PAGE_PART,
  pausedParameterName,
  redriveQueueName,
  registryName,
  stackParts,
} from '../deployment.ts';
import { type Environment, isTopicArn } from '../environment.ts';
import { probeConsumer } from '../probe/pipeline.ts';
import type { ProbeFailure, ProbeReport } from '../probe/probe.ts';
import { type TopicContract, topicOfTable } from '../topics.ts';
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
} from './account-checks.ts';
import { deployCommand, revertCommand } from './commands.ts';
import { type Line, linesOf, type Observed, observe } from './line.ts';
import { judgeDatabasePath, judgeFunctionPaths, judgePollerPaths, type Side } from './network-checks.ts';
import {
  judgeCluster,
  judgeErrors,
  judgeFunction,
  judgeMappings,
  judgeQueues,
  judgeSchema,
  judgeTopic,
} from './pipeline-checks.ts';
import { judgeProbe } from './probe-checks.ts';
import type { AlarmFacts, ClusterFacts, Declared, DeploymentReader, FunctionFacts } from './reader.ts';

export interface Examination {
  readonly app: Declared;
  readonly environment: Environment;
  readonly reader: DeploymentReader;
  /** Hears what is being looked at. */
  readonly onProgress: (what: string) => void;
  /** Whether a record is to be sent on its way. @default false */
  readonly probes?: boolean;
}

/** What the CDK's bootstrapping calls its stack. */
const BOOTSTRAP_STACK = 'CDKToolkit';

/** Looks at a deployed environment. Never rejects for what the reader cannot see: such lines cannot tell. */
export async function examineDeployment({
  app: declared,
  environment,
  reader,
  onProgress,
  probes = false,
}: Examination): Promise<readonly Line[]> {
  const env = environment.name;
  const app = appIn(declared, environment);
  const lines: Line[] = [];
  const names = stackParts(app, environment).map((part) => deployedName(env, part));

  onProgress('stacks');
  const stacks = await inTurn(
    names,
    async (name) => [name, await observe(() => reader.stack(name))] as const,
  );
  const missing = stacks.filter(([, seen]) => 'value' in seen && seen.value === null).map(([name]) => name);
  if (missing.length === names.length) {
    const of = linesOf('stack', deployedName(env, '*'));
    return [
      of.fail(
        `Nothing of ${env} is deployed in this account and region.`,
        `npx millrace doctor --env ${env} --before && npx cdk deploy -c env=${env} --all`,
      ),
    ];
  }
  lines.push(...stacks.map(([name, seen]) => judgeStack(env, name, seen)), ...judgeDrift(env, stacks));

  onProgress('cluster and topics');
  const { brokers } = environment;
  const known = brokers.type === 'existing' ? { arn: brokers.clusterArn } : { name: environmentName(env) };
  const cluster = await observe(() => reader.cluster(known));
  lines.push(judgeCluster(env, 'arn' in known ? known.arn.split('/')[1]! : known.name, cluster));
  lines.push(...(await topicLines(environment, app, reader, cluster)));

  onProgress('schemas');
  const registry = registryName(env);
  for (const contract of app.contracts) {
    const seen = await observe(() => reader.schema(registry, contract.name, contract.versions));
    lines.push(judgeSchema(env, contract, seen));
  }

  onProgress('queues');
  for (const consumer of app.consumers) {
    const [deadLetters, redrive] = await Promise.all([
      observe(() => reader.queue(deadLetterQueueName(env, consumer.name))),
      observe(() => reader.queue(redriveQueueName(env, consumer.name))),
    ]);
    lines.push(...judgeQueues(env, consumer, deadLetters, redrive));
  }

  onProgress('functions and mappings');
  const functions = await functionsOf(environment, app, names, reader);
  lines.push(...functions.map(({ name, stack, seen }) => judgeFunction(env, name, stack, seen)));
  for (const consumer of app.consumers) {
    const mappings = await observe(() => reader.mappings(deployedName(env, consumer.name)));
    const paused = await observe(() => reader.parameter(pausedParameterName(env, consumer.name)));
    lines.push(...judgeMappings(env, consumerIn(environment, consumer), mappings, paused));
  }

  onProgress('recent errors');
  for (const { name, seen } of functions) {
    if (!('value' in seen) || seen.value === null) continue;
    const { logGroup } = seen.value;
    lines.push(judgeErrors(name, logGroup, await observe(() => reader.recentErrors(logGroup))));
  }

  onProgress('alarms');
  const present = names.filter((name) => !missing.includes(name));
  lines.push(...(await alarmLines(environment, present, reader)));

  onProgress('network');
  lines.push(...(await networkLines(environment, app.consumers, cluster, functions, reader)));

  onProgress('limits');
  lines.push(
    judgeConcurrency(app, environment, new Map(stacks), await observe(() => reader.limits())),
    judgePollers(app, environment),
  );
  if (probes) {
    onProgress('a record on its way');
    lines.push(...(await probeLines(environment, reader)));
  }
  // What is not there has not drifted.
  const plain = new Map(missing.map((name) => [revertCommand(env, name), deployCommand(env, name)]));
  return lines.map((line) => ({ ...line, fix: plain.get(line.fix ?? '') ?? line.fix }));
}

/** Looks at an account that an environment is about to be deployed to. Makes and changes nothing. */
export async function examineBefore({
  app: declared,
  environment,
  reader,
  onProgress,
}: Examination): Promise<readonly Line[]> {
  const env = environment.name;
  const app = appIn(declared, environment);
  const lines: Line[] = [];

  onProgress('bootstrap');
  lines.push(judgeBootstrap(env, await observe(() => reader.stack(BOOTSTRAP_STACK))));

  onProgress('stacks');
  const stacks = await inTurn(stackParts(app, environment), async (part) => {
    const name = deployedName(env, part);
    return [name, await observe(() => reader.stack(name))] as const;
  });
  lines.push(...stacks.map(([name, seen]) => judgeLeftOver(env, name, seen)));

  onProgress('roles');
  for (const each of SERVICE_LINKED_ROLES) {
    lines.push(judgeRole(each, await observe(() => reader.role(each.role))));
  }

  onProgress('zones and limits');
  const zones = judgeZones(environment, await observe(() => reader.zones()));
  if (zones) lines.push(zones);
  lines.push(
    judgeConcurrency(app, environment, new Map(stacks), await observe(() => reader.limits())),
    judgePollers(app, environment),
  );

  onProgress('contracts');
  for (const contract of app.contracts) {
    const seen = await inTurn(contract.versions, (version) => observe(() => reader.schemaFault(version)));
    lines.push(judgeValidity(contract, seen));
  }
  return lines;
}

async function topicLines(
  { name: env, existingTopics = [] }: Environment,
  { contracts, consumers, tables }: Pick<Declared, 'contracts' | 'consumers' | 'tables'>,
  reader: DeploymentReader,
  cluster: Observed<ClusterFacts | null>,
): Promise<readonly Line[]> {
  const topics: readonly TopicContract[] = [
    ...contracts,
    ...capturedTables(tables).map(topicOfTable),
    ...consumers.filter(({ deadLetter }) => deadLetter === 'kafka').map(topicOfDeadLetters),
  ];
  if (!('value' in cluster) || cluster.value === null) {
    return topics.map(({ name }) =>
      linesOf('topic', name).unknown(
        'The cluster was not found.',
        'Correct the line about the cluster first.',
      ),
    );
  }
  const { arn } = cluster.value;
  const lines = await inTurn(topics, async (topic) =>
    judgeTopic(
      env,
      topic,
      arn,
      existingTopics.includes(topic.name),
      await observe(() => reader.topic(arn, topic.name)),
    ),
  );
  return lines.flat();
}

async function probeLines(
  { name: env, probe }: Environment,
  reader: DeploymentReader,
): Promise<readonly Line[]> {
  const of = linesOf('probe', 'published');
  if (!probe) {
    return [
      of.unknown(
        `${env} has no operator function.`,
        `Write probe: true for ${env} in millrace.config.ts, then npx cdk deploy -c env=${env} --all`,
      ),
    ];
  }
  const seen = await observe(() => reader.probe(operatorFunctionName(env)));
  if ('value' in seen && seen.value === null) {
    return [of.fail('Lambda has no operator function.', deployCommand(env, operatorFunctionName(env)))];
  }
  const next = `Look at the lines about ${probeConsumer.name}, the network and the cluster.`;
  return judgeProbe(seen as Observed<ProbeReport | ProbeFailure>, next);
}

interface SeenFunction {
  readonly name: string;
  readonly stack: string;
  readonly seen: Observed<FunctionFacts | null>;
}

/** Of the consumers, the collector, its page and the migrations: each is called as its stack, but for `consumer-` and the page. */
async function functionsOf(
  { name: env, collector }: Environment,
  { consumers }: Pick<Declared, 'consumers'>,
  stacks: readonly string[],
  reader: DeploymentReader,
): Promise<readonly SeenFunction[]> {
  const parts = ['migrations', ...consumers.map(({ name }) => `consumer-${name}`), 'collector', 'operator'];
  const own = parts.filter((part) => stacks.includes(deployedName(env, part)));
  const named = own.flatMap((part) => [
    { name: deployedName(env, part.replace(/^consumer-/, '')), stack: deployedName(env, part) },
    ...(part === 'collector' && collector?.page
      ? [{ name: deployedName(env, PAGE_PART), stack: deployedName(env, part) }]
      : []),
  ]);
  return inTurn(named, async ({ name, stack }) => ({
    name,
    stack,
    seen: await observe(() => reader.function(name)),
  }));
}

async function alarmLines(
  environment: Environment,
  stacks: readonly string[],
  reader: DeploymentReader,
): Promise<readonly Line[]> {
  const { name: env, alarmActions } = environment;
  const seen = await observe(() => reader.alarms(deployedName(env, '')));
  const lines = await inTurn(stacks, async (stack) =>
    judgeAlarms(env, stack, await observe(() => reader.alarmsOf(stack)), seen, alarmActions),
  );
  return [...lines.flat(), ...(await subscriberLines(environment, seen, reader))];
}

async function subscriberLines(
  { name: env, alarmActions, notifications = {} }: Environment,
  seen: Observed<readonly AlarmFacts[]>,
  reader: DeploymentReader,
): Promise<readonly Line[]> {
  const lines = linesOf('subscriber', 'alarms');
  if (!alarmActions) return [lines.pass('alarmActions is false: alarms here notify nobody.')];
  if ('problem' in seen) return [lines.unseen(seen.problem)];
  const topics = [...new Set(seen.value.flatMap(({ actions }) => actions))].filter((arn) =>
    arn.includes(':sns:'),
  );
  if (topics.length === 0) {
    return [lines.unknown('No alarm names a topic.', 'Correct the lines about alarms first.')];
  }
  return inTurn(topics, async (arn) => {
    const severity = (['warning', 'incident'] as const).find((each) =>
      arn.endsWith(`:${deployedName(env, each)}`),
    );
    const others = severity ? (notifications[severity] ?? []).filter(isTopicArn) : [];
    return judgeSubscriptions(env, arn, others, await observe(() => reader.subscriptions(arn)));
  });
}

async function networkLines(
  environment: Environment,
  consumers: readonly AnyConsumer[],
  cluster: Observed<ClusterFacts | null>,
  functions: readonly SeenFunction[],
  reader: DeploymentReader,
): Promise<readonly Line[]> {
  const env = environment.name;
  const brokers: Side | null =
    'value' in cluster && cluster.value
      ? { name: 'pollers', groupIds: cluster.value.securityGroupIds }
      : null;
  // Consumers share their groups and subnets: the first that is there speaks for all.
  const ofConsumers = consumers.map(({ name }) => deployedName(env, name));
  const consumer = functions.flatMap(({ name, seen }) =>
    ofConsumers.includes(name) && 'value' in seen && seen.value ? [seen.value] : [],
  )[0];
  const lines = linesOf('network', 'pollers and functions');
  if (!brokers || !consumer?.vpcId) {
    return [lines.unknown('Cluster or functions were not found.', 'Correct the lines about them first.')];
  }
  const side: Side = { name: 'functions', groupIds: consumer.securityGroupIds };
  const { vpcId } = consumer;
  const endpoints = await observe(() => reader.endpoints(vpcId));
  const groups = await observe(async () => {
    const own = [...new Set([...brokers.groupIds, ...side.groupIds])];
    const ofEndpoints = 'value' in endpoints ? endpoints.value.flatMap((each) => each.securityGroupIds) : [];
    const first = await reader.securityGroups([...new Set([...own, ...ofEndpoints])]);
    const named = first.flatMap(({ egress }) => egress.flatMap((rule) => rule.groups));
    const rest = [...new Set(named)].filter((id) => first.every((group) => group.id !== id));
    return rest.length === 0 ? first : [...first, ...(await reader.securityGroups(rest))];
  });
  const facts = { groups, endpoints };
  return [
    ...judgePollerPaths(environment, brokers, facts),
    ...judgeFunctionPaths(environment, side, ['glue', 'sqs', 's3'], facts),
    judgeDatabasePath(env, side, groups),
  ];
}

/** One after another: an account's API limits are shared with everybody who works in it. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  look: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await look(item));
  return results;
}

/** How many lines of each verdict. */
export function tally(lines: readonly Line[]): Readonly<Record<'failed' | 'passed' | 'unknown', number>> {
  const having = (verdict: Line['verdict']) => lines.filter((line) => line.verdict === verdict).length;
  return { failed: having('fail'), passed: having('pass'), unknown: having('unknown') };
}
