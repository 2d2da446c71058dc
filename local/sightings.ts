import { personalDataOf } from '../runtime/dead-letters/personal-data.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { DeadLetterStore } from '../runtime/delivery/dead-letter.ts';
import { ownFrameOf } from '../runtime/delivery/own-frame.ts';
import type { Logger } from '../runtime/ports.ts';
import { recordId } from '../runtime/record.ts';

/**
 * Adds to a function's log what a developer wants to see on a laptop and a log on AWS must not hold: an error's message, and
 * the line that threw it. The message only where the contract has no personal data.
 */
export interface Sightings {
  wrapConsumer(consumer: AnyConsumer): AnyConsumer;
  wrapDeadLetters(store: DeadLetterStore): DeadLetterStore;
  wrapLog(log: Logger): Logger;
}

interface Sighting {
  readonly errorName: string;
  readonly errorMessage?: string;
  readonly location?: string;
}

const MOST_LETTERS = 1_000;
const MAX_MESSAGE_CHARS = 300;

export function createSightings({ topic }: Pick<AnyConsumer, 'topic'>): Sightings {
  const letters = new Map<string, Sighting>();
  const isPrivate = personalDataOf(topic).isTagged;
  let thrown: Sighting | undefined;

  const see = (error: { name: string; message: string; stack: string }): Sighting => {
    const location = ownFrameOf(error);
    return {
      errorName: error.name,
      ...(!isPrivate && { errorMessage: error.message.slice(0, MAX_MESSAGE_CHARS) }),
      ...(location !== null && { location }),
    };
  };
  const seeThrown = (error: unknown): Sighting | undefined => {
    try {
      if (!(error instanceof Error)) return undefined;
      return see({
        name: String(error.name),
        message: String(error.message),
        stack: String(error.stack),
      });
    } catch {
      // Anything can be thrown, and what it is asked for can throw as well: the engine has a name for that.
      return undefined;
    }
  };
  const facts = (fields: Readonly<Record<string, unknown>>): Sighting | undefined => {
    const { topic, partition, offset, action } = fields;
    if (offset === undefined)
      return action === 'hold' && thrown?.errorName === fields.errorName ? thrown : undefined;
    const id = `${topic}/${partition}/${offset}`;
    const found = letters.get(id);
    letters.delete(id);
    return found;
  };

  return {
    wrapConsumer: (consumer) => ({
      ...consumer,
      async handle(records, context) {
        thrown = undefined;
        try {
          await consumer.handle(records, context);
        } catch (error) {
          thrown = seeThrown(error);
          throw error;
        }
      },
    }),
    wrapDeadLetters: (store) => ({
      async put(batch) {
        await store.put(batch);
        // A function that dies logs none of its letters.
        if (letters.size + batch.length > MOST_LETTERS) letters.clear();
        for (const { record, failure } of batch.slice(0, MOST_LETTERS)) {
          letters.set(recordId(record), see(failure));
        }
      },
    }),
    wrapLog(log) {
      const adding =
        (level: keyof Logger): Logger[keyof Logger] =>
        (message, fields = {}) =>
          log[level](message, { ...fields, ...facts(fields) });
      return { debug: adding('debug'), info: adding('info'), warn: adding('warn'), error: adding('error') };
    },
  };
}
