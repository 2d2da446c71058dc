/**
 * Words that PostgreSQL, DuckDB or Snowflake take for no table's name unless it is quoted, in every query of everybody.
 * https://www.postgresql.org/docs/16/sql-keywords-appendix.html and
 * https://docs.snowflake.com/en/sql-reference/reserved-keywords (2026-11-27)
 */
const RESERVED = new Set(
  `account all alter analyse analyze and anti any array as asc asof asymmetric authorization between binary both by case
  cast check collate collation column concurrently connect connection constraint create cross current current_catalog
  current_date current_role current_schema current_time current_timestamp current_user database default deferrable delete
  desc describe distinct do drop else end except exists false fetch following for foreign freeze from full glob grant
  group gscluster having ilike in increment initially inner insert intersect into is isnull issue join lambda lateral
  leading left like limit localtime localtimestamp match_condition minus natural not notnull null of offset on only or
  order organization outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references regexp
  returning revoke right rlike row rows sample schema select semi session_user set show similar some start summarize
  symmetric system_user table tablesample then to trailing trigger true try_cast union unique unpivot update user using
  values variadic verbose view when whenever where window with`.split(/\s+/),
);

/** Whether a raw table or model cannot be called so. The loader has a table of its own beside the raw ones. */
export function isReservedName(name: string): boolean {
  return RESERVED.has(name) || name === 'loaded_objects';
}
