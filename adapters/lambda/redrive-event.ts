import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { REDRIVE_ATTRIBUTE } from '../../runtime/dead-letters/queue-message.ts';
import type { RedriveMessage } from '../../runtime/dead-letters/settle-messages.ts';

/** Whether an event comes from a queue, by the shape of its records; a Kafka event keeps its own under `records`. */
export function isQueueEvent(event: unknown): event is SQSEvent {
  const { Records } = (event ?? {}) as { Records?: unknown };
  return Array.isArray(Records) && Records.every((record) => record?.eventSource === 'aws:sqs');
}

export function messagesOf({ Records }: SQSEvent): readonly RedriveMessage[] {
  return Records.map(({ messageId, body, messageAttributes }) => ({
    id: messageId,
    body,
    redriveId: messageAttributes?.[REDRIVE_ATTRIBUTE]?.stringValue ?? null,
  }));
}

/**
 * The answer that has SQS deliver the named messages again, and delete the others.
 * Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (read 2026-11-24).
 */
export function handBack(messageIds: readonly string[]): SQSBatchResponse {
  return { batchItemFailures: messageIds.map((itemIdentifier) => ({ itemIdentifier })) };
}
