import type { Migration } from '../../runtime/consumer.ts';

/**
 * The ledger: one row a consumer, epoch and partition, written once a batch. Half of each page stays free, so that
 * an update finds room beside the row it replaces and touches no index.
 *
 * A consumer that connects with a role of its own (`provision.ts` makes them) can write the rows of its own name only.
 * Whoever owns the table, as on a laptop, is not bound by that.
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
  {
    name: '0002-own-rows',
    sql: `
      ALTER TABLE millrace_ledger ENABLE ROW LEVEL SECURITY;
      CREATE POLICY anyone_reads ON millrace_ledger FOR SELECT USING (true);
      CREATE POLICY consumers_insert_their_own ON millrace_ledger FOR INSERT WITH CHECK (consumer = current_user);
      CREATE POLICY consumers_update_their_own ON millrace_ledger FOR UPDATE USING (consumer = current_user);`,
  },
];
