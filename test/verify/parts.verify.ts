/** That the parts `npm run verify` starts are there, and do what other tests rely on. */

import {
  CreateRegistryCommand,
  CreateSchemaCommand,
  GetSchemaVersionCommand,
  GlueClient,
} from '@aws-sdk/client-glue';
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  type Message,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { part } from './part.ts';

const sqs = new SQSClient({ endpoint: part('MILLRACE_TEST_SQS') });
const s3 = new S3Client({ endpoint: part('MILLRACE_TEST_AWS'), forcePathStyle: true });
const glue = new GlueClient({ endpoint: part('MILLRACE_TEST_AWS') });
afterAll(() => {
  for (const client of [sqs, s3, glue]) client.destroy();
});

test('Kafka has an address; that it has started is what its log said', () => {
  expect(part('MILLRACE_TEST_KAFKA')).toMatch(/^127\.0\.0\.1:\d+$/);
});

describe('SQS', () => {
  /** As SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
  const MAX_BYTES = 1_048_576;
  let queues = 0;

  async function createQueue(attributes: Record<string, string> = {}) {
    const { QueueUrl: url } = await sqs.send(
      new CreateQueueCommand({ QueueName: `parts-${queues++}`, Attributes: attributes }),
    );
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url!, AttributeNames: ['QueueArn'] }),
    );
    return { url: url!, arn: Attributes!.QueueArn! };
  }

  const send = (url: string, body: string, attributes: Record<string, MessageAttributeValue> = {}) =>
    sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body, MessageAttributes: attributes }));

  async function receive(url: string, visibilityTimeout: number): Promise<Message[]> {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: 10,
        VisibilityTimeout: visibilityTimeout,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
      }),
    );
    return Messages;
  }

  async function counts(url: string) {
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: url,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    );
    return {
      visible: Number(Attributes!.ApproximateNumberOfMessages),
      inFlight: Number(Attributes!.ApproximateNumberOfMessagesNotVisible),
    };
  }

  async function sendTen(url: string) {
    const entries = Array.from({ length: 10 }, (_, i) => ({ Id: `${i}`, MessageBody: `body ${i}` }));
    const { Successful } = await sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: entries }));
    expect(Successful).toHaveLength(10);
  }

  const attributes: Record<string, MessageAttributeValue> = {
    text: { DataType: 'String', StringValue: 'täglich' },
    number: { DataType: 'Number', StringValue: '42' },
    bytes: { DataType: 'Binary', BinaryValue: new Uint8Array([0, 255, 128]) },
  };

  test('a message received maxReceiveCount times goes to the dead-letter queue', async () => {
    const dead = await createQueue();
    const redrive = { deadLetterTargetArn: dead.arn, maxReceiveCount: 2 };
    const source = await createQueue({ RedrivePolicy: JSON.stringify(redrive) });
    await send(source.url, 'poison', attributes);

    expect(await receive(source.url, 0)).toHaveLength(1);
    expect(await receive(source.url, 0)).toHaveLength(1);
    expect(await receive(source.url, 0)).toEqual([]);

    expect(await counts(source.url)).toEqual({ visible: 0, inFlight: 0 });
    expect(await receive(dead.url, 0)).toMatchObject([
      {
        Body: 'poison',
        MessageAttributes: attributes,
        Attributes: { DeadLetterQueueSourceArn: source.arn },
      },
    ]);
  });

  test('a message move takes everything to the destination it names, attributes and all', async () => {
    const dead = await createQueue();
    const redrive = { deadLetterTargetArn: dead.arn, maxReceiveCount: 2 };
    const source = await createQueue({ RedrivePolicy: JSON.stringify(redrive) });
    const destination = await createQueue();
    await send(dead.url, 'first', attributes);
    await send(dead.url, 'second');

    await sqs.send(new StartMessageMoveTaskCommand({ SourceArn: dead.arn, DestinationArn: destination.arn }));
    const task = await moved(dead.arn);

    expect(task).toMatchObject({
      Status: 'COMPLETED',
      DestinationArn: destination.arn,
      ApproximateNumberOfMessagesMoved: 2,
    });
    expect(await counts(dead.url)).toEqual({ visible: 0, inFlight: 0 });
    expect(await counts(source.url)).toEqual({ visible: 0, inFlight: 0 });
    const messages = await receive(destination.url, 0);
    expect(messages.map(({ Body }) => Body)).toEqual(['first', 'second']);
    expect(messages[0]!.MessageAttributes).toEqual(attributes);
  });

  /** The newest move from a queue, ended; jest's own limit ends a wait in vain. */
  async function moved(sourceArn: string) {
    for (;;) {
      const { Results } = await sqs.send(new ListMessageMoveTasksCommand({ SourceArn: sourceArn }));
      if (Results![0]!.Status !== 'RUNNING') return Results![0]!;
    }
  }

  test('a message of 1 MiB is taken and comes back whole; one more byte is refused', async () => {
    const { url } = await createQueue();
    const body = 'x'.repeat(MAX_BYTES);
    await send(url, body);
    const [message] = await receive(url, 0);
    expect(message!.Body === body).toBe(true);
    await expect(send(url, `${body}x`)).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
  });

  test('visibility is changed by the batch, entry by entry', async () => {
    const { url } = await createQueue();
    await sendTen(url);
    const messages = await receive(url, 30);
    expect(await counts(url)).toEqual({ visible: 0, inFlight: 10 });

    const { Successful, Failed } = await sqs.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: [
          ...messages.slice(0, 3).map(({ ReceiptHandle }, i) => ({
            Id: `${i}`,
            ReceiptHandle,
            VisibilityTimeout: 0,
          })),
          { Id: 'unknown', ReceiptHandle: 'unknown', VisibilityTimeout: 0 },
        ],
      }),
    );

    expect(Successful!.map(({ Id }) => Id)).toEqual(['0', '1', '2']);
    expect(Failed).toMatchObject([{ Id: 'unknown', Code: 'ReceiptHandleIsInvalid' }]);
    expect(await counts(url)).toEqual({ visible: 3, inFlight: 7 });
  });

  test('messages are deleted by the batch, entry by entry', async () => {
    const { url } = await createQueue();
    await sendTen(url);
    const messages = await receive(url, 30);

    const { Successful, Failed } = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          ...messages.slice(0, 4).map(({ ReceiptHandle }, i) => ({ Id: `${i}`, ReceiptHandle })),
          { Id: 'unknown', ReceiptHandle: 'unknown' },
        ],
      }),
    );

    expect(Successful!.map(({ Id }) => Id)).toEqual(['0', '1', '2', '3']);
    expect(Failed).toMatchObject([{ Id: 'unknown', Code: 'ReceiptHandleIsInvalid' }]);
    expect(await counts(url)).toEqual({ visible: 0, inFlight: 6 });
  });
});

