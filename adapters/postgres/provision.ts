import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { generationName } from '../../runtime/replay/generation.ts';
import { generationsOf, migrateTables, ownerOf } from './consumer-schema.ts';
import { ledgerMigrations } from './ledger-migrations.ts';
import { migrate } from './migrate.ts';
import { namesSchema } from './named-schema.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { identifier } from './sql-values.ts';

/**
 * Makes a database ready for consumers that each connect as a role of their own: the ledger, and for each consumer
 * its login role, its tables and the rights on them. Only forward; running it again changes nothing, and a consumer
 * that is no longer declared keeps what it has.
 *
 * A consumer's role has the consumer's name. It reads and writes the rows of its own tables and of its own ledger; a
 * second role, without login, owns the tables, so that a consumer's function cannot change or drop them.
 *
 * @param pauses whether the database pauses while nobody is connected: consumers' sessions then end when they are idle
 * @returns the migrations applied now, as `scope/name`
 * @throws SINK_MISCONFIGURED as `migrate` does, or where the connection's role cannot create roles
 */
export async function provision(
  driver: SqlDriver,
  consumers: readonly Pick<AnyConsumer, 'name' | 'migrations'>[],
  { pauses = false }: { readonly pauses?: boolean } = {},
): Promise<readonly string[]> {
  const applied = (await migrate(driver, 'millrace', ledgerMigrations)).map((name) => `millrace/${name}`);
  for (const consumer of consumers) {
    const owner = ownerOf(consumer.name);
    for (const number of await generationsOf(driver, consumer.name)) {
      const role = generationName(consumer.name, number);
      await inTransaction(driver, (open) => open.run(rolesOf(role, owner, { ...consumer, pauses })));
    }
    applied.push(...(await migrateTables(driver, consumer, owner)));
  }
  return applied;
}

/**
 * The three settings bound how long a function that froze or was killed can hold its row locks. They belong to the
 * role, because a SET in a session would pin its RDS Proxy connection. The first ends a session that fell silent
 * inside a transaction; it is longer than a handler works between two statements. The second turns waiting for such a
 * session into SINK_CONFLICT, which retries. The third ends a long statement whose client has gone. A fourth, where the
 * database pauses: a function that is frozen between batches stays connected, and Aurora pauses after five minutes
 * without a connection.
 * Sources, read 2026-11-24: https://www.postgresql.org/docs/current/runtime-config-client.html,
 * https://www.postgresql.org/docs/current/runtime-config-connection.html,
 * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
 */
function rolesOf(
  roleName: string,
  ownerName: string,
  { pauses, migrations }: { readonly pauses: boolean } & Pick<AnyConsumer, 'migrations'>,
): string {
  const role = identifier(roleName);
  const owner = identifier(ownerName);
  const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
  const ensure = (name: string, options: string) => `
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(name)}) THEN
      CREATE ROLE ${identifier(name)} ${options};
    END IF;`;
  // Two deployments at once take turns, as migrations do.
  return `
    SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0));
    DO $$ BEGIN
      ${ensure(roleName, 'LOGIN')}
      ${ensure(ownerName, 'NOLOGIN')}
      -- Only RDS has it: its members log in with a token in place of a password.
      IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO ${role};
      END IF;
    END $$;
    ALTER ROLE ${role} SET idle_in_transaction_session_timeout = '60s';
    ALTER ROLE ${role} SET lock_timeout = '10s';
    ALTER ROLE ${role} SET client_connection_check_interval = '5s';
    ALTER ROLE ${role} ${pauses ? "SET idle_session_timeout = '4min'" : 'RESET idle_session_timeout'};
    GRANT ${owner} TO CURRENT_USER;
    GRANT USAGE ON SCHEMA public TO ${owner}, ${role};
    -- What a migration makes is in the consumer's own schema, but where it names public itself.
    ${namesSchema(migrations) ? `GRANT CREATE ON SCHEMA public TO ${owner}` : `REVOKE CREATE ON SCHEMA public FROM ${owner}`};
    DO $$ DECLARE own text; BEGIN
      -- What readers see of a generation is not for its function to say, nor whose ids of events it may change.
      SELECT string_agg(quote_ident(attname), ', ') INTO own FROM pg_attribute
      WHERE attrelid = 'millrace_ledger'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('replay', 'id');
      REVOKE INSERT, UPDATE ON millrace_ledger FROM ${role};
      EXECUTE format('GRANT INSERT (%1$s), UPDATE (%1$s) ON millrace_ledger TO %2$I', own, ${literal(roleName)});
    END $$;
    GRANT SELECT ON millrace_ledger, millrace_ledger_hole, millrace_generation TO ${role};
    GRANT SELECT, INSERT, UPDATE ON millrace_breaker TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE
      ON millrace_ledger_range, millrace_key, millrace_key_letter, millrace_parked, millrace_seen TO ${role};${
        namesSchema(migrations)
          ? `
    ALTER DEFAULT PRIVILEGES FOR ROLE ${owner} IN SCHEMA public
      GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${role};
    ALTER DEFAULT PRIVILEGES FOR ROLE ${owner} IN SCHEMA public GRANT USAGE ON SEQUENCES TO ${role};`
          : ''
      }`;
}

/** Takes a generation's role away, with what it may do. Its sessions fail at their next statement. */
export async function dropRole(open: OpenTransaction, role: string): Promise<void> {
  if ((await open.query('SELECT FROM pg_roles WHERE rolname = $1', [role])).rows.length === 0) return;
  await open.run(
    `GRANT ${identifier(role)} TO CURRENT_USER; DROP OWNED BY ${identifier(role)}; DROP ROLE ${identifier(role)}`,
  );
}
