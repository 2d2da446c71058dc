import type { SourceFacts, SourceTable } from '../../runtime/capture/check.ts';
import type { CapturedDatabase } from '../../runtime/capture/database.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';

/** As much of a client of pg as is needed here. */
export interface SourceClient {
  query<Row>(sql: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Row[] }>;
}

/**
 * Reads what capture depends on, from PostgreSQL's catalogs. Changes nothing.
 * https://www.postgresql.org/docs/current/catalogs.html, https://www.postgresql.org/docs/current/view-pg-replication-slots.html (2026-11-27)
 */
export async function readSourceFacts(
  client: SourceClient,
  database: CapturedDatabase,
  tables: readonly CapturedTable[],
  role: string,
): Promise<SourceFacts> {
  const [settings] = await rows<SourceFacts['settings'] & { readonly slotsInUse: number }>(
    client,
    `SELECT current_setting('wal_level') AS "walLevel",
            current_setting('max_slot_wal_keep_size') AS "maxSlotWalKeepSize",
            current_setting('max_replication_slots')::int AS "maxReplicationSlots",
            (SELECT count(*)::int FROM pg_replication_slots) AS "slotsInUse"`,
  );
  const { slotsInUse, ...server } = settings!;
  const [publication] = await rows<NonNullable<SourceFacts['publication']>>(
    client,
    `SELECT puballtables AS "isForAllTables", pubviaroot AS "viaRoot",
            array_remove(ARRAY[CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END,
                               CASE WHEN pubdelete THEN 'delete' END, CASE WHEN pubtruncate THEN 'truncate' END], NULL) AS actions,
            ARRAY(SELECT n.nspname || '.' || c.relname
                    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                    JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE r.prpubid = p.oid ORDER BY 1) AS tables
       FROM pg_publication p WHERE pubname = $1`,
    [database.publication],
  );
  const [slot] = await rows<NonNullable<SourceFacts['slot']>>(
    client,
    `SELECT plugin, database, active AS "isActive", wal_status AS "walStatus",
            CASE WHEN pg_is_in_recovery() THEN NULL
                 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 END AS "retainedBytes"
       FROM pg_replication_slots WHERE slot_name = $1`,
    [database.slot],
  );
  const wanted = tables
    .filter((table) => table.database.name === database.name)
    .map(({ schema, table }) => `${schema}.${table}`);
  const real = await readTables(client, [...wanted, ...(publication?.tables ?? [])]);
  const [login] = await rows<Omit<NonNullable<SourceFacts['role']>, 'lacks'>>(
    client,
    `SELECT rolcanlogin AS "canLogIn",
            rolreplication OR rolsuper OR EXISTS (
              SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(r.oid, g.oid, 'MEMBER')
            ) AS "canReplicate",
            (SELECT pg_has_role(r.oid, g.oid, 'MEMBER') FROM pg_roles g WHERE g.rolname = 'rds_iam') AS "hasRdsIam"
       FROM pg_roles r WHERE rolname = $1`,
    [role],
  );
  return {
    settings: server,
    slotsInUse,
    tables: real,
    ...(publication && { publication }),
    ...(slot && { slot }),
    ...(login && { role: { ...login, lacks: await readLacking(client, role, wanted) } }),
  };
}

/** Also those whose names differ in capitals only: a declaration often means them. */
async function readTables(client: SourceClient, names: readonly string[]): Promise<readonly SourceTable[]> {
  return rows<SourceTable>(
    client,
    `SELECT c.relkind AS kind, n.nspname AS schema, c.relname AS table, c.relreplident AS "replicaIdentity",
            -- The columns of INCLUDE stand in indkey behind those of the key.
            ARRAY(SELECT a.attname::text
                    FROM pg_index i, unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, at), pg_attribute a
                   WHERE i.indrelid = c.oid AND i.indisprimary AND k.at <= i.indnkeyatts
                     AND a.attrelid = i.indrelid AND a.attnum = k.attnum
                   ORDER BY k.at) AS "primaryKey",
            (SELECT coalesce(json_agg(json_build_object(
                      'name', a.attname,
                      'type', CASE WHEN t.typtype = 'e' THEN 'enum'
                                   WHEN e.typtype = 'e' THEN 'enum[]'
                                   WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                                   ELSE format_type(a.atttypid, a.atttypmod) END,
                      'isNullable', NOT (a.attnotnull OR (t.typtype = 'd' AND t.typnotnull)))
                    ORDER BY a.attnum), '[]')
               FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(n.nspname || '.' || c.relname) = ANY ($1)
      ORDER BY 2, 3`,
    [names.map((name) => name.toLowerCase())],
  );
}

async function readLacking(
  client: SourceClient,
  role: string,
  tables: readonly string[],
): Promise<readonly string[]> {
  const capture = ['millrace_capture.heartbeat', 'millrace_capture.signal'];
  const lacking = await rows<{ readonly right: string }>(
    client,
    `WITH wanted AS (
       SELECT name, 'SELECT' AS privilege FROM unnest($2::text[]) AS name
       UNION SELECT name, 'SELECT' FROM unnest($3::text[]) AS name
       UNION VALUES ('millrace_capture.heartbeat', 'UPDATE'), ('millrace_capture.signal', 'INSERT')
     ), found AS (
       SELECT w.name, w.privilege, c.oid, n.oid AS schema, n.nspname
         FROM wanted w JOIN pg_namespace n ON n.nspname = split_part(w.name, '.', 1)
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = split_part(w.name, '.', 2)
     )
     SELECT privilege || ' on ' || name AS right FROM found WHERE NOT has_table_privilege($1, oid, privilege)
      UNION SELECT 'USAGE on schema ' || nspname FROM found WHERE NOT has_schema_privilege($1, schema, 'USAGE')
      ORDER BY 1`,
    [role, tables, capture],
  );
  return lacking.map(({ right }) => right);
}

async function rows<Row>(
  client: SourceClient,
  sql: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  return (await client.query<Row>(sql, values)).rows;
}
