import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { within } from '../runtime/delivery/offset-ranges.ts';
import { type LedgerReader, ledgerOwner, type WholeLedger } from '../runtime/replay/ledgers.ts';
import { type LedgerTotals, totalsOf } from './ledger-totals.ts';

interface Known {
  readonly live: AnyConsumer;
  /** What counts as none of this run's. */
  readonly before: LedgerTotals;
  readonly grown: LedgerTotals;
}

/**
 * What the consumers have done since the first look, by their ledgers; also over a promote, which puts another ledger in the
 * place of one.
 */
export function createGrowth(
  consumers: readonly AnyConsumer[],
  liveOf: (declared: AnyConsumer) => AnyConsumer,
  {
    totals,
    ledgers,
  }: { totals(consumer: AnyConsumer): Promise<LedgerTotals>; readonly ledgers: LedgerReader },
) {
  const seen = new Map<AnyConsumer, Known>();

  const since = async (declared: AnyConsumer) => {
    const live = liveOf(declared);
    const known = seen.get(declared);
    const before = !known
      ? await totals(live)
      : known.live.name === live.name
        ? known.before
        : await carriedOver(known, live, ledgers);
    const { applied, parked, deadLettered, skipped } = less(await totals(live), before);
    // A redrive closes holes of earlier runs, too, and applies what was parked behind them.
    const grown = {
      applied,
      parked: Math.max(0, parked),
      deadLettered: Math.max(0, deadLettered),
      skipped: Math.max(0, skipped),
    };
    seen.set(declared, { live, before, grown });
    return { consumer: declared.name, ...grown };
  };

  return { sinceBegun: () => Promise.all(consumers.map(since)) };
}

/**
 * What the ledger that is live now has of offsets that the one before it has been through, less what that has grown by: from
 * here on the two count the same. The one before goes on, and may be read at any time.
 */
async function carriedOver(
  { live: earlier, before, grown }: Known,
  live: AnyConsumer,
  ledgers: LedgerReader,
): Promise<LedgerTotals> {
  const old = await ledgers.read(ledgerOwner(earlier));
  const now = await ledgers.read(ledgerOwner(live));
  // It was dropped at once.
  if (old.length === 0) return less(totalsOf(now), grown);
  const nextOf = new Map(old.map(({ partition, next }) => [partition, next ?? 0]));
  return less(
    totalsOf(now.map((ledger) => until(ledger, nextOf.get(ledger.partition) ?? 0))),
    less(totalsOf(old), before),
  );
}

/** The ledger as it is when it has come to this offset: what it has yet to reach counts as applied. */
function until(ledger: WholeLedger, next: number): WholeLedger {
  const { first, deadLettered, skipped, parked } = ledger;
  if (first === null || next <= first)
    return { ...ledger, first: null, next: null, deadLettered: [], skipped: [], parked: [] };
  const window = { from: first, to: next };
  return {
    ...ledger,
    next,
    deadLettered: within(deadLettered, window),
    skipped: within(skipped, window),
    parked: within(parked, window),
  };
}

function less(from: LedgerTotals, what: LedgerTotals): LedgerTotals {
  return {
    applied: from.applied - what.applied,
    parked: from.parked - what.parked,
    deadLettered: from.deadLettered - what.deadLettered,
    skipped: from.skipped - what.skipped,
  };
}
