import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  type ListMessageMoveTasksResultEntry,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  type SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
  StartMessageMoveTaskCommand,
} from '@aws-sdk/client-sqs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSqsMover, createSqsQueue } from '../../../adapters/aws/sqs-queue.ts';
import {
  MAX_MESSAGE_BYTES,
  messageBytes,
  type OutgoingMessage,
} from '../../../runtime/dead-letters/queue.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { codeOf } from '../../rejection.ts';

const queueUrl = 'https://sqs.eu-west-1.amazonaws.com/123456789012/millrace-dev-c-dead-letters';

/** An error as the SDK throws it: told apart by its name. */
const sqsError = (name: string, message = '') => Object.assign(new Error(message), { name });

/** What becomes of a message: taken, or refused with a code, by the sender's fault or the queue's own. */
type Answer = (body: string, attempt: number) => undefined | { Code: string; SenderFault: boolean };

const contentOf = ({ MessageBody, MessageAttributes = {} }: SendMessageBatchRequestEntry) => ({
  body: MessageBody!,
  attributes: Object.fromEntries(
    Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, StringValue!]),
  ),
});

/** A queue with SQS's limits on what is sent. */
function fakeSender(answer: Answer = () => undefined) {
  const taken: OutgoingMessage[] = [];
  const attempts = new Map<string, number>();
  const requests: number[] = [];
  const client = {
    async send({ input }: SendMessageBatchCommand) {
      const entries = input.Entries!;
      requests.push(entries.length);
      const bytes = entries.reduce((sum, entry) => sum + messageBytes(contentOf(entry)), 0);
      if (input.QueueUrl !== queueUrl) throw sqsError('QueueDoesNotExist');
      if (entries.length === 0) throw sqsError('EmptyBatchRequest');
      if (entries.length > 10) throw sqsError('TooManyEntriesInBatchRequest');
      if (bytes > 1_048_576) throw sqsError('BatchRequestTooLong');
      if (new Set(entries.map(({ Id }) => Id)).size < entries.length) {
        throw sqsError('BatchEntryIdsNotDistinct');
      }
      const Successful: { Id: string }[] = [];
      const Failed: { Id: string; Code: string; SenderFault: boolean }[] = [];
      for (const entry of entries) {
        const [Id, { body, attributes }] = [entry.Id!, contentOf(entry)];
        const attempt = (attempts.get(body) ?? 0) + 1;
        attempts.set(body, attempt);
        const refused = answer(body, attempt);
        if (refused) Failed.push({ Id, ...refused });
        else {
          taken.push({ body, attributes });
          Successful.push({ Id });
        }
      }
      return { Successful, Failed };
    },
  };
  return { taken, requests, queue: createSqsQueue({ client: client as never, queueUrl }) };
}

const failingQueue = (error: unknown) =>
  createSqsQueue({ client: { send: () => Promise.reject(error) } as never, queueUrl });
const messages = (count: number): OutgoingMessage[] =>
  Array.from({ length: count }, (_, index) => ({ body: `m${index}`, attributes: { index: `${index}` } }));
const sorted = (all: readonly OutgoingMessage[]) =>
  all.toSorted((a, b) => Buffer.compare(Buffer.from(a.body), Buffer.from(b.body)));

