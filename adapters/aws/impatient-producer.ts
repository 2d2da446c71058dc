import { MillraceError } from '../../runtime/errors.ts';
import type { Clock, Producer } from '../../runtime/ports.ts';

/**
 * A producer for somebody who waits for the answer: it gives up on a send after `deadlineMs`, whatever the client still
 * hopes for. A broker that takes a connection and then says nothing would hold it for minutes, and all that is sent after
 * it, so the next send has a client of its own. What was given up on may still arrive.
 * @param open makes a client; called at once, and again after each send that took too long
 */
export function createImpatientProducer(
  open: () => Promise<Producer>,
  { deadlineMs, clock }: { readonly deadlineMs: number; readonly clock: Clock },
): Producer {
  const start = () => {
    const opening = open();
    // Heard by whoever sends next.
    opening.catch(() => {});
    return opening;
  };
  let current = start();

  return {
    async send(topic, records) {
      const used = current;
      const settled = new AbortController();
      const sending = used.then((producer) => producer.send(topic, records)).finally(() => settled.abort());
      const deadline = clock.sleep(deadlineMs, settled.signal).then(() => {
        if (settled.signal.aborted) return sending;
        if (current === used) current = start();
        throw tooLate(topic, deadlineMs);
      });
      return Promise.race([sending, deadline]);
    },
  };
}

function tooLate(topic: string, deadlineMs: number): MillraceError {
  return new MillraceError(
    'PUBLISH_FAILED',
    `Topic ${JSON.stringify(topic)} did not take the records within ${deadlineMs} ms. Send them again; they may then stand in it twice.`,
    { details: { topic, deadlineMs } },
  );
}
