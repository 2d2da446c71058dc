import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
  type SQSClientConfig,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import {
  MAX_MESSAGE_BYTES,
  type MessageMover,
  messageBytes,
  type OutgoingMessage,
  type Queue,
  type QueueMessage,
} from '../../runtime/dead-letters/queue.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { cannotMove, checkMessageSizes } from '../queues.ts';

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (2026-11-24)
const MAX_BATCH_MESSAGES = 10;

/** Requests under way at once: a batch of bad records must not take the invocation's time one round trip after another. */
const MAX_REQUESTS = 8;

/** How often a message that SQS refused as its own fault is sent again. */
const ATTEMPTS = 3;

/** How long a look hides what it shows, should nobody release it. */
const LOOK_VISIBILITY_S = 60;
/** A queue is spread over servers; a long poll asks them all: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html (2026-11-25) */
const LOOK_WAIT_S = 1;
/** Ends a look where messages that were shown come back before it has seen the others. */
const MAX_RECEIVES_WITHOUT_NEWS = 5;

type Client = Pick<SQSClient, 'send'>;

/** The sending half of a queue of SQS's standard type: all that a function needs. */
export function createSqsSender({
  client,
  queueUrl,
}: {
  readonly client: Client;
  readonly queueUrl: string;
}): Pick<Queue, 'send'> {
  const name = nameIn(queueUrl);
  return {
    async send(messages) {
      checkMessageSizes(name, messages);
      const batches = intoBatches(messages);
      for (let at = 0; at < batches.length; at += MAX_REQUESTS) {
        await Promise.all(
          batches.slice(at, at + MAX_REQUESTS).map((batch) => sendAll(client, queueUrl, name, batch)),
        );
      }
    },
  };
}

/** The same, with a client of its own. */
export function openSqsSender(config: SQSClientConfig, queueUrl: string): Pick<Queue, 'send'> {
  return createSqsSender({ client: new SQSClient(config), queueUrl });
}

/**
 * A queue of SQS's standard type. `look` can only receive: it hides what it shows for up to a minute, and lets go of it
 * when it ends.
 */
export function createSqsQueue({
  client,
  queueUrl,
}: {
  readonly client: Client;
  readonly queueUrl: string;
}): Queue {
  const name = nameIn(queueUrl);

  const receive = async (maxMessages: number, visibilityS: number, waitS: number) => {
    const { Messages = [] } = await client
      .send(
        new ReceiveMessageCommand({
          QueueUrl: queueUrl,
          MaxNumberOfMessages: Math.min(maxMessages, MAX_BATCH_MESSAGES),
          VisibilityTimeout: visibilityS,
          WaitTimeSeconds: waitS,
          MessageAttributeNames: ['All'],
          MessageSystemAttributeNames: ['SentTimestamp', 'ApproximateReceiveCount'],
        }),
      )
      .catch(failed(name));
    return Messages.map(toQueueMessage);
  };

  const release = async (receipts: readonly string[]) => {
    await inBatches(receipts, async (batch) => {
      const Entries = batch.map((ReceiptHandle, index) => ({
        Id: String(index),
        ReceiptHandle,
        VisibilityTimeout: 0,
      }));
      // A receipt that is no longer good is refused, and needs no releasing.
      await client
        .send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }))
        .catch(failed(name));
    });
  };

  return {
    ...createSqsSender({ client, queueUrl }),
    receive: ({ maxMessages, visibilityMs }) => receive(maxMessages, Math.ceil(visibilityMs / 1_000), 0),
    async delete(receipts) {
      await inBatches(receipts, async (batch) => {
        const Entries = batch.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
        const { Failed = [] } = await client
          .send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries }))
          .catch(failed(name));
        const fault = Failed.find(({ SenderFault }) => !SenderFault);
        if (fault) throw unavailable(name, fault.Code ?? 'no reason given');
      });
    },
    release,
    async *scan() {
      const shown = new Set<string>();
      const held: string[] = [];
      try {
        for (let quiet = 0; quiet < MAX_RECEIVES_WITHOUT_NEWS; ) {
          const messages = await receive(MAX_BATCH_MESSAGES, LOOK_VISIBILITY_S, LOOK_WAIT_S);
          if (messages.length === 0) return;
          held.push(...messages.map(({ receipt }) => receipt));
          const news = messages.filter(({ id }) => !shown.has(id));
          quiet = news.length === 0 ? quiet + 1 : 0;
          for (const message of news) {
            shown.add(message.id);
            yield message;
          }
        }
      } finally {
        await release(held);
      }
    },
    async depth() {
      const { Attributes = {} } = await client
        .send(
          new GetQueueAttributesCommand({
            QueueUrl: queueUrl,
            AttributeNames: [
              'ApproximateNumberOfMessages',
              'ApproximateNumberOfMessagesNotVisible',
              'ApproximateNumberOfMessagesDelayed',
            ],
          }),
        )
        .catch(failed(name));
      return Object.values(Attributes).reduce((sum, text) => sum + Number(text), 0);
    },
  };
}

