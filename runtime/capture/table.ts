import type { JsonTopic } from '../contract/contract.ts';
import { MAX_BODY_BYTES } from '../contract/contract.ts';
import { MillraceError } from '../errors.ts';
import { type ColumnType, outOfRange, parseColumnType } from './column-type.ts';
import { CAPTURE_SCHEMA, type CapturedDatabase } from './database.ts';
import { isReservedName } from './reserved-names.ts';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  readonly isNullable: boolean;
  /** Holds personal data: `docs/warehouse.md` has what follows from it. */
  readonly isPersonal: boolean;
  readonly description?: string;
}

/** A column as declared: its PostgreSQL type, such as `bigint`, `numeric(38,9)`, `text[]`; an enum is `text`. */
export type ColumnDeclaration =
  | string
  | {
      readonly type: string;
      /** @default true, false for a column of the key */
      readonly nullable?: boolean;
      readonly personal?: boolean;
      readonly description?: string;
    };

interface TableDeclaration {
  readonly database: CapturedDatabase;
  /** @default 'public' */
  readonly schema?: string;
  readonly table: string;
  /** What its models in the warehouse are called. @default the table's name */
  readonly name?: string;
  /** The columns of its primary key. A table without one cannot be captured. */
  readonly key: readonly string[];
  /** Those that arrive in the warehouse, the key's among them. A column that is not listed is archived all the same. */
  readonly columns: Readonly<Record<string, ColumnDeclaration>>;
  /** Who answers for the table: a team's name or address. @default the database's name */
  readonly owner?: string;
  /** Of its topic; fixed for life, so that a key stays in one. @default 6 */
  readonly partitions?: number;
  /** Of its topic. @default seven days */
  readonly retentionMs?: number;
  /** The largest change, as JSON, 65,536 to 4,194,304. @default 1 MiB */
  readonly maxRecordBytes?: number;
}

/** One change of a row, as Debezium writes it. https://debezium.io/documentation/reference/3.6/connectors/postgresql.html (2026-11-27) */
export interface Change {
  /** Create, update, delete, read by a snapshot, truncate, message. */
  readonly op: 'c' | 'u' | 'd' | 'r' | 't' | 'm';
  /** Made up in part, under the default replica identity. Read the record's key instead. */
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly source: Readonly<Record<string, unknown>>;
  readonly ts_ms: number;
}

/** A table whose changes are captured. Made by `defineTable`, never by hand. */
export interface CapturedTable {
  readonly name: string;
  readonly database: CapturedDatabase;
  readonly schema: string;
  readonly table: string;
  readonly key: readonly string[];
  readonly columns: readonly Column[];
  /** Its changes: a record's key is the row's, its value the change; null, a tombstone, follows a delete. */
  readonly topic: JsonTopic<Change | null>;
}

/** What stands in a column that a change did not touch, and that PostgreSQL stores apart (TOAST). */
export const UNAVAILABLE_VALUE = '__debezium_unavailable_value';

/** With what its models have before or after it, what PostgreSQL takes. */
const MODEL_NAME = /^[a-z][a-z0-9_]{0,57}$/;
/** What PostgreSQL, the names of topics and the warehouses all take. */
const SOURCE_NAME = /^[A-Za-z_]\w{0,62}$/;
/** Columns are in no topic's name. */
const COLUMN_NAME = /^[A-Za-z_][\w$]{0,62}$/;
/** Of a consumer's name, as defineConsumer() takes it. */
const MOST_CONSUMER_NAME = 57;
/** Lambda hands over 6 MB at most, as base64: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-27) */
const MOST_RECORD_BYTES = 4 * 1024 * 1024;

const RENAME = 'Name its models in the warehouse by "name" in defineTable(): the table keeps its name.';

/**
 * Declares a table of a database: from it follow the publication, the connector's configuration, the topic, the archive,
 * and the models and tests of the warehouse.
 * @throws TABLE_INVALID naming the field, what it got and what it takes
 */
