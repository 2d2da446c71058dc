import type { SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSqsDeadLetters, MAX_MESSAGE_BYTES } from '../../../adapters/aws/sqs-dead-letters.ts';
import { decodeDeadLetter } from '../../../runtime/dead-letter.ts';
import { deadLetter } from '../../dead-letters.ts';

const queueUrl = 'https://sqs.eu-west-1.amazonaws.com/123456789012/millrace-dev-c-dead-letters';

/** What becomes of a message: taken, or refused with a code, by the sender's fault or the queue's own. */
type Fate = (
  body: string,
  attempt: number,
) => undefined | { readonly Code: string; readonly SenderFault: boolean };

/** A queue with SQS's limits. */
function fakeSqs(fate: Fate = () => undefined) {
  const taken: string[] = [];
  const attempts = new Map<string, number>();
  let requests = 0;
  return {
    taken,
    requests: () => requests,
    client: {
      async send({ input }: SendMessageBatchCommand) {
        requests++;
        const entries = input.Entries!;
        const bytes = entries.reduce((sum, { MessageBody }) => sum + Buffer.byteLength(MessageBody!), 0);
        if (input.QueueUrl !== queueUrl) throw Object.assign(new Error(), { name: 'QueueDoesNotExist' });
        if (entries.length === 0) throw Object.assign(new Error(), { name: 'EmptyBatchRequest' });
        if (entries.length > 10) throw Object.assign(new Error(), { name: 'TooManyEntriesInBatchRequest' });
        if (bytes > 1_048_576) throw Object.assign(new Error(), { name: 'BatchRequestTooLong' });
        if (new Set(entries.map(({ Id }) => Id)).size < entries.length) {
          throw Object.assign(new Error(), { name: 'BatchEntryIdsNotDistinct' });
        }
        const Successful: { Id: string }[] = [];
        const Failed: { Id: string; Code: string; SenderFault: boolean }[] = [];
        for (const { Id, MessageBody } of entries as { Id: string; MessageBody: string }[]) {
          const attempt = (attempts.get(MessageBody) ?? 0) + 1;
          attempts.set(MessageBody, attempt);
          const refused = fate(MessageBody, attempt);
          if (refused) Failed.push({ Id, ...refused });
          else {
            taken.push(MessageBody);
            Successful.push({ Id });
          }
        }
        return { Successful, Failed };
      },
    } as never,
  };
}

const letters = (sizes: readonly number[]) =>
  sizes.map((bytes, offset) => deadLetter({ offset, value: Buffer.alloc(bytes, offset) }));
const offsetOf = (body: string) => decodeDeadLetter(body).record.offset;

describe('SQS as a dead-letter store', () => {
  test('takes every letter to the byte, within the limits of a request, however many and however large', async () => {
    const sizes = fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 500_000 })), { maxLength: 24 });
    await fc.assert(
      fc.asyncProperty(sizes, async (bytes) => {
        const sqs = fakeSqs();
        const put = letters(bytes);
        await createSqsDeadLetters({ client: sqs.client, queueUrl }).put(put);
        const stored = sqs.taken.map(decodeDeadLetter).sort((a, b) => a.record.offset - b.record.offset);
        expect(stored).toEqual(put);
      }),
      { numRuns: 10 },
    );
  });

  test('makes no more requests than the limits ask for', async () => {
    const sqs = fakeSqs();
    await createSqsDeadLetters({ client: sqs.client, queueUrl }).put(letters(Array(100).fill(10)));
    expect(sqs.requests()).toBe(10);
  });

  test('sends again what the queue refused of a request, and nothing else', async () => {
    const sqs = fakeSqs((body, attempt) =>
      offsetOf(body) % 3 === 0 && attempt < 3 ? { Code: 'InternalError', SenderFault: false } : undefined,
    );
    await createSqsDeadLetters({ client: sqs.client, queueUrl }).put(letters(Array(10).fill(10)));
    expect(sqs.taken.map(offsetOf).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(sqs.requests()).toBe(3);
  });

  test.each<[string, Fate, number, string]>([
    [
      'a message is refused three times',
      () => ({ Code: 'InternalError', SenderFault: false }),
      3,
      'InternalError',
    ],
    [
      "a message is refused by the sender's fault",
      () => ({ Code: 'InvalidMessageContents', SenderFault: true }),
      1,
      'InvalidMessageContents',
    ],
  ])('is unavailable when %s', async (_, fate, requests, reason) => {
    const sqs = fakeSqs(fate);
    const outcome = createSqsDeadLetters({ client: sqs.client, queueUrl }).put(letters([10]));
    await expect(outcome).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
      action: 'hold',
      details: { queue: 'millrace-dev-c-dead-letters', reason },
    });
    expect(sqs.requests()).toBe(requests);
  });

  test('is unavailable when a request fails, and shows nothing of the letters', async () => {
    const failure = Object.assign(new Error('value'), { name: 'AccessDenied' });
    const client = { send: () => Promise.reject(failure) } as never;
    const letter = deadLetter({ value: Buffer.from('reader-4711') });
    const outcome = createSqsDeadLetters({ client, queueUrl }).put([letter]);
    await expect(outcome).rejects.toMatchObject({ code: 'DEAD_LETTER_STORE_UNAVAILABLE', cause: failure });
    const { message, details } = await outcome.catch((error) => error);
    expect(message).toContain('AccessDenied');
    for (const text of ['reader-4711', letter.record.value!.toString('base64')]) {
      expect(`${message}${JSON.stringify(details)}`).not.toContain(text);
    }
  });

  test('is unavailable when SQS says nothing of a message', async () => {
    const client = { send: async () => ({}) } as never;
    await expect(createSqsDeadLetters({ client, queueUrl }).put(letters([1]))).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
    });
  });

  test('refuses a letter that no message can hold, before it sends any', async () => {
    const sqs = fakeSqs();
    const outcome = createSqsDeadLetters({ client: sqs.client, queueUrl }).put(
      letters([10, MAX_MESSAGE_BYTES]),
    );
    await expect(outcome).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
      details: { maxBytes: 1_048_576 },
    });
    expect(sqs.requests()).toBe(0);
  });

  test('asks nothing for no letters', async () => {
    const sqs = fakeSqs();
    await createSqsDeadLetters({ client: sqs.client, queueUrl }).put([]);
    expect(sqs.requests()).toBe(0);
  });
});
