import { union } from '../../runtime/delivery/offset-ranges.ts';
import type { LedgerOwner, LedgerReader, WholeLedger } from '../../runtime/replay/ledgers.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { decodeRows, parseMultirange } from './sql-values.ts';

// One statement sees one moment, so that a ledger's row and what stands in other tables belong together.
const READ = `
  SELECT l.partition, l.first, l.next, l.max_timestamp,
    floor(extract(epoch FROM l.updated_at) * 1000)::float8 AS updated_at,
    l.dead_lettered::text || coalesce(r.dead_lettered, '') AS dead_lettered,
    l.passed_over::text || coalesce(r.skipped, '') AS skipped,
    coalesce(r.discarded, '') AS discarded, coalesce(p.offsets, '') AS parked,
    coalesce(o.letters, '[]') AS overtaken
  FROM millrace_ledger l
  LEFT JOIN (
    SELECT partition,
      string_agg(offsets::text, '') FILTER (WHERE kind = 'dead-lettered') AS dead_lettered,
      string_agg(offsets::text, '') FILTER (WHERE kind = 'skipped') AS skipped,
      string_agg(offsets::text, '') FILTER (WHERE kind = 'discarded') AS discarded
    FROM millrace_ledger_range WHERE consumer = $1 AND epoch = $2 AND topic = $3
    GROUP BY partition
  ) r USING (partition)
  LEFT JOIN (
    SELECT k.partition, range_agg(int8range(p."offset", p."offset" + 1))::text AS offsets
    FROM millrace_key k JOIN millrace_parked p ON p.consumer = k.consumer AND p.key_id = k.id
    WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = $3
    GROUP BY k.partition
  ) p USING (partition)
  LEFT JOIN (
    SELECT k.partition, json_agg(json_build_array(l."offset", l.overtaken_by) ORDER BY l."offset") AS letters
    FROM millrace_key k JOIN millrace_key_letter l ON l.consumer = k.consumer AND l.key_id = k.id
    WHERE k.consumer = $1 AND k.epoch = $2 AND k.topic = $3 AND l.overtaken_by IS NOT NULL
    GROUP BY k.partition
  ) o USING (partition)
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = $3
  ORDER BY l.partition`;

interface Row {
  readonly partition: number;
  readonly first: number | null;
  readonly next: number | null;
  readonly max_timestamp: number;
  readonly updated_at: number;
  readonly dead_lettered: string;
  readonly skipped: string;
  readonly discarded: string;
  readonly parked: string;
  readonly overtaken: WholeLedger['overtaken'];
}

/** The ledgers in a PostgreSQL sink, for any login that may read them. */
export function createPostgresLedgers(driver: SqlDriver): LedgerReader {
  return { read: (of) => inTransaction(driver, (open) => readLedgers(open, of)) };
}

/** The same within a transaction. */
export async function readLedgers(
  open: OpenTransaction,
  { consumer, epoch, topic }: LedgerOwner,
): Promise<readonly WholeLedger[]> {
  const rows = decodeRows(await open.query(READ, [consumer, epoch, topic])) as unknown as readonly Row[];
  return rows.map((row) => ({
    partition: row.partition,
    first: row.first,
    next: row.next,
    maxTimestamp: row.max_timestamp,
    deadLettered: rangesOf(row.dead_lettered),
    skipped: rangesOf(row.skipped),
    discarded: rangesOf(row.discarded),
    parked: rangesOf(row.parked),
    overtaken: row.overtaken,
    updatedAt: row.updated_at,
  }));
}

function rangesOf(multiranges: string) {
  return union(parseMultirange(multiranges));
}
