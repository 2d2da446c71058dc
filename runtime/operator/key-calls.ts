/** Waiting keys on the far side: of a process that has the sink, or of an environment's operator function. */
import { MillraceError } from '../errors.ts';
import { encodeKafkaEvent, type KafkaEvent, parseKafkaEvent } from '../lambda/kafka-event.ts';
import type { LedgerOwner } from '../replay/ledgers.ts';
import type { Page, WaitingKey, WaitingKeyReader } from '../replay/waiting-keys.ts';

/** A question as JSON; keys are base64. */
export type KeyCall =
  | readonly ['totals']
  | readonly ['isAnyWaiting']
  | readonly ['list', from: number]
  | readonly ['find', key: string]
  | readonly ['records', partition: number, key: string, from: number];

type Written = Omit<WaitingKey, 'key'> & { readonly key: string };

/** The answer as JSON: pages of the reader are small enough for one. */
export async function answerKeyCall(
  reader: WaitingKeyReader,
  of: LedgerOwner,
  call: KeyCall,
): Promise<unknown> {
  switch (call[0]) {
    case 'totals':
      return reader.totals(of);
    case 'isAnyWaiting':
      return reader.isAnyWaiting(of);
    case 'list': {
      const { items, next } = await reader.list(of, call[1]);
      return { items: items.map(written), next };
    }
    case 'find':
      return (await reader.find(of, bytesOf(call[1]))).map(written);
    case 'records': {
      const [, partition, key, from] = call;
      const { items, next } = await reader.records(
        of,
        { topic: of.topic, partition, key: bytesOf(key) },
        from,
      );
      return { items: encodeKafkaEvent(items), next };
    }
    default:
      throw new MillraceError(
        'INPUT_INVALID',
        `This version does not know the question ${JSON.stringify(call[0])} about parked keys. Deploy it or start it again, so that it has the version of the command line.`,
      );
  }
}

/** @param ask brings the answer that `answerKeyCall` gives on the far side */
export function createCallingKeys(
  ask: (of: LedgerOwner, call: KeyCall) => Promise<unknown>,
): WaitingKeyReader {
  return {
    totals: async (of) => (await ask(of, ['totals'])) as Awaited<ReturnType<WaitingKeyReader['totals']>>,
    isAnyWaiting: async (of) => (await ask(of, ['isAnyWaiting'])) as boolean,
    async list(of, from) {
      const { items, next } = (await ask(of, ['list', from])) as Page<Written>;
      return { items: items.map(read), next };
    },
    find: async (of, key) => ((await ask(of, ['find', key.toString('base64')])) as Written[]).map(read),
    async records(of, { partition, key }, from) {
      const answer = await ask(of, ['records', partition, key.toString('base64'), from]);
      const { items, next } = answer as { readonly items: KafkaEvent; readonly next: number | null };
      return { items: parseKafkaEvent(items, of.topic), next };
    },
  };
}

function written({ key, ...rest }: WaitingKey): Written {
  return { ...rest, key: key.toString('base64') };
}

function read({ key, ...rest }: Written): WaitingKey {
  return { ...rest, key: bytesOf(key) };
}

function bytesOf(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}
