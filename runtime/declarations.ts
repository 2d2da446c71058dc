import { isArchive } from './archive/archive.ts';
import { type CapturedTable, capturedTables, modelsOf } from './capture/table.ts';
import type { Contract, Topic } from './contract/contract.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import { MillraceError } from './errors.ts';
import { RESERVED } from './probe/pipeline.ts';

/**
 * Checks what no declaration can see by itself: each topic and each consumer is listed once and can be told from every
 * other, and every consumer reads a listed topic, as the collector writes to listed ones.
 * @throws CONTRACT_INVALID or CONSUMER_INVALID naming the first that is not so
 */
export function checkDeclarations(
  contracts: readonly Topic<never>[],
  consumers: readonly AnyConsumer[],
  collected: readonly Contract<never>[],
): void {
  const topic = firstRepeated(contracts.map(({ name }) => name));
  if (topic !== undefined) {
    throw new MillraceError(
      'CONTRACT_INVALID',
      `The app lists two contracts of the topic ${topic}. List it once in millrace.config.ts.`,
      { details: { topic } },
    );
  }
  const repeated = firstRepeated(consumers.map(({ name }) => name));
  if (repeated !== undefined) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `The app lists two consumers called ${repeated}. A name is a consumer group: list it once, or rename one.`,
      { details: { consumer: repeated } },
    );
  }
  checkReserved(contracts, consumers);
  checkArchives(consumers);
  checkRoles(consumers.map(({ name }) => name));
  checkTopics(contracts, consumers);
  const stray = consumers.find((consumer) => contracts.every(({ name }) => name !== consumer.topic.name));
  if (stray) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${stray.name} reads ${stray.topic.name}, which is not among the app's contracts. List the topic's contract in millrace.config.ts.`,
      { details: { consumer: stray.name, topic: stray.topic.name } },
    );
  }
  const collectedNames = collected.map(({ name }) => name);
  const unlisted = collectedNames.find((topic) => contracts.every(({ name }) => name !== topic));
  const twice = firstRepeated(collectedNames);
  if (unlisted === undefined && twice === undefined) return;
  throw new MillraceError(
    'CONTRACT_INVALID',
    unlisted === undefined
      ? `The app collects the topic ${twice} twice. List it once in millrace.config.ts.`
      : `The app collects ${unlisted}, which is not among its contracts. List the topic's contract in millrace.config.ts.`,
    { details: { topic: unlisted ?? twice } },
  );
}

/**
 * Each table is captured once, and its models have names of their own in the warehouse; a database is one declaration.
 * @throws TABLE_INVALID naming the first that is not so
 */
export function checkTables(tables: readonly CapturedTable[]): void {
  const refuse = (problem: string, table: string): never => {
    throw new MillraceError('TABLE_INVALID', `${problem} in millrace.config.ts.`, { details: { table } });
  };
  const topic = firstRepeated(tables.map((table) => table.topic.name));
  if (topic !== undefined) refuse(`The app lists the table of ${topic} twice. List it once`, topic);
  const name = firstRepeated(tables.map((table) => table.name));
  if (name !== undefined)
    refuse(`The app lists two tables called ${name}. Give one of them another name`, name);
  const models = capturedTables(tables).flatMap(({ name: table }) =>
    modelsOf(table).map((model) => [table, model] as const),
  );
  for (const [at, [table, model]] of models.entries()) {
    const earlier = models.slice(0, at).find(([, other]) => other === model);
    if (earlier) {
      refuse(
        `The tables ${earlier[0]} and ${table} would both have a model ${model} in the warehouse. Give one of them another name, by "name" in defineTable(),`,
        table,
      );
    }
  }
  for (const { database, name: table } of tables) {
    const other = tables.find((each) => each.database.name === database.name && each.database !== database);
    if (other) {
      refuse(
        `The tables ${table} and ${other.name} have two databases called ${database.name}. Declare it once, and use that`,
        other.name,
      );
    }
  }
}

/** Archives of a topic share its objects, which are those of one life of the topic. */
function checkArchives(consumers: readonly AnyConsumer[]): void {
  const archives = consumers.filter(isArchive);
  for (const { name, topic, epoch } of archives) {
    const other = archives.find((each) => each.topic.name === topic.name && each.epoch !== epoch);
    if (!other) continue;
    throw new MillraceError(
      'CONSUMER_INVALID',
      `The archives ${name} and ${other.name} keep ${topic.name} with the epochs ${epoch} and ${other.epoch}; it has one at a time. ` +
        'List one of them, or give both the same epoch.',
      { details: { consumer: other.name, topic: topic.name } },
    );
  }
}

