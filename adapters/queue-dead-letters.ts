import { type DeadLetter, decodeDeadLetter, encodeDeadLetter } from '../runtime/dead-letter.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { DeadLetterReader, DeadLetterStore, Queue } from '../runtime/ports.ts';

/** How many messages are looked at in one go. */
const PAGE = 1_000;

/**
 * Dead letters as messages of a queue, one queue a consumer. A letter put again is kept beside the first; the
 * reader counts and lists the two as one, in the first one's place, with the newest one's content.
 */
export function createQueueDeadLetters({
  queueOf,
}: {
  readonly queueOf: (consumer: string) => Queue;
}): DeadLetterStore & DeadLetterReader {
  const lettersOf = async (consumer: string): Promise<Map<string, DeadLetter>> => {
    const queue = queueOf(consumer);
    // A Map keeps an id where it first stood, so pages stay in place while letters are put again.
    const letters = new Map<string, DeadLetter>();
    let after: string | undefined;
    for (;;) {
      const messages = await browse(queue, consumer, after);
      for (const { body } of messages) {
        const letter = decodeDeadLetter(body);
        letters.set(letter.id, letter);
      }
      if (messages.length < PAGE) return letters;
      after = messages.at(-1)!.id;
    }
  };

  return {
    async put(letters) {
      for (const [consumer, own] of Map.groupBy(letters, (letter) => letter.consumer)) {
        await send(queueOf(consumer), consumer, own);
      }
    },
    async list(consumer, { limit, after }) {
      const letters = [...(await lettersOf(consumer)).values()];
      const start = after === undefined ? 0 : letters.findIndex(({ id }) => id === after) + 1;
      return letters.slice(start, start + limit);
    },
    async find(id) {
      const [consumer = ''] = id.split('/', 1);
      return (await lettersOf(consumer)).get(id);
    },
    async count(consumer) {
      return (await lettersOf(consumer)).size;
    },
  };
}

async function send(queue: Queue, consumer: string, letters: readonly DeadLetter[]): Promise<void> {
  try {
    await queue.send(letters.map(encodeDeadLetter));
  } catch (cause) {
    throw unavailable(
      `The dead-letter queue of ${consumer} did not take ${letters.length} letters: ${(cause as Error).message}. Nothing of their batch is committed; it is delivered again.`,
      consumer,
      cause,
    );
  }
}

async function browse(queue: Queue, consumer: string, after: string | undefined) {
  try {
    return await queue.browse({ limit: PAGE, ...(after === undefined ? {} : { after }) });
  } catch (cause) {
    throw unavailable(
      `The dead-letter queue of ${consumer} cannot be read: ${(cause as Error).message}. Nothing was changed; try again.`,
      consumer,
      cause,
    );
  }
}

function unavailable(message: string, consumer: string, cause: unknown): MillraceError {
  return new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', message, { cause, details: { consumer } });
}
