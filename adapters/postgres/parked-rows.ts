/** Parked records as rows, whatever bytes they came with. */
import { parkedBytes } from '../../runtime/delivery/sink.ts';
import { type ErrorAction, type ErrorCode, MillraceError } from '../../runtime/errors.ts';
import type { RawRecord, TimestampType } from '../../runtime/record.ts';
import { column } from './sql-values.ts';

/** A row of `millrace_parked` with the columns of its key. */
export interface ParkedRow {
  readonly topic: string;
  readonly partition: number;
  readonly key: Buffer;
  readonly offset: number;
  readonly timestamp: number;
  readonly timestamp_type: TimestampType;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: string, value: string | null])[] | null;
  readonly fault: Fault | null;
}

interface Fault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly action: ErrorAction;
  readonly isUnclear: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What `rawOf` needs, beside the columns of the key. */
export function parkedColumns(table: string): string {
  return ['"offset"', '"timestamp"', 'timestamp_type', 'value', 'headers', 'fault']
    .map((name) => `${table}.${name}`)
    .join(', ');
}

/** As columns: offset, timestamp, its type, bytes without the key's, value, headers and fault. */
export function parkedParameters(records: readonly RawRecord[]): readonly unknown[] {
  return [
    column(records, 'offset'),
    column(records, 'timestamp'),
    column(records, 'timestampType'),
    records.map((record) => parkedBytes({ ...record, key: null })),
    records.map(({ value }) => value),
    records.map(({ headers }) => (headers.length === 0 ? null : headersText(headers))),
    records.map(({ fault }) => (fault ? faultText(fault) : null)),
  ];
}

/** The record as it came. */
export function rawOf(row: ParkedRow): RawRecord {
  const { topic, partition, offset, timestamp, timestamp_type, key, value, headers, fault } = row;
  return {
    topic,
    partition,
    offset,
    timestamp,
    timestampType: timestamp_type,
    key,
    value,
    headers: (headers ?? []).map(([name, bytes]) => ({
      name,
      value: bytes === null ? null : Buffer.from(bytes, 'base64'),
    })),
    ...(fault && { fault: faultOf(fault) }),
  };
}

function headersText(headers: RawRecord['headers']): string {
  return JSON.stringify(headers.map(({ name, value }) => [name, value?.toString('base64') ?? null]));
}

function faultText({ code, message, action, isUnclear, details }: MillraceError): string {
  return JSON.stringify({ code, message, action, isUnclear, details } satisfies Fault);
}

function faultOf({ code, message, ...options }: Fault): MillraceError {
  return new MillraceError(code, message, options);
}
