import { describe, expect, test } from '@jest/globals';
import type { Context, SQSEvent } from 'aws-lambda';
import { consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import { encodeDeadLetter } from '../../../runtime/dead-letter.ts';
import type { Engine } from '../../../runtime/engine.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';

const context = {
  awsRequestId: 'request-1',
  functionName: 'fn',
  functionVersion: '1',
  getRemainingTimeInMillis: () => 60_000,
} as Context;

/** An event of a redrive queue, as Lambda sends it, of so many bodies; the first is message m0. */
const eventOf = (...bodies: readonly string[]) =>
  ({
    Records: bodies.map((body, index) => ({
      messageId: `m${index}`,
      receiptHandle: 'handle',
      body,
      attributes: { ApproximateReceiveCount: '1' },
      messageAttributes: {},
      md5OfBody: '',
      eventSource: 'aws:sqs',
      eventSourceARN: 'arn:aws:sqs:eu-west-1:123456789012:millrace-dev-c-redrive',
      awsRegion: 'eu-west-1',
    })),
  }) as unknown as SQSEvent;

function open(redrive: Engine['redrive']) {
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const redriven: string[][] = [];
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, message, fields });
    };
  const engine: Engine = {
    consumer: 'c',
    consumeBatch: async () => ({ batchItemFailures: [{ itemIdentifier: { partition: 't-0', offset: 1 } }] }),
    redrive(letters, invocation) {
      redriven.push(letters.map(({ id }) => id));
      return redrive(letters, invocation);
    },
  };
  const logger = {
    addContext() {},
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  };
  return { handler: consumerHandler({ engine, logger, partialResponses: true }), lines, redriven };
}

const letters = (count: number) => Array.from({ length: count }, (_, offset) => deadLetter({ offset }));

describe('messages of the redrive queue', () => {
  test('are done with when they are settled or dead again, and come back when they are not', async () => {
    const five = letters(5);
    const { handler, redriven } = open(async () => [
      'applied',
      'duplicate',
      'dead-lettered',
      'early',
      'returned',
    ]);
    expect(await handler(eventOf(...five.map(encodeDeadLetter)), context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm3' }, { itemIdentifier: 'm4' }],
    });
    expect(redriven).toEqual([five.map(({ id }) => id)]);
  });

  test('that cannot be read or are another consumer’s come back, are logged without payload, and disturb no other', async () => {
    const foreign = deadLetter({ consumer: 'd', value: Buffer.from('reader-4711') });
    const own = deadLetter({ offset: 7 });
    const { handler, lines, redriven } = open(async () => ['applied']);
    const event = eventOf('{"damaged reader-4711', encodeDeadLetter(foreign), encodeDeadLetter(own));
    expect(await handler(event, context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm0' }, { itemIdentifier: 'm1' }],
    });
    expect(redriven).toEqual([[own.id]]);
    const errors = lines.filter(({ level }) => level === 'error').map(({ fields }) => fields);
    expect(errors).toMatchObject([
      { messageId: 'm0', error: { code: 'DEAD_LETTER_UNREADABLE' } },
      { messageId: 'm1', error: { code: 'DEAD_LETTER_FOREIGN' } },
    ]);
    const text = errors.map(({ error }) => (error as Error).message).join() + JSON.stringify(lines);
    expect(text).not.toContain('reader-4711');
    expect(text).not.toContain(foreign.record.value!.toString('base64'));
  });

  test('all come back when the engine throws', async () => {
    const error = new MillraceError('SINK_MISCONFIGURED', 'no table');
    const { handler } = open(() => Promise.reject(error));
    await expect(handler(eventOf(encodeDeadLetter(deadLetter())), context)).rejects.toBe(error);
  });

  test('leave a line in the log each, by the letter’s id', async () => {
    const { handler, lines } = open(async () => ['applied', 'early']);
    const [first, second] = letters(2);
    await handler(eventOf(encodeDeadLetter(first!), encodeDeadLetter(second!)), context);
    expect(lines).toEqual([
      { level: 'info', message: 'Redriven', fields: { id: first!.id, outcome: 'applied' } },
      { level: 'info', message: 'Not redriven yet', fields: { id: second!.id, outcome: 'early' } },
    ]);
  });
});

test.each([
  ['a batch of the topic', { eventSource: 'aws:kafka', records: {} }],
  ['records of another service', { Records: [{ eventSource: 'aws:s3' }] }],
  ['records of queues and others', { Records: [{ eventSource: 'aws:sqs' }, null] }],
  ['no records', { Records: 'none' }],
  ['nothing', null],
])('%s: not taken for messages of a queue', async (_, event) => {
  const { handler, redriven } = open(() => Promise.reject(new Error('not asked for')));
  // What the engine makes of it is the engine's.
  expect(await handler(event, context)).toEqual({
    batchItemFailures: [{ itemIdentifier: { partition: 't-0', offset: 1 } }],
  });
  expect(redriven).toEqual([]);
});
