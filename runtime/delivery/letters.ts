/** The dead letters of a transaction: durable before it commits. */
import type { RawRecord } from '../record.ts';
import { type DeadLetter, type DeadLetterStore, deadLetterId, letterKey } from './dead-letter.ts';
import type { Item } from './item.ts';
import type { Arrival } from './ledger.ts';
import type { RecentLetters } from './recent-letters.ts';
import type { LedgerKey } from './sink.ts';

export interface LetterContext {
  readonly ledger: LedgerKey;
  readonly arrival: Arrival;
  readonly deadLetters: DeadLetterStore;
  readonly invocation: Pick<DeadLetter, 'functionName' | 'functionVersion' | 'requestId'>;
  /** Letters that deliveries have left behind lately. */
  readonly recentLetters: RecentLetters;
  /** The schema id in a record's framing, null where the framing cannot be read. */
  schemaIdOf(raw: RawRecord): string | null;
}

/** Letters that are durable together. Those of a transaction that fails are not stored again by its next try. */
const LETTERS_AT_ONCE = 100;
/** After a store has failed: it may have kept some of those that it was given, and does so again with each try. */
const LETTERS_AT_ONCE_AGAIN = 10;

/** Makes the failed records' letters durable, those that are not already. */
export async function storeLetters(failed: readonly Item[], context: LetterContext): Promise<void> {
  const isKnown = (item: Item) =>
    context.arrival === 'delivery' && context.recentLetters.has(letterIdOf(item, context));
  const toStore = failed.filter((item) => item.stored !== item.failure && !isKnown(item));
  const size = toStore.some(({ wasRefused }) => wasRefused) ? LETTERS_AT_ONCE_AGAIN : LETTERS_AT_ONCE;
  for (let from = 0; from < toStore.length; from += size) {
    const portion = toStore.slice(from, from + size);
    try {
      await context.deadLetters.put(portion.map((item) => letterOf(item, context)));
    } catch (error) {
      for (const item of portion) item.wasRefused = true;
      throw error;
    }
    for (const item of portion) item.stored = item.failure;
  }
}

export function letterIdOf({ raw }: Item, { ledger }: LetterContext): string {
  return letterKey({ id: deadLetterId(ledger.consumer, raw), epoch: ledger.epoch });
}

function letterOf(item: Item, context: LetterContext): DeadLetter {
  const { functionName, functionVersion, requestId } = context.invocation;
  const { consumer, epoch } = context.ledger;
  return {
    id: deadLetterId(consumer, item.raw),
    consumer,
    epoch,
    record: item.raw,
    schemaId: context.schemaIdOf(item.raw),
    failure: item.failure!,
    functionName,
    functionVersion,
    requestId,
  };
}
