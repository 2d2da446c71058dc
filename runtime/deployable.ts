import type { App } from './app.ts';
import { isArchive } from './archive/archive.ts';
import { type CapturedTable, capturedTables } from './capture/table.ts';
import { didYouMean } from './closest-name.ts';
import { consumerIn, overfullGroup, provisionedIn } from './consumer-in-environment.ts';
import type { Contract } from './contract/contract.ts';
import { type AnyConsumer, RANGES } from './delivery/consumer.ts';
import { deadLetterQueueName, deployedName, PAGE_PART } from './deployment.ts';
import { type Environment, MAX_GROUP_MAPPINGS, MAX_POLLERS, refuse } from './environment.ts';
import { MillraceError } from './errors.ts';
import { OPERATOR_ROLE } from './operator/operator.ts';
import { PAGE_ROLE } from './page.ts';
import { staleTables } from './warehouse/environment.ts';

// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html (2026-11-24)
const MAX_FUNCTION_NAME = 64;
const MAX_QUEUE_NAME = 80;

/** What functions, queues and stacks can all be called. */
const RESOURCE_NAME = /^[a-zA-Z0-9-]+$/;

/** What an environment has under these names already. */
const TAKEN = [
  'archive',
  'cluster',
  'collector',
  'database',
  'migrations',
  'operator',
  OPERATOR_ROLE,
  PAGE_PART,
  PAGE_ROLE,
];

/**
 * What a laptop allows and AWS, or this environment, does not.
 * @throws CONSUMER_INVALID naming the consumer, the field, what it got and what it takes
 */
