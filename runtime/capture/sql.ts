import { CAPTURE_SCHEMA, type CapturedDatabase } from './database.ts';
import type { CapturedTable } from './table.ts';

export interface CaptureSqlOptions {
  /** The role that the connector logs in as. @default 'millrace_capture' */
  readonly role?: string;
  /** On Amazon RDS and Aurora, replication is a role's right, and the connector logs in by IAM. @default false */
  readonly onRds?: boolean;
}

export const CAPTURE_ROLE = 'millrace_capture';

/**
 * What a database needs for its tables to be captured, as SQL for whoever owns them. It may be run again: it then brings
 * the publication and the grants to what is declared now. It changes no row of
 * theirs, and takes no lock that a reader waits for.
 * https://www.postgresql.org/docs/current/logical-replication-publication.html (2026-11-27)
 */
export function captureSql(
  database: CapturedDatabase,
  tables: readonly CapturedTable[],
  { role = CAPTURE_ROLE, onRds = false }: CaptureSqlOptions = {},
): string {
  const captured = tables.filter(
    (table) => table.database.name === database.name && table.schema !== CAPTURE_SCHEMA,
  );
  const own = [`${CAPTURE_SCHEMA}.heartbeat`, `${CAPTURE_SCHEMA}.signal`];
  const published = [...captured.map(qualified), ...own].join(',\n      ');
  const publication = quoted(database.publication);
  const options = `publish = 'insert, update, delete, truncate', publish_via_partition_root = true`;
  const schemas = [...new Set([...captured.map(({ schema }) => schema), CAPTURE_SCHEMA])].map(quoted);
  const setting = onRds
    ? 'rds.logical_replication = 1 in its parameter group'
    : 'wal_level = logical in its configuration';
  return `-- What Millrace needs to capture database ${database.name}. Run it in that database, as the owner of its tables:
--   psql --set ON_ERROR_STOP=1 --file capture.sql "$DATABASE_URL"
-- It may be run again. It changes no row of yours; one is put into ${CAPTURE_SCHEMA}.heartbeat. The server also needs ${setting}, and a restart.
BEGIN;

CREATE SCHEMA IF NOT EXISTS ${CAPTURE_SCHEMA};

-- The connector touches this row every few seconds: the slot moves on, and the row's age tells whether all of it works.
CREATE TABLE IF NOT EXISTS ${CAPTURE_SCHEMA}.heartbeat (
  id integer PRIMARY KEY,
  beat_at timestamptz NOT NULL
);
INSERT INTO ${CAPTURE_SCHEMA}.heartbeat VALUES (1, clock_timestamp()) ON CONFLICT (id) DO NOTHING;

-- Rows here ask the connector for something, such as a snapshot of one table.
CREATE TABLE IF NOT EXISTS ${CAPTURE_SCHEMA}.signal (
  id varchar(64) PRIMARY KEY,
  type varchar(32) NOT NULL,
  data text
);

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${text(role)}) THEN
    CREATE ROLE ${quoted(role)} LOGIN${onRds ? '' : ' REPLICATION'};
  END IF;
END $$;
${onRds ? `GRANT rds_replication TO ${quoted(role)};\n-- It logs in with a token of IAM, and with a password no longer.\nGRANT rds_iam TO ${quoted(role)};\n` : ''}
${schemas.map((schema) => `GRANT USAGE ON SCHEMA ${schema} TO ${quoted(role)};`).join('\n')}
${captured.map((table) => `GRANT SELECT ON ${qualified(table)} TO ${quoted(role)};`).join('\n')}
GRANT SELECT, UPDATE ON ${CAPTURE_SCHEMA}.heartbeat TO ${quoted(role)};
GRANT SELECT, INSERT ON ${CAPTURE_SCHEMA}.signal TO ${quoted(role)};

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_publication WHERE pubname = ${text(database.publication)}) THEN
    ALTER PUBLICATION ${publication} SET TABLE
      ${published};
    ALTER PUBLICATION ${publication} SET (${options});
  ELSE
    CREATE PUBLICATION ${publication} FOR TABLE
      ${published}
      WITH (${options});
  END IF;
END $$;

COMMIT;
`;
}

/** The name of a table, as SQL. */
export function qualified({ schema, table }: Pick<CapturedTable, 'schema' | 'table'>): string {
  return `${quoted(schema)}.${quoted(table)}`;
}

/** An identifier, as SQL, whatever it holds. */
export function quoted(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
