/** What happens in a run that a person should hear of: repeats as one, and what holds a consumer up as a state of its own. */

import { createHolds, type Hold } from '../local/holds.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { type BatchReport, LOGGED } from '../runtime/delivery/metrics.ts';
import type { Logger } from '../runtime/ports.ts';

/** Something that happened once or again and again. */
export interface RunEvent {
  readonly level: 'info' | 'warn' | 'error';
  /** Epoch milliseconds: the first time and the last. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
  /** The last time. */
  readonly text: string;
}

export interface RunLog {
  readonly log: Logger;
  onReport(report: BatchReport): void;
  /** The one that happened last comes last. */
  events(): readonly RunEvent[];
  holds(): readonly Hold[];
}

type Fields = Readonly<Record<string, unknown>>;

const KEPT = 50;
const MOST_REMEMBERED = 100_000;
export function createRunLog(
  consumers: readonly Pick<AnyConsumer, 'retry'>[],
  now: () => number = Date.now,
): RunLog {
  const events = new Map<string, RunEvent>();
  const lost = new Set<string>();
  let hintsAtTypes = true;

  const note = (level: RunEvent['level'], key: string, text: string) => {
    const known = events.get(key);
    // Last in the map, too: the newest comes last.
    events.delete(key);
    const at = now();
    events.set(key, {
      level,
      firstAt: known?.firstAt ?? at,
      lastAt: at,
      count: (known?.count ?? 0) + 1,
      text,
    });
    const oldest = events.keys().next().value;
    if (events.size > KEPT && oldest !== undefined) events.delete(oldest);
  };
  const holds = createHolds(consumers, now, ({ consumer, code, since }) => {
    const seconds = Math.round((now() - since) / 1_000);
    note('info', `over ${consumer} ${code} ${since}`, `${consumer}  goes on after ${seconds} s (${code})`);
  });
  const line =
    (level: 'warn' | 'error') =>
    (message: string, fields: Fields = {}) => {
      if (holds.note(message, fields)) return;
      // A function that died before its commit says the same of the same record again.
      if (message === LOGGED.deadLettered) {
        const { consumer, topic, partition, offset, attempts } = fields;
        // A redrive that fails raises its attempts.
        const id = `${consumer}/${topic}/${partition}/${offset}/${attempts}`;
        if (lost.has(id)) return;
        if (lost.size >= MOST_REMEMBERED) lost.clear();
        lost.add(id);
      }
      const { key, text } = describe(message, fields);
      note(level, key, text);
      if (hintsAtTypes && /^(?:Reference|Type)Error$/.test(String(fields.errorName)) && fields.location) {
        hintsAtTypes = false;
        note('info', 'types', '"npx tsc" may find this mistake before it runs');
      }
    };

  return {
    log: { debug() {}, info() {}, warn: line('warn'), error: line('error') },
    onReport: holds.onReport,
    events: () => [...events.values()],
    holds: holds.list,
  };
}

/** The line as a person reads it, and what makes it the same as another one. */
function describe(message: string, fields: Fields): { readonly key: string; readonly text: string } {
  const {
    requestId: _,
    consumer,
    topic,
    partition,
    offset,
    code,
    errorName,
    errorMessage,
    location,
    ...others
  } = fields;
  const who = consumer === undefined ? '' : `${consumer}  `;
  const record = offset === undefined ? '' : `  ${topic}/${partition}/${offset}`;
  if (message === LOGGED.deadLettered) {
    // Our own errors say most by their code.
    const name = errorName === undefined || errorName === 'MillraceError' ? String(code) : String(errorName);
    const at = location === undefined ? '' : ` (${location})`;
    const quoted =
      errorMessage === undefined || (name === code && !name.startsWith('HANDLER_'))
        ? ''
        : `: ${errorMessage}`;
    return {
      key: JSON.stringify([message, consumer, code, errorName, location]),
      text: `${who}${name}${location === undefined && name !== code ? ` [${code}]` : ''}${quoted}${at}${record}`,
    };
  }
  if (message === LOGGED.broken) {
    return {
      key: JSON.stringify([message, consumer, others.failing]),
      text: `${who}broken code: ${others.failing}; its records are held until ${others.heldUntil}`,
    };
  }
  const words = WORDS[message] ?? message;
  const rest = [code, ...Object.entries(others).map(([name, value]) => `${name}=${textOf(value)}`)];
  return {
    key: JSON.stringify([message, consumer, code]),
    text: `${who}${words}${record}  ${rest.filter((fact) => fact !== undefined).join('  ')}`.trimEnd(),
  };
}

const WORDS: Readonly<Record<string, string>> = {
  [LOGGED.skipped]: 'records were skipped and are NOT in the tables: docs/runbooks/records-passed-over.md',
  'Invocation failed': 'an invocation failed; its batch is delivered again',
};

function textOf(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
