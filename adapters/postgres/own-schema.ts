/**
 * What of a database is Millrace's to change and to drop: the schemas that it made, which it knows by their comment, and in
 * them what migrations made, which is written down as they make it.
 */
import { MillraceError } from '../../runtime/errors.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { identifier } from './sql-values.ts';

/** By which Millrace knows a schema as its own. */
export function commentOf(schema: string): string {
  return `COMMENT ON SCHEMA ${identifier(schema)} IS 'Made by Millrace: ${schema.replaceAll("'", "''")}'`;
}

/** Makes one. @param owner @default the connection's own role */
export async function makeSchema(
  open: OpenTransaction,
  schema: string,
  owner: string | undefined,
): Promise<void> {
  const authorization = owner === undefined ? '' : ` AUTHORIZATION ${identifier(owner)}`;
  await open.run(`CREATE SCHEMA ${identifier(schema)}${authorization}; ${commentOf(schema)}`);
}

/** Whose schema it is, of that name; undefined where there is none. */
export async function whoMade(
  open: OpenTransaction,
  schema: string,
): Promise<'millrace' | 'others' | undefined> {
  const { rows } = await open.query(
    `SELECT coalesce(obj_description(oid, 'pg_namespace') = $2, false)::text FROM pg_namespace WHERE nspname = $1`,
    [schema, `Made by Millrace: ${schema}`],
  );
  if (rows.length === 0) return undefined;
  return rows[0]![0] === 'true' ? 'millrace' : 'others';
}

/** @throws SINK_MISCONFIGURED where others made the schema @returns whether it is there */
export async function hasSchema(open: OpenTransaction, consumer: string, schema: string): Promise<boolean> {
  const by = await whoMade(open, schema);
  if (by !== 'others') return by !== undefined;
  throw new MillraceError(
    'SINK_MISCONFIGURED',
    `The database has a schema "${schema}" that Millrace did not make, and ${consumer} would work in it as in its own. Nothing has changed. ` +
      'Rename that schema (ALTER SCHEMA … RENAME TO), or give the consumer another name. Only if it is Millrace’s and has lost its comment, ' +
      `as in a restore without comments, give that back: ${commentOf(schema)}`,
    { details: { consumer, schema } },
  );
}

/** What stands in a schema by itself: a partition, an index, a column's sequence go with their table, members with their extension. */
const OBJECTS = `
  SELECT DISTINCT i.type || ' ' || i.identity
  FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
  WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    AND (i.schema = quote_ident($1) OR i.type = 'extension')
    AND NOT EXISTS (
      SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid
        AND (e.deptype IN ('e', 'i') OR e.refobjsubid > 0 AND i.type = 'sequence')
    )
    AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relispartition)
  ORDER BY 1`;

export async function objectsIn(open: OpenTransaction, schema: string): Promise<readonly string[]> {
  return (await open.query(OBJECTS, [schema])).rows.map(([object]) => object!);
}

/** Writes down what a migration made. @param before what was in the schema until then */
export async function recordMade(
  open: OpenTransaction,
  schema: string,
  before: readonly string[] = [],
): Promise<void> {
  const was = new Set(before);
  const made = (await objectsIn(open, schema)).filter((object) => !was.has(object));
  await open.query(
    'INSERT INTO millrace_migration_object (scope, object) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING',
    [schema, made],
  );
}

/** Of tables that were moved into the schema by hand, as the refusal to move them says, nothing is written down. */
export async function recordMoved(open: OpenTransaction, schema: string): Promise<void> {
  const { rows } = await open.query(
    `SELECT FROM millrace_migration WHERE scope = $1 AND NOT EXISTS (SELECT FROM millrace_migration_object WHERE scope = $1) LIMIT 1`,
    [schema],
  );
  if (rows.length > 0) await recordMade(open, schema);
}

/** What is in the schema, and no migration made it. */
export async function foreignIn(open: OpenTransaction, schema: string): Promise<readonly string[]> {
  const { rows } = await open.query('SELECT object FROM millrace_migration_object WHERE scope = $1', [
    schema,
  ]);
  const made = new Set(rows.map(([object]) => object));
  return (await objectsIn(open, schema)).filter((object) => !made.has(object));
}