describe('sending to SQS', () => {
  test('takes everything within the limits of a request, attributes counted, however many and however large', async () => {
    const sizes = fc.record({
      body: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 600_000 })),
      attribute: fc.oneof(fc.nat(50), fc.integer({ min: 0, max: 400_000 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(sizes, { maxLength: 24 }), async (all) => {
        const { taken, queue } = fakeSender();
        const sent = all.map(({ body, attribute }, index) => ({
          body: `${String(index).padStart(2, '0')}${'é'.repeat(body / 2)}`,
          attributes: { large: 'x'.repeat(attribute), topic: 'news.pageviews' },
        }));
        await queue.send(sent);
        expect(sorted(taken)).toEqual(sent);
      }),
      { numRuns: 20 },
    );
  });

  test('makes no more requests than the limits ask for', async () => {
    const many = fakeSender();
    await many.queue.send(messages(100));
    expect(many.requests).toEqual(Array(10).fill(10));

    const half = MAX_MESSAGE_BYTES / 2;
    const filling = (bytes: number) => ({ body: 'x'.repeat(bytes) });
    const full = fakeSender();
    await full.queue.send([half, half, half + 1, half - 1, 1].map(filling));
    expect(full.requests).toEqual([2, 2, 1]);

    const nothing = fakeSender();
    await nothing.queue.send([]);
    expect(nothing.requests).toEqual([]);
  });

  test('sends again what the queue refused of a request, and nothing else', async () => {
    const { taken, requests, queue } = fakeSender((body, attempt) =>
      Number(body.slice(1)) % 3 === 0 && attempt < 3
        ? { Code: 'InternalError', SenderFault: false }
        : undefined,
    );
    await queue.send(messages(10));
    expect(sorted(taken)).toEqual(sorted(messages(10)));
    expect(requests).toEqual([10, 4, 4]);
  });

  test.each<[string, Answer, number, string]>([
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
    [
      'one of several is refused by the sender’s fault',
      (body) =>
        body === 'm0'
          ? { Code: 'InternalError', SenderFault: false }
          : body === 'm1'
            ? { Code: 'InvalidMessageContents', SenderFault: true }
            : undefined,
      1,
      'InvalidMessageContents',
    ],
  ])('is unavailable when %s', async (_, answer, count, reason) => {
    const { requests, queue } = fakeSender(answer);
    await expect(queue.send(messages(3))).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      action: 'hold',
      details: { queue: 'millrace-dev-c-dead-letters', reason },
    });
    expect(requests).toHaveLength(count);
  });

  test('is unavailable when SQS says nothing of a message', async () => {
    const client = { send: async () => ({}) } as never;
    expect(await codeOf(createSqsQueue({ client, queueUrl }).send(messages(1)))).toBe('QUEUE_UNAVAILABLE');
  });

  test('refuses what no message can hold, before it sends any', async () => {
    const { requests, queue } = fakeSender();
    const tooLarge = { body: 'x'.repeat(MAX_MESSAGE_BYTES - 10), attributes: { name: 'value' } };
    await expect(queue.send([...messages(20), tooLarge])).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      details: { bytes: MAX_MESSAGE_BYTES + 5, maxBytes: 1_048_576 },
    });
    expect(requests).toEqual([]);
  });
});

describe('an error of SQS', () => {
  const failure = sqsError('AccessDenied', 'not allowed to send reader-4711');
  const queue = failingQueue(failure);

  test.each<[string, () => Promise<unknown>]>([
    ['send', () => queue.send([{ body: 'reader-4711', attributes: { key: 'reader-4711' } }])],
    ['receive', () => queue.receive({ maxMessages: 1, visibilityMs: 1_000 })],
    ['delete', () => queue.delete(['a receipt'])],
    ['release', () => queue.release(['a receipt'])],
    ['look', () => Array.fromAsync(queue.scan())],
    ['depth', () => queue.depth()],
  ])('in %s is an unavailable queue, named, without a word of a message', async (_, request) => {
    const outcome = request();
    await expect(outcome).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      message: expect.stringContaining('millrace-dev-c-dead-letters'),
      details: { queue: 'millrace-dev-c-dead-letters', reason: 'AccessDenied' },
      cause: failure,
    });
    const { message, details } = (await outcome.catch((error: unknown) => error)) as {
      message: string;
      details: unknown;
    };
    expect(`${message}${JSON.stringify(details)}`).not.toContain('reader-4711');
  });

  test('that is no error at all has no reason to give', async () => {
    await expect(failingQueue('gone').depth()).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      details: { reason: 'no reason given' },
    });
  });
});

