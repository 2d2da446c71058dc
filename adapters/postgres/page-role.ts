import { PAGE_ROLE } from '../../runtime/page.ts';
import { readerSchema } from '../../runtime/replay/generation.ts';
import { inBriefLocks } from './brief-locks.ts';
import { ownerOf } from './consumer-schema.ts';
import { isReaderView } from './dependents.ts';
import { dropRole } from './provision.ts';
import { asOwner } from './reader-views.ts';
import type { SqlDriver } from './sql-driver.ts';
import { identifier } from './sql-values.ts';

/** Of one statement of the role's, whoever sends it. */
export const PAGE_STATEMENT_MS = 5_000;

/**
 * Makes the role that reads for a deployed page, in a database that is provisioned: it sees the reader views of the page's consumer, later
 * ones included, and nothing of any other consumer's; it writes nothing. A role that read another consumer loses that. Running it again
 * changes nothing.
 * @param pauses whether the database pauses while nobody is connected: the role's sessions then end when they are idle
 * @throws SINK_MISCONFIGURED where the connection's role cannot create roles
 */
export async function provisionPage(
  driver: SqlDriver,
  { consumer, pauses }: { readonly consumer: string; readonly pauses: boolean },
): Promise<void> {
  const role = identifier(PAGE_ROLE);
  const schema = identifier(readerSchema(consumer));
  const owner = ownerOf(consumer);
  await inBriefLocks(driver, async (open) => {
    await open.run(`
      SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0));
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${PAGE_ROLE}') THEN
          CREATE ROLE ${role} LOGIN;
        END IF;
      END $$;
      GRANT ${role} TO CURRENT_USER;
      -- What it could read before: of another consumer, or of views that are gone.
      DROP OWNED BY ${role};
      DO $$ BEGIN
        -- Only RDS has it: its members log in with a token in place of a password.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
          GRANT rds_iam TO ${role};
        END IF;
      END $$;
      ALTER ROLE ${role} SET default_transaction_read_only = on;
      ALTER ROLE ${role} SET statement_timeout = '${PAGE_STATEMENT_MS}ms';
      ALTER ROLE ${role} SET idle_in_transaction_session_timeout = '60s';
      ALTER ROLE ${role} SET client_connection_check_interval = '5s';
      ALTER ROLE ${role} ${pauses ? "SET idle_session_timeout = '4min'" : 'RESET idle_session_timeout'};`);
    const { rows } = await open.query(
      `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND ${isReaderView('c.oid')} ORDER BY 1`,
      [readerSchema(consumer)],
    );
    const views = rows.map(([name]) => `${schema}.${identifier(name!)}`);
    await asOwner(open, owner, () =>
      open.run(`
        GRANT USAGE ON SCHEMA ${schema} TO ${role};
        ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(owner)} IN SCHEMA ${schema} GRANT SELECT ON TABLES TO ${role};
        ${views.length > 0 ? `GRANT SELECT ON ${views.join(', ')} TO ${role}` : ''}`),
    );
  });
}

/** Takes the role away, where there is one: an environment without a page has nobody who logs in for it. */
export async function withdrawPage(driver: SqlDriver): Promise<void> {
  await inBriefLocks(driver, async (open) => {
    await open.run("SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0))");
    await dropRole(open, PAGE_ROLE);
  });
}
