export interface OutgoingMessage {
  readonly body: string;
  /** Text by name, shown beside the message by whatever shows queues. @default none */
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface QueueMessage {
  /** Stays the same however often the message is received. */
  readonly id: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Epoch milliseconds. */
  readonly sentAt: number;
  /** How often it has been received, this time included. */
  readonly receiveCount: number;
  /** What `delete` and `release` take. A later receive replaces it. */
  readonly receipt: string;
}

/** The most that a message may have, attributes included: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (2026-11-25) */
export const MAX_MESSAGE_BYTES = 1_048_576;

/**
 * A queue as SQS has them: at-least-once, roughly in order; a received message is hidden for a while and comes back
 * unless deleted. With a redrive policy, a message that was received `maxReceiveCount` times goes to the dead-letter
 * queue instead of being received once more, with its id and the time it was sent.
 * Every method throws QUEUE_UNAVAILABLE when the queue does not answer.
 */
export interface Queue {
  /** Durable when it resolves. @throws QUEUE_UNAVAILABLE when not all were taken: some may have been, or one is over MAX_MESSAGE_BYTES */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
  /** Up to `maxMessages` visible messages, each hidden for `visibilityMs`. */
  receive(options: {
    readonly maxMessages: number;
    readonly visibilityMs: number;
  }): Promise<readonly QueueMessage[]>;
  /** Deletes what was received; a receipt that a later receive has replaced deletes nothing. */
  delete(receipts: readonly string[]): Promise<void>;
  /** Makes received messages visible again. */
  release(receipts: readonly string[]): Promise<void>;
  /**
   * Every message that is there when the look begins, each once. SQS can show only what it hides: there this receives,
   * raises receive counts, misses what somebody else is holding, and releases what was not deleted when the loop ends.
   */
  scan(): AsyncIterable<QueueMessage>;
  /** One message by its id; undefined where it is gone. @default only a scan shows messages, as on SQS */
  find?(id: string): Promise<QueueMessage | undefined>;
  /** Messages in the queue, hidden ones included; a guess where the queue is distributed. */
  depth(): Promise<number>;
}

/** Moves all visible messages from a dead-letter queue to another queue, as SQS's message move tasks do. */
export interface MessageMover {
  /**
   * Resolves when the move is over. A moved message is a new one: with another id, sent now, received never; body and
   * attributes are the same. Messages that somebody is holding stay where they are.
   * @throws INPUT_INVALID when the queue is no other queue's dead-letter queue, or a move from it is under way
   * @throws QUEUE_UNAVAILABLE when it ended before all were moved
   */
  move(options: {
    readonly maxPerSecond: number;
    readonly onProgress?: (moved: number) => void;
  }): Promise<{ readonly moved: number }>;
}

/** A message's size as SQS counts it: the body, and each attribute's name, type and value. */
export function messageBytes({ body, attributes = {} }: OutgoingMessage): number {
  return Object.entries(attributes).reduce(
    (bytes, [name, value]) => bytes + Buffer.byteLength(name) + 'String'.length + Buffer.byteLength(value),
    Buffer.byteLength(body),
  );
}
