/**
 * A generation is one set of a consumer's tables. Each is a consumer of its own, from one declaration: it has its own group,
 * role, queues, ledger rows and schema, so that exactly-once holds for each by itself. Readers see the live one's tables.
 */
import type { AnyConsumer } from '../delivery/consumer.ts';
import { MillraceError } from '../errors.ts';

/**
 * - `candidate`: is being filled; readers do not see it.
 * - `live`: readers see it.
 * - `previous`: was live before, and goes on, so that readers can be given it back.
 */
export type GenerationState = 'candidate' | 'live' | 'previous';

export interface Generation {
  /** The declared consumer's name. */
  readonly consumer: string;
  /** 1 is the declared consumer itself. */
  readonly number: number;
  readonly state: GenerationState;
  /** The rebuild that made it, for the handler's context; null for the first. */
  readonly rebuildId: string | null;
  /** What tells the code and migrations that it was built with from others; null for the first. */
  readonly code: string | null;
  readonly createdAt: number;
  readonly promotedAt: number | null;
}

/** PostgreSQL cuts names after 63 bytes; the longest here is that of the role that owns a generation's tables. */
const MOST_BYTES = 63;

/** The name of a generation's group, role, schema and queues: the first has the consumer's own. */
export function generationName(consumer: string, number: number): string {
  return number === 1 ? consumer : `${consumer}-g${number}`;
}

/**
 * The consumer that fills a generation.
 * @throws CONSUMER_INVALID when the name leaves no room for the number
 */
export function generationOf(consumer: AnyConsumer, number: number): AnyConsumer {
  if (number === 1) return consumer;
  const name = generationName(consumer.name, number);
  if (Buffer.byteLength(`${name}-owner`) > MOST_BYTES) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${consumer.name}: its name has ${consumer.name.length} characters, which leaves no room for a generation's number. ` +
        `A consumer whose tables are rebuilt has up to ${MOST_BYTES - '-g99-owner'.length}.`,
      { details: { consumer: consumer.name } },
    );
  }
  return { ...consumer, name, deadLetterTopic: `${consumer.topic.name}.${name}.dead-letters` };
}

/** The schema whose views readers use: the same names whichever generation is live. */
export function readerSchema(consumer: string): string {
  return `${consumer}-reader`;
}

/** The one that a rollback goes back to: of those that were live, the last. */
export function previousOf(generations: readonly Generation[]): Generation | undefined {
  return generations
    .filter(({ state }) => state === 'previous')
    .toSorted((a, b) => (b.promotedAt ?? 0) - (a.promotedAt ?? 0) || b.number - a.number)[0];
}

/** What became of a promote or a rollback. */
export interface Switched {
  readonly from: Generation;
  readonly to: Generation;
  /** How long the live consumer's batches waited. */
  readonly heldMs: number;
}

export interface RollbackOptions {
  /** How many offsets of the live ledger the other one may lack for good. @default 0 */
  readonly mayLose?: number;
  /**
   * By partition, the oldest offset that the log still has. A partition that retention has emptied is then not behind, even
   * if the candidate read nothing from it. @default unknown
   */
  readonly oldest?: ReadonlyMap<number, number>;
}

export interface PromoteOptions extends RollbackOptions {
  /** What tells the code that asks; it must be the candidate's. */
  readonly code: string;
}

/** What a candidate is made for. */
export interface RebuildOf {
  readonly id: string;
  /** What tells its code and migrations from others. */
  readonly code: string;
  /** @default 'rebuild' */
  readonly kind?: 'rebuild' | 'shadow';
}

/** The generations of a sink's consumers. The sink's owner changes them; every consumer may read them. */
export interface GenerationStore {
  /** Of one consumer, or of all, by number. A consumer without any has its first, live. */
  list(consumer?: string): Promise<readonly Generation[]>;
  /**
   * Makes the next candidate with its schema and tables, empty. Gives back the one under way for the same rebuild.
   * @throws REBUILD_REFUSED naming why: migrations that name a schema, tables that others write to, other code,
   * another rebuild's candidate (a shadow run's does not count)
   */
  create(consumer: AnyConsumer, rebuild: RebuildOf): Promise<Generation>;
  /**
   * Has readers see the candidate's tables, all at once, and makes the live one `previous`.
   * @throws REBUILD_REFUSED naming why: a partition behind, history lost, other code, dependents, shared tables, a shadow run
   */
  promote(consumer: AnyConsumer, number: number, options: PromoteOptions): Promise<Switched>;
  /**
   * Has readers see the previous generation's tables again.
   * @throws REBUILD_REFUSED as for a promote; where it lacks history, `details.offsets` is how much
   */
  rollback(consumer: AnyConsumer, options?: RollbackOptions): Promise<Switched>;
  /** Drops a generation's tables and ledger rows for good. @throws REBUILD_REFUSED for the live one, and where somebody reads its tables all the while */
  drop(consumer: AnyConsumer, number: number): Promise<void>;
}