export function defineTable(declaration: TableDeclaration): CapturedTable {
  // Also of JavaScript, whose declarations no compiler has looked at.
  const given: Partial<TableDeclaration> = declaration ?? {};
  const { database = {} as CapturedDatabase, schema = 'public', table = '', key = [] } = given;
  const { name = String(table).toLowerCase(), owner = database?.name, partitions = 6 } = given;
  const { retentionMs = 7 * 24 * 60 * 60 * 1000, maxRecordBytes = MAX_BODY_BYTES } = given;
  const refuse = (
    field: string,
    got: unknown,
    allowed: string,
    next = 'Change it in defineTable().',
  ): never => {
    throw new MillraceError(
      'TABLE_INVALID',
      `Table ${JSON.stringify(`${schema}.${table}`)}: ${field} is ${JSON.stringify(got)}; it takes ${allowed}. ${next}`,
      { details: { table: `${schema}.${table}`, field } },
    );
  };
  const checkWhole = (field: string, got: number, from: number, to: number) => {
    if (!Number.isInteger(got) || got < from || got > to)
      refuse(field, got, `a whole number from ${from} to ${to}`);
  };
  if (typeof database?.name !== 'string' || typeof database.connector !== 'string') {
    refuse('database', given.database, 'what defineDatabase() returns');
  }
  if (!isName(SOURCE_NAME, schema)) refuse('schema', schema, 'up to 63 letters, digits and "_"');
  if (!isName(SOURCE_NAME, table)) refuse('table', given.table, 'up to 63 letters, digits and "_"');
  const tooMany = typeof name === 'string' ? archiveNameOf(database, name).length - MOST_CONSUMER_NAME : 0;
  if (tooMany > 0) {
    refuse(
      'name',
      name,
      `up to ${name.length - tooMany} characters, since the consumer that archives the table is called after it and its database`,
      RENAME,
    );
  }
  if (!isName(MODEL_NAME, name))
    refuse('name', name, 'up to 58 lower-case letters, digits and "_", a letter first', RENAME);
  if (isReservedName(name)) {
    refuse(
      'name',
      name,
      'no word that SQL reserves, and not loaded_objects, since tables in the warehouse are called so',
      RENAME,
    );
  }
  checkWhole('partitions', partitions, 1, 1_000);
  checkWhole('maxRecordBytes', maxRecordBytes, 65_536, MOST_RECORD_BYTES);
  if (!Number.isInteger(retentionMs) || retentionMs < 3_600_000) {
    refuse('retentionMs', retentionMs, 'whole milliseconds, an hour (3600000) or more');
  }
  if (!Array.isArray(key) || key.length === 0) {
    refuse(
      'key',
      given.key ?? null,
      'the columns of its primary key',
      'A table without a key cannot be captured: a change would not say which row it is of, and the duplicates that a ' +
        'restart brings could not be told from real rows. Give the table one, for example ' +
        `ALTER TABLE ${schema}.${table} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;`,
    );
  }
  const twice = key.find((column, at) => key.indexOf(column) < at);
  if (twice !== undefined)
    refuse('key', key, `each column once, and ${JSON.stringify(twice)} is there twice`);
  if (typeof given.columns !== 'object' || given.columns === null || Array.isArray(given.columns)) {
    refuse('columns', given.columns, "its columns with their types, such as { id: 'bigint' }");
  }
  const columns = Object.entries(given.columns!).map(([column, declared]): Column => {
    const {
      type: text,
      nullable,
      personal = false,
      description,
    } = typeof declared === 'object' && declared !== null ? declared : { type: declared };
    if (!COLUMN_NAME.test(column))
      refuse('columns', column, 'names of up to 63 letters, digits, "_" and "$"');
    if (/^_cdc_/i.test(column)) {
      refuse(
        'columns',
        column,
        'names that do not begin with "_cdc_": such columns are the warehouse\'s own',
        'Rename the column in the database, or leave it out: it is archived all the same.',
      );
    }
    const type = typeof text === 'string' ? parseColumnType(text) : undefined;
    if (!type) {
      return refuse(
        `columns.${column}`,
        text,
        'a PostgreSQL type such as bigint, numeric(38,9), text, boolean, date, timestamptz, uuid, jsonb, bytea or text[]; an enum is text',
      );
    }
    const range = outOfRange(type);
    if (range !== undefined) refuse(`columns.${column}`, text, range);
    const isNullable = nullable ?? !key.includes(column);
    return {
      name: column,
      type,
      isNullable,
      isPersonal: personal,
      ...(description !== undefined && { description }),
    };
  });
  for (const column of key) {
    const found = columns.find((each) => each.name === column);
    if (!found) refuse('key', column, `one of its columns: ${columns.map((each) => each.name).join(', ')}`);
    else if (found.isNullable)
      refuse(`columns.${column}.nullable`, true, 'false, since it is a column of the key');
  }
  const alike = columns.find(({ name: a }, at) =>
    columns.some(({ name: b }, other) => other < at && a.toLowerCase() === b.toLowerCase()),
  );
  if (alike)
    refuse('columns', alike.name, 'names that differ in more than capitals, since warehouses ignore case');
  return Object.freeze({
    name,
    database,
    schema,
    table,
    key,
    columns,
    topic: Object.freeze({
      format: 'json' as const,
      name: `${database.name}.${schema}.${table}`,
      owner,
      partitions,
      retentionMs,
      cleanup: 'delete' as const,
      offsets: 'contiguous' as const,
      maxBodyBytes: maxRecordBytes,
      versions: [] as const,
      key: key.join(','),
    }),
  });
}

function isName(pattern: RegExp, name: unknown): boolean {
  return typeof name === 'string' && pattern.test(name);
}

/** What the consumer that archives a table is called, where nobody gave it a name: after the database and the table. */
export function archiveNameOf(database: Pick<CapturedDatabase, 'name'>, name: string): string {
  const parts = name.startsWith(`${database.name}_`) ? [name] : [database.name, name];
  return `${parts.join('-').replaceAll('_', '-')}-archive`;
}

/**
 * The row that each connector touches every few seconds: it moves the slot on when no captured table changes, and its age
 * at the end of the pipeline says whether all of it works.
 */
export function heartbeatOf(database: CapturedDatabase): CapturedTable {
  return defineTable({
    database,
    schema: CAPTURE_SCHEMA,
    table: 'heartbeat',
    name: `${database.name}_heartbeat`,
    key: ['id'],
    columns: { id: 'integer', beat_at: { type: 'timestamptz', nullable: false } },
    partitions: 1,
  });
}

/** What is called after a table in the warehouse, whose models are in one namespace. */
export function modelsOf(name: string): readonly string[] {
  return [`stg_${name}`, `${name}_rows`, name];
}

/** The databases of an app's tables. */
export function databasesOf(tables: readonly CapturedTable[]): readonly CapturedDatabase[] {
  return [...new Map(tables.map(({ database }) => [database.name, database])).values()];
}

/** The tables of an app, and the heartbeat of each of their databases. */
export function capturedTables(tables: readonly CapturedTable[] = []): readonly CapturedTable[] {
  return [...tables, ...databasesOf(tables).map(heartbeatOf)];
}