/** SQS's own message moves: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html (2026-11-25) */
export function createSqsMover({
  client,
  sourceArn,
  destinationArn,
  clock,
}: {
  readonly client: Client;
  readonly sourceArn: string;
  readonly destinationArn: string;
  readonly clock: Clock;
}): MessageMover {
  const name = sourceArn.slice(sourceArn.lastIndexOf(':') + 1);
  return {
    async move({ maxPerSecond, onProgress }) {
      const { TaskHandle } = await client
        .send(
          new StartMessageMoveTaskCommand({
            SourceArn: sourceArn,
            DestinationArn: destinationArn,
            MaxNumberOfMessagesPerSecond: Math.min(Math.ceil(maxPerSecond), 500),
          }),
        )
        .catch((cause: unknown) => {
          if (nameOf(cause) === 'UnsupportedOperation') throw cannotMove(name, 'under-way');
          if (nameOf(cause) === 'InvalidParameterValue') throw cannotMove(name, 'no-dead-letter-queue');
          throw unavailable(name, nameOf(cause), cause);
        });
      for (;;) {
        const { Results = [] } = await client
          .send(new ListMessageMoveTasksCommand({ SourceArn: sourceArn, MaxResults: 1 }))
          .catch(failed(name));
        const [task] = Results;
        const moved = task?.ApproximateNumberOfMessagesMoved ?? 0;
        onProgress?.(moved);
        // The handle is shown while the task is running only.
        const isOurs = task?.TaskHandle === undefined || task.TaskHandle === TaskHandle;
        if (task?.Status === 'COMPLETED' && isOurs) return { moved };
        if (task?.Status === 'FAILED' || task?.Status === 'CANCELLED') {
          throw unavailable(
            name,
            `the move ended as ${task.Status}: ${task.FailureReason ?? 'no reason given'}`,
          );
        }
        await clock.sleep(500);
      }
    },
  };
}

function toQueueMessage({
  MessageId,
  Body,
  ReceiptHandle,
  Attributes,
  MessageAttributes,
}: Message): QueueMessage {
  return {
    id: MessageId!,
    body: Body ?? '',
    attributes: Object.fromEntries(
      Object.entries(MessageAttributes ?? {}).map(([name, { StringValue = '' }]) => [name, StringValue]),
    ),
    sentAt: Number(Attributes?.SentTimestamp ?? 0),
    receiveCount: Number(Attributes?.ApproximateReceiveCount ?? 1),
    receipt: ReceiptHandle!,
  };
}

/** As many messages a request as SQS takes: ten, and 1 MiB of them together. */
function intoBatches(messages: readonly OutgoingMessage[]): readonly (readonly OutgoingMessage[])[] {
  const batches: OutgoingMessage[][] = [];
  let bytes = 0;
  for (const message of messages) {
    const ofMessage = messageBytes(message);
    const last = batches.at(-1);
    if (!last || last.length === MAX_BATCH_MESSAGES || bytes + ofMessage > MAX_MESSAGE_BYTES) {
      batches.push([message]);
      bytes = ofMessage;
    } else {
      last.push(message);
      bytes += ofMessage;
    }
  }
  return batches;
}

/** A request can succeed for some of its messages and fail for others: those are sent again. */
async function sendAll(
  client: Client,
  queueUrl: string,
  name: string,
  batch: readonly OutgoingMessage[],
): Promise<void> {
  let left = batch.map(({ body, attributes = {} }, index) => ({
    Id: String(index),
    MessageBody: body,
    MessageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
    ),
  }));
  for (let attempt = 1; ; attempt++) {
    const { Successful = [], Failed = [] } = await client
      .send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries: left }))
      .catch(failed(name));
    const taken = new Set(Successful.map(({ Id }) => Id));
    left = left.filter(({ Id }) => !taken.has(Id));
    if (left.length === 0) return;
    const refused = Failed.find(({ SenderFault }) => SenderFault) ?? Failed[0];
    if (refused?.SenderFault || attempt === ATTEMPTS) {
      throw unavailable(name, refused?.Code ?? 'no answer for a message');
    }
  }
}

async function inBatches(
  receipts: readonly string[],
  request: (batch: readonly string[]) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < receipts.length; at += MAX_BATCH_MESSAGES) {
    await request(receipts.slice(at, at + MAX_BATCH_MESSAGES));
  }
}

function nameIn(queueUrl: string): string {
  return queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
}

function nameOf(cause: unknown): string {
  return cause instanceof Error ? cause.name : 'no reason given';
}

function failed(queue: string) {
  return (cause: unknown): never => {
    throw unavailable(queue, nameOf(cause), cause);
  };
}

function unavailable(queue: string, reason: string, cause?: unknown): MillraceError {
  return new MillraceError(
    'QUEUE_UNAVAILABLE',
    `The queue ${queue} did not complete the request (${reason}). Try again. If this continues, check the queue, the route ` +
      'to SQS and the permissions.',
    { cause, details: { queue, reason } },
  );
}
