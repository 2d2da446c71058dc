/** Releases of keys, settled by the consumer's own function: the messages of its redrive queue that are no dead letters. */
import type { Engine } from '../../delivery/engine.ts';
import type { Invocation } from '../../delivery/settle.ts';
import { ERRORS, MillraceError } from '../../errors.ts';
import type { ReceivedMessage } from '../../lambda/queue-event.ts';
import type { ObjectStore } from '../../objects.ts';
import type { Logger } from '../../ports.ts';
import { RESULTS_PREFIX } from '../redrive/results.ts';
import { decodeRelease, type ReleaseMessage } from './message.ts';

export interface ReleasePorts {
  readonly engine: Engine;
  readonly objects: Pick<ObjectStore, 'get' | 'put'>;
  readonly log: Logger;
}

/** Where the answer to a message is, in the consumer's own object store. */
export function releaseResultKey(id: string, number: number): string {
  return `${RESULTS_PREFIX}${id}/${number}.json`;
}

/**
 * Does what the messages say, in their order, and gives the ids of those that are to be delivered again. Of every other message
 * the release is done, what was parked behind it is applied or waits for its next letter, and the result is written.
 * @throws what the table calls `halt`; all messages are delivered again then
 */
export async function settleReleases(
  messages: readonly ReceivedMessage[],
  { engine, objects, log }: ReleasePorts,
  invocation: Invocation,
): Promise<readonly string[]> {
  const handedBack: string[] = [];
  const handBack = (message: ReceivedMessage, error: unknown, facts: object = {}) => {
    if (!(error instanceof MillraceError)) throw error;
    log.error('Message handed back', { messageId: message.id, ...facts, ...ERRORS[error.code], error });
    handedBack.push(message.id);
  };
  for (const message of messages) {
    let opened: ReleaseMessage;
    try {
      opened = await decodeRelease(message.body, objects);
      checkOwner(opened, engine);
    } catch (error) {
      handBack(message, error);
      continue;
    }
    try {
      const released = await engine.release(opened.release, invocation);
      log.info(released ? 'Key released' : 'Key not released yet', { ...factsOf(opened), ...released });
      if (!released) handedBack.push(message.id);
      else
        await objects.put(releaseResultKey(opened.id, opened.number), Buffer.from(JSON.stringify(released)));
    } catch (error) {
      if (error instanceof MillraceError && error.action === 'halt') throw error;
      handBack(message, error, factsOf(opened));
    }
  }
  return handedBack;
}

/** @throws DEAD_LETTER_FOREIGN where it is in another consumer's queue */
function checkOwner({ consumer, release: { topic } }: ReleaseMessage, engine: Engine): void {
  if (consumer === engine.consumer && topic === engine.topic) return;
  throw new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `A release of a key of ${JSON.stringify(consumer)} is in the redrive queue of ${JSON.stringify(engine.consumer)}, which reads ` +
      `${JSON.stringify(engine.topic)}. Give the command for the consumer whose key it is.`,
    { details: { consumer, topic } },
  );
}

/** Never the key: it may name a person. */
function factsOf({ id, release: { topic, partition } }: ReleaseMessage) {
  return { release: id, topic, partition };
}
