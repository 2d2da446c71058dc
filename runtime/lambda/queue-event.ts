/** The event that Lambda hands a function for messages of a queue: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html (2026-11-24) */

/** A message on its way to a function. */
export interface ReceivedMessage {
  readonly id: string;
  readonly body: string;
  /** Text by name. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** What this reads of the event. */
export interface QueueEvent {
  readonly Records: readonly {
    readonly messageId: string;
    readonly body: string;
    readonly messageAttributes?: Readonly<Record<string, { readonly stringValue?: string | undefined }>>;
  }[];
}

/** Lambda's partial batch response for a queue: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (2026-11-24) */
export interface QueueResponse {
  batchItemFailures: { itemIdentifier: string }[];
}

/** Whether an event comes from a queue, by the shape of its records; a Kafka event keeps its own under `records`. */
export function isQueueEvent(event: unknown): event is QueueEvent {
  const { Records } = (event ?? {}) as { Records?: unknown };
  return Array.isArray(Records) && Records.every((record) => record?.eventSource === 'aws:sqs');
}

export function messagesOf({ Records }: QueueEvent): readonly ReceivedMessage[] {
  return Records.map(({ messageId, body, messageAttributes = {} }) => ({
    id: messageId,
    body,
    attributes: Object.fromEntries(
      Object.entries(messageAttributes).flatMap(([name, { stringValue }]) =>
        stringValue === undefined ? [] : [[name, stringValue]],
      ),
    ),
  }));
}

/** Has SQS deliver the named messages again, and delete the others. */
export function handBack(messageIds: readonly string[]): QueueResponse {
  return { batchItemFailures: messageIds.map((itemIdentifier) => ({ itemIdentifier })) };
}
