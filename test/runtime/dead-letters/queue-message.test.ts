import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeEnvelope } from '../../../runtime/dead-letters/json-envelope.ts';
import { MAX_MESSAGE_BYTES, messageBytes } from '../../../runtime/dead-letters/queue.ts';
import { fetchPayload, toMessage } from '../../../runtime/dead-letters/queue-letters.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { anyLetter, deadLetter } from '../../dead-letters.ts';
import { codeOf } from '../../rejection.ts';

const openObjects = () => createMemoryObjects({ clock: createFakeClock() });

describe('a dead letter as a message', () => {
  test('gives the very letter back', async () => {
    await fc.assert(
      fc.asyncProperty(anyLetter, async (letter) => {
        const objects = openObjects();
        const { body } = await toMessage(letter, objects);
        expect(await fetchPayload(decodeEnvelope(body), objects)).toEqual(letter);
      }),
    );
  });

  test('has what one searches by as attributes, one less than SQS takes, none of them empty', async () => {
    const { attributes = {} } = await toMessage(deadLetter({ partition: 3, offset: 1042 }), openObjects());
    expect(attributes).toEqual({
      id: 'c/t/3/1042',
      consumer: 'c',
      topic: 't',
      partition: '3',
      offset: '1042',
      stage: 'handle',
      errorCode: 'HANDLER_FAILED',
      failedAt: '2026-01-01T00:00:00.900Z',
      schemaId: '6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59',
    });
  });

  test.each([500_000, 770_000, 786_000, 790_000, 900_000, 3_000_000])(
    'with a value of %d bytes fits a queue, and comes back to the byte',
    async (bytes) => {
      const value = Buffer.alloc(bytes, 0xc3);
      const letter = deadLetter({
        value,
        key: Buffer.alloc(40_000, 1),
        headers: [{ name: 'h', value: null }],
      });
      const objects = openObjects();
      const message = await toMessage(letter, objects);
      // A redrive adds an attribute of its own.
      expect(messageBytes(message)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES - 100);
      // Byte by byte: toEqual takes seconds for so many.
      const { record, ...rest } = await fetchPayload(decodeEnvelope(message.body), objects);
      expect(record.value!.equals(value)).toBe(true);
      expect(record.key!.equals(letter.record.key!)).toBe(true);
      expect({ ...rest, headers: record.headers }).toEqual({
        ...Object.fromEntries(Object.entries(letter).filter(([name]) => name !== 'record')),
        headers: letter.record.headers,
      });
    },
  );

  test('put again leaves the same object', async () => {
    const objects = openObjects();
    const letter = deadLetter({ value: Buffer.alloc(900_000) });
    const messages = [await toMessage(letter, objects), await toMessage(letter, objects)];
    expect(messages[0]).toEqual(messages[1]);
    expect(await Array.fromAsync(objects.list(''))).toHaveLength(1);
  });

  test('whose object is gone or was changed says so, with the place and without the bytes', async () => {
    const objects = openObjects();
    const { body } = await toMessage(deadLetter({ value: Buffer.alloc(900_000) }), objects);
    const envelope = decodeEnvelope(body);
    await objects.put(envelope.payload!.objectKey, Buffer.from('{"changed":true}'));
    expect(await codeOf(fetchPayload(envelope, objects))).toBe('DEAD_LETTER_PAYLOAD_LOST');
    await objects.delete([envelope.payload!.objectKey]);
    await expect(fetchPayload(envelope, objects)).rejects.toMatchObject({
      code: 'DEAD_LETTER_PAYLOAD_LOST',
      message: expect.stringContaining(envelope.payload!.objectKey),
    });
  });
});
