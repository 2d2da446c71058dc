/** What consumers wait for, as their engines' logs and reports tell. */
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { type BatchReport, LOGGED } from '../runtime/delivery/metrics.ts';
import { ERRORS, type ErrorCode } from '../runtime/errors.ts';
import type { ConsumerFacts } from '../runtime/lag/offsets.ts';
import type { Failing, Runner } from '../runtime/lag/sample.ts';

/** A consumer that waits for something outside. Nothing is lost meanwhile. */
export interface Hold {
  readonly consumer: string;
  readonly code: string;
  /** What it waits for, in words. */
  readonly why: string;
  /** Epoch milliseconds. */
  readonly since: number;
  readonly tries: number;
  /** The records that wait while others go on; none where all wait alike. */
  readonly records: readonly (Failing & { readonly partition: number })[];
}

export interface Holds {
  /** Whether the line says that a consumer is held: it is then part of a hold. */
  note(message: string, fields: Readonly<Record<string, unknown>>): boolean;
  /** A batch that gets through ends what concerned every record alike. */
  onReport(report: BatchReport): void;
  list(): readonly Hold[];
}

/** When nothing is heard of a hold for so long, it is over: longer than two waits between tries. */
const LEAST_QUIET_MS = 12_000;

const WAITS: Readonly<Record<string, string>> = {
  SINK_UNAVAILABLE: 'the sink does not answer',
  SINK_CONFLICT: 'the sink refuses the transaction for now',
  DEAD_LETTER_STORE_UNAVAILABLE: 'the dead-letter store does not answer',
  DEPENDENCY_UNAVAILABLE: 'handle() says that a service it needs is down',
  REGISTRY_UNAVAILABLE: 'the schema registry does not answer',
  OBJECT_STORE_UNAVAILABLE: 'the object store does not answer',
  QUEUE_UNAVAILABLE: 'the queue does not answer',
  KAFKA_UNAVAILABLE: 'no Kafka broker answers',
};

/** What a redrive, a retry or a batch that gets through ends at once: it concerns every record alike. */
const CONCERNS_ALL = /^(?:SINK|DEAD_LETTER_STORE|REGISTRY|OBJECT_STORE|QUEUE)_/;

type Waiting = Failing & { readonly partition: number; readonly lastAt: number };
type Known = Omit<Hold, 'records'> & { readonly lastAt: number; readonly waiting: readonly Waiting[] };

/** @param onOver hears of each hold that has ended */
export function createHolds(
  consumers: readonly Pick<AnyConsumer, 'retry'>[],
  now: () => number,
  onOver: (hold: Hold) => void,
): Holds {
  const quietMs = Math.max(LEAST_QUIET_MS, ...consumers.map(({ retry }) => 2 * retry.maxMs));
  const holds = new Map<string, Known>();
  const over = (key: string) => {
    const known = holds.get(key)!;
    holds.delete(key);
    onOver(holdOf(known));
  };
  const holdOf = ({ waiting, lastAt: _, ...hold }: Known): Hold => ({
    ...hold,
    records: waiting
      .filter(({ lastAt }) => now() - lastAt <= quietMs)
      .map(({ lastAt: _, ...record }) => record),
  });
  return {
    note(message, fields) {
      if (message !== LOGGED.held) return false;
      const [code, consumer] = [String(fields.code), String(fields.consumer)];
      const key = `${consumer} ${code}`;
      const known = holds.get(key);
      const at = now();
      const words =
        WAITS[code] ?? (code in ERRORS ? ERRORS[code as ErrorCode].summary.replace(/\.$/, '') : code);
      const said =
        code === 'DEPENDENCY_UNAVAILABLE' && fields.errorMessage
          ? String(fields.errorMessage)
          : code === 'CONSUMER_BROKEN' && fields.failing
            ? String(fields.failing)
            : words;
      const why = said.replace(/\.$/, '');
      holds.set(key, {
        consumer,
        code,
        why,
        since: known?.since ?? at,
        lastAt: at,
        tries: (known?.tries ?? 0) + 1,
        waiting: waitingAt(at, fields.records, { code, why }, known?.waiting ?? []),
      });
      return true;
    },
    onReport({ consumer, applied, returned }) {
      if (applied === 0 || returned > 0) return;
      for (const [key, held] of holds)
        if (held.consumer === consumer && CONCERNS_ALL.test(held.code)) over(key);
    },
    list() {
      for (const [key, { lastAt }] of holds) if (now() - lastAt > quietMs) over(key);
      return [...holds.values()].map(holdOf);
    },
  };
}

/** The records of a line, each with how often it was one; those of other batches stay until they are quiet. */
function waitingAt(
  at: number,
  records: unknown,
  { code, why }: Pick<Hold, 'code' | 'why'>,
  known: readonly Waiting[],
): readonly Waiting[] {
  const named = (records ?? []) as readonly { readonly partition: number; readonly offset: number }[];
  const waiting = new Map(known.map((each) => [each.partition, each]));
  for (const { partition, offset } of named) {
    const before = waiting.get(partition);
    const isSame = before?.offset === offset;
    waiting.set(partition, {
      partition,
      offset,
      code,
      why,
      times: isSame ? before.times + 1 : 1,
      since: isSame ? before.since : at,
      lastAt: at,
    });
  }
  return [...waiting.values()];
}

/** What the holds of a consumer say to its verdict: what holds all of it, and which records fail time after time. */
export function heldFacts(holds: readonly Hold[]): {
  readonly held: Pick<Runner, 'held'>;
  readonly failing: NonNullable<ConsumerFacts['failing']>;
} {
  const all = holds.filter(({ records }) => records.length === 0).toSorted((a, b) => a.since - b.since)[0];
  const failing = new Map(holds.flatMap(({ records }) => records).map((each) => [each.partition, each]));
  return {
    held: all ? { held: { code: all.code, since: all.since, tries: all.tries, why: all.why } } : {},
    failing,
  };
}