describe('receiving from SQS', () => {
  /** Answers with what is given, one command after the other, and keeps what it was asked. */
  const scripted = (...answers: unknown[]) => {
    const asked: { readonly input: never }[] = [];
    const client = {
      async send(command: { readonly input: never }) {
        asked.push(command);
        return answers.shift() ?? {};
      },
    };
    return { asked, queue: createSqsQueue({ client: client as never, queueUrl }) };
  };

  test('asks for whole seconds, never fewer than were asked for, and ten messages at most', async () => {
    const { asked, queue } = scripted();
    expect(await queue.receive({ maxMessages: 3, visibilityMs: 1_001 })).toEqual([]);
    await queue.receive({ maxMessages: 500, visibilityMs: 0 });
    expect(asked.map(({ input }) => input)).toMatchObject([
      { MaxNumberOfMessages: 3, VisibilityTimeout: 2, MessageAttributeNames: ['All'] },
      { MaxNumberOfMessages: 10, VisibilityTimeout: 0 },
    ]);
  });

  test('gives messages as SQS has them', async () => {
    const { queue } = scripted({
      Messages: [
        {
          MessageId: 'id-1',
          Body: 'b',
          ReceiptHandle: 'r-1',
          Attributes: { SentTimestamp: '1767225600000', ApproximateReceiveCount: '4' },
          MessageAttributes: { stage: { DataType: 'String', StringValue: 'handle' } },
        },
        { MessageId: 'id-2', ReceiptHandle: 'r-2' },
      ],
    });
    expect(await queue.receive({ maxMessages: 10, visibilityMs: 1_000 })).toEqual([
      {
        id: 'id-1',
        body: 'b',
        attributes: { stage: 'handle' },
        sentAt: 1_767_225_600_000,
        receiveCount: 4,
        receipt: 'r-1',
      },
      { id: 'id-2', body: '', attributes: {}, sentAt: 0, receiveCount: 1, receipt: 'r-2' },
    ]);
  });

  test('deletes and releases ten at a time', async () => {
    const receipts = Array.from({ length: 25 }, (_, index) => `r${index}`);
    const { asked, queue } = scripted();
    await queue.delete(receipts);
    await queue.release(receipts);
    const entries = (command: unknown) =>
      asked
        .filter((each) => each instanceof (command as never))
        .map(({ input }) => (input as { Entries: { ReceiptHandle: string }[] }).Entries);
    for (const command of [DeleteMessageBatchCommand, ChangeMessageVisibilityBatchCommand]) {
      expect(entries(command).map(({ length }) => length)).toEqual([10, 10, 5]);
      expect(
        entries(command)
          .flat()
          .map(({ ReceiptHandle }) => ReceiptHandle),
      ).toEqual(receipts);
    }
    expect(entries(ChangeMessageVisibilityBatchCommand).flat()[0]).toMatchObject({ VisibilityTimeout: 0 });
  });

  test('takes a stale receipt for deleted, but not a failure of the queue', async () => {
    const stale = { Id: '0', Code: 'ReceiptHandleIsInvalid', SenderFault: true };
    await scripted({ Failed: [stale] }).queue.delete(['r']);
    await scripted({ Failed: [stale] }).queue.release(['r']);
    const { queue } = scripted({ Failed: [stale, { Id: '1', Code: 'InternalError', SenderFault: false }] });
    await expect(queue.delete(['r', 's'])).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      details: { reason: 'InternalError' },
    });
  });

  test('adds up what is visible, hidden and delayed', async () => {
    const { asked, queue } = scripted({
      Attributes: {
        ApproximateNumberOfMessages: '5',
        ApproximateNumberOfMessagesNotVisible: '30',
        ApproximateNumberOfMessagesDelayed: '200',
      },
    });
    expect(await queue.depth()).toBe(235);
    expect(asked[0]).toBeInstanceOf(GetQueueAttributesCommand);
  });
});

