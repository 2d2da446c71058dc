import { MillraceError } from '../../runtime/errors.ts';
import { generationName, readerSchema } from '../../runtime/replay/generation.ts';
import { dependentsOfRelations, isReaderView, READER_VIEW } from './dependents.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { decodeRows, identifier } from './sql-values.ts';

/** What somebody may do with a relation that is not theirs. */
export interface Grant {
  readonly relation: string;
  readonly privilege: 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';
  /** Null for everybody. */
  readonly grantee: string | null;
  readonly isGrantable: boolean;
  /** Where it holds for one column. */
  readonly column: string | null;
  /** Whether the relation is a view that `pointViews` made. */
  readonly isReaderView?: boolean;
}

/** Everybody's rights on the relations of a schema, but those of their owners and of `except`. */
const GRANTS = `
  SELECT c.relname AS relation, g.privilege_type AS privilege, CASE WHEN g.grantee <> 0 THEN pg_get_userbyid(g.grantee) END AS grantee,
    g.is_grantable AS "isGrantable", g.attname AS "column", ${isReaderView('c.oid')} AS "isReaderView"
  FROM pg_class c, LATERAL (
    SELECT a.*, NULL::name AS attname FROM aclexplode(c.relacl) a
    UNION ALL
    SELECT a.*, t.attname FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND NOT t.attisdropped
  ) g
  WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    AND g.grantee <> c.relowner AND (g.grantee = 0 OR pg_get_userbyid(g.grantee) <> $2)
    AND g.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')`;

export async function grantsIn(
  open: OpenTransaction,
  schema: string,
  except: string,
): Promise<readonly Grant[]> {
  return decodeRows(await open.query(GRANTS, [schema, except])) as unknown as Grant[];
}

interface Relation {
  readonly name: string;
  readonly target: string | null;
  /** What has its name in the reader schema. */
  readonly view: string | null;
  /** Whether `pointViews` made it; anything else there is somebody's own. */
  readonly isOurs: boolean | null;
  /** What the view reads now. */
  readonly base: string | null;
  readonly columns: readonly Column[] | null;
  readonly viewColumns: readonly Column[] | null;
}

type Column = readonly [name: string, type: string, collation: number];

/** Each relation of the generation's schema beside the view of its name; a partition is read by its table. */
const RELATIONS = `
  WITH relation AS (
    SELECT c.oid, c.relname, n.nspname, c.relkind, (
      SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::bigint) ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ($1, $2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  )
  SELECT coalesce(t.relname, v.relname) AS name, t.oid::text AS target, v.oid::text AS view, v.ours AS "isOurs", (
      SELECT min(d.refobjid::bigint)::text FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
      WHERE w.ev_class = v.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
    ) AS base, t.columns, v.columns AS "viewColumns"
  FROM (SELECT * FROM relation WHERE nspname = $1) t
  FULL JOIN (SELECT *, ${isReaderView('relation.oid')} AS ours FROM relation WHERE nspname = $2) v USING (relname)
  ORDER BY 1`;

/** The live generation's schema. */
export async function liveSchema(open: OpenTransaction, consumer: string): Promise<string> {
  const result = await open.query(
    "SELECT number::text FROM millrace_generation WHERE consumer = $1 AND state = 'live'",
    [consumer],
  );
  return generationName(consumer, Number(result.rows[0]?.[0] ?? 1));
}

export interface Pointing {
  readonly consumer: string;
  /** The generation whose tables the views read from now on. */
  readonly schema: string;
  /** Who owns the views. @default the connection's own role */
  readonly owner?: string | undefined;
  /** Rights that views made now get, beside those of the views that they replace. */
  readonly grants?: readonly Grant[];
  /** What to throw where a view has to be dropped and others stand on it. */
  readonly blocked: Blocked;
}

/** @param objects what is in the way, such as `view bi.top_articles` */
export type Blocked = (objects: readonly string[]) => MillraceError;

/**
 * Has the consumer's reader views read a generation's tables: one view for each table and view that it has, none for others.
 * A view that keeps its columns is replaced, so what depends on it goes on. Any other is dropped and made anew, with its
 * grants. What others have made in the reader schema is left as it is.
 * @throws SINK_MISCONFIGURED where theirs has the name of a table
 */
