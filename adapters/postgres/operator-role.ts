import { OPERATOR_ROLE } from '../../runtime/operator/operator.ts';
import { inBriefLocks } from './brief-locks.ts';
import type { SqlDriver } from './sql-driver.ts';
import { identifier } from './sql-values.ts';

const KEY_TABLES = ['millrace_key', 'millrace_key_letter', 'millrace_parked'];

/** A policy that is there already is left alone: to make it again would wait for every batch. */
function operatorsRead(table: string): string {
  return `
        IF NOT EXISTS (
          SELECT FROM pg_policy WHERE polrelid = '${table}'::regclass AND polname = 'operators_read'
        ) THEN
          CREATE POLICY operators_read ON ${table} FOR SELECT TO ${identifier(OPERATOR_ROLE)} USING (true);
        END IF;`;
}

/**
 * Makes the role that reads ledgers for operators, and what is parked, in a database that is provisioned: nothing of any consumer's tables, and
 * nothing that writes. Running it again changes nothing.
 * @param pauses whether the database pauses while nobody is connected: the role's sessions then end when they are idle
 * @throws SINK_MISCONFIGURED where the connection's role cannot create roles
 */
export async function provisionOperator(
  driver: SqlDriver,
  { pauses }: { readonly pauses: boolean },
): Promise<void> {
  const role = identifier(OPERATOR_ROLE);
  await inBriefLocks(driver, (open) =>
    open.run(`
      SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0));
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${OPERATOR_ROLE}') THEN
          CREATE ROLE ${role} LOGIN;
        END IF;
        -- Only RDS has it: its members log in with a token in place of a password.
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
          GRANT rds_iam TO ${role};
        END IF;
      END $$;
      ALTER ROLE ${role} SET default_transaction_read_only = on;
      ALTER ROLE ${role} SET idle_in_transaction_session_timeout = '60s';
      ALTER ROLE ${role} SET client_connection_check_interval = '5s';
      ALTER ROLE ${role} ${pauses ? "SET idle_session_timeout = '4min'" : 'RESET idle_session_timeout'};
      GRANT USAGE ON SCHEMA public TO ${role};
      GRANT SELECT ON millrace_ledger, millrace_ledger_range, millrace_ledger_hole, millrace_breaker TO ${role};
      -- What is parked is a topic's records, which operators read there as well. Each consumer sees its own alone.
      GRANT SELECT ON ${KEY_TABLES.join(', ')} TO ${role};
      DO $$ BEGIN
        ${KEY_TABLES.map(operatorsRead).join('')}
      END $$;`),
  );
}
