/** An app: what one project declares, and hands to the command line, to the laptop and to the CDK. */

import { archiveOf, defineArchive } from './archive/archive.ts';
import { type CapturedTable, capturedTables } from './capture/table.ts';
import type { Contract } from './contract/contract.ts';
import { checkDeclarations, checkTables } from './declarations.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import type { EnvironmentSettings } from './environment.ts';
import { MillraceError } from './errors.ts';
import type { DemoPage } from './page.ts';
import type { Random } from './ports.ts';
import type { CollectLimits } from './publish/collect.ts';

export interface App {
  /** Lower-case letters, digits and single hyphens. */
  readonly name: string;
  /** Every contract has a topic. A contract that is not listed has none and is not checked. */
  readonly contracts: readonly Contract<never>[];
  /** A consumer that is not listed is not deployed and does not run. `defineApp` adds the archives of tables that list none. */
  readonly consumers: readonly AnyConsumer[];
  /** Tables whose changes are captured. @default none */
  readonly tables?: readonly CapturedTable[];
  /** The topics that the collector takes events for, over HTTP. It answers every other topic with 404. @default none */
  readonly collected?: readonly Contract<never>[];
  /** What one request to the collector may hold, here and on AWS. @default CollectLimits' own */
  readonly collectLimits?: CollectLimits;
  /** What `cdk deploy -c env=NAME` takes as NAME. */
  readonly environments: Readonly<Record<string, EnvironmentSettings>>;
  /** What `millrace up` publishes and shows. @default generated values of every contract, and counters */
  readonly demo?: Demo;
}

/** Traffic and a panel of the app's own for `millrace up`. Nothing of it is deployed, but the page where an environment has `collector.page`. */
export interface Demo {
  /** Where the traffic and the files of `--input` go. */
  readonly topic: Contract<never>;
  /** The same randomness and the same times give the same values. @default generated values of the topic's contract */
  traffic?(random: Random): Traffic;
  /**
   * Reads files that are not JSON lines. @default files are JSON lines
   * @param salt keys pseudonyms; the same in every run on one state folder
   */
  input?(salt: Buffer): LineParser;
  /** The live view lists what this query gives, read only, twice a second at most: a label and a number, best first. */
  readonly panel?: { readonly title: string; readonly sql: string };
  /** A page that `millrace up` serves beside it, and an environment with `collector.page`. @default none */
  readonly page?: DemoPage;
  /** A query for a person to run when `millrace up` has ended. */
  readonly query?: string;
}

/** An endless supply of values. */
export interface Traffic {
  /** The next value, at `atMs`: epoch milliseconds, never earlier than the call before. */
  next(atMs: number): unknown;
  /** What share of the set rate is wanted at `atMs`; more than 1 in a rush. @default 1 */
  load?(atMs: number): number;
}

/** Reads one line of a file; never throws for what the line holds. Lines count from 1. */
export type LineParser<Value = unknown> = (line: string, number: number) => InputItem<Value>;

/** What one line of a file holds. */
export type InputItem<Value = unknown> = {
  readonly line: number;
  /** Which file, if there are several. */
  readonly input?: string;
} & (
  | { readonly kind: 'value'; readonly value: Value }
  /** Well-formed, and nothing to publish. `reason` is the same for all lines of a kind, as in `assets of a page`. */
  | { readonly kind: 'ignored'; readonly reason?: string }
  | { readonly kind: 'malformed'; readonly reason: string }
);

const NAME = /^(?=.{1,40}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;

/**
 * Declares the app, in `millrace.config.ts`, as its default export.
 * @throws APP_INVALID for the name; CONTRACT_INVALID or CONSUMER_INVALID when the declarations contradict each other
 */
export function defineApp(app: App): App {
  const { name, contracts, consumers, collected = [], demo } = app;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw invalid(
      `name is ${JSON.stringify(name)}; it takes up to 40 lower-case letters, digits and single hyphens, beginning with a letter`,
    );
  }
  const { tables = [] } = app;
  checkTables(tables);
  const captured = capturedTables(tables);
  const all = [...consumers, ...archivesOf(captured, consumers)];
  checkDeclarations([...contracts, ...captured.map(({ topic }) => topic)], all, collected);
  if (demo && contracts.every((contract) => contract.name !== demo.topic?.name)) {
    if (!demo.topic)
      throw invalid(
        'demo has no topic. Set demo.topic to the contract of the topic that the traffic goes to',
      );
    throw invalid(
      `demo.topic is ${demo.topic.name}, which contracts does not list. List the topic's contract`,
    );
  }
  if (demo?.page) checkPage(demo.page, all);
  return all.length === consumers.length ? app : { ...app, consumers: all };
}

function checkPage(page: DemoPage, consumers: readonly AnyConsumer[]): void {
  const { consumer, queries } = page;
  for (const name of ['title', 'script', 'consumer'] as const)
    if (typeof page[name] !== 'string' || page[name] === '')
      throw invalid(`demo.page.${name} is ${JSON.stringify(page[name]) ?? 'missing'}; it is a text`);
  if (consumers.every(({ name }) => name !== consumer))
    throw invalid(`demo.page.consumer is ${consumer}, which consumers does not list. List the consumer`);
  if (Object.keys(queries ?? {}).length === 0)
    throw invalid('demo.page.queries is empty. Give one query at least, by a name of yours');
  for (const [name, sql] of Object.entries(queries))
    if (typeof sql !== 'string' || sql.trim() === '')
      throw invalid(`demo.page.queries.${name} holds no SQL; it is a text such as "SELECT 1 AS one"`);
}

/** Archives of the tables that no consumer archives. */
function archivesOf(
  tables: readonly CapturedTable[],
  consumers: readonly AnyConsumer[],
): readonly AnyConsumer[] {
  return tables
    .filter(({ topic }) => archiveOf(topic.name, consumers) === undefined)
    .map((table) => defineArchive({ table }));
}

function invalid(problem: string): MillraceError {
  return new MillraceError('APP_INVALID', `The app's ${problem}. Correct millrace.config.ts.`);
}
