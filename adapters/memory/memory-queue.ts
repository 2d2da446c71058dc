import type { Clock, Queue } from '../../runtime/ports.ts';

interface Message {
  readonly id: string;
  readonly body: string;
  readonly sentAt: number;
  receiveCount: number;
  visibleAt: number;
}

/** A queue that lives as long as the process. */
export function createMemoryQueue({ clock }: { readonly clock: Clock }): Queue {
  // In the order they were sent: a Map keeps it.
  const messages = new Map<string, Message>();
  let sent = 0;

  const receiptOf = ({ id, receiveCount }: Message) => `${id}:${receiveCount}`;
  const view = ({ id, body, sentAt, receiveCount }: Message) => ({ id, body, sentAt, receiveCount });

  return {
    async send(bodies) {
      const sentAt = clock.now();
      for (const body of bodies) {
        const id = String(++sent);
        messages.set(id, { id, body, sentAt, receiveCount: 0, visibleAt: sentAt });
      }
    },
    async receive({ maxMessages, visibilityMs }) {
      const now = clock.now();
      const visible = [...messages.values()].filter(({ visibleAt }) => visibleAt <= now);
      return visible.slice(0, maxMessages).map((message) => {
        message.receiveCount++;
        message.visibleAt = now + visibilityMs;
        return { ...view(message), receipt: receiptOf(message) };
      });
    },
    async delete(receipts) {
      for (const receipt of receipts) {
        const message = messages.get(receipt.slice(0, receipt.indexOf(':')));
        if (message && receiptOf(message) === receipt) messages.delete(message.id);
      }
    },
    async browse({ limit, after = '0' }) {
      const later = [...messages.values()].filter(({ id }) => Number(id) > Number(after));
      return later.slice(0, limit).map(view);
    },
    async depth() {
      return messages.size;
    },
  };
}
