/**
 * A dead letter as a message of a queue: the JSON envelope as its body, what one searches by as its attributes. What is
 * larger than a message may be leaves its bytes in an object, and a pointer with a hash in the message.
 */
import { createHash } from 'node:crypto';
import { MillraceError } from '../errors.ts';
import { MAX_MESSAGE_BYTES, type ObjectStore, type OutgoingMessage } from '../ports.ts';
import type { DeadLetter } from './dead-letter.ts';
import {
  decodeDeadLetter,
  type Envelope,
  encodeDeadLetter,
  encodeWithPointer,
  type PayloadPointer,
} from './json-envelope.ts';

/** Names the redrive that a message on its way back belongs to. */
export const REDRIVE_ATTRIBUTE = 'redrive';

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
      `The bytes of dead letter ${letter.id} are ${object ? 'not what they were' : 'gone'}: object ${payload.objectKey}. ` +
        'As long as the topic keeps the record, it is there under its offset.',
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

/** A message's size as SQS counts it: the body, and each attribute's name, type and value. */
export function messageBytes({ body, attributes = {} }: OutgoingMessage): number {
  return Object.entries(attributes).reduce(
    (bytes, [name, value]) => bytes + Buffer.byteLength(name) + 'String'.length + Buffer.byteLength(value),
    Buffer.byteLength(body),
  );
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
    failedAt: new Date(Math.min(failure.lastFailedAt, 8.64e15)).toISOString(),
    ...(schemaId !== null && { schemaId }),
  };
}

function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
