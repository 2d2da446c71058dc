/** Collecting: events of whoever is outside, each checked by its topic's contract, published, and answered for. */

import type { SchemaNode } from '../avro/schema.ts';
import { parseSchema } from '../avro/schema-parser.ts';
import { findTime } from '../avro/times.ts';
import type { Violation } from '../avro/validator.ts';
import type { Contract } from '../contract/contract.ts';
import { type ErrorCode, MillraceError } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { createPublishAttempt, type PublishAttempt, type PublishPorts } from './publish.ts';

/** What became of one event. `index` is its place in the request, from 0. */
export type Verdict =
  /** All replicas in sync have it. */
  | { readonly index: number; readonly status: 'accepted' }
  /** It was not published and never will be: as it stands it breaks the contract, and `violations` say where and how. */
  | {
      readonly index: number;
      readonly status: 'refused';
      readonly code: 'EVENT_REFUSED';
      /** The first few. */
      readonly violations: readonly Violation[];
    }
  /** Nothing is wrong with it: send it again. It may then stand in the topic twice. */
  | { readonly index: number; readonly status: 'failed'; readonly code: ErrorCode };

export interface Collected {
  /** One for each event, in the order in which they came. */
  readonly verdicts: readonly Verdict[];
  readonly accepted: number;
  readonly refused: number;
  readonly failed: number;
  /** Why events failed, where some did. */
  readonly failure?: MillraceError;
}

/** `json`: an event, or an array of events. `ndjson`: an event a line. */
export type EventFormat = 'json' | 'ndjson';

export interface CollectRequest {
  readonly topic: string;
  readonly format: EventFormat;
  readonly body: Buffer;
}

export interface Collector {
  /**
   * Publishes the events that keep the topic's contract, in the order in which they came, and only these. An event is JSON
   * as its contract's generated type has it. Nothing that comes back holds what an event holds, names of fields aside.
   * @throws TOPIC_UNKNOWN when the topic is not among those collected; REQUEST_TOO_LARGE; REQUEST_UNREADABLE
   */
  collect(request: CollectRequest): Promise<Collected>;
}

export interface CollectLimits {
  /** @default 1,048,576: as much as one request to Kafka, and sixteen times what browsers let a beacon have */
  readonly maxBodyBytes?: number;
  /** @default 500 */
  readonly maxEvents?: number;
  /**
   * How far ahead of the clock a `timestamp-millis` or `timestamp-micros` may be. Infinity for contracts that hold times
   * to come, such as the end of an embargo.
   * @default a day: more than any zone that was left out of the sum, and less than a clock that nobody has set
   */
  readonly maxAheadMs?: number;
}

export interface CollectPorts extends PublishPorts {
  /** What times are compared with; without it they are not. */
  readonly clock?: Pick<Clock, 'now'>;
}

/** What is told of one event, so that an answer stays small however bad the request was. */
const MAX_VIOLATIONS = 5;
const MAX_PATH_LENGTH = 200;

/** An event read, or how it cannot be. */
type ReadEvent = { readonly value: unknown } | { readonly violation: Violation };

/**
 * A collector of these topics, and of no others. Keep it between requests: it asks the registry once a topic.
 * @throws CONTRACT_INVALID when a contract's newest version does not parse
 */
export function createCollector(
  contracts: readonly Contract<never>[],
  ports: CollectPorts,
  { maxBodyBytes = 1_048_576, maxEvents = 500, maxAheadMs = DAY_MS }: CollectLimits = {},
): Collector {
  const topics = new Map(
    contracts.map((contract) => [
      contract.name,
      { publish: createPublishAttempt(contract, ports), schema: parseSchema(contract.latest.schema).node },
    ]),
  );

  return {
    async collect({ topic, format, body }) {
      const target = topics.get(topic);
      if (!target) throw unknownTopic([...topics.keys()]);
      if (body.length > maxBodyBytes) throw tooLarge(`${body.length} bytes`, `${maxBodyBytes}`);
      const read = readEvents(body, format, maxEvents);
      if (read.length === 0) throw unreadable('It has no event.');
      const now = ports.clock?.now();
      const events =
        now === undefined ? read : read.map((event) => withinTime(event, target.schema, now, maxAheadMs));
      return judge(events, await publishReadable(events, target.publish));
    },
  };
}

const DAY_MS = 24 * 60 * 60 * 1000;
const YEAR_MS = 365 * DAY_MS;

/** One event with a wrong clock would be the newest for good, and one in seconds would be in 1970 without a word. */
function withinTime(event: ReadEvent, schema: SchemaNode | null, now: number, maxAheadMs: number): ReadEvent {
  if (!('value' in event) || !schema) return event;
  const { value } = event;
  const violationAt = (path: string | undefined, reason: string) =>
    path === undefined ? undefined : { violation: { path, reason } };
  return (
    violationAt(
      findTime(schema, value, (ms) => ms > now + maxAheadMs),
      'is further ahead of the clock than the limit allows',
    ) ??
    violationAt(
      findTime(schema, value, (ms) => isInCoarserUnit(ms, now)),
      'looks like seconds or milliseconds, and the contract takes a smaller unit',
    ) ??
    event
  );
}

