/** JavaScript values as PostgreSQL's text format and back: one mapping, whatever the driver. */
import type { OffsetRange } from '../../runtime/delivery/offset-ranges.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawResult } from './sql-driver.ts';
import { zeroByteRefused } from './sql-errors.ts';

/**
 * A parameter in text format; PostgreSQL infers its type from the statement.
 *
 * null and undefined → NULL; string as it is; number, bigint, boolean in decimal or by name; Date → timestamp with
 * time zone, UTC, in milliseconds; Buffer and Uint8Array → bytea; array → array, nested ones to any depth; any
 * other object → JSON. A JSON array needs JSON.stringify, or it would become an array.
 * @throws SINK_REJECTED for an invalid Date, a function, a symbol or a string with U+0000
 */
export function encodeParameter(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return withoutZero(value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  if (typeof value !== 'object') throw notAParameter(`a ${typeof value}`);
  if (value instanceof Date) return encodeDate(value);
  if (value instanceof Uint8Array)
    return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
  if (Array.isArray(value)) return encodeArray(value);
  return JSON.stringify(value);
}

function withoutZero(text: string): string {
  if (text.includes('\0')) throw zeroByteRefused();
  return text;
}

function encodeArray(values: readonly unknown[]): string {
  return `{${values.map(encodeElement).join(',')}}`;
}

function encodeElement(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return encodeArray(value);
  const text = encodeParameter(value);
  return text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** ISO 8601, but for years before 1 and after 9999, which PostgreSQL writes its own way. */
function encodeDate(date: Date): string {
  if (Number.isNaN(date.getTime())) throw notAParameter('an invalid Date');
  const year = date.getUTCFullYear();
  if (year >= 1 && year <= 9999) return date.toISOString();
  const text = date.toISOString();
  const afterYear = text.slice(text.indexOf('-', 1));
  const digits = String(year > 0 ? year : 1 - year).padStart(4, '0');
  return `${digits}${afterYear}${year > 0 ? '' : ' BC'}`;
}

/**
 * Rows as objects by column name. smallint, integer, bigint, real, double precision → number; boolean; json and
 * jsonb parsed; bytea → Buffer; timestamp with time zone → Date, microseconds dropped; everything else, numeric and arrays included, as
 * PostgreSQL writes it.
 * @throws SINK_REJECTED for a bigint that no number holds exactly
 */
export function decodeRows({ columns, rows }: RawResult): Record<string, unknown>[] {
  const decoders = columns.map(({ typeId }) => DECODERS.get(typeId) ?? asText);
  return rows.map((cells) => {
    const row: Record<string, unknown> = {};
    cells.forEach((cell, index) => {
      const { name } = columns[index]!;
      row[name] = cell === null ? null : decoders[index]!(cell, name);
    });
    return row;
  });
}

type Decoder = (text: string, column: string) => unknown;

const asText: Decoder = (text) => text;
const asNumber = (text: string) => Number(text);
const asJson = (text: string): unknown => JSON.parse(text);
const asBigint: Decoder = (text, column) => {
  const number = Number(text);
  if (Number.isSafeInteger(number)) return number;
  throw new MillraceError(
    'SINK_REJECTED',
    `Column ${JSON.stringify(column)} holds a bigint beyond 2^53, which a number cannot hold exactly. Select it as text: ${column}::text.`,
    { details: { column } },
  );
};
const TIMESTAMP = /^(\d{4,6})-(.{5}) (.{8})(?:\.(\d+))?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/;
const asDate: Decoder = (text) => {
  const match = TIMESTAMP.exec(text);
  // What no Date can hold (infinity, years BC) stays as it is written.
  if (!match) return text;
  const [, year, day, time, fraction = '', sign, hours, minutes = 0, seconds = 0] = match;
  const milliseconds = fraction.padEnd(3, '0').slice(0, 3);
  const local = Date.parse(`+${year!.padStart(6, '0')}-${day}T${time}.${milliseconds}Z`);
  const offsetMs = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000;
  return new Date(sign === '+' ? local - offsetMs : local + offsetMs);
};
const asBytes: Decoder = (text) => Buffer.from(text.slice(2), 'hex');

// Type ids are PostgreSQL's own and never change: src/include/catalog/pg_type.dat, read 2026-11-24.
/** Decoders of the types whose text has one meaning in JavaScript, by type id. */
export const PLAIN_DECODERS: readonly (readonly [typeId: number, (text: string) => unknown])[] = [
  [16, (text) => text === 't'],
  [21, asNumber],
  [23, asNumber],
  [114, asJson],
  [700, asNumber],
  [701, asNumber],
  [3802, asJson],
];
export const BIGINT = 20;
export const NUMERIC = 1700;
const DECODERS = new Map<number, Decoder>([
  ...PLAIN_DECODERS,
  [17, asBytes],
  [BIGINT, asBigint],
  [1184, asDate],
]);

function notAParameter(got: string): MillraceError {
  return new MillraceError(
    'SINK_REJECTED',
    `A statement got ${got} as a parameter; it takes null, strings, numbers, bigints, booleans, valid Dates, bytes, arrays of these, and objects as JSON.`,
  );
}

/** `{[1,3),[7,9)}`, PostgreSQL's text for a multirange of whole numbers. */
export function toMultirange(ranges: readonly OffsetRange[]): string {
  return `{${ranges.map(({ from, to }) => `[${from},${to})`).join(',')}}`;
}

/** The ranges of a multirange's text, or of several one behind the other. */
export function parseMultirange(text: string): OffsetRange[] {
  return Array.from(text.matchAll(/\[(\d+),(\d+)\)/g), ([, from, to]) => ({
    from: Number(from),
    to: Number(to),
  }));
}

/** The values of a field, for a statement that takes rows as columns. */
export function column<Row, Name extends keyof Row>(rows: readonly Row[], name: Name): Row[Name][] {
  return rows.map((row) => row[name]);
}

/** A name as SQL writes it, whatever characters it has. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Has a transaction look names up in a schema first. */
export function searchPath(schema: string): string {
  return `SET LOCAL search_path = ${identifier(schema)}, public`;
}
