import { describe, expect, test } from '@jest/globals';
import type { Context, SQSEvent } from 'aws-lambda';
import { consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import { encodeDeadLetter } from '../../../runtime/dead-letters/json-envelope.ts';
import { toMessage } from '../../../runtime/dead-letters/queue-letters.ts';
import { redriveResultsReader, writeRedriveResults } from '../../../runtime/dead-letters/redrive/results.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import type { Engine } from '../../../runtime/delivery/engine.ts';
import type { RedriveReport } from '../../../runtime/delivery/metrics.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { deadLetter } from '../../dead-letters.ts';

const context = {
  awsRequestId: 'request-1',
  functionName: 'fn',
  functionVersion: '1',
  getRemainingTimeInMillis: () => 60_000,
} as Context;

/** An event of a redrive queue, as Lambda sends it, of so many bodies; the first is message m0. */
const eventOf = (...bodies: readonly string[]) => redriveOf(null, ...bodies);

/** The same, of a redrive whose results somebody waits for. */
const redriveOf = (redriveId: string | null, ...bodies: readonly string[]) =>
  ({
    Records: bodies.map((body, index) => ({
      messageId: `m${index}`,
      receiptHandle: 'handle',
      body,
      attributes: { ApproximateReceiveCount: '1' },
      messageAttributes:
        redriveId === null ? {} : { redrive: { dataType: 'String', stringValue: redriveId } },
      md5OfBody: '',
      eventSource: 'aws:sqs',
      eventSourceARN: 'arn:aws:sqs:eu-west-1:123456789012:millrace-dev-c-redrive',
      awsRegion: 'eu-west-1',
    })),
  }) as unknown as SQSEvent;

function open(redrive: Engine['redrive']) {
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const redriven: DeadLetter[][] = [];
  const reports: RedriveReport[] = [];
  const objects = createMemoryObjects({ clock: createFakeClock() });
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, message, fields });
    };
  const engine: Engine = {
    consumer: 'c',
    topic: 't',
    deliver: async (records) => ({ outcomes: records.map(() => 'applied' as const), heldBy: null }),
    redrive(letters, invocation) {
      redriven.push([...letters]);
      return redrive(letters, invocation);
    },
    escaped: () => false,
    release: async () => null,
  };
  const logger = {
    addContext() {},
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  };
  const metrics = { report() {}, reportRedrive: (report: RedriveReport) => void reports.push(report) };
  return {
    handler: consumerHandler({ engine, logger, metrics, objects, partialResponses: true }),
    lines,
    redriven,
    reports,
    objects,
  };
}

const letters = (count: number) => Array.from({ length: count }, (_, offset) => deadLetter({ offset }));

describe('messages of the redrive queue', () => {
  test('are done with when they are settled or dead again, and come back when they are not', async () => {
    const five = letters(5);
    const { handler, redriven, reports } = open(async () => [
      'applied',
      'duplicate',
      'deadLettered',
      'early',
      'returned',
    ]);
    expect(await handler(eventOf(...five.map(encodeDeadLetter)), context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm3' }, { itemIdentifier: 'm4' }],
    });
    expect(redriven).toEqual([five]);
    expect(reports).toEqual([
      {
        consumer: 'c',
        topic: 't',
        applied: 1,
        alreadyApplied: 1,
        failedAgain: 1,
        overtaken: 0,
        refused: 0,
        returned: 2,
      },
    ]);
  });

  test('that cannot be read or are another consumer’s come back, are logged without payload, and disturb no other', async () => {
    const foreign = deadLetter({ consumer: 'd', value: Buffer.from('reader-4711') });
    const own = deadLetter({ offset: 7 });
    const { handler, lines, redriven, reports } = open(async () => ['applied']);
    const event = eventOf('{"damaged reader-4711', encodeDeadLetter(foreign), encodeDeadLetter(own));
    expect(await handler(event, context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm0' }, { itemIdentifier: 'm1' }],
    });
    expect(redriven).toEqual([[own]]);
    expect(reports).toMatchObject([{ applied: 1, refused: 2 }]);
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
    const { handler, lines } = open(async () => ['applied', 'early', 'overtaken']);
    const [first, second, third] = letters(3);
    await handler(eventOf(...[first!, second!, third!].map(encodeDeadLetter)), context);
    expect(lines).toEqual([
      { level: 'info', message: 'Redriven', fields: { id: first!.id, outcome: 'applied' } },
      { level: 'info', message: 'Not redriven yet', fields: { id: second!.id, outcome: 'early' } },
      {
        level: 'warn',
        message: expect.stringContaining('newer record'),
        fields: { id: third!.id, outcome: 'overtaken', code: 'OVERTAKEN' },
      },
    ]);
  });
});