/** Seconds where milliseconds belong, or milliseconds or seconds where microseconds do: a few days, or minutes, of 1970. */
function isInCoarserUnit(ms: number, now: number): boolean {
  return [1e3, 1e6].some((times) => ms * times > now - 10 * YEAR_MS && ms * times < now + YEAR_MS);
}

/** Of the events that could be read. */
async function publishReadable(
  events: readonly ReadEvent[],
  publish: (values: readonly unknown[]) => Promise<PublishAttempt>,
): Promise<PublishAttempt> {
  const values = events.flatMap((event) => ('value' in event ? [event.value] : []));
  try {
    return await publish(values);
  } catch (error) {
    // The registry's: nothing was sent.
    if (error instanceof MillraceError) return { published: [], refused: [], failure: error };
    throw error;
  }
}

function judge(events: readonly ReadEvent[], { published, refused, failure }: PublishAttempt): Collected {
  const violationsOf = new Map(refused.map(({ index, violations }) => [index, violations]));
  const counts = { accepted: 0, refused: 0, failed: 0 };
  let readable = 0;
  const verdicts = events.map((event, index): Verdict => {
    const violations = 'violation' in event ? [event.violation] : violationsOf.get(readable++);
    if (violations) {
      counts.refused++;
      return { index, status: 'refused', code: 'EVENT_REFUSED', violations: shortened(violations) };
    }
    if (counts.accepted < published.length) {
      counts.accepted++;
      return { index, status: 'accepted' };
    }
    counts.failed++;
    return { index, status: 'failed', code: failure?.code ?? 'UNEXPECTED' };
  });
  return { verdicts, ...counts, ...(failure && { failure }) };
}

function shortened(violations: readonly Violation[]): readonly Violation[] {
  return violations.slice(0, MAX_VIOLATIONS).map(({ path, reason }) => ({
    path: path.length > MAX_PATH_LENGTH ? `${path.slice(0, MAX_PATH_LENGTH)}…` : path,
    reason,
  }));
}

/**
 * Lines are counted before any is parsed: a line that is no JSON costs an exception. JSON.parse holds no recursion, so
 * depth cannot exhaust the stack; and it makes `__proto__` a property like any other, which the contract then refuses.
 */
function readEvents(body: Buffer, format: EventFormat, maxEvents: number): readonly ReadEvent[] {
  const text = decodeUtf8(body);
  if (format === 'ndjson') {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    checkCount(lines, maxEvents);
    return lines.map((line) => parseJson(line) ?? { violation: { path: '', reason: 'is not JSON' } });
  }
  const parsed = parseJson(text);
  if (!parsed) throw unreadable('It is not JSON.');
  const values: readonly unknown[] = Array.isArray(parsed.value) ? parsed.value : [parsed.value];
  checkCount(values, maxEvents);
  return values.map((value) => ({ value }));
}

function checkCount({ length }: readonly unknown[], maxEvents: number): void {
  if (length > maxEvents) throw tooLarge(`${length} events`, `${maxEvents}`);
}

/** Undefined where it is not JSON; the parser's own message would quote it. */
function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function decodeUtf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw unreadable('It is not UTF-8.');
  }
}

function unreadable(why: string): MillraceError {
  return new MillraceError(
    'REQUEST_UNREADABLE',
    `The request's body cannot be read. ${why} Send an event as a JSON object, several as a JSON array of them, or one per line as application/x-ndjson.`,
  );
}

function tooLarge(got: string, allowed: string): MillraceError {
  return new MillraceError(
    'REQUEST_TOO_LARGE',
    `The request has ${got}; it takes up to ${allowed}. Send the events in several requests.`,
  );
}

function unknownTopic(topics: readonly string[]): MillraceError {
  return new MillraceError(
    'TOPIC_UNKNOWN',
    `The collector does not take this topic; it takes ${topics.join(', ') || 'none'}.`,
  );
}

/** What became of the events of one request to the collector, in counts. */
export interface CollectReport {
  readonly topic: string;
  readonly accepted: number;
  readonly refused: number;
  readonly failed: number;
}

export interface CollectMetrics {
  /** Called once for each request whose events were judged. */
  reportCollect(report: CollectReport): void;
}

/** Likewise those of a collect report, under the service COLLECTOR_SERVICE. */
export const COLLECT_METRICS = {
  Accepted: { unit: 'Count', of: ({ accepted }) => accepted },
  Refused: { unit: 'Count', of: ({ refused }) => refused },
  Failed: { unit: 'Count', of: ({ failed }) => failed },
} as const satisfies Record<string, { unit: string; of: (report: CollectReport) => number }>;

export type CollectMetricName = keyof typeof COLLECT_METRICS;

/** `service` on the collector's log lines and metrics. */
export const COLLECTOR_SERVICE = 'collector';
