/** What the queues of every technology have in common. */
import {
  MAX_MESSAGE_BYTES,
  type MessageMover,
  messageBytes,
  type OutgoingMessage,
  type Queue,
} from '../runtime/dead-letters/queue.ts';
import { MillraceError } from '../runtime/errors.ts';

/** What becomes of a message that was received too often. */
export interface RedrivePolicy {
  /** The name of the dead-letter queue. */
  readonly deadLetterQueue: string;
  readonly maxReceiveCount: number;
}

/** Queues by name, in one place, so that messages can go from one to another. */
export interface Queues {
  /** The queue of that name; a name makes its queue. A policy, once given, holds for every use of the name. */
  queue(name: string, policy?: RedrivePolicy): Queue;
  mover(from: string, to: string): MessageMover;
}

/**
 * What every queue refuses before it sends anything.
 * @throws QUEUE_UNAVAILABLE naming the size, where a message is larger than SQS takes
 */
export function checkMessageSizes(queue: string, messages: readonly OutgoingMessage[]): void {
  for (const message of messages) {
    const bytes = messageBytes(message);
    if (bytes <= MAX_MESSAGE_BYTES) continue;
    throw new MillraceError(
      'QUEUE_UNAVAILABLE',
      `A message for ${queue} has ${bytes} bytes with its attributes; a queue takes up to ${MAX_MESSAGE_BYTES}. Nothing was sent.`,
      { details: { queue, bytes, maxBytes: MAX_MESSAGE_BYTES } },
    );
  }
}

/** Why SQS refuses to move messages from a queue. */
export function cannotMove(from: string, reason: 'no-dead-letter-queue' | 'under-way'): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    reason === 'under-way'
      ? `A move of messages from ${from} is already running. Wait until it ends.`
      : `${from} is not the dead-letter queue of another queue, so its messages cannot be moved. Name the dead-letter queue.`,
    { details: { queue: from } },
  );
}
