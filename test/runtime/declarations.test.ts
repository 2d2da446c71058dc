import { describe, expect, test } from '@jest/globals';
import { type AnyConsumer, defineConsumer } from '../../runtime/consumer.ts';
import { type Contract, defineTopic } from '../../runtime/contract.ts';
import { checkDeclarations } from '../../runtime/declarations.ts';

const topic = (name: string): Contract<{ id: string }> =>
  defineTopic<{ id: string }>({
    name,
    owner: 'tests',
    key: 'id',
    versions: [{ version: 1, schema: 'string' }],
  });
const orders = topic('orders');
const reader = (name: string, of: Contract<{ id: string }>): AnyConsumer =>
  defineConsumer({ name, topic: of, sink: 'postgres', async handle() {} });

test('two consumers of one topic are fine', () => {
  expect(() =>
    checkDeclarations([orders], [reader('a', orders), reader('b', orders)], [orders]),
  ).not.toThrow();
});

describe('refused', () => {
  test.each([
    [
      'a topic listed twice',
      [orders, orders],
      [],
      [],
      'CONTRACT_INVALID',
      /two contracts of the topic orders/,
    ],
    [
      'a consumer listed twice',
      [orders],
      [reader('a', orders), reader('a', orders)],
      [],
      'CONSUMER_INVALID',
      /two consumers called a/,
    ],
    [
      'a consumer of no listed topic',
      [orders],
      [reader('a', topic('other'))],
      [],
      'CONSUMER_INVALID',
      /a reads other, which contracts\/index\.ts does not list/,
    ],
    [
      'a collected topic of no listed contract',
      [orders],
      [],
      [topic('other')],
      'CONTRACT_INVALID',
      /collector\.ts lists other, which contracts\/index\.ts does not list/,
    ],
    [
      'a collected topic listed twice',
      [orders],
      [],
      [orders, orders],
      'CONTRACT_INVALID',
      /collector\.ts lists the topic orders twice/,
    ],
  ])('%s', (_, contracts, consumers, collected, code, message) => {
    expect(() => checkDeclarations(contracts, consumers, collected)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
