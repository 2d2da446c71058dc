import { describe, expect, test } from '@jest/globals';
import { defineApp } from '../../runtime/app.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import type { MillraceError } from '../../runtime/errors.ts';
import type { ConsumerStatus } from '../../runtime/lag/status.ts';
import { freshnessOf, pageStatement } from '../../runtime/page.ts';

const AT = Date.parse('2026-11-27T14:05:30Z');
const status = (change: Partial<ConsumerStatus>): ConsumerStatus => ({
  consumer: 'counts',
  group: 'counts',
  topic: 'views',
  verdict: 'OK',
  lag: 10,
  ageMs: 4_000,
  drain: null,
  drainMs: null,
  headroomMs: null,
  lost: 0,
  inPerSecond: null,
  outPerSecond: null,
  lastProgressAt: AT - 60_000,
  evidence: ['10 unread.'],
  deadLetters: 0,
  parked: null,
  heldBy: null,
  retentionMs: null,
  isPaused: false,
  warning: 100,
  incident: 1_000,
  partitions: [],
  ...change,
});

describe('how fresh a page is', () => {
  test.each(['STALLED', 'BLOCKED', 'BEHIND', 'RISING', 'AT_RISK', 'LOST', 'RECOVERING'] as const)(
    'while a consumer is %s, its numbers are old since the next unread record',
    (verdict) => {
      expect(freshnessOf(status({ verdict }), AT).old).toEqual({ since: AT - 4_000 });
    },
  );

  test('where the age is unknown, they are old since the last commit', () => {
    expect(freshnessOf(status({ verdict: 'STALLED', ageMs: null }), AT).old).toEqual({ since: AT - 60_000 });
  });

  test('what has nothing unread is current, and so is what keeps up', () => {
    expect(freshnessOf(status({ verdict: 'STALLED', lag: 0 }), AT).old).toBeNull();
    for (const verdict of ['OK', 'IDLE', 'SILENT', 'UNKNOWN'] as const)
      expect(freshnessOf(status({ verdict }), AT).old).toBeNull();
  });
});

test('the queries of a page are one statement, whatever their names and comments', () => {
  const sql = pageStatement({
    consumer: "o'clock",
    queries: { "it's": 'SELECT 1 -- one' },
  });
  expect(sql).toContain("'it''s', (SELECT coalesce(json_agg(q), '[]') FROM (SELECT 1 -- one\n) AS q)");
  expect(sql).toContain("WHERE consumer = 'o''clock'");
});

function codeOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return (error as MillraceError).code;
  }
}

describe('an app refuses a page', () => {
  const views: Contract<{ id: string }> = defineTopic<{ id: string }>({
    name: 'views',
    owner: 'tests',
    key: 'id',
    versions: [{ version: 1, schema: 'string' }],
  });
  const counts = defineConsumer({ name: 'counts', topic: views, sink: 'postgres', async handle() {} });
  const appWith = (consumer: string, queries: Record<string, string>) => () =>
    defineApp({
      name: 'app',
      contracts: [views],
      consumers: [counts],
      environments: {},
      demo: { topic: views, page: { title: 'Page', script: 'page.js', consumer, queries } },
    });

  test('of a consumer that it does not have', () => {
    expect(appWith('sums', { all: 'SELECT 1' })).toThrow(
      /demo\.page\.consumer is sums, which consumers does not list/,
    );
    expect(appWith('counts', { all: 'SELECT 1' })).not.toThrow();
  });

  test('without a query', () => {
    expect(appWith('counts', {})).toThrow(/demo\.page\.queries is empty/);
    expect(appWith('counts', { days: ' ' })).toThrow(/demo\.page\.queries\.days holds no SQL/);
  });

  test.each([
    [{}, 'demo has no topic'],
    [{ topic: views }, 'demo.page.title is missing'],
    [{ topic: views, page: { title: 'Page' } }, 'demo.page.script is missing'],
    [{ topic: views, page: { title: 'Page', script: 7 } }, 'demo.page.script is 7; it is a text'],
    [{ topic: views, page: { title: 'Page', script: 'a.js' } }, 'demo.page.consumer is missing'],
    [
      { topic: views, page: { title: 'Page', script: 'a.js', consumer: 'counts' } },
      'demo.page.queries is empty',
    ],
  ])('without a part that it needs: %j', (demo, complaint) => {
    const page = 'page' in demo ? demo.page : {};
    const define = () =>
      defineApp({
        name: 'app',
        contracts: [views],
        consumers: [counts],
        environments: {},
        // As plain JavaScript may declare it.
        demo: { ...demo, page } as never,
      });
    expect(define).toThrow(complaint);
    expect(codeOf(define)).toBe('APP_INVALID');
  });
});
