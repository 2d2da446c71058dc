/** What stands elsewhere in the database and reads a consumer's tables by their identity, not by their name. */
import type { OpenTransaction } from './sql-transaction.ts';

/** The comment by which a view that Millrace made for readers is told from any that somebody else put beside it. */
export const READER_VIEW = 'Made by Millrace for readers: replaced at a promote';

/** Whether a relation is such a view, in SQL.
 * @param oid with its table's name before it
 */
export function isReaderView(oid: string): string {
  return `coalesce(obj_description(${oid}, 'pg_class') = '${READER_VIEW}' AND (SELECT relkind = 'v' FROM pg_class of_view WHERE of_view.oid = ${oid}), false)`;
}

/**
 * PostgreSQL notes each such dependency: of views, materialized views, foreign keys, functions with a body that it has parsed,
 * columns of a type, publications. A function whose body is text looks its names up when it runs, and is not among them.
 * https://www.postgresql.org/docs/current/catalog-pg-depend.html (2026-11-27)
 */
const DEPENDENTS = (objects: string) => `
  WITH own AS (${objects}), dependent AS (
    SELECT DISTINCT
      CASE WHEN d.classid = 'pg_rewrite'::regclass THEN 'pg_class'::regclass ELSE d.classid::regclass END AS classid,
      CASE WHEN d.classid = 'pg_rewrite'::regclass THEN (SELECT ev_class FROM pg_rewrite WHERE oid = d.objid) ELSE d.objid END AS objid,
      d.classid = 'pg_publication_rel'::regclass AS is_publication
    FROM own JOIN pg_depend d ON d.refclassid = own.classid AND d.refobjid = own.oid
    WHERE d.deptype IN ('n', 'a')
  )
  SELECT DISTINCT i.type || ' ' || i.identity
  FROM dependent, pg_identify_object(classid, objid, 0) i, pg_identify_object_as_address(classid, objid, 0) a
  WHERE (is_publication OR coalesce(i.schema, quote_ident(a.object_names[1])) <> ALL (SELECT quote_ident(s) FROM unnest($2::text[]) s))
    AND NOT (classid = 'pg_class'::regclass AND ${isReaderView('dependent.objid')})
    AND NOT EXISTS (SELECT FROM own WHERE own.classid = dependent.classid AND own.oid = dependent.objid)
  ORDER BY 1`;

const OF_SCHEMA = DEPENDENTS(`
  SELECT 'pg_class'::regclass AS classid, oid FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
  UNION ALL
  SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
  UNION ALL
  SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)`);

const OF_RELATIONS = DEPENDENTS(`
  SELECT 'pg_class'::regclass AS classid, oid FROM pg_class WHERE oid = ANY ($1::oid[])
  UNION ALL
  SELECT 'pg_type'::regclass, reltype FROM pg_class WHERE oid = ANY ($1::oid[])`);

/** Everything outside of the schema, but reader views, that depends on something in it, such as `view bi.top_articles`. */
export async function dependentsOfSchema(open: OpenTransaction, schema: string): Promise<readonly string[]> {
  return (await open.query(OF_SCHEMA, [schema, [schema]])).rows.map(([name]) => name!);
}

/** The same of some relations, by their numbers. */
export async function dependentsOfRelations(
  open: OpenTransaction,
  relations: readonly string[],
): Promise<readonly string[]> {
  return (await open.query(OF_RELATIONS, [relations, []])).rows.map(([name]) => name!);
}
