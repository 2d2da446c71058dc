import { InvalidArgumentError, Option } from 'commander';
import type { CapturedDatabase } from '../../runtime/capture/database.ts';
import { CAPTURE_ROLE } from '../../runtime/capture/sql.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';
import { capturedTables } from '../../runtime/capture/table.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { loadApp } from '../app.ts';
import { otherNames } from '../consumers.ts';
import { postgresUrl } from '../outside-options.ts';
import { either } from '../terminal.ts';

const ROLE_NAME = /^[A-Za-z_][\w.@-]{0,62}$/;
/** https://www.postgresql.org/docs/current/sql-createrole.html (2026-11-27) */
const NO_ROLES = /^(pg_.*|public|none)$/i;

export function databaseOption(): Option {
  return new Option('--database <name>', 'which of the declared databases, if there are several');
}

export function roleOption(): Option {
  return new Option('--role <name>', 'the role that the connector logs in as')
    .default(CAPTURE_ROLE)
    .argParser((name) => {
      if (ROLE_NAME.test(name) && !NO_ROLES.test(name)) return name;
      throw new InvalidArgumentError(
        'Give a role of up to 63 letters, digits, "_", "-", "." and "@", a letter or "_" first, and none of PostgreSQL’s own, such as millrace_capture.',
      );
    });
}

export function sourceOption(): Option {
  return new Option(
    '--source <url>',
    'the database, such as postgres://me@localhost:5432/shop; the password may be in PGPASSWORD',
  )
    .makeOptionMandatory()
    .argParser(postgresUrl('--source', 'postgres://me@localhost:5432/shop'));
}

/** @throws INPUT_INVALID unless exactly one is meant */
export async function declaredDatabase(
  name?: string,
): Promise<{ readonly database: CapturedDatabase; readonly tables: readonly CapturedTable[] }> {
  const tables = capturedTables((await loadApp()).tables);
  const databases = [...new Map(tables.map(({ database }) => [database.name, database])).values()];
  const names = databases.map((database) => database.name);
  const database =
    name === undefined && databases.length === 1
      ? databases[0]
      : databases.find((each) => each.name === name);
  if (database) return { database, tables: tables.filter((table) => table.database.name === database.name) };
  if (databases.length === 0) {
    throw new MillraceError(
      'INPUT_INVALID',
      'The app declares no table. Declare one with defineDatabase() and defineTable(), and list it in the tables of millrace.config.ts.',
    );
  }
  throw new MillraceError(
    'INPUT_INVALID',
    name === undefined
      ? `Which database? Add --database ${either(names)}.`
      : `The app declares no database ${JSON.stringify(name)}.${otherNames(name, names, '--database ')}`,
  );
}
