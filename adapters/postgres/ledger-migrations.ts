import type { Migration } from '../../runtime/delivery/consumer.ts';

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
  {
    name: '0003-ranges',
    sql: `
      -- A row of many ranges is read and written whole, so a ledger keeps few of them and moves the rest out, a thousand to
      -- a row. Functions of the version before look into the ledger's own row only: where they have been, every ledger stays
      -- whole for a day, by which a deployment is over, also one that is begun in that day.
      CREATE TABLE millrace_ledger_range (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        consumer text NOT NULL,
        epoch int NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        kind text NOT NULL CHECK (kind IN ('dead-lettered', 'skipped', 'discarded', 'parked')),
        lowest bigint NOT NULL,
        beyond bigint NOT NULL,
        offsets int8multirange NOT NULL
      );
      CREATE INDEX ON millrace_ledger_range (consumer, epoch, topic, partition, beyond);
      COMMENT ON TABLE millrace_ledger_range IS
        'Offsets of a ledger that are not simply settled, moved out of its row; all lie in [lowest, beyond)';

      ALTER TABLE millrace_ledger
        ADD COLUMN ranges_below bigint NOT NULL DEFAULT 0,
        ADD COLUMN moves_from timestamptz NOT NULL DEFAULT now() + interval '1 day',
        ADD COLUMN topic_id uuid;
      DO $$ BEGIN
        EXECUTE format(
          'ALTER TABLE millrace_ledger ALTER COLUMN moves_from SET DEFAULT %L',
          CASE WHEN EXISTS (SELECT FROM millrace_ledger) THEN now() + interval '1 day' ELSE '-infinity' END
        );
      END $$;
      COMMENT ON COLUMN millrace_ledger.ranges_below IS
        'Below this offset, millrace_ledger_range may have ranges of the ledger';

      CREATE VIEW millrace_ledger_hole AS
        SELECT consumer, epoch, topic, partition, 'dead-lettered' AS kind, dead_lettered AS offsets
        FROM millrace_ledger WHERE NOT isempty(dead_lettered)
        UNION ALL
        SELECT consumer, epoch, topic, partition, 'skipped', passed_over
        FROM millrace_ledger WHERE NOT isempty(passed_over)
        UNION ALL
        SELECT consumer, epoch, topic, partition, kind, offsets
        FROM millrace_ledger_range WHERE kind IN ('dead-lettered', 'skipped');
      COMMENT ON VIEW millrace_ledger_hole IS
        'Offsets inside the ledgers that are not settled, wherever they are kept';

      ALTER TABLE millrace_ledger_range ENABLE ROW LEVEL SECURITY;
      CREATE POLICY anyone_reads ON millrace_ledger_range FOR SELECT USING (true);
      CREATE POLICY consumers_insert_their_own ON millrace_ledger_range FOR INSERT WITH CHECK (consumer = current_user);
      CREATE POLICY consumers_update_their_own ON millrace_ledger_range FOR UPDATE USING (consumer = current_user);
      CREATE POLICY consumers_delete_their_own ON millrace_ledger_range FOR DELETE USING (consumer = current_user);`,
  },
  {
    name: '0004-generations',
    sql: `
      CREATE TABLE millrace_generation (
        consumer text NOT NULL,
        number int NOT NULL CHECK (number > 0),
        name text NOT NULL UNIQUE,
        state text NOT NULL CHECK (state IN ('candidate', 'live', 'previous', 'dropped')),
        rebuild_id text,
        code text,
        replay jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        promoted_at timestamptz,
        PRIMARY KEY (consumer, number),
        CHECK (state = 'dropped' OR (state = 'live') = (replay IS NULL))
      );
      CREATE UNIQUE INDEX ON millrace_generation (consumer) WHERE state = 'live';
      COMMENT ON TABLE millrace_generation IS
        'The sets of tables that a consumer has, where a rebuild has made more than one; readers see the live one';

      ALTER TABLE millrace_ledger ADD COLUMN replay jsonb;
      COMMENT ON COLUMN millrace_ledger.replay IS
        'Why its records come, where they fill tables that readers do not see; null for those that they see';

      -- A function may not write the column, and a promote under way must not miss a row that comes up meanwhile: the lock has
      -- one of the two wait for the other.
      CREATE FUNCTION millrace_ledger_replay() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, public, pg_temp AS $$
        BEGIN
          SELECT g.replay INTO NEW.replay FROM millrace_generation g WHERE g.name = NEW.consumer FOR SHARE;
          RETURN NEW;
        END $$;
      CREATE TRIGGER millrace_ledger_replay BEFORE INSERT ON millrace_ledger
        FOR EACH ROW EXECUTE FUNCTION millrace_ledger_replay();`,
  },
  {
    name: '0005-as-of',
    sql: `
      CREATE VIEW millrace_as_of AS
        SELECT coalesce(g.consumer, l.consumer) AS consumer, coalesce(g.number, 1) AS generation, l.topic, l.partition,
          l.next AS up_to_offset,
          CASE WHEN l.max_timestamp >= 0 THEN to_timestamp(l.max_timestamp / 1000.0) END AS up_to_time,
          CASE WHEN l.next IS NOT NULL THEN l.updated_at END AS settled_at,
          coalesce(h.dead_lettered, 0)::bigint AS dead_lettered,
          coalesce(h.skipped, 0)::bigint AS skipped
        FROM millrace_ledger l
        LEFT JOIN LATERAL (
          SELECT sum(upper(r) - lower(r)) FILTER (WHERE kind = 'dead-lettered') AS dead_lettered,
            sum(upper(r) - lower(r)) FILTER (WHERE kind = 'skipped') AS skipped
          FROM millrace_ledger_hole o, unnest(o.offsets) AS r
          WHERE (o.consumer, o.epoch, o.topic, o.partition) = (l.consumer, l.epoch, l.topic, l.partition)
        ) h ON true
        LEFT JOIN millrace_generation g ON g.name = l.consumer
        -- What readers see: of the others, the ledger itself tells.
        WHERE coalesce(g.state, 'live') = 'live' AND NOT EXISTS (
          SELECT FROM millrace_ledger newer
          WHERE newer.consumer = l.consumer AND newer.topic = l.topic AND newer.epoch > l.epoch
        );
      COMMENT ON VIEW millrace_as_of IS
        'How far the tables that readers see of a consumer are, a row a partition: read it in one statement or snapshot with them';
      COMMENT ON COLUMN millrace_as_of.generation IS 'Which of the consumer''s generations readers see';
      COMMENT ON COLUMN millrace_as_of.up_to_time IS 'The newest timestamp among the records that are applied';
      COMMENT ON COLUMN millrace_as_of.settled_at IS 'When the ledger last changed; nothing has been settled since';
      -- Whoever may read a table may know how fresh it is. It says nothing of what any record holds.
      GRANT SELECT ON millrace_as_of TO PUBLIC;`,
  },
  {
    name: '0006-keys',
    sql: `
      -- What a partition remembers of its keys, in the row that a batch locks anyway: with nothing to remember, a batch asks for
      -- no more. Its owner is the only one to write them, and writes them with the tables below.
      ALTER TABLE millrace_ledger
        ADD COLUMN open_letters int NOT NULL DEFAULT 0,
        ADD COLUMN parked_records int NOT NULL DEFAULT 0,
        ADD COLUMN parked_bytes bigint NOT NULL DEFAULT 0,
        ADD COLUMN is_draining boolean NOT NULL DEFAULT false;
      COMMENT ON COLUMN millrace_ledger.open_letters IS 'Rows of millrace_key_letter';
      COMMENT ON COLUMN millrace_ledger.parked_records IS 'Rows of millrace_parked';
      COMMENT ON COLUMN millrace_ledger.parked_bytes IS 'Their keys, values and headers';
      COMMENT ON COLUMN millrace_ledger.is_draining IS
        'Whether parked records may wait for no letter any more: the next batch applies them';

      -- A key can have a megabyte, and an index entry cannot, so the first half of its SHA-256 finds it. What is counted here
      -- is never looked for in the other tables: without statistics, the planner may take the wrong way there.
      --
      -- The numbers of keys can be guessed, and given by who inserts: so they belong to a consumer, here and in each table below.
      CREATE TABLE millrace_key (
        id bigint GENERATED ALWAYS AS IDENTITY,
        consumer text NOT NULL,
        epoch int NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        hash uuid NOT NULL,
        key bytea,
        letters int NOT NULL DEFAULT 0,
        opened_at timestamptz NOT NULL DEFAULT now(),
        first_letter bigint,
        parked int NOT NULL DEFAULT 0,
        first_parked bigint,
        PRIMARY KEY (consumer, id),
        UNIQUE (consumer, epoch, topic, partition, hash)
      ) WITH (fillfactor = 70);
      CREATE INDEX ON millrace_key (consumer, epoch, topic, partition)
        WHERE first_parked <= coalesce(first_letter, 9223372036854775807);
      CREATE INDEX ON millrace_key (consumer, epoch, topic, partition, opened_at) WHERE parked = 0 AND first_letter IS NULL;
      COMMENT ON TABLE millrace_key IS 'Keys that have open dead letters or parked records';
      COMMENT ON COLUMN millrace_key.key IS 'Only while records of it are parked: others know it that ask for it';
      COMMENT ON COLUMN millrace_key.opened_at IS 'When its newest letter was opened';
      COMMENT ON COLUMN millrace_key.first_letter IS 'The lowest offset of those letters that later records wait for';

      CREATE TABLE millrace_key_letter (
        key_id bigint NOT NULL,
        "offset" bigint NOT NULL,
        consumer text NOT NULL,
        is_waited_for boolean NOT NULL,
        overtaken_by bigint,
        opened_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, key_id, "offset")
      ) WITH (fillfactor = 70);
      COMMENT ON TABLE millrace_key_letter IS 'Open dead letters of records that have a key';
      COMMENT ON COLUMN millrace_key_letter.overtaken_by IS 'The offset of a newer record of its key that was applied since';

      -- A timestamp as Millrace has it: any int64, rounded. The headers are JSON, because text holds no U+0000.
      CREATE TABLE millrace_parked (
        key_id bigint NOT NULL,
        "offset" bigint NOT NULL,
        consumer text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now(),
        "timestamp" float8 NOT NULL,
        timestamp_type text NOT NULL,
        bytes int NOT NULL,
        value bytea,
        headers json,
        fault json,
        PRIMARY KEY (consumer, key_id, "offset")
      );
      COMMENT ON TABLE millrace_parked IS 'Records as they came, which wait behind a dead letter of their key';

      ALTER TABLE millrace_key ENABLE ROW LEVEL SECURITY;
      ALTER TABLE millrace_key_letter ENABLE ROW LEVEL SECURITY;
      ALTER TABLE millrace_parked ENABLE ROW LEVEL SECURITY;
      CREATE POLICY consumers_have_their_own ON millrace_key USING (consumer = current_user);
      CREATE POLICY consumers_have_their_own ON millrace_key_letter USING (consumer = current_user);
      CREATE POLICY consumers_have_their_own ON millrace_parked USING (consumer = current_user);`,
  },
  {
    name: '0007-breaker',
    sql: `
      -- JSON as it was written: one row a consumer, read and written whole, and only when records fail.
      CREATE TABLE millrace_breaker (
        consumer text NOT NULL,
        epoch int NOT NULL,
        state json NOT NULL DEFAULT '[]',
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (consumer, epoch)
      );
      COMMENT ON TABLE millrace_breaker IS
        'Where a consumer''s code fails, by its version, and for how long records were held for it';
      ALTER TABLE millrace_breaker ENABLE ROW LEVEL SECURITY;
      CREATE POLICY anyone_reads ON millrace_breaker FOR SELECT USING (true);
      CREATE POLICY consumers_have_their_own ON millrace_breaker USING (consumer = current_user);`,
  },
  {
    name: '0008-seen',
    sql: `
      -- Ten million ids are kept for a large topic, so that a row names its ledger by a number. No function may choose it: the
      -- policy below goes by it.
      ALTER TABLE millrace_ledger
        ADD COLUMN id int GENERATED ALWAYS AS IDENTITY,
        ADD COLUMN log_time jsonb;
      COMMENT ON COLUMN millrace_ledger.log_time IS
        'The time that the partition''s records tell, where the consumer applies an event once';

      CREATE TABLE millrace_seen (
        ledger int NOT NULL,
        id uuid NOT NULL,
        at bigint NOT NULL,
        PRIMARY KEY (ledger, id)
      );
      CREATE INDEX ON millrace_seen (ledger, at);
      COMMENT ON TABLE millrace_seen IS 'Ids of events that were applied within a consumer''s window, by millrace_ledger.id';
      COMMENT ON COLUMN millrace_seen.at IS 'The time of the partition''s log when it was applied, in epoch milliseconds';

      ALTER TABLE millrace_seen ENABLE ROW LEVEL SECURITY;
      CREATE POLICY consumers_have_their_own ON millrace_seen
        USING (ledger IN (SELECT l.id FROM millrace_ledger l WHERE l.consumer = current_user));`,
  },
  {
    // Apart from what changes the ledger: readers take the view first and the ledger after it.
    name: '0009-as-of-parked',
    sql: `
      CREATE OR REPLACE VIEW millrace_as_of AS
        SELECT coalesce(g.consumer, l.consumer) AS consumer, coalesce(g.number, 1) AS generation, l.topic, l.partition,
          l.next AS up_to_offset,
          CASE WHEN l.max_timestamp >= 0 THEN to_timestamp(l.max_timestamp / 1000.0) END AS up_to_time,
          CASE WHEN l.next IS NOT NULL THEN l.updated_at END AS settled_at,
          coalesce(h.dead_lettered, 0)::bigint AS dead_lettered,
          coalesce(h.skipped, 0)::bigint AS skipped,
          l.parked_records::bigint AS parked
        FROM millrace_ledger l
        LEFT JOIN LATERAL (
          SELECT sum(upper(r) - lower(r)) FILTER (WHERE kind = 'dead-lettered') AS dead_lettered,
            sum(upper(r) - lower(r)) FILTER (WHERE kind = 'skipped') AS skipped
          FROM millrace_ledger_hole o, unnest(o.offsets) AS r
          WHERE (o.consumer, o.epoch, o.topic, o.partition) = (l.consumer, l.epoch, l.topic, l.partition)
        ) h ON true
        LEFT JOIN millrace_generation g ON g.name = l.consumer
        -- What readers see: of the others, the ledger itself tells.
        WHERE coalesce(g.state, 'live') = 'live' AND NOT EXISTS (
          SELECT FROM millrace_ledger newer
          WHERE newer.consumer = l.consumer AND newer.topic = l.topic AND newer.epoch > l.epoch
        );
      COMMENT ON COLUMN millrace_as_of.parked IS 'Records below up_to_offset that wait behind a dead letter of their key';`,
  },
];
