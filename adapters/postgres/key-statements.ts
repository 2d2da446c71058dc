/**
 * The statements of `KeyStore`. Its tables fill and empty faster than they are analysed, so
 * the planner may take them for small and join them row by row with all that it is given: minutes, for a thousand letters.
 * So each row is looked up in a subquery of its own, which OFFSET 0 keeps out of joins, and found again by its ctid: nobody
 * else changes it while the ledger is locked.
 */
import type { TopicPartition } from '../../runtime/record.ts';
import { parkedColumns } from './parked-rows.ts';

/** The row of a key that was asked for. */
const KEY_OF = (asked: string) => `
  FROM millrace_key k
  WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = ${asked}.topic AND k.partition = ${asked}.partition
    AND k.hash = ${asked}.hash
  OFFSET 0`;

/** Keys that have a state, each with its letters and parked records from the lowest to the highest offset asked for. */
const readOf = (asked: string, keys: string) => `
  SELECT s.*, in_all.records AS records_in_all, in_all.bytes AS bytes_in_all
  FROM (
    SELECT coalesce(sum(parked_records), 0)::int AS records, coalesce(sum(parked_bytes), 0)::bigint AS bytes
    FROM millrace_ledger WHERE consumer = $1 AND epoch = $2
  ) in_all LEFT JOIN (
    SELECT k.topic, k.partition, replace(k.hash::text, '-', '') AS hash, k.first_letter, k.first_parked, k.parked,
      (SELECT coalesce(json_agg(json_build_array(l."offset", l.overtaken_by) ORDER BY l."offset"), '[]')
       FROM millrace_key_letter l WHERE l.consumer = $1 AND l.key_id = k.id AND l."offset" BETWEEN a.lowest AND a.highest) AS letters,
      (SELECT coalesce(json_agg(p."offset" ORDER BY p."offset"), '[]')
       FROM millrace_parked p WHERE p.consumer = $1 AND p.key_id = k.id AND p."offset" BETWEEN a.lowest AND a.highest) AS parked_at
    FROM unnest(${asked})
    CROSS JOIN LATERAL (SELECT * ${keys}) k
  ) s ON true`;

export const READ = readOf(
  '$3::text[], $4::int[], $5::uuid[], $6::bigint[], $7::bigint[]) AS a (topic, partition, hash, lowest, highest',
  KEY_OF('a'),
);

export const READ_PARTITIONS = readOf(
  '$3::text[], $4::int[], $5::bigint[], $6::bigint[]) AS a (topic, partition, lowest, highest',
  `FROM millrace_key k
  WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = a.topic AND k.partition = a.partition
  OFFSET 0`,
);

export interface ReadRow extends TopicPartition {
  /** In hexadecimal; null where no key has a state. */
  readonly hash: string | null;
  readonly first_letter: number | null;
  readonly first_parked: number | null;
  readonly parked: number;
  readonly letters: readonly (readonly [offset: number, overtakenBy: number | null])[];
  readonly parked_at: readonly number[];
  readonly records_in_all: number;
  readonly bytes_in_all: number;
}

/** Letters that are open already are left as they are, and counted once. */
export const OPEN = `
  WITH key AS (
    SELECT * FROM unnest($3::text[], $4::int[], $5::uuid[]) WITH ORDINALITY AS g (topic, partition, hash, n)
  ), known AS (
    SELECT key.n, (SELECT k.id ${KEY_OF('key')}) AS id FROM key
  ), fresh AS (
    SELECT g.* FROM unnest($6::int[], $7::bigint[], $8::boolean[], $9::bigint[])
      AS g (n, at, is_waited_for, overtaken_by)
    JOIN known USING (n)
    WHERE NOT EXISTS (
      SELECT FROM millrace_key_letter l WHERE l.consumer = $1 AND l.key_id = known.id AND l."offset" = g.at OFFSET 0
    )
  ), kept AS (
    INSERT INTO millrace_key AS k (consumer, epoch, topic, partition, hash, letters, first_letter)
    SELECT $1, $2::int, topic, partition, hash, f.letters, f.first_letter
    FROM key JOIN (
      SELECT n, count(*)::int AS letters, min(at) FILTER (WHERE is_waited_for) AS first_letter FROM fresh GROUP BY n
    ) f USING (n)
    ON CONFLICT (consumer, epoch, topic, partition, hash) DO UPDATE SET
      letters = k.letters + excluded.letters, first_letter = least(k.first_letter, excluded.first_letter), opened_at = now()
    RETURNING id, topic, partition, hash
  ), written AS (
    INSERT INTO millrace_key_letter (key_id, "offset", consumer, is_waited_for, overtaken_by)
    SELECT kept.id, fresh.at, $1, fresh.is_waited_for, fresh.overtaken_by
    FROM fresh JOIN key USING (n) JOIN kept USING (topic, partition, hash)
  )
  UPDATE millrace_ledger l SET open_letters = l.open_letters + c.letters
  FROM (SELECT topic, partition, count(*) AS letters FROM fresh JOIN key USING (n) GROUP BY 1, 2) c
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = c.topic AND l.partition = c.partition`;