describe('looking into a queue of SQS', () => {
  /** A queue of `count` messages. `hides`: received messages are hidden, as they are for the first minute of a look. */
  const fakeQueue = (count: number, { hides = true, perReceive = 10 } = {}) => {
    const waiting = Array.from({ length: count }, (_, index) => `m${index}`);
    const released: string[] = [];
    const asked: ReceiveMessageCommandInput[] = [];
    let receives = 0;
    const client = {
      async send(command: unknown) {
        if (command instanceof ReceiveMessageCommand) {
          asked.push(command.input);
          receives++;
          const received = waiting.splice(0, perReceive);
          if (!hides) waiting.push(...received);
          return {
            Messages: received.map((id) => ({
              MessageId: id,
              Body: id,
              ReceiptHandle: `${id}@${receives}`,
            })),
          };
        }
        if (command instanceof ChangeMessageVisibilityBatchCommand) {
          released.push(...command.input.Entries!.map(({ ReceiptHandle }) => ReceiptHandle!));
          return { Failed: [{ Id: '0', Code: 'ReceiptHandleIsInvalid', SenderFault: true }] };
        }
        throw new Error('not asked for');
      },
    };
    const queue = createSqsQueue({ client: client as never, queueUrl });
    return { queue, released, asked, receives: () => receives };
  };
  const bodies = async (queue: ReturnType<typeof fakeQueue>['queue']) =>
    (await Array.fromAsync(queue.scan())).map(({ body }) => body);
  const named = (count: number) => Array.from({ length: count }, (_, index) => `m${index}`);

  test('shows each message once, asks every server for more, and lets go of all at the end', async () => {
    const { queue, released, asked } = fakeQueue(25);
    expect(await bodies(queue)).toEqual(named(25));
    expect(released.map((receipt) => receipt.split('@')[0])).toEqual(named(25));
    // A long poll asks all servers, so that an empty answer means an empty queue.
    expect(asked.every(({ WaitTimeSeconds }) => WaitTimeSeconds! > 0)).toBe(true);
    expect(new Set(asked.map(({ VisibilityTimeout }) => VisibilityTimeout))).toEqual(new Set([60]));
  });

  test('hides nothing while nothing is taken from it', async () => {
    const { queue, receives } = fakeQueue(5);
    queue.scan();
    expect(receives()).toBe(0);
  });

  test('lets go of what it has received when it is ended early, by a break or an error', async () => {
    const broken = fakeQueue(25);
    for await (const _ of broken.queue.scan()) break;
    expect(broken.released).toEqual(named(10).map((id) => `${id}@1`));

    const failing = fakeQueue(25);
    const outcome = (async () => {
      for await (const { body } of failing.queue.scan()) if (body === 'm12') throw new Error('its own');
    })();
    await expect(outcome).rejects.toThrow('its own');
    expect(failing.released).toHaveLength(20);
  });

  test('ends where messages come back before it has seen all: each was shown once', async () => {
    const { queue, released, receives } = fakeQueue(12, { hides: false });
    expect(await bodies(queue)).toEqual(named(12));
    expect(receives()).toBeLessThan(20);
    // By the newest receipts, too: only these are good.
    expect(new Set(released.map((receipt) => receipt.split('@')[0]))).toEqual(new Set(named(12)));
    expect(released.some((receipt) => receipt.endsWith(`@${receives()}`))).toBe(true);
  });

  test('goes on while there is news among what comes back', async () => {
    const { queue } = fakeQueue(40, { hides: false, perReceive: 7 });
    expect(await bodies(queue)).toEqual(named(40));
  });

  test('is patient with a server that gives the same message a few times before it gives the others', async () => {
    const message = (id: string) => ({ MessageId: id, Body: id, ReceiptHandle: id });
    const answers = ['m0', 'm0', 'm0', 'm0', 'm1', 'm0', 'm1', 'm0', 'm2'].map((id) => [message(id)]);
    const client = {
      send: async (command: unknown) =>
        command instanceof ReceiveMessageCommand ? { Messages: answers.shift() ?? [] } : {},
    };
    expect(await bodies(createSqsQueue({ client: client as never, queueUrl }))).toEqual(named(3));
  });

  test('lets go of what it has when the queue stops answering', async () => {
    const released: string[] = [];
    let receives = 0;
    const client = {
      async send(command: unknown) {
        if (command instanceof ChangeMessageVisibilityBatchCommand) {
          released.push(...command.input.Entries!.map(({ ReceiptHandle }) => ReceiptHandle!));
          return {};
        }
        if (receives++ > 0) throw sqsError('ServiceUnavailable');
        return { Messages: [{ MessageId: 'm', ReceiptHandle: 'r' }] };
      },
    };
    const outcome = Array.fromAsync(createSqsQueue({ client: client as never, queueUrl }).scan());
    await expect(outcome).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
    expect(released).toEqual(['r']);
  });
});

