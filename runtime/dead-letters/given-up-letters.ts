import type { DeadLetter } from '../delivery/dead-letter.ts';
import { MillraceError } from '../errors.ts';
import { encodeKafkaEvent } from '../lambda/kafka-event.ts';
import type { ObjectStore } from '../objects.ts';
import { parseJson, unreadable } from './fields.ts';
import { readGivenUpBatch } from './given-up-batch.ts';
import type { DeadLetterReader, StoredLetter, UnreadableLetter } from './reader.ts';

/** Where Lambda puts the batches it gives up on: https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-25) */
export const GIVEN_UP_PREFIX = 'aws/lambda/';

/**
 * The batches that the event source gave up on, record by record: each is a letter, since the ledger keeps it as a
 * hole. Records that are removed leave their batch, and with the last of them the batch goes away.
 */
export function createGivenUpReader({
  of,
  objects,
}: {
  readonly of: { readonly consumer: string; readonly epoch: number; readonly topic: string };
  readonly objects: ObjectStore;
}): DeadLetterReader {
  /** @throws DEAD_LETTER_UNREADABLE, EVENT_FOREIGN_TOPIC where it is no batch of this topic, or lacks its records */
  const lettersIn = (document: Buffer) => {
    const { letters, missing } = readGivenUpBatch(parseJson(document.toString()), of);
    if (missing.length > 0) throw unreadable('payload', undefined, "the batch's records");
    return letters;
  };

  async function* copiesOf(key: string, storedAt: number): AsyncIterable<StoredLetter | UnreadableLetter> {
    const document = await objects.get(key);
    if (!document) return;
    try {
      for (const letter of lettersIn(document)) {
        yield { ref: copyName(key, letter), storedAt, letter, payload: null, message: null };
      }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      yield { ref: `${key}#`, storedAt, error, message: { body: document.toString() } };
    }
  }

  async function removeFrom(key: string, copies: ReadonlySet<string>): Promise<void> {
    const document = await objects.get(key);
    if (!document) return;
    const left = copies.has(`${key}#`)
      ? []
      : lettersIn(document).filter((letter) => !copies.has(copyName(key, letter)));
    if (left.length === 0) return objects.delete([key]);
    const payload = JSON.stringify(encodeKafkaEvent(left.map(({ record }) => record)));
    await objects.put(key, Buffer.from(JSON.stringify({ ...JSON.parse(document.toString()), payload })));
  }

  return {
    async *scan() {
      for await (const { key, storedAt } of objects.list(GIVEN_UP_PREFIX)) yield* copiesOf(key, storedAt);
    },
    async remove(copies) {
      const keyOf = ({ ref }: { readonly ref: string }) => ref.slice(0, ref.indexOf('#'));
      for (const [key, ofKey] of Map.groupBy(copies, keyOf)) {
        await removeFrom(key, new Set(ofKey.map(({ ref }) => ref)));
      }
    },
  };
}

function copyName(key: string, { id }: DeadLetter): string {
  return `${key}#${id}`;
}