/** Records to park, each of a key in the list before. */
export const PARK = `
  WITH key AS (
    SELECT * FROM unnest($3::text[], $4::int[], $5::uuid[], $6::bytea[])
      WITH ORDINALITY AS g (topic, partition, hash, key, n)
  ), fresh AS (
    SELECT * FROM unnest($7::int[], $8::bigint[], $9::float8[], $10::text[], $11::int[], $12::bytea[], $13::json[], $14::json[])
      AS g (n, at, stamp, timestamp_type, bytes, value, headers, fault)
  ), kept AS (
    INSERT INTO millrace_key AS k (consumer, epoch, topic, partition, hash, key, parked, first_parked)
    SELECT $1, $2::int, topic, partition, hash, key, f.parked, f.first_parked
    FROM key JOIN (SELECT n, count(*)::int AS parked, min(at) AS first_parked FROM fresh GROUP BY n) f USING (n)
    ON CONFLICT (consumer, epoch, topic, partition, hash) DO UPDATE SET
      key = coalesce(k.key, excluded.key), parked = k.parked + excluded.parked,
      first_parked = least(k.first_parked, excluded.first_parked)
    RETURNING id, topic, partition, hash
  ), written AS (
    INSERT INTO millrace_parked (key_id, "offset", consumer, "timestamp", timestamp_type, bytes, value, headers, fault)
    SELECT kept.id, fresh.at, $1, fresh.stamp, fresh.timestamp_type, fresh.bytes, fresh.value, fresh.headers, fresh.fault
    FROM fresh JOIN key USING (n) JOIN kept USING (topic, partition, hash)
  )
  UPDATE millrace_ledger l SET parked_records = l.parked_records + c.parked, parked_bytes = l.parked_bytes + c.bytes
  FROM (
    SELECT topic, partition, count(*) AS parked, sum(octet_length(key) + bytes)::bigint AS bytes
    FROM fresh JOIN key USING (n) GROUP BY 1, 2
  ) c
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = c.topic AND l.partition = c.partition`;

/** The rows of positions that there are, with their keys as they were before. */
const found = (table: string, bytes = '0') => `
  found AS (
    SELECT k.id, g.topic, g.partition, g.at, r.place, r.bytes
    FROM unnest($3::text[], $4::int[], $5::uuid[], $6::bigint[]) AS g (topic, partition, hash, at)
    CROSS JOIN LATERAL (SELECT * ${KEY_OF('g')}) k
    CROSS JOIN LATERAL (
      SELECT r.ctid AS place, ${bytes} AS bytes FROM ${table} r
      WHERE r.consumer = $1 AND r.key_id = k.id AND r."offset" = g.at OFFSET 0
    ) r
  ), per_key AS (SELECT id, count(*)::int AS gone FROM found GROUP BY id),
  per_partition AS (
    SELECT topic, partition, count(*)::int AS gone, sum(bytes)::bigint AS bytes FROM found GROUP BY 1, 2
  )`;

const deleted = (table: string) => `
  DELETE FROM ${table} WHERE ctid = ANY (ARRAY(SELECT place FROM found))`;

/** The lowest offset of a key's rows but for those found. */
const firstOf = (table: string, condition: string) => `(
  SELECT r."offset" FROM ${table} r
  WHERE r.consumer = $1 AND r.key_id = k.id AND ${condition} AND (r.key_id, r."offset") NOT IN (SELECT id, at FROM found)
  ORDER BY r."offset" LIMIT 1
)`;

