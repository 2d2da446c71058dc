/**
 * What a person decides about a key whose records wait, as a message of the consumer's redrive queue: on a laptop and on AWS it
 * goes through the consumer's function, with that function's own rights. docs/dead-letters.md lists its fields.
 */
import type { OffsetRange } from '../../delivery/offset-ranges.ts';
import type { KeyRelease } from '../../delivery/release.ts';
import { MillraceError } from '../../errors.ts';
import { MOST_PARTITION } from '../../lambda/kafka-event.ts';
import type { ObjectStore } from '../../objects.ts';
import { Fields, parseJson, unreadable } from '../fields.ts';
import { MAX_MESSAGE_BYTES, messageBytes, type OutgoingMessage } from '../queue.ts';
import { PAYLOAD_PREFIX, sha256Of } from '../queue-letters.ts';

/**
 * Above a dead letter's version, which has no `kind`: a function of a version that knows only dead letters checks the version
 * first, hands the message back, and reads nothing else of it.
 */
const VERSION = '2.0';
const KIND = 'key-release';

export interface ReleaseMessage {
  /** What the person waits for: the result is written by this id and this number. */
  readonly id: string;
  readonly number: number;
  readonly consumer: string;
  readonly release: KeyRelease;
}

/** Whether the body is a release, of any minor version. It does not parse the body: most are dead letters of up to a megabyte. */
export function isReleaseMessage(body: string): boolean {
  return /^\{"version":"2\.\d{1,4}","kind":/.test(body);
}

/**
 * The message; a key that is too large for one is durable in the object store when it resolves.
 * @throws OBJECT_STORE_UNAVAILABLE
 */
export async function encodeRelease(
  { id, number, consumer, release }: ReleaseMessage,
  objects: Pick<ObjectStore, 'put'>,
): Promise<OutgoingMessage> {
  const { key, ...rest } = release;
  const common = { version: VERSION, kind: KIND, id, number, consumer, ...rest };
  const attributes = {
    kind: KIND,
    id,
    consumer,
    topic: release.topic,
    partition: String(release.partition),
  };
  const body = JSON.stringify({ ...common, key: key.toString('base64') });
  if (messageBytes({ body, attributes }) <= MAX_MESSAGE_BYTES) return { body, attributes };
  const sha256 = sha256Of(key);
  const objectKey = `${PAYLOAD_PREFIX}keys/${sha256}`;
  await objects.put(objectKey, key);
  return { body: JSON.stringify({ ...common, keyObject: { objectKey, sha256 } }), attributes };
}

/**
 * The message that `encodeRelease` wrote.
 * @throws DEAD_LETTER_UNREADABLE, DEAD_LETTER_VERSION_UNKNOWN; DEAD_LETTER_PAYLOAD_LOST, OBJECT_STORE_UNAVAILABLE where its key
 * is in an object
 */
export async function decodeRelease(
  body: string,
  objects: Pick<ObjectStore, 'get'>,
): Promise<ReleaseMessage> {
  const fields = new Fields(parseJson(body), 'the message');
  if (fields.text('kind') !== KIND) throw unknownKind();
  return {
    id: fields.text('id'),
    number: fields.whole('number', 0),
    consumer: fields.text('consumer'),
    release: {
      topic: fields.text('topic'),
      partition: fields.whole('partition', 0, MOST_PARTITION),
      epoch: fields.whole('epoch', 1, 2 ** 31 - 1),
      below: fields.has('below') ? fields.whole('below', 0) : null,
      discardedLetters: rangesIn(fields, 'discardedLetters'),
      discardedParked: rangesIn(fields, 'discardedParked'),
      key: await keyIn(fields, objects),
    },
  };
}

async function keyIn(fields: Fields, objects: Pick<ObjectStore, 'get'>): Promise<Buffer> {
  if (!fields.has('keyObject')) {
    const key = fields.bytesOrNull('key');
    if (key === null) throw unreadable(fields.pathOf('key'), null, 'base64');
    return key;
  }
  const pointer = fields.object('keyObject');
  const objectKey = pointer.text('objectKey');
  const key = await objects.get(objectKey);
  if (key && sha256Of(key) === pointer.text('sha256')) return key;
  throw new MillraceError(
    'DEAD_LETTER_PAYLOAD_LOST',
    `The key of a release is ${key ? 'changed' : 'missing'}: object ${objectKey}. Give the command again.`,
    { details: { objectKey } },
  );
}

function rangesIn(fields: Fields, name: string): readonly OffsetRange[] {
  return fields.objects(name).map((range) => {
    const from = range.whole('from', 0);
    return { from, to: range.whole('to', from + 1, from + MOST_OFFSETS) };
  });
}

/** Of one range: a message names offsets that a person has seen, and none by the million. */
const MOST_OFFSETS = 100_000;

function unknownKind(): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_VERSION_UNKNOWN',
    'The message in the redrive queue is of a kind that this version of Millrace does not know. Deploy the version that sent it, or a later one.',
  );
}
