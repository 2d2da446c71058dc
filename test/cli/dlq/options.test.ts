import { describe, expect, jest, test } from '@jest/globals';
import { describeFilter, parseWhere, whereText } from '../../../cli/dlq/options.ts';

const NOW = Date.UTC(2026, 10, 25, 12);

describe('--where', () => {
  test.each([
    ['error=HANDLER_FAILED', { error: 'HANDLER_FAILED' }],
    ['error=HANDLER_FAILED,stage=handle', { error: 'HANDLER_FAILED', stage: 'handle' }],
    [' partition=3 , offset=1000-1999', { partition: 3, offset: { from: 1_000, to: 1_999 } }],
    ['offset=7', { offset: { from: 7, to: 7 } }],
    ['overtaken=yes', { overtaken: true }],
    ['overtaken=no', { overtaken: false }],
    ['topic=news.pageviews,schema=abc', { topic: 'news.pageviews', schema: 'abc' }],
    ['at=orders/consumer.ts:29', { at: 'orders/consumer.ts:29' }],
    ['id=c/t/0/1', { id: 'c/t/0/1' }],
    ['since=2h', { since: NOW - 7_200_000 }],
    ['since=2026-11-24T10:00Z,until=30m', { since: Date.UTC(2026, 10, 24, 10), until: NOW - 1_800_000 }],
  ])('%s', (text, filter) => {
    jest.useFakeTimers({ now: NOW });
    expect(parseWhere(text)).toEqual(filter);
    jest.useRealTimers();
  });

  test.each([
    ['', /Unknown condition "". Use error=, stage=/],
    ['HANDLER_FAILED', /Unknown condition "HANDLER_FAILED"/],
    ['eror=X', /Unknown condition "eror=X". Did you mean "error"\?/],
    ['__proto__=X', /Unknown condition/],
    ['stage=decod', /stage= takes deliver, decode, .*got "decod". Did you mean "decode"\?/],
    ['error=HANDLER_FAILD', /Did you mean "HANDLER_FAILED"\?/],
    ['error=', /error= takes an error code/],
    ['partition=-1', /partition= takes a whole number/],
    ['offset=9-3', /offset= takes an offset, or two/],
    ['overtaken=true', /overtaken= takes yes or no/],
    ['since=yesterday', /since= takes a time, such as 2h/],
    ['since=3', /since= takes a time/],
    ['partition=1,partition=2', /partition= is given twice/],
  ])('%s is refused, with what it takes', (text, message) => {
    expect(() => parseWhere(text)).toThrow(message);
  });

  test('reads the same in words', () => {
    expect(describeFilter({})).toBe('all');
    expect(describeFilter(parseWhere('error=HANDLER_FAILED,offset=1-2,since=2026-11-24T10:00Z'))).toBe(
      'error=HANDLER_FAILED, offset=1-2, since=2026-11-24T10:00:00.000Z',
    );
  });

  test('reads the same as text for --where, or is no text', () => {
    const text =
      'error=HANDLER_FAILED,offset=1-2,at=orders/consumer.ts:29,overtaken=yes,until=2026-11-24T10:00:00.000Z';
    expect(whereText(parseWhere(text))).toBe(text);
    for (const topic of ['a,b', 'a ', '', '\u001b[2J']) expect(whereText({ topic })).toBeUndefined();
  });
});