describe('what became of them', () => {
  const outcomes = ['applied', 'duplicate', 'deadLettered', 'early', 'overtaken'] as const;

  test('is written for who waits, by letter; what has no end yet is left out', async () => {
    const five = letters(5);
    const { handler, objects } = open(async () => outcomes);
    await handler(redriveOf('r-1', ...five.map(encodeDeadLetter)), context);
    const read = redriveResultsReader(objects, 'r-1');
    expect(Object.fromEntries(await read())).toEqual({
      'c/t/0/0@1': 'applied',
      'c/t/0/1@1': 'already-applied',
      'c/t/0/2@1': 'failed-again',
      'c/t/0/4@1': 'overtaken',
    });
  });

  test('is refused of a letter of another consumer or topic, and of one whose bytes are gone', async () => {
    const { handler, objects } = open(async () => []);
    const lost = await toMessage(deadLetter({ value: Buffer.alloc(900_000) }), objects);
    for await (const { key } of objects.list('')) await objects.delete([key]);
    const others = [deadLetter({ consumer: 'd' }), deadLetter({ topic: 'u' })];
    const event = redriveOf('r-1', lost.body, ...others.map(encodeDeadLetter));
    expect(await handler(event, context)).toEqual({
      batchItemFailures: ['m0', 'm1', 'm2'].map((itemIdentifier) => ({ itemIdentifier })),
    });
    expect(Object.fromEntries(await redriveResultsReader(objects, 'r-1')())).toEqual({
      'c/t/0/0@1': 'refused',
      'd/t/0/0@1': 'refused',
      'c/u/0/0@1': 'refused',
    });
  });

  test('is not known of a letter whose bytes an outage keeps', async () => {
    const { handler, objects } = open(async () => []);
    const { body } = await toMessage(deadLetter({ value: Buffer.alloc(900_000) }), objects);
    objects.get = () => Promise.reject(new MillraceError('OBJECT_STORE_UNAVAILABLE', 'down'));
    expect(await handler(redriveOf('r-1', body), context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'm0' }],
    });
    expect(await Array.fromAsync(objects.list('redrives/'))).toEqual([]);
  });

  test('is written nowhere when nobody waits', async () => {
    const { handler, objects } = open(async () => ['applied']);
    await handler(eventOf(encodeDeadLetter(deadLetter())), context);
    expect(await Array.fromAsync(objects.list(''))).toEqual([]);
  });

  test('that cannot be written brings the messages back: their letters are then found applied', async () => {
    const { handler, objects } = open(async () => ['applied']);
    const put = objects.put;
    objects.put = () => Promise.reject(new MillraceError('OBJECT_STORE_UNAVAILABLE', 'down'));
    const event = redriveOf('r-1', encodeDeadLetter(deadLetter()));
    expect(await handler(event, context)).toEqual({ batchItemFailures: [{ itemIdentifier: 'm0' }] });
    objects.put = put;
    expect(await handler(event, context)).toEqual({ batchItemFailures: [] });
  });

  test('counts as the best of all that was written', async () => {
    const { objects } = open(async () => []);
    await writeRedriveResults(
      objects,
      'r-1',
      'a',
      new Map([
        ['x', 'failed-again'],
        ['y', 'applied'],
      ]),
    );
    const read = redriveResultsReader(objects, 'r-1');
    expect((await read()).get('x')).toBe('failed-again');
    await writeRedriveResults(
      objects,
      'r-1',
      'b',
      new Map([
        ['x', 'already-applied'],
        ['y', 'already-applied'],
      ]),
    );
    await writeRedriveResults(objects, 'r-2', 'c', new Map([['z', 'applied']]));
    expect(Object.fromEntries(await read())).toEqual({ x: 'already-applied', y: 'applied' });
  });
});

describe('a message', () => {
  test('of a large letter is redriven with its bytes, from their object', async () => {
    const letter = deadLetter({ value: Buffer.alloc(900_000, 0xa5) });
    const { handler, redriven, objects } = open(async () => ['applied']);
    const { body } = await toMessage(letter, objects);
    expect(body.length).toBeLessThan(10_000);
    await handler(eventOf(body), context);
    expect(redriven[0]![0]!.record.value!.equals(letter.record.value!)).toBe(true);
    expect(redriven[0]![0]!.record.key).toEqual(letter.record.key);
  });

  test('whose object is gone comes back', async () => {
    const { handler, redriven, objects } = open(async () => []);
    const { body } = await toMessage(deadLetter({ value: Buffer.alloc(900_000) }), objects);
    for await (const { key } of objects.list('')) await objects.delete([key]);
    expect(await handler(eventOf(body), context)).toEqual({ batchItemFailures: [{ itemIdentifier: 'm0' }] });
    expect(redriven).toEqual([[]]);
  });
});

test.each([
  ['a batch of another topic', { eventSource: 'aws:kafka', records: { 'other-0': [] } }],
  ['records of another service', { Records: [{ eventSource: 'aws:s3' }] }],
  ['records of queues and others', { Records: [{ eventSource: 'aws:sqs' }, null] }],
  ['no records', { Records: 'none' }],
  ['nothing', null],
])('%s: not taken for messages of a queue', async (_, event) => {
  const { handler, redriven } = open(() => Promise.reject(new Error('not asked for')));
  await expect(handler(event, context)).rejects.toMatchObject({ code: expect.stringMatching(/^EVENT_/) });
  expect(redriven).toEqual([]);
});
