import { MillraceError } from '../errors.ts';
import type { LedgerReader, WholeLedger } from '../replay/ledgers.ts';
import type { LedgersAnswer, OperatorRequest } from './operator.ts';

/** Of what an answer may have, 6 MB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-27) */
const ANSWER_BYTES = 5_500_000;

/** Of these ledgers, in the order of their partitions, as many from `fromPartition` on as an answer has room for. */
export function ledgersPage(all: readonly WholeLedger[], fromPartition: number): LedgersAnswer {
  const ledgers: WholeLedger[] = [];
  let room = ANSWER_BYTES;
  for (const ledger of all) {
    if (ledger.partition < fromPartition) continue;
    const bytes = JSON.stringify(ledger).length;
    if (bytes > ANSWER_BYTES) {
      throw new MillraceError(
        'INPUT_INVALID',
        `The ledger of partition ${ledger.partition} has so many ranges that it takes ${bytes} bytes of an answer, which has room for ${ANSWER_BYTES}. ` +
          'It can only be read from inside the network, with --kafka and --postgres.',
        { details: { partition: ledger.partition } },
      );
    }
    room -= bytes;
    if (room < 0) return { ledgers, nextPartition: ledger.partition };
    ledgers.push(ledger);
  }
  return { ledgers, nextPartition: null };
}

/** Ledgers on the far side, a page at a time: of one moment for each partition. */
export function createCallingLedgers(
  ask: (request: Extract<OperatorRequest, { readonly action: 'ledgers' }>) => Promise<LedgersAnswer>,
): LedgerReader {
  return {
    async read(of) {
      const all: WholeLedger[] = [];
      let fromPartition: number | null = 0;
      while (fromPartition !== null) {
        const { ledgers, nextPartition }: LedgersAnswer = await ask({ action: 'ledgers', of, fromPartition });
        // A function of an earlier version says nothing of the last.
        all.push(...ledgers.map((ledger) => ({ ...ledger, overtaken: ledger.overtaken ?? [] })));
        fromPartition = nextPartition;
      }
      return all;
    },
  };
}
