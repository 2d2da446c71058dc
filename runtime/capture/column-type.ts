/** PostgreSQL's types as a declaration names them: `numeric(38,9)`, `timestamptz`, `text[]`. */

export const BASE_TYPES = [
  'smallint',
  'integer',
  'bigint',
  'numeric',
  'real',
  'double precision',
  'boolean',
  'text',
  'varchar',
  'char',
  'date',
  'time',
  'timestamp',
  'timestamptz',
  'interval',
  'uuid',
  'json',
  'jsonb',
  'bytea',
] as const;
export type BaseType = (typeof BASE_TYPES)[number];

/** Names that stand for one of the above. An enum's values are text. */
const SYNONYMS: Readonly<Record<string, BaseType>> = {
  int2: 'smallint',
  int: 'integer',
  int4: 'integer',
  int8: 'bigint',
  decimal: 'numeric',
  float4: 'real',
  float8: 'double precision',
  bool: 'boolean',
  'character varying': 'varchar',
  character: 'char',
  bpchar: 'char',
  'timestamp without time zone': 'timestamp',
  'timestamp with time zone': 'timestamptz',
  'time without time zone': 'time',
  enum: 'text',
};

export interface ColumnType {
  readonly base: BaseType;
  /** Of numeric; of others that have one number, such as varchar(20), their length. */
  readonly precision?: number;
  readonly scale?: number;
  readonly isArray: boolean;
}

/** The type that a text names; undefined where it names none of these. */
export function parseColumnType(text: string): ColumnType | undefined {
  const match = /^([a-z][a-z0-9 ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(\[\])?$/i.exec(text.trim());
  if (!match) return undefined;
  const [, written = '', precision, scale, array] = match;
  const name = written.toLowerCase().replaceAll(/\s+/g, ' ');
  const base = (BASE_TYPES as readonly string[]).includes(name)
    ? (name as BaseType)
    : Object.hasOwn(SYNONYMS, name)
      ? SYNONYMS[name]
      : undefined;
  if (!base) return undefined;
  return {
    base,
    ...(precision !== undefined && { precision: Number(precision) }),
    ...(scale !== undefined && { scale: Number(scale) }),
    isArray: array !== undefined,
  };
}

/**
 * What numbers a type takes, where it has others. PostgreSQL takes a scale beyond the precision, and no warehouse does:
 * https://www.postgresql.org/docs/16/datatype-numeric.html (2026-11-27)
 */
export function outOfRange({ base, precision, scale }: ColumnType): string | undefined {
  if (base === 'numeric') {
    if (precision === undefined || (precision >= 1 && precision <= 1_000 && (scale ?? 0) <= precision))
      return undefined;
    return "a precision from 1 to 1000, and a scale up to the precision: PostgreSQL's numeric(5,9) is numeric(9,9) here";
  }
  if (precision === undefined) return undefined;
  if (scale === undefined && (base === 'varchar' || base === 'char') && precision >= 1) return undefined;
  if (scale === undefined && /^(?:time|interval)/.test(base) && precision <= 6) return undefined;
  return 'numeric(p,s), a length of varchar or char from 1 on, a precision of times from 0 to 6, and no numbers elsewhere';
}