/** One that somebody had discarded was taken back: it is applied now. */
export const CLOSE = `
  WITH ${found('millrace_key_letter')}, gone AS (${deleted('millrace_key_letter')}), forgotten AS (
    DELETE FROM millrace_key k USING per_key p WHERE k.consumer = $1 AND k.id = p.id AND k.letters = p.gone AND k.parked = 0
  ), kept AS (
    UPDATE millrace_key k SET letters = k.letters - p.gone, first_letter = ${firstOf('millrace_key_letter', 'r.is_waited_for')}
    FROM per_key p WHERE k.consumer = $1 AND k.id = p.id AND NOT (k.letters = p.gone AND k.parked = 0)
  ), wanted AS (
    UPDATE millrace_ledger_range s SET offsets = s.offsets - f.offsets
    FROM (SELECT topic, partition, range_agg(int8range(at, at + 1)) AS offsets FROM found GROUP BY 1, 2) f
    WHERE s.consumer = $1 AND s.epoch = $2 AND s.topic = f.topic AND s.partition = f.partition
      AND s.beyond > lower(f.offsets) AND s.lowest < upper(f.offsets) AND s.offsets && f.offsets AND s.kind = 'discarded'
  )
  UPDATE millrace_ledger l SET open_letters = l.open_letters - p.gone
  FROM per_partition p
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = p.topic AND l.partition = p.partition`;

export const UNPARK = `
  WITH ${found('millrace_parked', 'octet_length(k.key) + r.bytes')}, gone AS (${deleted('millrace_parked')}), forgotten AS (
    DELETE FROM millrace_key k USING per_key p WHERE k.consumer = $1 AND k.id = p.id AND k.parked = p.gone AND k.letters = 0
  ), kept AS (
    UPDATE millrace_key k SET parked = k.parked - p.gone, first_parked = ${firstOf('millrace_parked', 'true')},
      key = CASE WHEN k.parked > p.gone THEN k.key END
    FROM per_key p WHERE k.consumer = $1 AND k.id = p.id AND NOT (k.parked = p.gone AND k.letters = 0)
  )
  UPDATE millrace_ledger l SET parked_records = l.parked_records - p.gone, parked_bytes = l.parked_bytes - p.bytes
  FROM per_partition p
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = p.topic AND l.partition = p.partition`;

export const RELEASE = `
  WITH ${found('millrace_key_letter')}, released AS (
    UPDATE millrace_key_letter SET is_waited_for = false WHERE ctid = ANY (ARRAY(SELECT place FROM found))
  )
  UPDATE millrace_key k SET first_letter = ${firstOf('millrace_key_letter', 'r.is_waited_for')}
  FROM per_key p WHERE k.consumer = $1 AND k.id = p.id`;

export const OVERTAKE = `
  WITH overtaken AS (
    SELECT l.place, k.id, min(g.at) AS by
    FROM unnest($3::text[], $4::int[], $5::uuid[], $6::bigint[]) AS g (topic, partition, hash, at)
    CROSS JOIN LATERAL (SELECT k.id ${KEY_OF('g')}) k
    CROSS JOIN LATERAL (
      SELECT l.ctid AS place FROM millrace_key_letter l
      WHERE l.consumer = $1 AND l.key_id = k.id AND l."offset" < g.at AND l.overtaken_by IS NULL OFFSET 0
    ) l
    GROUP BY l.place, k.id
  ), per_key AS (SELECT id, max(by) AS by FROM overtaken GROUP BY id),
  marked AS (
    UPDATE millrace_key_letter l SET overtaken_by = o.by, is_waited_for = false FROM overtaken o WHERE l.ctid = o.place
  )
  UPDATE millrace_key k SET first_letter = (
    SELECT r."offset" FROM millrace_key_letter r
    WHERE r.consumer = $1 AND r.key_id = k.id AND r.is_waited_for AND r."offset" > p.by
    ORDER BY r."offset" LIMIT 1
  )
  FROM per_key p WHERE k.id = p.id AND k.first_letter < p.by`;

/**
 * Letters that no record waits for are forgotten in the end, each key with its newest: SQS keeps a message for 14 days, and
 * Millrace a payload for 90, so they are gone by then, and whoever sends junk fills no table for ever. What waits is never forgotten.
 */