export function checkDeployable(consumer: AnyConsumer, { name: environment, polling }: Environment): void {
  const { name, giveUp, topic } = consumer;
  const check = (field: string, got: unknown, isAllowed: boolean, allowed: string) => {
    if (isAllowed) return;
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${JSON.stringify(name)}: ${field} is ${JSON.stringify(got)}; in ${environment} it takes ${allowed}.`,
      { details: { consumer: name, field, environment } },
    );
  };
  const maxLength = Math.min(
    MAX_FUNCTION_NAME - deployedName(environment, '').length,
    MAX_QUEUE_NAME - deadLetterQueueName(environment, '').length,
  );
  check(
    'name',
    name,
    RESOURCE_NAME.test(name) && name.length <= maxLength && !TAKEN.includes(name),
    `up to ${maxLength} letters, digits and "-", and is none of ${TAKEN.join(', ')}, because its function, its queues and its stack are named after it`,
  );
  check(
    'topic.framing',
    topic.format === 'avro' ? topic.framing : undefined,
    topic.format === 'json' || topic.framing === 'glue',
    '"glue": functions read schemas from Glue, and would dead-letter every record of another framing',
  );
  for (const field of ['afterRetries', 'afterAgeMs'] as const) {
    check(
      `giveUp.${field}`,
      giveUp[field],
      giveUp[field] === undefined || polling.mode === 'provisioned',
      'nothing, because only provisioned pollers have limits on retries and age. Leave it out, or give the environment provisioned polling in millrace.config.ts',
    );
  }
}

/**
 * What an environment's settings say of consumers and topics, against those that the app has.
 * @throws ENVIRONMENT_INVALID naming the field, what it got and what it takes
 */
export function checkAgainstApp(
  environment: Environment,
  declared: Pick<App, 'contracts' | 'consumers' | 'collected' | 'tables' | 'demo'>,
): void {
  const { contracts, consumers, tables = [] } = declared;
  const { name, existingTopics = [], capture } = environment;
  const deadLetterTopics = consumers.filter((each) => each.deadLetter === 'kafka');
  const topics = [
    ...contracts.map((each) => each.name),
    ...capturedTables(tables).map((each) => each.topic.name),
    ...deadLetterTopics.map((each) => each.deadLetterTopic),
  ];
  const names = [...new Set(consumers.map((each) => consumerIn(environment, each).declared))];
  for (const topic of existingTopics) {
    checkName(`${name}.existingTopics`, topic, topics, "none of the app's topics");
  }
  const databases = [...new Set(tables.map(({ database }) => database.name))];
  for (const database of Object.keys(capture?.databases ?? {})) {
    checkName(`${name}.capture.databases`, database, databases, "none of the databases of the app's tables");
  }
  for (const consumer of Object.keys(environment.consumers ?? {})) {
    checkName(`${name}.consumers`, consumer, names, "none of the app's consumers");
  }
  for (const consumer of consumers.filter(isArchive)) {
    const generations = environment.consumers?.[consumer.name]?.generations;
    if (generations === undefined) continue;
    const next = 'Take it out of millrace.config.ts.';
    refuse(
      `${name}.consumers.${consumer.name}.generations`,
      generations,
      'nothing: it is an archive, and has no tables',
      next,
    );
  }
  for (const consumer of consumers) checkOverrides(environment, consumer);
  checkPage(environment, declared);
  checkFreshness(environment, tables, consumers);
  checkPollerGroups(environment, consumers);
}

/** A page stands behind the collector's API, and shows tables of PostgreSQL. */
function checkPage(
  { name, collector }: Environment,
  { consumers, collected = [], demo }: Pick<App, 'consumers' | 'collected' | 'demo'>,
): void {
  if (!collector?.page) return;
  const refusePage = (allowed: string, next: string) =>
    refuse(`${name}.collector.page`, collector.page, allowed, next);
  if (!demo?.page)
    refusePage(
      'nothing, because the app has no page',
      'Declare demo.page in millrace.config.ts, or take this out.',
    );
  if (collected.length === 0)
    refusePage(
      'nothing, because there is no collector without a topic',
      'List a topic in collected, or take this out.',
    );
  const shown = consumers.find((each) => each.name === demo?.page?.consumer);
  if (shown && isArchive(shown))
    refusePage(
      `nothing, because demo.page shows ${shown.name}, an archive without tables`,
      'Name a consumer with tables in demo.page.consumer.',
    );
}

/** A warehouse that is promised to be five minutes old at most has to be so by the sum of all waits. */
function checkFreshness(
  { name, warehouse }: Environment,
  tables: readonly CapturedTable[],
  consumers: readonly AnyConsumer[],
): void {
  const [stale] = warehouse ? staleTables(warehouse, tables, consumers) : [];
  if (!stale) return;
  const seconds = (ms: number) => `${ms / 1_000} s`;
  refuse(
    `${name}.warehouse.runner`,
    warehouse!.runner,
    `settings with which a change of ${stale.table} is in the warehouse in under 300 s. With these it takes up to ${seconds(stale.totalMs)}: ` +
      stale.parts.map(({ what, ms }) => `${seconds(ms)} ${what}`).join(', '),
    'Shorten one of them.',
  );
}

function checkName(field: string, got: string, names: readonly string[], which: string): void {
  if (names.includes(got)) return;
  const known = names.length === 0 ? '' : `: ${names.join(', ')}`;
  throw new MillraceError(
    'ENVIRONMENT_INVALID',
    `Environment: ${field} names ${JSON.stringify(got)}, which is ${which}${known}.${didYouMean(got, names)} Change it in millrace.config.ts.`,
    { details: { field } },
  );
}

/** An override takes what the declaration takes. */
function checkOverrides(environment: Environment, declared: AnyConsumer): void {
  const { consumer, declared: name } = consumerIn(environment, declared);
  const checkWhole = (field: string, got: unknown, [from, to]: readonly [number, number]) => {
    if (got === undefined || (Number.isInteger(got) && from <= Number(got) && Number(got) <= to)) return;
    refuse(
      `${environment.name}.consumers.${name}.${field}`,
      got,
      `a whole number from ${from} to ${to}`,
      'Change it in millrace.config.ts.',
    );
  };
  checkWhole('memoryMb', consumer.memoryMb, RANGES.memoryMb);
  checkWhole('reservedConcurrency', consumer.reservedConcurrency, RANGES.reservedConcurrency);
  checkWhole('lag.warning', consumer.lag.warning, [1, Number.MAX_SAFE_INTEGER]);
  checkWhole('lag.incident', consumer.lag.incident, [consumer.lag.warning, Number.MAX_SAFE_INTEGER]);
}

function checkPollerGroups(environment: Environment, consumers: readonly AnyConsumer[]): void {
  const full = overfullGroup(provisionedIn(environment, consumers));
  if (!full) return;
  refuse(
    `${environment.name}.polling.group`,
    full.group,
    `up to ${MAX_GROUP_MAPPINGS} consumers with up to ${MAX_POLLERS} pollers in all, and this group has ${full.consumers} with ${full.pollers}`,
    'Give some consumers another group: consumers.NAME.polling.group in millrace.config.ts.',
  );
}

/** @throws CONTRACT_INVALID where the deployed collector could not publish to the topic */
export function checkCollectable({ name, framing }: Contract<never>): void {
  if (framing === 'glue') return;
  throw new MillraceError(
    'CONTRACT_INVALID',
    `Contract ${JSON.stringify(name)}: framing is ${JSON.stringify(framing)}; a topic that the deployed collector writes to takes "glue", because ` +
      'its schema ids are those of Glue. Remove it from the topics that the app collects, or change the framing.',
    { details: { topic: name, field: 'framing' } },
  );
}
