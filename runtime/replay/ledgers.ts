import { findEnd } from '../archive/chain.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { Ledger } from '../delivery/ledger.ts';
import type { OffsetRange } from '../delivery/offset-ranges.ts';
import type { ObjectStore } from '../objects.ts';
import { type LogReader, partitionsOf } from '../topics.ts';

/** A partition's ledger as a whole, with every kind of range told apart. */
export interface WholeLedger extends Ledger {
  readonly partition: number;
  /** Settled, though nothing was applied: somebody did not want it. */
  readonly discarded: readonly OffsetRange[];
  /** Stored in the sink, where they wait. */
  readonly parked: readonly OffsetRange[];
  /** Open letters, each with the offset of the first newer record of its key that was applied since. */
  readonly overtaken: readonly (readonly [letter: number, by: number])[];
  /** When it was last written, in epoch milliseconds; null where the sink does not keep that. */
  readonly updatedAt: number | null;
}

/** Whose ledgers. */
export interface LedgerOwner {
  readonly consumer: string;
  readonly epoch: number;
  readonly topic: string;
}

export function ledgerOwner({
  name,
  epoch,
  topic,
}: Pick<AnyConsumer, 'name' | 'epoch' | 'topic'>): LedgerOwner {
  return { consumer: name, epoch, topic: topic.name };
}

/** Reads ledgers without locking them. */
export interface LedgerReader {
  /**
   * Those of all partitions that have one, by partition: of one moment where the sink is a database, of one moment a
   * partition where it is an archive.
   * @throws SINK_UNAVAILABLE, ARCHIVE_BROKEN
   */
  read(of: LedgerOwner): Promise<readonly WholeLedger[]>;
}

/** The ledgers of archives, which stand in their chains. */
export function createArchiveLedgers(store: ObjectStore, log: Pick<LogReader, 'partitions'>): LedgerReader {
  return {
    async read({ topic, epoch }) {
      const partitions = await partitionsOf(log, topic);
      const ledgers = await Promise.all(
        partitions.map(async (partition): Promise<WholeLedger> => {
          const { ledger } = await findEnd(store, { topic, epoch, partition });
          return { partition, ...ledger, discarded: [], parked: [], overtaken: [], updatedAt: null };
        }),
      );
      return ledgers.filter(({ next }) => next !== null);
    },
  };
}
