import type { DeadLetterShelf } from '../ports.ts';
import type { Copy } from './triage.ts';

/** So many are kept, and then taken away, at a time. */
const BATCH = 10;

/**
 * Takes the named copies off the shelf, and none that came later. `keep` makes them durable elsewhere before they go.
 * @returns how many there were
 */
export async function discardCopies(
  shelf: DeadLetterShelf,
  names: ReadonlySet<string>,
  keep: (copies: readonly Copy[]) => Promise<void>,
): Promise<number> {
  let discarded = 0;
  let batch: Copy[] = [];
  const flush = async () => {
    if (batch.length === 0) return;
    await keep(batch);
    await shelf.remove(batch);
    discarded += batch.length;
    batch = [];
  };
  for await (const copy of shelf.look()) {
    if (!names.has(copy.copy)) continue;
    batch.push(copy);
    if (batch.length === BATCH) await flush();
  }
  await flush();
  return discarded;
}
