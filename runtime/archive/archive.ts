import { archiveNameOf, type CapturedTable } from '../capture/table.ts';
import type { Topic } from '../contract/contract.ts';
import { type AnyConsumer, type Consumer, consumerOf } from '../delivery/consumer.ts';
import { MillraceError } from '../errors.ts';

interface ArchiveSettings {
  /** The consumer group id. @default the topic's name with "-" for ".", or the database's and the table's, and "-archive" */
  readonly name?: string;
  /** How long records are gathered for one object, 0 to 60 whole seconds. @default 30,000 */
  readonly windowMs?: number;
  /** What one object may hold, 1 to 10,000. @default 10,000: Lambda's 6 MB are often reached before */
  readonly maxRecords?: number;
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
  readonly reservedConcurrency?: number;
  readonly lag?: { readonly warning?: number; readonly incident?: number };
  readonly epoch?: number;
}

export type ArchiveDeclaration = ArchiveSettings &
  (
    | { readonly topic: Topic<never>; readonly table?: never }
    | { readonly table: CapturedTable; readonly topic?: never }
  );

/** A consumer whose effect is the record itself, in S3. */
export type Archive = Consumer<unknown, 's3'>;

/**
 * Declares an archive: every record of a topic, in S3, exactly once, as gzipped JSON lines. It is a consumer like any
 * other, without a handler: list it among the app's consumers. A table has one without being asked; declare it to change
 * its settings.
 * @throws CONSUMER_INVALID when a field is not allowed
 */
export function defineArchive(declaration: ArchiveDeclaration): Archive {
  const {
    topic: given,
    table,
    windowMs = 30_000,
    maxRecords = 10_000,
    name: named,
    ...settings
  } = declaration ?? ({} as ArchiveDeclaration);
  // Also of JavaScript, whose declarations no compiler has looked at.
  const refuse = (field: string, got: unknown, allowed: string): never => {
    throw invalid(named ?? 'unnamed', `${field} is ${JSON.stringify(got)}; it takes ${allowed}`);
  };
  if ((given === undefined) === (table === undefined)) {
    throw invalid(named ?? 'unnamed', 'it takes either a topic or a table');
  }
  if (given !== undefined && (typeof given?.name !== 'string' || typeof given.partitions !== 'number')) {
    refuse('topic', given, 'a contract, as topic.ts of its folder exports it, and no name');
  }
  if (table !== undefined && (typeof table?.topic?.name !== 'string' || !table.database)) {
    refuse('table', table, 'what defineTable() returns');
  }
  if (!Number.isInteger(windowMs) || windowMs < 0 || windowMs > 60_000 || windowMs % 1_000 !== 0) {
    refuse('windowMs', windowMs, 'whole seconds from 0 to 60,000');
  }
  if (!Number.isInteger(maxRecords) || maxRecords < 1 || maxRecords > 10_000) {
    refuse('maxRecords', maxRecords, 'a whole number from 1 to 10,000');
  }
  return consumerOf<unknown, 's3'>(
    {
      name: named ?? nameOf(declaration),
      topic: (given ?? table?.topic) as Topic<unknown>,
      sink: 's3',
      batch: { maxRecords, windowMs },
      ...settings,
      handle: (records, { tx }) => tx.append(records),
    },
    'defineArchive',
  );
}

/** What the archive is called, where nobody gave it a name. */
function nameOf({ topic, table }: ArchiveDeclaration): string {
  return table
    ? archiveNameOf(table.database, table.name)
    : `${topic!.name.replaceAll(/[._]/g, '-').toLowerCase()}-archive`;
}

/** Whether a consumer is an archive. */
export function isArchive(consumer: Pick<Consumer, 'sink'>): boolean {
  return consumer.sink === 's3';
}

/** The archive of a topic among the consumers; undefined where nobody archives it. */
export function archiveOf(topic: string, consumers: readonly AnyConsumer[]): AnyConsumer | undefined {
  return consumers.find((each) => isArchive(each) && each.topic.name === topic);
}

function invalid(name: string, problem: string): MillraceError {
  return new MillraceError(
    'CONSUMER_INVALID',
    `Archive ${JSON.stringify(name)}: ${problem}. Change it in defineArchive().`,
    { details: { consumer: name } },
  );
}
