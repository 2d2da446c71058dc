import type { AnyConsumer } from '../runtime/consumer.ts';
import type { Sink, SqlTransaction } from '../runtime/ports.ts';

/** What a consumer's ledgers say in all: the truth about what has been settled, whatever crashed on the way. */
export interface LedgerTotals {
  readonly applied: number;
  readonly deadLettered: number;
  /** Offsets that the event source passed over, and that are still open. */
  readonly holes: number;
}

const TOTALS = `
  SELECT
    coalesce(sum(next - first), 0)::float8 AS settled,
    coalesce(sum((SELECT sum(upper(r) - lower(r)) FROM unnest(dead_lettered) r)), 0)::float8 AS dead_lettered,
    coalesce(sum((SELECT sum(upper(r) - lower(r)) FROM unnest(passed_over) r)), 0)::float8 AS passed_over
  FROM millrace_ledger
  WHERE consumer = $1 AND epoch = $2`;

/** The sum over all of a consumer's partitions. */
export async function readLedgerTotals(
  sink: Sink<SqlTransaction>,
  { name, epoch }: AnyConsumer,
): Promise<LedgerTotals> {
  const { rows } = await sink.transaction(({ tx }) =>
    tx.query<{ settled: number; dead_lettered: number; passed_over: number }>(TOTALS, [name, epoch]),
  );
  const { settled, dead_lettered, passed_over } = rows[0]!;
  return { applied: settled - dead_lettered - passed_over, deadLettered: dead_lettered, holes: passed_over };
}
