import { describe, expect, test } from '@jest/globals';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { checkDeclarations } from '../../runtime/declarations.ts';
import { type AnyConsumer, defineConsumer } from '../../runtime/delivery/consumer.ts';

const topic = (name: string): Contract<{ id: string }> =>
  defineTopic<{ id: string }>({
    name,
    owner: 'tests',
    key: 'id',
    versions: [{ version: 1, schema: 'string' }],
  });
const orders = topic('orders');
const reader = (name: string, of: Contract<{ id: string }>, deadLetterTopic?: string): AnyConsumer =>
  defineConsumer({
    name,
    topic: of,
    sink: 'postgres',
    ...(deadLetterTopic !== undefined && { deadLetter: 'kafka', deadLetterTopic }),
    async handle() {},
  });

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
      'archives of one topic in two of its lives',
      [orders],
      [defineArchive({ topic: orders }), defineArchive({ topic: orders, name: 'second', epoch: 2 })],
      [],
      'CONSUMER_INVALID',
      /orders-archive and second keep orders with the epochs 1 and 2/,
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
      /a reads other, which is not among the app's contracts/,
    ],
    [
      'a topic of ours',
      [topic('millrace.probe')],
      [],
      [],
      'CONTRACT_INVALID',
      /Names that begin with "millrace\." are Millrace's own/,
    ],
    [
      'a consumer of ours',
      [orders],
      [reader('millrace-probe', orders)],
      [],
      'CONSUMER_INVALID',
      /Names that begin with "millrace-probe" are Millrace's own/,
    ],
    [
      "a consumer that is called as another's role",
      [orders],
      [reader('x-owner', orders), reader('x', orders)],
      [],
      'CONSUMER_INVALID',
      /lists x and x-owner/,
    ],
    [
      "a consumer that is called as the schema of another's readers",
      [orders],
      [reader('x-reader', orders), reader('x', orders)],
      [],
      'CONSUMER_INVALID',
      /lists x and x-reader\. Readers find the tables of x/,
    ],
    [
      "a consumer that is called as another's next generation",
      [orders],
      [reader('x', orders), reader('x-g12', orders)],
      [],
      'CONSUMER_INVALID',
      /lists x and x-g12\. When x is rebuilt/,
    ],
    [
      'two consumers whose folders may be one',
      [orders],
      [reader('Totals', orders), reader('totals', orders)],
      [],
      'CONSUMER_INVALID',
      /Totals and totals, which differ in capitals alone/,
    ],
    [
      'two topics that Kafka takes for one',
      [topic('news.page_views'), topic('news_page.views')],
      [],
      [],
      'CONTRACT_INVALID',
      /news\.page_views and news_page\.views differ in "\." and "_" alone/,
    ],
    [
      "a dead-letter topic that is a contract's",
      [orders, topic('failed')],
      [reader('a', orders, 'failed')],
      [],
      'CONSUMER_INVALID',
      /Two topics are called failed/,
    ],
    [
      'a dead-letter topic of two consumers',
      [orders],
      [reader('a', orders, 'orders.failed'), reader('b', orders, 'orders_failed')],
      [],
      'CONSUMER_INVALID',
      /orders\.failed and orders_failed differ/,
    ],
    [
      'a collected topic of no listed contract',
      [orders],
      [],
      [topic('other')],
      'CONTRACT_INVALID',
      /The app collects other, which is not among its contracts/,
    ],
    [
      'a collected topic listed twice',
      [orders],
      [],
      [orders, orders],
      'CONTRACT_INVALID',
      /The app collects the topic orders twice/,
    ],
  ])('%s', (_, contracts, consumers, collected, code, message) => {
    expect(() => checkDeclarations(contracts, consumers, collected)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
