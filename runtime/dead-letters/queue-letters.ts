import { MillraceError } from '../errors.ts';
import type { DeadLetterShelf, DeadLetterStore, ObjectStore, Queue, QueueMessage } from '../ports.ts';
import { decodeEnvelope } from './json-envelope.ts';
import { toMessage } from './queue-message.ts';

/** One consumer's dead letters as messages of its queue. A letter put twice is there twice. */
export function createQueueStore({
  queue,
  objects,
}: {
  readonly queue: Pick<Queue, 'send'>;
  readonly objects: Pick<ObjectStore, 'put'>;
}): DeadLetterStore {
  return {
    async put(letters) {
      try {
        await queue.send(await Promise.all(letters.map((letter) => toMessage(letter, objects))));
      } catch (cause) {
        throw storeUnavailable(letters.length, cause);
      }
    },
  };
}

/** The same queue for who looks after it. */
export function createQueueShelf({ queue }: { readonly queue: Queue }): DeadLetterShelf {
  /** Receipts are the queue's business, and change each time one looks: they stay in here. */
  const receipts = new WeakMap<object, string>();
  const withReceipt = <Shown extends object>(message: QueueMessage, shown: Shown): Shown => {
    receipts.set(shown, message.receipt);
    return shown;
  };

  return {
    async *look() {
      for await (const message of queue.look()) {
        const { id, body, attributes, sentAt } = message;
        const shown = { copy: id, storedAt: sentAt, message: { body, attributes } };
        try {
          yield withReceipt(message, { ...shown, ...decodeEnvelope(body) });
        } catch (error) {
          if (!(error instanceof MillraceError)) throw error;
          yield withReceipt(message, { ...shown, error });
        }
      }
    },
    async remove(copies) {
      await queue.delete(copies.flatMap((copy) => receipts.get(copy) ?? []));
    },
  };
}

/** Both. */
export function createQueueLetters(parts: {
  readonly queue: Queue;
  readonly objects: ObjectStore;
}): DeadLetterStore & DeadLetterShelf {
  return { ...createQueueStore(parts), ...createQueueShelf(parts) };
}

function storeUnavailable(letters: number, cause: unknown): MillraceError {
  const reason = cause instanceof MillraceError ? cause.message : 'no reason given';
  return new MillraceError(
    'DEAD_LETTER_STORE_UNAVAILABLE',
    `${letters} dead letters could not be stored: ${reason} Nothing of their batch is committed; it is delivered again.`,
    { cause, details: { letters } },
  );
}