describe('S3', () => {
  const Bucket = 'parts';

  test('an object comes back with its bytes, type and metadata, and is not put over another', async () => {
    await s3.send(new CreateBucketCommand({ Bucket }));
    const object = { Bucket, Key: 'a folder/ä', Body: new Uint8Array([0, 255, 128]) };
    await s3.send(
      new PutObjectCommand({ ...object, ContentType: 'avro/binary', Metadata: { stage: 'decode' } }),
    );

    const { Body, ...found } = await s3.send(new GetObjectCommand({ Bucket, Key: object.Key }));
    expect(await Body!.transformToByteArray()).toEqual(object.Body);
    expect(found).toMatchObject({ ContentType: 'avro/binary', Metadata: { stage: 'decode' } });
    await expect(s3.send(new PutObjectCommand({ ...object, IfNoneMatch: '*' }))).rejects.toMatchObject({
      name: 'PreconditionFailed',
    } satisfies Partial<S3ServiceException>);
    await expect(s3.send(new GetObjectCommand({ Bucket, Key: 'nothing' }))).rejects.toMatchObject({
      name: 'NoSuchKey',
    } satisfies Partial<S3ServiceException>);
  });
});

test('Glue gives back a schema version by its id', async () => {
  const SchemaDefinition = JSON.stringify({ type: 'record', name: 'View', fields: [] });
  await glue.send(new CreateRegistryCommand({ RegistryName: 'parts' }));
  const { SchemaVersionId } = await glue.send(
    new CreateSchemaCommand({
      RegistryId: { RegistryName: 'parts' },
      SchemaName: 'view',
      DataFormat: 'AVRO',
      Compatibility: 'BACKWARD',
      SchemaDefinition,
    }),
  );
  expect(await glue.send(new GetSchemaVersionCommand({ SchemaVersionId }))).toMatchObject({
    DataFormat: 'AVRO',
    SchemaDefinition,
    Status: 'AVAILABLE',
  });
});
