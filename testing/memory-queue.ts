import { cannotMove, checkMessageSizes, type Queues, type RedrivePolicy } from '../adapters/queues.ts';
import type { OutgoingMessage, Queue, QueueMessage } from '../runtime/dead-letters/queue.ts';
import type { Clock } from '../runtime/ports.ts';

interface Message extends OutgoingMessage {
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly sentAt: number;
  receiveCount: number;
  visibleAt: number;
}

/** Queues that live as long as the process. */
export function createMemoryQueues({ clock }: { readonly clock: Clock }): Queues {
  // In the order they were sent: a Map keeps it.
  const queues = new Map<string, Map<string, Message>>();
  const policies = new Map<string, RedrivePolicy>();
  const moving = new Set<string>();
  let sent = 0;

  const messagesOf = (name: string) => {
    const messages = queues.get(name) ?? new Map<string, Message>();
    queues.set(name, messages);
    return messages;
  };
  const append = (name: string, { body, attributes = {} }: OutgoingMessage) => {
    const now = clock.now();
    const id = String(++sent);
    messagesOf(name).set(id, { id, body, attributes, sentAt: now, receiveCount: 0, visibleAt: now });
  };
  const receiptOf = ({ id, receiveCount }: Message) => `${id}:${receiveCount}`;
  const view = (message: Message): QueueMessage => {
    const { id, body, attributes, sentAt, receiveCount } = message;
    return { id, body, attributes, sentAt, receiveCount, receipt: receiptOf(message) };
  };

  const createQueue = (name: string): Queue => {
    const messages = messagesOf(name);
    const withReceipts = (receipts: readonly string[]) =>
      receipts.flatMap((receipt) => {
        const message = messages.get(receipt.slice(0, receipt.indexOf(':')));
        return message && receiptOf(message) === receipt ? [message] : [];
      });
    return {
      async send(outgoing) {
        checkMessageSizes(name, outgoing);
        for (const message of outgoing) append(name, message);
      },
      async receive({ maxMessages, visibilityMs }) {
        const now = clock.now();
        const policy = policies.get(name);
        const received: QueueMessage[] = [];
        for (const message of [...messages.values()]) {
          if (received.length === maxMessages) break;
          if (message.visibleAt > now) continue;
          if (policy && message.receiveCount >= policy.maxReceiveCount) {
            messages.delete(message.id);
            messagesOf(policy.deadLetterQueue).set(message.id, { ...message, receiveCount: 0 });
            continue;
          }
          message.receiveCount++;
          message.visibleAt = now + visibilityMs;
          received.push(view(message));
        }
        return received;
      },
      async delete(receipts) {
        for (const { id } of withReceipts(receipts)) messages.delete(id);
      },
      async release(receipts) {
        for (const message of withReceipts(receipts)) message.visibleAt = clock.now();
      },
      async *scan() {
        for (const { id } of [...messages.values()]) {
          const message = messages.get(id);
          if (message) yield view(message);
        }
      },
      async find(id) {
        const message = messages.get(id);
        return message && view(message);
      },
      async depth() {
        return messages.size;
      },
    };
  };

  return {
    queue(name, policy) {
      if (policy) policies.set(name, policy);
      return createQueue(name);
    },
    mover: (from, to) => ({
      async move({ maxPerSecond, onProgress }) {
        const isDeadLetterQueue = [...policies.values()].some((policy) => policy.deadLetterQueue === from);
        if (!isDeadLetterQueue) throw cannotMove(from, 'no-dead-letter-queue');
        if (moving.has(from)) throw cannotMove(from, 'under-way');
        moving.add(from);
        try {
          let moved = 0;
          for (const message of [...messagesOf(from).values()]) {
            if (message.visibleAt > clock.now() || !messagesOf(from).delete(message.id)) continue;
            append(to, message);
            moved++;
            onProgress?.(moved);
            await clock.sleep(1_000 / maxPerSecond);
          }
          return { moved };
        } finally {
          moving.delete(from);
        }
      },
    }),
  };
}
