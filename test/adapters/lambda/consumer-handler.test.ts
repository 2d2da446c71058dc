import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { type ConsumerHandlerOptions, consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import type { Delivered, Engine } from '../../../runtime/delivery/engine.ts';
import type { Invocation } from '../../../runtime/delivery/settle.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { childEnvironment } from '../../child-environment.ts';
import { eventRecord, events } from '../../runtime/events.ts';

const event = encodeKafkaEvent([eventRecord(0, 6), eventRecord(0, 7)]);
const SETTLED: Delivered = { outcomes: ['applied', 'duplicate'], heldBy: null };
const RETURNED: Delivered = { outcomes: ['applied', 'returned'], heldBy: null };

const context = {
  awsRequestId: 'request-1',
  functionName: 'editorial-analytics',
  functionVersion: '42',
  getRemainingTimeInMillis: () => 12_345,
} as Context;

/** A handler over an engine that answers with `deliver`, and all that the engine was told. */
function openHandler(
  deliver: () => Promise<Delivered>,
  options: Partial<ConsumerHandlerOptions> & Record<string, unknown> = {},
) {
  const calls: { records: readonly RawRecord[]; invocation: Invocation }[] = [];
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const contexts: Context[] = [];
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, message, fields });
    };
  const engine: Engine = {
    consumer: 'editorial-analytics',
    topic: events.name,
    deliver(records, invocation) {
      calls.push({ records, invocation });
      return deliver();
    },
    redrive: () => Promise.reject(new Error('not asked for')),
    escaped: () => false,
    release: async () => null,
  };
  const logger = {
    addContext: (given: Context) => contexts.push(given),
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  };
  const objects = createMemoryObjects({ clock: createFakeClock() });
  const metrics = { report() {}, reportRedrive() {} };
  return {
    handler: consumerHandler({ engine, logger, metrics, objects, ...options } as ConsumerHandlerOptions),
    calls,
    lines,
    contexts,
  };
}

describe('consumerHandler', () => {
  test('hands the records and the invocation’s facts to the engine, and answers with what is returned', async () => {
    const { handler, calls, lines, contexts } = openHandler(async () => RETURNED, { partialResponses: true });
    expect(await handler(event, context)).toEqual({
      batchItemFailures: [{ itemIdentifier: { partition: `${events.name}-0`, offset: 7 } }],
    });

    expect(calls).toHaveLength(1);
    const { records, invocation } = calls[0]!;
    expect(records.map(({ offset }) => offset)).toEqual([6, 7]);
    expect(invocation).toMatchObject({
      requestId: 'request-1',
      functionName: 'editorial-analytics',
      functionVersion: '42',
    });
    expect(invocation.remainingMs()).toBe(12_345);
    expect(contexts).toEqual([context]);
    expect(lines).toEqual([]);
  });

  test('takes no partial responses unless told so: on-demand mode would take them for success', async () => {
    const partly = openHandler(async () => RETURNED);
    await expect(partly.handler(event, context)).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
    const whole = openHandler(async () => SETTLED);
    expect(await whole.handler(event, context)).toEqual({ batchItemFailures: [] });
  });

  test('logs an error of ours once, by the table, and throws that very error', async () => {
    const error = new MillraceError('TOPIC_RECREATED', 'offset 3 is settled, yet newer', {
      details: { offset: 3 },
    });
    const { handler, lines } = openHandler(() => Promise.reject(error));
    await expect(handler(event, context)).rejects.toBe(error);
    expect(lines).toEqual([
      {
        level: 'error',
        message: 'Batch failed',
        fields: {
          code: 'TOPIC_RECREATED',
          action: 'halt',
          summary: expect.stringContaining('created again'),
          error,
        },
      },
    ]);
  });

  test('throws any other error as UNEXPECTED, without the message that Lambda would print', async () => {
    const cause = new SyntaxError('Unexpected token in "reader-4711"');
    const { handler, lines } = openHandler(() => Promise.reject(cause));
    const outcome = handler(event, context);
    await expect(outcome).rejects.toMatchObject({ code: 'UNEXPECTED', cause });
    await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('reader') });
    expect(lines[0]!.fields).toMatchObject({ code: 'UNEXPECTED', action: 'hold' });
  });

  test.each([
    ['before', { before: () => ({ batchItemFailures: [] }) }],
    ['onError', { onError: () => ({ batchItemFailures: [] }) }],
  ])('no middleware can answer for records that are not settled: %s', async (_, middleware) => {
    const failing = openHandler(() => Promise.reject(new Error('no sink')), { use: [middleware] });
    await expect(failing.handler(event, context)).rejects.toMatchObject({ code: 'UNEXPECTED' });
  });

  test('middlewares stand around the engine, the first one outermost', async () => {
    const order: string[] = [];
    const tracing = (name: string) => ({
      before: () => void order.push(`${name} before`),
      after: () => void order.push(`${name} after`),
    });
    const { handler } = openHandler(async () => SETTLED, { use: [tracing('a'), tracing('b')] });
    expect(await handler(event, { ...context })).toEqual({ batchItemFailures: [] });
    expect(order).toEqual(['a before', 'b before', 'b after', 'a after']);
  });

  test('refuses options it does not know or cannot do without', () => {
    const answer = async () => SETTLED;
    const refused = { code: 'CONSUMER_INVALID' };
    expect(() => openHandler(answer, { partialResponse: true })).toThrow(
      expect.objectContaining({ ...refused, message: expect.stringContaining('"partialResponse"') }),
    );
    expect(() => openHandler(answer, { engine: undefined as never })).toThrow(
      expect.objectContaining({ ...refused, message: expect.stringContaining('misses the option "engine"') }),
    );
  });
});

describe('an error that nothing in the handler waited for', () => {
  const run = (...args: readonly string[]) => {
    const env = childEnvironment();
    const script = fileURLToPath(new URL('escapes.ts', import.meta.url));
    const { status, stdout } = spawnSync(process.execPath, [script, ...args], { env, encoding: 'utf8' });
    return { status, ...JSON.parse(stdout) };
  };

  test.each(['rejection', 'late rejection', 'timer', 'event', 'text'])(
    '%s: its record is dead-lettered, the others are settled, the process lives',
    (kind) => {
      const { status, response, failed, lines } = run(kind, 'while running');
      expect(status).toBe(0);
      expect(response).toEqual({ batchItemFailures: [] });
      expect(failed).toEqual([[1, 'HANDLER_FAILED']]);
      expect(JSON.stringify(lines)).not.toContain('a payload');
    },
  );

  test('after handle() has returned is logged, and fails no record', () => {
    const { status, response, failed, lines } = run('rejection', 'after it');
    expect(status).toBe(0);
    expect([response, failed]).toEqual([{ batchItemFailures: [] }, []]);
    expect(lines).toEqual([[expect.stringMatching(/nothing waited for/), ['consumer', 'errorName']]]);
  });

  test('between invocations is the runtime’s own again', () => {
    expect(run('rejection', 'while running', 'then outside').status).toBe(129);
  });
});