describe('moving the messages of a queue of SQS', () => {
  const arn = (name: string) => `arn:aws:sqs:eu-west-1:123456789012:${name}`;

  /** Lists the given answers one after the other; the last one stands. */
  function setUp(tasks: readonly (ListMessageMoveTasksResultEntry | undefined)[], refusal?: Error) {
    const clock = createFakeClock({ autoAdvance: true });
    const started: unknown[] = [];
    const left = [...tasks];
    const client = {
      async send(command: unknown) {
        if (command instanceof StartMessageMoveTaskCommand) {
          if (refusal) throw refusal;
          started.push(command.input);
          return { TaskHandle: 'ours' };
        }
        if (command instanceof ListMessageMoveTasksCommand) {
          expect(command.input).toMatchObject({ SourceArn: arn('dead') });
          const task = left.length > 1 ? left.shift() : left[0];
          return { Results: task ? [task] : [] };
        }
        throw new Error('not asked for');
      },
    };
    const mover = createSqsMover({
      client: client as never,
      sourceArn: arn('dead'),
      destinationArn: arn('redrive'),
      clock,
    });
    return { mover, started };
  }

  test('waits for the end of its task and reports how far it is', async () => {
    const { mover, started } = setUp([
      undefined,
      { Status: 'RUNNING', TaskHandle: 'ours', ApproximateNumberOfMessagesMoved: 3 },
      { Status: 'RUNNING', TaskHandle: 'ours', ApproximateNumberOfMessagesMoved: 70 },
      { Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 100 },
    ]);
    const progress: number[] = [];
    const move = mover.move({ maxPerSecond: 12.3, onProgress: (moved) => progress.push(moved) });
    expect(await move).toEqual({ moved: 100 });
    expect(progress).toEqual([0, 3, 70, 100]);
    expect(started).toEqual([
      { SourceArn: arn('dead'), DestinationArn: arn('redrive'), MaxNumberOfMessagesPerSecond: 13 },
    ]);
  });

  test('asks for no more than the 500 a second that SQS takes', async () => {
    const { mover, started } = setUp([{ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 0 }]);
    expect(await mover.move({ maxPerSecond: 10_000 })).toEqual({ moved: 0 });
    expect(started).toMatchObject([{ MaxNumberOfMessagesPerSecond: 500 }]);
  });

  test('counts right without anybody who wants to know the progress', async () => {
    const { mover } = setUp([{ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 7 }]);
    expect(await mover.move({ maxPerSecond: 1 })).toEqual({ moved: 7 });
  });

  test.each([
    ['UnsupportedOperation', 'is already running'],
    ['InvalidParameterValue', 'is not the dead-letter queue'],
  ])('says what %s means: nothing was moved', async (name, message) => {
    const { mover } = setUp([], sqsError(name));
    await expect(mover.move({ maxPerSecond: 1 })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining(message),
      details: { queue: 'dead' },
    });
  });

  test.each(['ResourceNotFoundException', 'RequestThrottled', 'AccessDenied'])(
    'is unavailable when it is refused with %s',
    async (name) => {
      const refusal = sqsError(name);
      await expect(setUp([], refusal).mover.move({ maxPerSecond: 1 })).rejects.toMatchObject({
        code: 'QUEUE_UNAVAILABLE',
        details: { queue: 'dead', reason: name },
        cause: refusal,
      });
    },
  );

  test.each(['FAILED', 'CANCELLED'])('is unavailable when the task ends as %s', async (Status) => {
    const { mover } = setUp([
      { Status: 'RUNNING', TaskHandle: 'ours', ApproximateNumberOfMessagesMoved: 3 },
      { Status, ApproximateNumberOfMessagesMoved: 3, FailureReason: 'CouldNotDetermineMessageSource' },
    ]);
    await expect(mover.move({ maxPerSecond: 1 })).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
      message: expect.stringMatching(`${Status}: CouldNotDetermineMessageSource`),
    });
  });
});
