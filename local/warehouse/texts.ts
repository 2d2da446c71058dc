/** Values as texts, in the SQL of PostgreSQL, which is the source's as well, of DuckDB and of Snowflake. */
import type { CapturedTable, Column } from '../../runtime/capture/table.ts';
import type { WarehouseTarget } from './python.ts';

type Texts = Readonly<Record<WarehouseTarget, (column: Column, name: string) => string>>;

/** What `canonicalText` makes one text of. */
export const TEXTS: Texts = {
  postgres({ type }, name) {
    if (type.isArray) return `to_json(${name})::text`;
    return type.base === 'bytea' ? `encode(${name}, 'hex')` : `${name}::text`;
  },
  duckdb({ type }, name) {
    if (type.isArray) return `cast(to_json(${name}) as varchar)`;
    return type.base === 'bytea' ? `lower(hex(${name}))` : `cast(${name} as varchar)`;
  },
  snowflake({ type }, name) {
    if (type.isArray || type.base === 'json' || type.base === 'jsonb') return `to_json(${name})`;
    if (type.base === 'bytea') return `lower(hex_encode(${name}))`;
    if (type.base === 'timestamp') return `to_varchar(${name}, 'YYYY-MM-DD HH24:MI:SS.FF6')`;
    if (type.base === 'timestamptz') {
      return `to_varchar(convert_timezone('UTC', ${name}), 'YYYY-MM-DD HH24:MI:SS.FF6')`;
    }
    return type.base === 'time' ? `to_varchar(${name}, 'HH24:MI:SS.FF6')` : `cast(${name} as varchar)`;
  },
};

/**
 * A row's key as one text, which every warehouse writes alike: rows come in the order of its hash, so that no text can be
 * changed afterwards. Two keys never have the same text: in one of several columns, a comma of a value's own has a
 * backslash before it.
 */
export function keyText(
  table: CapturedTable,
  target: WarehouseTarget,
  name: (column: Column) => string,
): string {
  const parts = table.key.map((key) => {
    const column = table.columns.find((each) => each.name === key)!;
    return keyPart(column, target, name(column));
  });
  if (parts.length === 1) return parts[0]!;
  // As chr(92), because Snowflake reads a backslash in a literal otherwise than the others do.
  const escaped = (part: string) =>
    `replace(replace(${part}, chr(92), chr(92) || chr(92)), ',', chr(92) || ',')`;
  return `(${parts.map(escaped).join(" || ',' || ")})`;
}

function keyPart(column: Column, target: WarehouseTarget, name: string): string {
  const text = TEXTS[target](column, name);
  const { base, isArray } = column.type;
  if (isArray) return text;
  if (base === 'char') return `rtrim(${text}, ' ')`;
  if (base === 'real' || base === 'double precision') {
    // A whole number is 1 to PostgreSQL and 1.0 to DuckDB.
    return `case when abs(${name}) < 1e15 and ${name} = trunc(${name}) then cast(cast(${name} as bigint) as varchar) else ${text} end`;
  }
  if (target !== 'snowflake') return text;
  // The others write no zeros after the last digit of a second, and a zone.
  const isTime = base === 'time' || base === 'timestamp' || base === 'timestamptz';
  if (!isTime) return text;
  return `rtrim(rtrim(${text}, '0'), '.')${base === 'timestamptz' ? " || '+00'" : ''}`;
}
