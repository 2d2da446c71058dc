/** Records as Debezium's JSON has them, of every type that a column can have. */
import { type CapturedTable, defineTable, heartbeatOf } from '../../runtime/capture/table.ts';
import { TODAY } from './warehouse-source.ts';
import { sim } from './warehouse-targets.ts';

/** Each type with Debezium's JSON, and what stands in the warehouse then, as text. Where they differ: DuckDB, PostgreSQL. */
export const KINDS: Readonly<
  Record<string, readonly [type: string, json: string, duckdb: string | null, postgres?: string | null]>
> = {
  big: ['bigint', '9007199254740993', '9007199254740993'],
  least: ['bigint', '-9223372036854775808', '-9223372036854775808'],
  exact: [
    'numeric(38,9)',
    '"12345678901234567890123456789.123456789"',
    '12345678901234567890123456789.123456789',
  ],
  tiny: ['numeric(38,9)', '"1E-9"', '0.000000001'],
  free: [
    'numeric',
    '"123456789012345678901234567890.1234567890123456789"',
    '123456789012345678901234567890.1234567890123456789',
  ],
  nan: ['numeric(38,9)', '"NAN"', null, 'NaN'],
  free_nan: ['numeric', '"NAN"', 'NaN'],
  real_nan: ['double precision', '"NaN"', 'nan', 'NaN'],
  real_infinity: ['double precision', '"-Infinity"', '-inf', '-Infinity'],
  tenth: ['double precision', '0.1', '0.1'],
  yes: ['boolean', 'true', 'true'],
  day: ['date', '"2026-02-28Z"', '2026-02-28'],
  caesar: ['date', '"-0043-03-15Z"', '0044-03-15 (BC)', '0044-03-15 BC'],
  far: ['date', '"-5877611-06-21Z"', 'infinity'],
  summer: ['timestamp', '"2026-10-25T01:30:00.123456Z"', '2026-10-25 01:30:00.123456'],
  never: ['timestamp', '"+294247-01-10T04:00:25.2Z"', 'infinity'],
  long_ago: ['timestamp', '"-290308-12-21T19:59:27.6Z"', '-infinity'],
  moment: ['timestamptz', '"2026-10-25T00:30:00.123456Z"', '2026-10-25 00:30:00.123456+00'],
  always: ['timestamptz', '"-infinity"', '-infinity'],
  late: ['time', '"23:59:59.999999Z"', '23:59:59.999999'],
  lasting: ['interval', '"P1Y2M3DT4H5M6.78S"', 'P1Y2M3DT4H5M6.78S'],
  doc: ['jsonb', String.raw`"{\"a\": 9007199254740993}"`, '{"a": 9007199254740993}'],
  uid: ['uuid', '"0190f3c2-1b2c-7def-8123-456789abcdef"', '0190f3c2-1b2c-7def-8123-456789abcdef'],
  bytes: ['bytea', '"AAH/"', String.raw`\x00\x01\xFF`, String.raw`\x0001ff`],
  tags: ['text[]', String.raw`["a","b,c",null,"\"q\""]`, String.raw`["a","b,c",null,"\"q\""]`],
  numbers: ['bigint[]', '[9007199254740993,-1]', '[9007199254740993,-1]'],
  none: ['text[]', '[]', '[]'],
  mood: ['enum', '"happy"', 'happy'],
  order: ['integer', '7', '7'],
  createdAt: ['text', String.raw`"tab\there, \"quotes\", \\ and 🦆"`, 'tab\there, "quotes", \\ and 🦆'],
  missing: ['integer', 'null', null],
};

export const kinds = defineTable({
  database: sim,
  table: 'kinds',
  key: ['id', 'part'],
  columns: {
    id: 'bigint',
    part: 'text',
    ...Object.fromEntries(Object.entries(KINDS).map(([name, [type]]) => [name, type])),
  },
});

export function objectOf(table: CapturedTable, partition: number): string {
  return `topics/${table.topic.name}/1/p${partition}/${TODAY}/${'0'.repeat(20)}.jsonl.gz`;
}

function rowOf(table: CapturedTable, offset: number, epoch: number, key: string, value: string): string {
  return (
    `{"topic":"${table.topic.name}","partition":0,"offset":${offset},"timestamp":1795000000000,` +
    `"timestamp_type":"CREATE_TIME","source_epoch":${epoch},"key":${JSON.stringify(key)},"headers":[],` +
    `"schema_id":null,"value":${value}}`
  );
}

export function kindsRow(table: CapturedTable, offset: number, op: string, kinds: typeof KINDS): string {
  const fields = Object.entries(kinds).map(([name, [, json]]) => `"${name}":${json}`);
  const after = `{"id":9007199254740993,"part":"it's",${fields.join(',')}}`;
  return rowOf(table, offset, 1, '{"id":9007199254740993,"part":"it\'s"}', changeOf(op, after, 100 + offset));
}

function changeOf(op: string, after: string, lsn: number): string {
  return `{"before":null,"after":${after},"source":{"ts_ms":1795000000000,"snapshot":"false","lsn":${lsn}},"op":"${op}","ts_ms":1795000000000}`;
}

export function heartbeatRow(epoch: number, lsn = 900): string {
  const after = '{"id":1,"beat_at":"2026-11-27T00:00:00Z"}';
  return rowOf(heartbeatOf(sim), 0, epoch, '{"id":1}', changeOf('u', after, lsn));
}