const IS_OLD = `k.parked = 0 AND k.first_letter IS NULL AND k.opened_at < now() - interval '90 days'`;

/** A thousand at once: more than a transaction opens, so that they become fewer. */
export const EXPIRE = `
  WITH old AS (
    SELECT g.topic, g.partition, k.*
    FROM unnest($3::text[], $4::int[]) AS g (topic, partition)
    CROSS JOIN LATERAL (
      SELECT k.id, k.letters, k.ctid AS place FROM millrace_key k
      WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = g.topic AND k.partition = g.partition AND ${IS_OLD}
      ORDER BY k.opened_at LIMIT 1000
    ) k
  ), letters AS (
    DELETE FROM millrace_key_letter WHERE ctid = ANY (ARRAY(
      SELECT l.place FROM old CROSS JOIN LATERAL (
        SELECT l.ctid AS place FROM millrace_key_letter l WHERE l.consumer = $1 AND l.key_id = old.id OFFSET 0
      ) l
    ))
  ), keys AS (
    DELETE FROM millrace_key WHERE ctid = ANY (ARRAY(SELECT place FROM old))
  )
  UPDATE millrace_ledger l SET open_letters = l.open_letters - o.letters
  FROM (SELECT topic, partition, sum(letters)::int AS letters FROM old GROUP BY 1, 2) o
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = o.topic AND l.partition = o.partition`;

/** Keys that have letters, each with the lowest that no record has overtaken yet. */
export const OPEN_LETTERS = `
  SELECT k.topic, k.partition, replace(k.hash::text, '-', '') AS hash, ${IS_OLD} AS is_old, (
    SELECT min(l."offset") FROM millrace_key_letter l
    WHERE l.consumer = $1 AND l.key_id = k.id AND l.overtaken_by IS NULL
  ) AS lowest
  FROM unnest($3::text[], $4::int[]) AS g (topic, partition)
  CROSS JOIN LATERAL (
    SELECT * FROM millrace_key k
    WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = g.topic AND k.partition = g.partition AND k.letters > 0
    OFFSET 0
  ) k`;

export interface LettersRow extends TopicPartition {
  readonly hash: string;
  readonly is_old: boolean;
  readonly lowest: number | null;
}

export const DRAINING = `
  UPDATE millrace_ledger l SET is_draining = g.is_draining
  FROM unnest($3::text[], $4::int[], $5::boolean[]) AS g (topic, partition, is_draining)
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = g.topic AND l.partition = g.partition`;

export const DISCARD = `
  INSERT INTO millrace_ledger_range (consumer, epoch, topic, partition, kind, lowest, beyond, offsets)
  SELECT $1, $2::int, topic, partition, 'discarded', lower(offsets), upper(offsets), offsets
  FROM unnest($3::text[], $4::int[], $5::int8multirange[]) AS g (topic, partition, offsets)`;

/** Key by key by its index, of each no more than are asked for in all. */
export const NEXT_PARKED = `
  WITH next AS (
    SELECT g.n, k.id, p."offset" AS at, row_number() OVER w AS rank, sum(octet_length(k.key) + p.bytes) OVER w AS bytes
    FROM unnest($3::text[], $4::int[]) WITH ORDINALITY AS g (topic, partition, n)
    JOIN millrace_key k USING (topic, partition)
    CROSS JOIN LATERAL (
      SELECT r."offset", r.bytes FROM millrace_parked r
      WHERE r.consumer = $1 AND r.key_id = k.id AND r."offset" <= coalesce(k.first_letter, 9223372036854775807)
      ORDER BY r."offset" LIMIT $5::int
    ) p
    WHERE k.consumer = $1 AND k.epoch = $2
      AND k.first_parked <= coalesce(k.first_letter, 9223372036854775807)
    WINDOW w AS (ORDER BY g.n, p."offset" ROWS UNBOUNDED PRECEDING)
    ORDER BY g.n, p."offset" LIMIT $5::int
  )
  SELECT k.topic, k.partition, k.key, ${parkedColumns('p')}
  FROM next
  JOIN millrace_key k ON k.consumer = $1 AND k.id = next.id
  JOIN millrace_parked p ON p.consumer = $1 AND p.key_id = next.id AND p."offset" = next.at
  WHERE next.rank = 1 OR next.bytes <= $6::bigint
  ORDER BY next.n, next.at`;