/** `millrace doctor --probe` has a topic, a consumer and a table of its own. */
function checkReserved(contracts: readonly Topic<never>[], consumers: readonly AnyConsumer[]): void {
  const topic = contracts.find(({ name }) => name.startsWith(RESERVED.topic));
  const consumer = consumers.find(({ name }) => name.toLowerCase().startsWith(RESERVED.consumer));
  if (!topic && !consumer) return;
  const [what, prefix] = topic
    ? [`topic ${topic.name}`, RESERVED.topic]
    : [`consumer ${consumer!.name}`, RESERVED.consumer];
  throw new MillraceError(
    topic ? 'CONTRACT_INVALID' : 'CONSUMER_INVALID',
    `The app lists the ${what}. Names that begin with "${prefix}" are Millrace's own. Rename it.`,
    { details: topic ? { topic: topic.name } : { consumer: consumer!.name } },
  );
}

/**
 * Beside its own, a consumer takes the names of the role that owns its tables, of the schema that readers use, and of its later
 * generations, each of which is a group, a role and a schema (adapters/postgres/provision.ts, runtime/replay/generation.ts).
 */
function checkRoles(names: readonly string[]): void {
  for (const of of names) {
    for (const other of names) {
      const why = other.startsWith(of) ? whyTaken(of, other.slice(of.length)) : undefined;
      if (why === undefined) continue;
      throw new MillraceError(
        'CONSUMER_INVALID',
        `The app lists ${of} and ${other}. ${why} Rename one of them.`,
        { details: { consumer: other } },
      );
    }
  }
  const alike = firstAlike(names, (name) => name.toLowerCase());
  if (alike) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `The app lists ${alike.join(' and ')}, which differ in capitals alone: on many file systems their folders are one. Rename one of them.`,
      { details: { consumer: alike[1] } },
    );
  }
}

function whyTaken(consumer: string, suffix: string): string | undefined {
  if (suffix === '-owner') {
    return `The tables of ${consumer} belong to a role called ${consumer}-owner, which cannot log in.`;
  }
  if (suffix === '-reader') {
    return `Readers find the tables of ${consumer} in a schema called ${consumer}-reader, which is no consumer's own.`;
  }
  if (!/^-g\d+$/.test(suffix)) return undefined;
  return `When ${consumer} is rebuilt, its next generations are called ${consumer}-g2, ${consumer}-g3 and so on.`;
}

/** Kafka refuses a topic whose name differs from another's in "." and "_" alone: its metrics would be the other's. */
function checkTopics(contracts: readonly Topic<never>[], consumers: readonly AnyConsumer[]): void {
  const deadLetterTopics = consumers
    .filter(({ deadLetter }) => deadLetter === 'kafka')
    .map(({ deadLetterTopic }) => deadLetterTopic);
  const topics = [...contracts.map(({ name }) => name), ...deadLetterTopics];
  // Topic.hasCollision of org.apache.kafka:kafka-clients (2026-11-26)
  const alike = firstAlike(topics, (name) => name.replaceAll('.', '_'));
  if (!alike) return;
  const [topic, other] = alike;
  const what =
    topic === other
      ? `Two topics are called ${topic}`
      : `The topics ${topic} and ${other} differ in "." and "_" alone, which Kafka refuses`;
  throw new MillraceError(
    deadLetterTopics.includes(other) ? 'CONSUMER_INVALID' : 'CONTRACT_INVALID',
    `${what}. Topics of contracts, and deadLetterTopic of each consumer with deadLetter "kafka", need names of their own. Rename one of them.`,
    { details: { topic: other } },
  );
}

/** The first two names that `formOf` makes the same. */
function firstAlike(
  names: readonly string[],
  formOf: (name: string) => string,
): readonly [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const name of names) {
    const earlier = seen.get(formOf(name));
    if (earlier !== undefined) return [earlier, name];
    seen.set(formOf(name), name);
  }
  return undefined;
}

/** The first name that stands in the list more than once. */
export function firstRepeated(names: readonly string[]): string | undefined {
  return names.find((name, index) => names.indexOf(name) !== index);
}
