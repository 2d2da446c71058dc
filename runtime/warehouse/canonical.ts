import type { ColumnType } from '../capture/column-type.ts';

/**
 * A value's text as PostgreSQL, DuckDB and Snowflake all have it: the same value gives the same text, whichever of them
 * wrote it. Digits stay as they are.
 */
export function canonicalText(type: ColumnType, text: string | null): string | null {
  if (text === null) return null;
  if (!type.isArray) return canonicalScalar(type.base, text);
  const elements = parseJson(text);
  if (!Array.isArray(elements)) return text;
  return JSON.stringify(
    elements.map((element) =>
      element === null
        ? null
        : canonicalScalar(type.base, element instanceof Digits ? element.text : String(element)),
    ),
  );
}

function canonicalScalar(base: ColumnType['base'], text: string): string {
  switch (base) {
    case 'numeric':
      return canonicalNumber(text);
    case 'real':
    case 'double precision':
      return canonicalFloat(text);
    case 'boolean':
      return text.toLowerCase();
    case 'char':
      return text.trimEnd();
    case 'date':
    case 'time':
    case 'timestamp':
    case 'timestamptz':
      return canonicalTime(text);
    case 'interval':
      return canonicalInterval(text);
    case 'json':
    case 'jsonb':
      return canonicalJson(parseJson(text));
    default:
      return text;
  }
}

function canonicalNumber(text: string): string {
  if (!/^-?\d+(\.\d+)?$/.test(text)) return text;
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function canonicalFloat(text: string): string {
  const word = text.toLowerCase();
  if (word === 'nan') return 'NaN';
  const infinity = /^([+-]?)inf(?:inity)?$/.exec(word);
  return infinity ? `${infinity[1] === '-' ? '-' : ''}Infinity` : String(Number(text));
}

function canonicalTime(text: string): string {
  return text
    .replace('T', ' ')
    .replace('(BC)', 'BC')
    .replace(/(?:Z|\+00(?::?00)?)(?= BC$|$)/, '')
    .replace(/(\.\d*?)0+(?= BC$|$)/, '$1')
    .replace(/\.(?= BC$|$)/, '');
}

/** Parts that are nothing are left out: PostgreSQL does so, Debezium does not. */
function canonicalInterval(text: string): string {
  const match =
    /^P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)D)?(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?[\d.]+)S)?)?$/.exec(text);
  if (!match) return text;
  return match
    .slice(1)
    .map((part) => canonicalNumber(part ?? '0').replace(/^-0$/, '0'))
    .join(' ');
}

/** A number of JSON as it is written: more digits than JavaScript's numbers have. */
class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Reviver = (key: string, value: unknown, context: { readonly source: string }) => unknown;

function parseJson(text: string): unknown {
  const keepDigits: Reviver = (_key, value, { source }) =>
    typeof value === 'number' ? new Digits(source) : value;
  return JSON.parse(text, keepDigits as Parameters<typeof JSON.parse>[1]);
}

/** Members in the order of their names, numbers digit by digit. */
function canonicalJson(value: unknown): string {
  if (value instanceof Digits) return canonicalNumber(value.text);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
}
