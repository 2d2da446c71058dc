/** Collecting: events of whoever is outside, each checked by its topic's contract, published, and answered for. */

import type { Violation } from './avro/validator.ts';
import type { Contract } from './contract.ts';
import { type ErrorCode, MillraceError } from './errors.ts';
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
  ports: PublishPorts,
  { maxBodyBytes = 1_048_576, maxEvents = 500 }: CollectLimits = {},
): Collector {
  const topics = new Map(contracts.map((contract) => [contract.name, createPublishAttempt(contract, ports)]));

  return {
    async collect({ topic, format, body }) {
      const publish = topics.get(topic);
      if (!publish) throw unknownTopic([...topics.keys()]);
      if (body.length > maxBodyBytes) throw tooLarge(`${body.length} bytes`, `${maxBodyBytes}`);
      const events = readEvents(body, format);
      if (events.length > maxEvents) throw tooLarge(`${events.length} events`, `${maxEvents}`);
      if (events.length === 0) throw unreadable('It holds no event.');
      return judge(events, await publishReadable(events, publish));
    },
  };
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
 * JSON.parse holds no recursion, so depth cannot exhaust the stack; and it makes `__proto__` a property like any other,
 * which the contract then refuses.
 */
function readEvents(body: Buffer, format: EventFormat): readonly ReadEvent[] {
  const text = decodeUtf8(body);
  if (format === 'ndjson') {
    const lines = text.split('\n').filter((line) => line.trim() !== '');
    return lines.map((line) => parseJson(line) ?? { violation: { path: '', reason: 'is not JSON' } });
  }
  const parsed = parseJson(text);
  if (!parsed) throw unreadable('It is not JSON.');
  return Array.isArray(parsed.value) ? parsed.value.map((value: unknown) => ({ value })) : [parsed];
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
    `The request's body cannot be read. ${why} Send an event as a JSON object, several as a JSON array of them, or one a line as application/x-ndjson.`,
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
    `No such topic is collected here; there is ${topics.join(', ') || 'none'}.`,
  );
}