export async function pointViews(open: OpenTransaction, pointing: Pointing): Promise<void> {
  const { consumer, schema, owner } = pointing;
  const views = readerSchema(consumer);
  const relations = decodeRows(await open.query(RELATIONS, [schema, views])) as unknown as Relation[];
  const statements: string[] = [];
  const made = new Set<string>();
  const dropped: string[] = [];
  for (const { name, target, view, isOurs, base, columns, viewColumns } of relations) {
    if (view !== null && !isOurs) {
      if (target !== null) throw nameTaken(consumer, name);
      continue;
    }
    const of = `${identifier(views)}.${identifier(name)}`;
    const reads = `VIEW ${of} AS SELECT * FROM ${identifier(schema)}.${identifier(name)}`;
    if (target !== null && view !== null && isStartOf(viewColumns ?? [], columns ?? [])) {
      if (base !== target || viewColumns?.length !== columns?.length)
        statements.push(`CREATE OR REPLACE ${reads}`);
      continue;
    }
    if (view !== null) {
      dropped.push(view);
      statements.push(`DROP VIEW ${of}`);
    }
    if (target === null) continue;
    statements.push(`CREATE ${reads}`, `COMMENT ON VIEW ${of} IS '${READER_VIEW}'`);
    made.add(name);
  }
  if (statements.length === 0) return;
  await checkDependents(open, dropped, pointing.blocked);
  const grants = [...(await grantsIn(open, views, consumer)), ...(pointing.grants ?? [])];
  const columnsOf = new Map(relations.map(({ name, columns }) => [name, columns ?? []]));
  for (const grant of grants) {
    const { relation, column } = grant;
    const isThere = column === null || columnsOf.get(relation)?.some(([name]) => name === column);
    if (made.has(relation) && isThere) statements.push(...grantOf(views, grant));
  }
  await asOwner(open, owner, () => open.run(statements.join(';\n')));
}

/** Takes the views away, so that their tables can change. @returns the grants that they had, for `pointViews` */
export async function dropViews(
  open: OpenTransaction,
  { consumer, owner, blocked }: Pick<Pointing, 'consumer' | 'owner' | 'blocked'>,
): Promise<readonly Grant[]> {
  const views = readerSchema(consumer);
  const grants = await grantsIn(open, views, consumer);
  const { rows } = await open.query(
    `SELECT oid::text, relname FROM pg_class
     WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND ${isReaderView('pg_class.oid')} ORDER BY 2`,
    [views],
  );
  await checkDependents(
    open,
    rows.map(([oid]) => oid!),
    blocked,
  );
  const drops = rows.map(([, name]) => `DROP VIEW ${identifier(views)}.${identifier(name!)}`);
  if (drops.length > 0) await asOwner(open, owner, () => open.run(drops.join('; ')));
  return grants;
}

function nameTaken(consumer: string, name: string): MillraceError {
  const views = readerSchema(consumer);
  return new MillraceError(
    'SINK_MISCONFIGURED',
    `"${views}".${name} was not made by Millrace, or has lost the comment that says so, and readers of ${consumer} need a view of that name for ` +
      `its table ${name}. Nothing has changed. Rename it (ALTER … RENAME TO), or drop it, and run this again.`,
    { details: { consumer, object: `${views}.${name}` } },
  );
}

async function checkDependents(
  open: OpenTransaction,
  views: readonly string[],
  blocked: Blocked,
): Promise<void> {
  if (views.length === 0) return;
  const objects = await dependentsOfRelations(open, views);
  if (objects.length > 0) throw blocked(objects);
}

export async function asOwner<Result>(
  open: OpenTransaction,
  owner: string | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  if (owner === undefined) return work();
  await open.run(`SET LOCAL ROLE ${identifier(owner)}`);
  const result = await work();
  await open.run('RESET ROLE');
  return result;
}

/** The right to the schema first. */
export function grantOf(
  schema: string,
  { relation, privilege, grantee, isGrantable, column }: Grant,
): readonly string[] {
  const to = grantee === null ? 'PUBLIC' : identifier(grantee);
  const of = column === null ? '' : ` (${identifier(column)})`;
  return [
    `GRANT USAGE ON SCHEMA ${identifier(schema)} TO ${to}`,
    `GRANT ${privilege}${of} ON ${identifier(schema)}.${identifier(relation)} TO ${to}${isGrantable ? ' WITH GRANT OPTION' : ''}`,
  ];
}

/** What CREATE OR REPLACE VIEW takes: https://www.postgresql.org/docs/current/sql-createview.html (2026-11-27) */
function isStartOf(before: readonly Column[], now: readonly Column[]): boolean {
  return before.every((column, at) => column.every((part, of) => part === now[at]?.[of]));
}
