import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeFailure, diagnose } from '../../../runtime/delivery/failure.ts';
import { framesOf, ownFrameOf, placeOfThrow } from '../../../runtime/delivery/own-frame.ts';

const ROOT = new URL('../../../', import.meta.url).pathname;
const HANDLE = '    at handle (file:///srv/app/lambdas/orders/consumer.ts:29:11)';
const of = (...frames: string[]) => ({
  message: 'no such customer',
  stack: ['Error: no such customer', ...frames].join('\n'),
});

test.each([
  [[HANDLE], 'orders/consumer.ts:29'],
  [['    at /srv/app/lambdas/orders/consumer.ts:7:1'], 'orders/consumer.ts:7'],
  [['    at async Object.handle (/var/task/lambdas/orders/consumer.ts:7:1)'], 'orders/consumer.ts:7'],
  [['    at JSON.parse (<anonymous>)', HANDLE], 'orders/consumer.ts:29'],
  [['    at f (node:internal/url:1:1)', HANDLE], 'orders/consumer.ts:29'],
  [['    at f (/srv/app/node_modules/pg/lib/client.js:1:1)', HANDLE], 'orders/consumer.ts:29'],
  [['    at f (/srv/app/node_modules/millrace/dist/runtime/errors.js:1:1)', HANDLE], 'orders/consumer.ts:29'],
  [[`    at f (${ROOT}runtime/delivery/settle.ts:1:1)`, HANDLE], 'orders/consumer.ts:29'],
  [[`    at f (file://${ROOT}local/faults.ts:1:1)`], null],
  [['    at f (file:///runtime/delivery/settle.ts:1:1)', HANDLE], 'orders/consumer.ts:29'],
  [[`    at f (${ROOT}lambdas/orders/consumer.ts:7:1)`], 'orders/consumer.ts:7'],
  [['    at f (/srv/app/adapters/postgres/x.ts:7:1)', HANDLE], 'postgres/x.ts:7'],
  [['    at f (/srv/app/runtime/errors.ts:7:1)', HANDLE], 'runtime/errors.ts:7'],
  [[], null],
])('%j is thrown at %s', (frames, expected) => {
  expect(ownFrameOf(of(...frames))).toBe(expected);
});

test('a message that looks like a stack is no place', () => {
  const message = 'it said\n    at joe@home (/joe/secret.ts:1:1)';
  expect(ownFrameOf({ message, stack: `Error: ${message}\n${HANDLE}` })).toBe('orders/consumer.ts:29');
});

test('no frame holds anything of the message', () => {
  const message = fc
    .string({ unit: 'grapheme' })
    .map((text) => `<${text}>\n    at ${text} (/a/${text}.ts:1:1)`);
  fc.assert(
    fc.property(message, (text) => {
      const { stack } = new Error(text);
      for (const frame of framesOf({ message: text, stack: stack! })) expect(frame).not.toContain(text);
      const own = ownFrameOf({ message: text, stack: `Error: ${text}\n${HANDLE}` });
      expect(own).toBe('orders/consumer.ts:29');
    }),
  );
});

test('a message that a letter cuts off is no place either', () => {
  const error = new Error(`${'x'.repeat(5_000)}\n    at jane_doe (card/4111.ts:1:1)`);
  const history = { attempts: 1, firstFailedAt: 1, lastFailedAt: 1, earlier: [] };
  const failure = describeFailure(diagnose('handle', error, 'HANDLER_FAILED'), history);
  expect(failure.message).toHaveLength(4_096);
  expect(ownFrameOf(failure)).toMatch(/^delivery\/own-frame\.test\.ts:/);
  expect(failure.stack).not.toContain('jane_doe');
});

describe('a message that was changed after its stack was made', () => {
  const stack = `Error: no customer\n    at joe@example.com\n    at the customer (joe) of 4:5\n${HANDLE}`;

  test('shows nothing where personal data is hidden', () => {
    expect(framesOf({ message: 'no customer', stack }, true)).toEqual([HANDLE]);
    expect(framesOf({ message: 'changed', stack }, true)).toEqual([HANDLE]);
  });

  test('is no place either, whatever it holds', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1 }).map((each) => `<${each}>`);
    fc.assert(
      fc.property(text, (each) => {
        const quoting = `Error: it said\n    at ${each}\n    at the ${each} (/joe/x.ts:1:1)\n${HANDLE}`;
        expect(framesOf({ message: 'changed', stack: quoting }, true)).toEqual([HANDLE]);
        expect(ownFrameOf({ message: 'changed', stack: quoting })).toBe('orders/consumer.ts:29');
      }),
    );
  });

  test.each([
    '    at file:///srv/app/orders/consumer.ts:29:11',
    '    at /srv/app/orders/consumer.ts:29:11',
    '    at new Orders (/srv/app/orders/consumer.ts:29:11)',
    '    at async Object.handle (file:///srv/app/orders/consumer.ts:29:11)',
    '    at Orders.#apply [as apply] (/srv/app/orders/consumer.mjs:29:11)',
    '    at Object.article-read (/srv/app/orders/consumer.ts:29:11)',
    '    at Object.<anonymous> (/srv/app/orders/consumer.ts:29:11)',
    '    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)',
  ])('keeps the frame %j', (frame) => {
    expect(framesOf({ message: 'changed', stack: `Error: no customer\n${frame}` }, true)).toEqual([frame]);
  });
});

describe('the place of an error that was just thrown', () => {
  const FORGED = '    at jane_doe (card/4111.ts:1:1)';
  const place = { file: 'orders/consumer.ts', function: 'handle', line: 29 };

  test('is found behind any message', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.boolean(), (text, isForged) => {
        const message = isForged ? `${text}\n${FORGED}\n${FORGED}` : text;
        const header = message === '' ? 'Error' : `Error: ${message}`;
        expect(placeOfThrow({ name: 'Error', message, stack: `${header}\n${HANDLE}` })).toEqual(place);
      }),
    );
    const message = `${'x'.repeat(1_000_000)}\n${FORGED}`;
    expect(placeOfThrow({ name: 'Error', message, stack: `Error: ${message}\n${HANDLE}` })).toEqual(place);
  });

  test.each([
    ['TypeError [ERR_INVALID_ARG_TYPE]: no\n', 'TypeError', 'no'],
    ['error: no\n', 'error', 'no'],
    ['Orders.Refused: no: no\n', 'Orders.Refused', 'no: no'],
  ])('is found behind %j', (header, name, message) => {
    expect(placeOfThrow({ name, message, stack: `${header}${HANDLE}\nCaused by: x\n${FORGED}` })).toEqual(
      place,
    );
  });

  test.each([
    ['a message that was changed since', 'Error', 'changed', `Error: it said\n${FORGED}\n`],
    ['a message that was emptied since', 'Error', '', `Error: it said\n${FORGED}\n`],
    ['a message that is a part of the old one', 'Error', 'said', `Error: it said\n${FORGED}\n`],
    ['a name that ends the line', `it: no\n${FORGED}`, 'no', `it: no\n${FORGED}: no\n`],
    ['a name of several words', 'it said', 'no', 'it said: no\n'],
  ])('is unknown with %s', (_, name, message, header) => {
    expect(placeOfThrow({ name, message, stack: `${header}${HANDLE}` })).toBeNull();
  });
});
