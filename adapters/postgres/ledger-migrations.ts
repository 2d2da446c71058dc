import type { Migration } from '../../runtime/consumer.ts';

/**
 * The ledger: one row a consumer, epoch and partition, written once a batch. Half of each page stays free, so that
 * an update finds room beside the row it replaces and touches no index.
 *
 * Bound how long a frozen or lost function can hold its row locks with settings of the database role that consumers
 * connect as. They belong to the role, not to a session, because a SET pins an RDS Proxy connection:
 *
 *     ALTER ROLE consumers SET idle_in_transaction_session_timeout = '60s';
 *     ALTER ROLE consumers SET lock_timeout = '10s';
 *     ALTER ROLE consumers SET client_connection_check_interval = '5s';
 *
 * The first ends a session whose function went silent inside a transaction: take more than the longest that a
 * handler works between two statements. The second turns waiting for such a session into SINK_CONFLICT, which
 * retries. The third ends a long statement whose client has gone.
 * Sources, read 2026-11-24: https://www.postgresql.org/docs/current/runtime-config-client.html,
 * https://www.postgresql.org/docs/current/runtime-config-connection.html,
 * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
 */
export const ledgerMigrations: readonly Migration[] = [
  {
    name: '0001-ledger',
    sql: `
      CREATE TABLE millrace_ledger (
        consumer text NOT NULL,
        epoch int NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        first bigint,
        next bigint,
        max_timestamp bigint NOT NULL DEFAULT -1,
        dead_lettered int8multirange NOT NULL DEFAULT '{}',
        passed_over int8multirange NOT NULL DEFAULT '{}',
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, epoch, topic, partition),
        CHECK ((first IS NULL) = (next IS NULL) AND first <= next)
      ) WITH (fillfactor = 50);

      COMMENT ON TABLE millrace_ledger IS
        'Which offsets of a partition a consumer has settled: [first, next) without dead_lettered and passed_over';`,
  },
];
