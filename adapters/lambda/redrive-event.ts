import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { type DeadLetter, decodeDeadLetter } from '../../runtime/dead-letter.ts';
import type { Engine, Invocation } from '../../runtime/engine.ts';
import { ERRORS, MillraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/ports.ts';

/** Whether an event comes from a queue, by the shape of its records; a Kafka event keeps its own under `records`. */
export function isQueueEvent(event: unknown): event is SQSEvent {
  const { Records } = (event ?? {}) as { Records?: unknown };
  return Array.isArray(Records) && Records.every((record) => record?.eventSource === 'aws:sqs');
}

/**
 * Settles the dead letters of a redrive queue's messages, as the engine's `redrive` does. A message is handed back,
 * for the queue to deliver again and in the end to put among the dead letters, when its letter is not settled, cannot
 * be read or is another consumer's; every other one is done with.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (read 2026-11-24).
 * @throws whatever the engine's `redrive` throws; all messages come again then
 */
export async function redriveMessages(
  event: SQSEvent,
  engine: Engine,
  invocation: Invocation,
  log: Logger,
): Promise<SQSBatchResponse> {
  const handedBack: SQSRecord[] = [];
  const open: { message: SQSRecord; letter: DeadLetter }[] = [];
  for (const message of event.Records) {
    try {
      open.push({ message, letter: readLetter(message, engine.consumer) });
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      log.error('Message handed back', { messageId: message.messageId, ...ERRORS[error.code], error });
      handedBack.push(message);
    }
  }
  const outcomes = await engine.redrive(
    open.map(({ letter }) => letter),
    invocation,
  );
  for (const [index, { message, letter }] of open.entries()) {
    const outcome = outcomes[index]!;
    const isSettled = outcome !== 'early' && outcome !== 'returned';
    if (!isSettled) handedBack.push(message);
    log.info(isSettled ? 'Redriven' : 'Not redriven yet', { id: letter.id, outcome });
  }
  return { batchItemFailures: handedBack.map(({ messageId }) => ({ itemIdentifier: messageId })) };
}

function readLetter({ body }: SQSRecord, consumer: string): DeadLetter {
  const letter = decodeDeadLetter(body);
  if (letter.consumer === consumer) return letter;
  throw new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${letter.id} is in the redrive queue of ${JSON.stringify(consumer)}. Redrive it to the consumer that ` +
      'failed it.',
    { details: { id: letter.id, consumer } },
  );
}
