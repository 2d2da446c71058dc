import { expect, test } from '@jest/globals';
import { LAG_METRICS, verdictNumber } from '../../../runtime/lag/metrics.ts';
import { unknownSample, type WatchedConsumer } from '../../../runtime/lag/sample.ts';
import { LAG_VERDICTS } from '../../../runtime/lag/status.ts';
import { judge } from '../../../runtime/lag/verdict.ts';

test('a worse verdict has a higher number', () => {
  expect(LAG_VERDICTS.map(verdictNumber)).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
});

test('of a consumer that could not be looked at, only the verdict is known', () => {
  const watched: WatchedConsumer = {
    consumer: 'reading',
    group: 'reading',
    topic: 'news.pageviews',
    warning: 10,
    incident: 100,
    windowMs: 500,
    startingPosition: 'TRIM_HORIZON',
  };
  const status = judge(watched, [unknownSample('reading', 0, 'Nobody answers.')]);
  const figures = Object.entries(LAG_METRICS).map(([name, { of }]) => [name, of(status)]);
  expect(Object.fromEntries(figures)).toEqual({
    Lag: null,
    Age: null,
    Headroom: null,
    DrainTime: null,
    Lost: null,
    Verdict: 2,
  });
});
