import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { sizeOf } from '../runtime/delivery/offset-ranges.ts';
import type { Sink, SqlTransaction } from '../runtime/delivery/sink.ts';
import type { WholeLedger } from '../runtime/replay/ledgers.ts';

/** What a consumer's ledgers say in all: the truth about what has been settled, whatever crashed on the way. */
export interface LedgerTotals {
  readonly applied: number;
  /** Records that wait behind a dead letter of their key. */
  readonly parked: number;
  readonly deadLettered: number;
  /** Offsets that the event source skipped, and that are still open. */
  readonly skipped: number;
}

const TOTALS = `
  WITH hole AS (
    SELECT kind, sum(upper(r) - lower(r)) AS offsets
    FROM millrace_ledger_hole, unnest(offsets) AS r
    WHERE consumer = $1 AND epoch = $2
    GROUP BY kind
  )
  SELECT
    (SELECT coalesce(sum(next - first), 0) FROM millrace_ledger WHERE consumer = $1 AND epoch = $2)::float8 AS known,
    (SELECT coalesce(sum(parked_records), 0) FROM millrace_ledger WHERE consumer = $1 AND epoch = $2)::float8 AS parked,
    coalesce((SELECT offsets FROM hole WHERE kind = 'dead-lettered'), 0)::float8 AS dead_lettered,
    coalesce((SELECT offsets FROM hole WHERE kind = 'skipped'), 0)::float8 AS skipped`;

/** The sum over all of a consumer's partitions. */
export async function readLedgerTotals(
  sink: Sink<SqlTransaction>,
  { name, epoch }: AnyConsumer,
): Promise<LedgerTotals> {
  const { rows } = await sink.transaction(({ tx }) =>
    tx.query<{ known: number; parked: number; dead_lettered: number; skipped: number }>(TOTALS, [
      name,
      epoch,
    ]),
  );
  const { known, parked, dead_lettered, skipped } = rows[0]!;
  return { applied: known - parked - dead_lettered - skipped, parked, deadLettered: dead_lettered, skipped };
}

/** The same of whole ledgers, as those of archives are read. */
export function totalsOf(ledgers: readonly WholeLedger[]): LedgerTotals {
  return ledgers.reduce(
    (sum, { first, next, ...holes }) => {
      const [deadLettered, skipped, parked] = [holes.deadLettered, holes.skipped, holes.parked].map(
        sizeOf,
      ) as [number, number, number];
      return {
        applied: sum.applied + (next ?? 0) - (first ?? 0) - deadLettered - skipped - parked,
        parked: sum.parked + parked,
        deadLettered: sum.deadLettered + deadLettered,
        skipped: sum.skipped + skipped,
      };
    },
    { applied: 0, parked: 0, deadLettered: 0, skipped: 0 },
  );
}
