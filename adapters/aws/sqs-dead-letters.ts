import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { encodeDeadLetter } from '../../runtime/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { DeadLetterStore } from '../../runtime/ports.ts';

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (2026-11-24)
const MAX_BATCH_MESSAGES = 10;
export const MAX_MESSAGE_BYTES = 1_048_576;

/** Requests under way at once: a batch of bad records must not take the invocation's time one round trip after another. */
const MAX_REQUESTS = 8;

/** How often a message that SQS refused as its own fault is sent again, before the batch is held. */
const ATTEMPTS = 3;

/**
 * One consumer's dead letters in an SQS queue, each a message whose body is the letter's JSON. `put` resolves when SQS
 * has confirmed every message; a letter put twice is there twice. Letters over 1 MiB are refused.
 * @throws DEAD_LETTER_STORE_UNAVAILABLE when SQS did not take all of them; some may have been taken
 */
export function createSqsDeadLetters({
  client,
  queueUrl,
}: {
  readonly client: Pick<SQSClient, 'send'>;
  readonly queueUrl: string;
}): DeadLetterStore {
  return {
    async put(letters) {
      const batches = intoBatches(letters.map(encodeDeadLetter));
      for (let at = 0; at < batches.length; at += MAX_REQUESTS) {
        await Promise.all(
          batches.slice(at, at + MAX_REQUESTS).map((batch) => sendAll(client, queueUrl, batch)),
        );
      }
    },
  };
}

/** As many bodies a request as SQS takes: ten, and 1 MiB of them together. */
function intoBatches(bodies: readonly string[]): readonly (readonly string[])[] {
  const batches: string[][] = [];
  let bytes = 0;
  for (const body of bodies) {
    const bodyBytes = Buffer.byteLength(body);
    if (bodyBytes > MAX_MESSAGE_BYTES) throw tooLarge(bodyBytes);
    const last = batches.at(-1);
    if (!last || last.length === MAX_BATCH_MESSAGES || bytes + bodyBytes > MAX_MESSAGE_BYTES) {
      batches.push([body]);
      bytes = bodyBytes;
    } else {
      last.push(body);
      bytes += bodyBytes;
    }
  }
  return batches;
}

/** A request can succeed for some of its messages and fail for others: those are sent again. */
async function sendAll(
  client: Pick<SQSClient, 'send'>,
  queueUrl: string,
  batch: readonly string[],
): Promise<void> {
  let left = batch.map((body, index) => ({ Id: String(index), MessageBody: body }));
  for (let attempt = 1; ; attempt++) {
    const { Successful = [], Failed = [] } = await client
      .send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: left }))
      .catch((cause) => {
        throw unavailable(queueUrl, cause instanceof Error ? cause.name : 'no reason given', cause);
      });
    const taken = new Set(Successful.map(({ Id }) => Id));
    left = left.filter(({ Id }) => !taken.has(Id));
    if (left.length === 0) return;
    const refused = Failed.find(({ SenderFault }) => SenderFault) ?? Failed[0];
    if (refused?.SenderFault || attempt === ATTEMPTS) {
      throw unavailable(queueUrl, refused?.Code ?? 'no answer for a message');
    }
  }
}

function unavailable(queueUrl: string, reason: string, cause?: unknown): MillraceError {
  const queue = queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
  return new MillraceError(
    'DEAD_LETTER_STORE_UNAVAILABLE',
    `The dead-letter queue ${queue} did not take the letters (${reason}). Nothing of their batch is committed; it is ` +
      "delivered again. If it stays so, check the queue, the function's endpoint for SQS and its permissions.",
    { cause, details: { queue, reason } },
  );
}

function tooLarge(bodyBytes: number): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_STORE_UNAVAILABLE',
    `A dead letter has ${bodyBytes} bytes as a message; SQS takes up to ${MAX_MESSAGE_BYTES}. Its record is too large ` +
      'for the queue: its partition is held, nothing is lost.',
    { details: { bodyBytes, maxBytes: MAX_MESSAGE_BYTES } },
  );
}
