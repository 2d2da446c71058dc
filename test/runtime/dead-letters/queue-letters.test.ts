import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Queue, QueueMessage } from '../../../runtime/dead-letters/queue.ts';
import { createQueueLetters } from '../../../runtime/dead-letters/queue-letters.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { ObjectStore } from '../../../runtime/objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';
import { anyLetter, deadLetter } from '../../dead-letters.ts';
import { codeOf } from '../../rejection.ts';

const small = deadLetter({ value: Buffer.from('reader-4711') });
const large = deadLetter({ offset: 1, value: Buffer.alloc(900_000) });

function setUp(broken: { readonly queue?: Partial<Queue>; readonly objects?: Partial<ObjectStore> } = {}) {
  const clock = createFakeClock();
  const queue = createMemoryQueues({ clock }).queue('dead-letters');
  const objects = createMemoryObjects({ clock });
  const letters = createQueueLetters({
    queue: { ...queue, ...broken.queue },
    objects: { ...objects, ...broken.objects },
  });
  return { queue, objects, letters };
}

describe('dead letters in a queue', () => {
  test('are refused as a whole when the queue fails, with its reason and without their bytes', async () => {
    const cause = new MillraceError('QUEUE_UNAVAILABLE', 'The queue is full.');
    const { letters } = setUp({ queue: { send: () => Promise.reject(cause) } });
    const outcome = letters.put([small, large]);
    await expect(outcome).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
      action: 'hold',
      message: expect.stringContaining('The queue is full.'),
      details: { letters: 2 },
      cause,
    });
  });

  test('say nothing of what a library’s own error may quote', async () => {
    const cause = new Error(`cannot send ${small.record.value!.toString()}`);
    const { letters } = setUp({ queue: { send: () => Promise.reject(cause) } });
    await expect(letters.put([small])).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
      message: expect.not.stringContaining('reader-4711'),
    });
  });

  test('are not in the queue when the object store failed for one of them', async () => {
    const { letters, queue } = setUp({ objects: { put: () => Promise.reject(new Error('no bucket')) } });
    expect(await codeOf(letters.put([small, large]))).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
    expect(await queue.depth()).toBe(0);
    await letters.put([small]);
    expect(await queue.depth()).toBe(1);
  });

  test('need no object store where they fit a message', async () => {
    const unused = () => Promise.reject(new Error('not asked for'));
    const { letters, queue } = setUp({ objects: { put: unused, get: unused } });
    await letters.put([small]);
    const copies = await Array.fromAsync(letters.scan());
    expect(copies).toMatchObject([{ letter: small, payload: null }]);
    await letters.remove(copies);
    expect(await queue.depth()).toBe(0);
  });

  test('have no character in their messages that SQS refuses, whatever the handler threw', async () => {
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html (2026-11-25): others are
    // InvalidMessageContents, so that the letter could never be stored, and its partition would be held for ever.
    const refused = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;
    const awkward = fc.constantFrom('\u0000', '\u001b', '\u007f', '\ud800', '\ufffe', '\uffff', '\u{1ffff}');
    const text = fc.array(fc.oneof(awkward, fc.string({ unit: 'binary' }))).map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(anyLetter, text, text, async (letter, message, name) => {
        const { letters, queue } = setUp();
        const record = { ...letter.record, headers: [{ name, value: null }] };
        const put = { ...letter, record, failure: { ...letter.failure, message, name, stack: message } };
        await letters.put([put]);
        const [copy] = await Array.fromAsync(letters.scan());
        expect(copy).toMatchObject({ letter: put });
        const [{ body, attributes }] = (await Array.fromAsync(queue.scan())) as [QueueMessage];
        for (const sent of [body, ...Object.values(attributes)]) expect(refused.exec(sent)).toBeNull();
      }),
    );
  });

  test('tell where their bytes are when they are not in the message', async () => {
    const { letters, objects } = setUp();
    await letters.put([large]);
    const [copy] = await Array.fromAsync(letters.scan());
    expect(copy).toMatchObject({
      letter: { id: large.id, record: { key: null, value: null, headers: [] }, failure: large.failure },
      payload: { objectKey: expect.stringMatching(/^dead-letters\/c\/t\/0\/1\/[0-9a-f]{64}\.json$/) },
    });
    const [object] = await Array.fromAsync(objects.list(''));
    expect(copy).toMatchObject({ payload: { objectKey: object!.key, bytes: object!.bytes } });
  });

  test('show their messages as they stand, so that they can be sent on', async () => {
    const { letters, queue } = setUp();
    await letters.put([small]);
    await queue.send([{ body: 'not a letter', attributes: { from: 'somebody' } }]);
    const messages = await Array.fromAsync(queue.scan());
    const copies = await Array.fromAsync(letters.scan());
    expect(copies.map(({ ref, storedAt, message }) => ({ ref, storedAt, message }))).toEqual(
      messages.map(({ id, sentAt, body, attributes }) => ({
        ref: id,
        storedAt: sentAt,
        message: { body, attributes },
      })),
    );
    expect(copies[0]!.message!.attributes).toMatchObject({ id: 'c/t/0/0', errorCode: 'HANDLER_FAILED' });
  });

  test('surface a queue that fails while one looks or removes', async () => {
    const failing = () => Promise.reject(new MillraceError('QUEUE_UNAVAILABLE', 'gone'));
    const { letters } = setUp({
      queue: {
        delete: failing,
        async *scan() {
          yield* [] as never[];
          await failing();
        },
      },
    });
    expect(await codeOf(Array.fromAsync(letters.scan()))).toBe('QUEUE_UNAVAILABLE');
    expect(await codeOf(letters.remove([]))).toBe('QUEUE_UNAVAILABLE');
  });
});
