import { createHash } from 'node:crypto';
import { dateMs } from '../dates.ts';
import type { DeadLetter, DeadLetterStore } from '../delivery/dead-letter.ts';
import { MillraceError } from '../errors.ts';
import type { ObjectStore } from '../objects.ts';
import {
  decodeDeadLetter,
  decodeEnvelope,
  type Envelope,
  encodeDeadLetter,
  encodeWithPointer,
  type PayloadPointer,
} from './json-envelope.ts';
import {
  MAX_MESSAGE_BYTES,
  messageBytes,
  type OutgoingMessage,
  type Queue,
  type QueueMessage,
} from './queue.ts';
import type { DeadLetterReader, StoredLetter, UnreadableLetter } from './reader.ts';

/**
 * A dead letter as a message of a queue: the JSON envelope as its body, what one searches by as its attributes. What is
 * larger than a message may be leaves its bytes in an object, and a pointer with a hash in the message.
 */

/** Names the redrive that a message on its way back belongs to. */
export const REDRIVE_ATTRIBUTE = 'redrive';
/** Permits the redrive of a letter after whose record a newer one of its key was applied. */
export const ALLOW_OVERTAKEN_ATTRIBUTE = 'allowOvertaken';

/**
 * A letter's attributes on its way back. A permission that an earlier redrive gave is not passed on. SQS takes ten, and a letter
 * with a permission would have eleven: it goes without the time of its failure, which its body has.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (2026-11-27)
 */
export function attributesForRedrive(
  attributes: Readonly<Record<string, string>>,
  redriveId: string,
  mayBeOvertaken: boolean,
): Readonly<Record<string, string>> {
  const { [ALLOW_OVERTAKEN_ATTRIBUTE]: _, ...own } = attributes;
  if (!mayBeOvertaken) return { ...own, [REDRIVE_ATTRIBUTE]: redriveId };
  const { failedAt: __, ...others } = own;
  return { ...others, [REDRIVE_ATTRIBUTE]: redriveId, [ALLOW_OVERTAKEN_ATTRIBUTE]: 'true' };
}

/** Where the bytes of large letters are, in the consumer's own object store. */
export const PAYLOAD_PREFIX = 'dead-letters/';

/** A redrive adds its own attribute to a message that is near the limit. */
const ROOM_FOR_REDRIVE = 256;

/**
 * The letter as a message; a large one's bytes are durable in the object store when it resolves. The same letter gives
 * the same object each time.
 * @throws OBJECT_STORE_UNAVAILABLE
 */
export async function toMessage(
  letter: DeadLetter,
  objects: Pick<ObjectStore, 'put'>,
): Promise<OutgoingMessage> {
  const attributes = attributesOf(letter);
  const body = encodeDeadLetter(letter);
  if (messageBytes({ body, attributes }) <= MAX_MESSAGE_BYTES - ROOM_FOR_REDRIVE) return { body, attributes };
  const object = Buffer.from(body);
  const sha256 = sha256Of(object);
  const payload: PayloadPointer = {
    objectKey: `${PAYLOAD_PREFIX}${letter.id}/${sha256}.json`,
    sha256,
    bytes: object.length,
  };
  await objects.put(payload.objectKey, object);
  return { body: encodeWithPointer(letter, payload), attributes };
}

/**
 * The whole letter of an envelope.
 * @throws DEAD_LETTER_PAYLOAD_LOST when its object is gone or was changed; OBJECT_STORE_UNAVAILABLE
 */
export async function fetchPayload(
  { letter, payload }: Envelope,
  objects: Pick<ObjectStore, 'get'>,
): Promise<DeadLetter> {
  if (!payload) return letter;
  const object = await objects.get(payload.objectKey);
  if (!object || sha256Of(object) !== payload.sha256) {
    throw new MillraceError(
      'DEAD_LETTER_PAYLOAD_LOST',
      `The bytes of dead letter ${letter.id} are ${object ? 'changed' : 'missing'}: object ${payload.objectKey}. ` +
        'The record is in the topic under its offset, until the topic deletes it.',
      { details: { id: letter.id, objectKey: payload.objectKey } },
    );
  }
  return decodeDeadLetter(object.toString());
}

/**
 * As `fetchPayload`; undefined where the bytes are lost, for who looks at more than this one letter.
 * @throws OBJECT_STORE_UNAVAILABLE
 */
export async function fetchIfKept(
  envelope: Envelope,
  objects: Pick<ObjectStore, 'get'>,
): Promise<DeadLetter | undefined> {
  try {
    return await fetchPayload(envelope, objects);
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'DEAD_LETTER_PAYLOAD_LOST') return undefined;
    throw error;
  }
}

/** SQS takes ten attributes, one of which is the redrive's, and no empty ones. */
function attributesOf({ id, consumer, record, schemaId, failure }: DeadLetter): Record<string, string> {
  return {
    id,
    consumer,
    topic: record.topic,
    partition: String(record.partition),
    offset: String(record.offset),
    stage: failure.stage,
    errorCode: failure.code,
    failedAt: new Date(dateMs(failure.lastFailedAt)).toISOString(),
    ...(schemaId !== null && { schemaId }),
  };
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

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
export function createQueueReader({ queue }: { readonly queue: Queue }): DeadLetterReader {
  /** Receipts are the queue's business, and change each time one looks: they stay in here. */
  const receipts = new WeakMap<object, string>();
  const withReceipt = <Shown extends object>(message: QueueMessage, shown: Shown): Shown => {
    receipts.set(shown, message.receipt);
    return shown;
  };

  const shownAs = (message: QueueMessage): StoredLetter | UnreadableLetter => {
    const { id, body, attributes, sentAt } = message;
    const shown = { ref: id, storedAt: sentAt, message: { body, attributes } };
    try {
      return withReceipt(message, { ...shown, ...decodeEnvelope(body) });
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      return withReceipt(message, { ...shown, error });
    }
  };

  return {
    async *scan() {
      for await (const message of queue.scan()) yield shownAs(message);
    },
    async find(ref) {
      const message = await queue.find?.(ref);
      return message && shownAs(message);
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
}): DeadLetterStore & DeadLetterReader {
  return { ...createQueueStore(parts), ...createQueueReader(parts) };
}

function storeUnavailable(letters: number, cause: unknown): MillraceError {
  const reason = cause instanceof MillraceError ? cause.message : 'no reason given';
  return new MillraceError(
    'DEAD_LETTER_STORE_UNAVAILABLE',
    `${letters} dead letters could not be stored: ${reason} Nothing of their batch is committed; it is delivered again.`,
    { cause, details: { letters } },
  );
}
