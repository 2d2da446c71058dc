import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { type ConsumerHandlerOptions, consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createMemoryObjects } from '../../../adapters/memory/memory-objects.ts';
import type { BatchResponse, Engine, Invocation } from '../../../runtime/engine.ts';
import { MillraceError } from '../../../runtime/errors.ts';

const RESPONSE: BatchResponse = {
  batchItemFailures: [{ itemIdentifier: { partition: 'news.pageviews-0', offset: 7 } }],
};

const context = {
  awsRequestId: 'request-1',
  functionName: 'editorial-analytics',
  functionVersion: '42',
  getRemainingTimeInMillis: () => 12_345,
} as Context;

/** A handler over an engine that does `consume`, with all that it was told. */
function openHandler(
  consume: () => Promise<BatchResponse>,
  options: Partial<ConsumerHandlerOptions> & Record<string, unknown> = {},
) {
  const calls: { event: unknown; invocation: Invocation }[] = [];
  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const contexts: Context[] = [];
  const line =
    (level: string) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      lines.push({ level, message, fields });
    };
  const engine: Engine = {
    consumer: 'editorial-analytics',
    topic: 'news.pageviews',
    consumeBatch(event, invocation) {
      calls.push({ event, invocation });
      return consume();
    },
    redrive: () => Promise.reject(new Error('not asked for')),
    escaped: () => false,
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
  test('hands the event and the invocation’s facts to the engine, and returns its answer', async () => {
    const { handler, calls, lines, contexts } = openHandler(async () => RESPONSE, { partialResponses: true });
    const event = { eventSource: 'aws:kafka' };
    expect(await handler(event, context)).toEqual(RESPONSE);

    expect(calls).toHaveLength(1);
    const { invocation } = calls[0]!;
    expect(calls[0]!.event).toBe(event);
    expect(invocation).toMatchObject({
      requestId: 'request-1',
      functionName: 'editorial-analytics',
      functionVersion: '42',
      partialResponses: true,
    });
    expect(invocation.remainingMs()).toBe(12_345);
    expect(contexts).toEqual([context]);
    expect(lines).toEqual([]);
  });

  test('takes no partial responses unless told so: on-demand mode would take them for success', async () => {
    const { handler, calls } = openHandler(async () => ({ batchItemFailures: [] }));
    await handler({}, context);
    expect(calls[0]!.invocation.partialResponses).toBe(false);
  });

  test('logs an error of ours once, by the table, and throws that very error', async () => {
    const error = new MillraceError('TOPIC_RECREATED', 'offset 3 is settled, yet newer', {
      details: { offset: 3 },
    });
    const { handler, lines } = openHandler(() => Promise.reject(error));
    await expect(handler({}, context)).rejects.toBe(error);
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
    const outcome = handler({}, context);
    await expect(outcome).rejects.toMatchObject({ code: 'UNEXPECTED', cause });
    await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('reader') });
    expect(lines[0]!.fields).toMatchObject({ code: 'UNEXPECTED', action: 'hold' });
  });

  test('refuses options it does not know or cannot do without', () => {
    const answer = async () => RESPONSE;
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
    const { NODE_OPTIONS: _, ...env } = process.env;
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
