import { Command, InvalidArgumentError } from 'commander';
import { contractsAmong, type Topic } from '../runtime/contract/contract.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type FoundOutcome, type RecordOutcome, toldOutcome } from '../runtime/replay/audit.ts';
import { type Condition, checkCondition, parseCondition } from '../runtime/replay/conditions.ts';
import {
  type FoundRecord,
  findRecords,
  outcomesOfRecords,
  type SearchProgress,
  type SearchResult,
} from '../runtime/replay/find.ts';
import { type LoadedApp, loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { otherNames } from './consumers.ts';
import { envOption } from './environment-session.ts';
import { type EvidenceOptions, openEvidence } from './evidence-session.ts';
import { foundLines, nothingFoundLines } from './find-view.ts';
import { watchInterrupts } from './interrupts.ts';
import { checkEnvironment, jsonOption, pointInTime, stateOption, wholeFrom } from './options.ts';
import { kafkaAuthOption, kafkaOption, postgresOption } from './outside-options.ts';
import { progressLine } from './progress-line.ts';
import { openRegistry, type RegistryOptions, registryOption } from './registry-option.ts';
import { count, epilogue, plural, printJson, printLine, printNote } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace find news.pageviews --key /about --since 2h
  millrace find news.pageviews --where sessionId=7f3a --newest --limit 5
  millrace find shop.orders --where address.city=Oslo --where total=12.5 --json
  millrace find news.pageviews --key /about --since 2h --env prod

Each record comes with what became of it in every consumer of the topic: applied,
dead-lettered, parked, discarded, skipped, or pending if the consumer has not
reached it. A skipped record is in no table, and only a replay brings it, unless
the consumer began later: no replay brings what was never its own.

--key reads one partition, where Kafka's own producers put the key. --where reads
all, and decodes by the contract; names with dots lead into nested fields. Ctrl-C
ends the search and shows what it found. Values are shown only with --show-values.`;

const INTERRUPTED = 130;

interface FindOptions extends FindRequest {
  readonly key?: string;
  readonly since?: number;
  readonly showValues?: true;
  readonly json?: true;
}

export function findCommand(): Command {
  return new Command('find')
    .description('Finds records of a topic, and tells what became of each in every consumer.')
    .argument('<topic>', 'the topic')
    .option('--key <text>', 'only records of this key')
    .option('--every-partition', 'look for the key in every partition: another client may have put it there')
    .option(
      '--where <field=value>',
      'only records whose field holds the value; several must all be met',
      where,
    )
    .option('--since <time>', 'only records from this time on, such as 2h or 2026-11-24T10:00Z', pointInTime)
    .option('--limit <n>', 'end when so many are found', wholeFrom(1), 100)
    .option('--newest', 'begin with the newest record; default: the oldest')
    .option('--show-values', 'show the values, personal data included')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(postgresOption())
    .addOption(registryOption())
    .addOption(jsonOption('print {records: [{partition, offset, timestamp, consumers}]}'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, options: FindOptions, command: Command) => {
      if (options.key === undefined && !options.where) {
        command.error("error: which records? Add '--key <text>' or '--where <field=value>'.");
      }
      const app = await loadApp();
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      const topic = topicNamed(name, app);
      for (const condition of options.where ?? []) checkCondition(condition, topic);
      await find(topic, app, options);
    });
}

async function find(topic: Topic<never>, app: LoadedApp, options: FindOptions): Promise<void> {
  const interrupts = watchInterrupts();
  const stop = new AbortController();
  interrupts.first.then(() => stop.abort());
  const line = progressLine();
  try {
    const { result, outcomes, told, declaredNames } = await findWithOutcomes(
      topic,
      app,
      options,
      ({ looked, found, left }) =>
        line.show(`${plural(looked, 'record')} looked at, ${count(found)} found, up to ${count(left)} left`),
      stop.signal,
    ).finally(() => line.end());
    if (options.json) {
      printJson({
        records: result.found.map((each, at) => toJson(each, told[at]!, options.showValues)),
      });
    } else if (result.found.length === 0) {
      for (const text of nothingFoundLines(topic.name, result, options)) printLine(text);
    } else {
      for (const text of foundLines(result.found, outcomes, { ...options, declaredNames })) printLine(text);
    }
    if (result.unreadable > 0 && options.where) {
      printNote(
        `${plural(result.unreadable, 'record')} could not be decoded, so --where did not see ${result.unreadable === 1 ? 'it' : 'them'}.`,
      );
    }
    if (!result.isWhole && !stop.signal.aborted) {
      printNote(
        options.newest
          ? `The search ended at --limit ${options.limit}. There may be older records.`
          : `The search ended at --limit ${options.limit}. There may be more. --newest begins with the newest.`,
      );
    }
    if (stop.signal.aborted) {
      printNote(`Interrupted after ${plural(result.looked, 'record')}. There may be more.`);
      throw new CommandFailed(INTERRUPTED);
    }
  } finally {
    interrupts.ignore();
  }
}

export interface FindRequest extends EvidenceOptions, RegistryOptions {
  readonly key?: string | undefined;
  readonly everyPartition?: true;
  readonly newest?: true;
  readonly where?: readonly Condition[];
  readonly since?: number | undefined;
  readonly limit: number;
}

export interface Found {
  readonly result: SearchResult;
  /** One a record, by the consumer's own name: a generation's letters and ledger have it. */
  readonly outcomes: readonly Readonly<Record<string, FoundOutcome>>[];
  /** The same as people are told, by the name that the consumer is declared with. */
  readonly told: readonly Readonly<Record<string, RecordOutcome>>[];
  readonly declaredNames: ReadonlyMap<string, string>;
  readonly registry: SchemaRegistry;
}

/** Searches a topic, and asks every consumer of it what became of each record. @throws as `findRecords`, `openEvidence` */
export async function findWithOutcomes(
  topic: Topic<never>,
  app: Pick<LoadedApp, 'consumers'>,
  options: FindRequest,
  onProgress: (progress: SearchProgress) => void,
  signal: AbortSignal,
): Promise<Found> {
  const consumers = app.consumers.filter((each) => each.topic.name === topic.name);
  const session = await openEvidence(options);
  try {
    const { log } = session;
    const registry = session.registry ?? (await openRegistry(options.registry, contractsAmong([topic])));
    const search = { ...options, topic, log, registry, where: options.where ?? [] };
    const order = options.newest ? 'newest' : 'oldest';
    const result = await findRecords(
      { ...search, everywhere: options.everyPartition, order },
      onProgress,
      signal,
    );
    const sources = await Promise.all(consumers.map((consumer) => session.sourcesOf(consumer)));
    const outcomes = await outcomesOfRecords(
      result.found.map(({ raw }) => raw),
      sources,
    );
    // A generation that was promoted is called as its consumer, but its letters and its ledger have its own name.
    const declaredNames = new Map(sources.map((source, at) => [source.consumer.name, consumers[at]!.name]));
    const told = outcomes.map((each) =>
      Object.fromEntries(
        Object.entries(each).map(([name, outcome]) => [declaredNames.get(name)!, toldOutcome(outcome)]),
      ),
    );
    return { result, outcomes, told, declaredNames, registry };
  } finally {
    await session.close();
  }
}

function toJson(
  { raw, value }: FoundRecord,
  consumers: Readonly<Record<string, RecordOutcome>>,
  showsValues: true | undefined,
): object {
  const { partition, offset, timestamp } = raw;
  return { partition, offset, timestamp, consumers, ...(showsValues && { value }) };
}

/** @throws INPUT_INVALID where the app has no such topic, with the closest name */
export function topicNamed(name: string, { contracts, consumers }: LoadedApp): Topic<never> {
  const topics = [...contracts, ...consumers.map(({ topic }) => topic as Topic<never>)];
  const found = topics.find((each) => each.name === name);
  if (found) return found;
  const names = [...new Set(topics.map((each) => each.name))];
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no topic ${JSON.stringify(name)}.${names.length === 0 ? ' Add a contract to millrace.config.ts.' : otherNames(name, names)}`,
    { details: { topic: name } },
  );
}

/** Adds a condition to those before. @throws InvalidArgumentError */
export function where(text: string, earlier: readonly Condition[] = []): readonly Condition[] {
  const condition = parseCondition(text);
  if (condition) return [...earlier, condition];
  throw new InvalidArgumentError(
    'Give a field and its value, such as contentId=/about or address.city=Oslo.',
  );
}
