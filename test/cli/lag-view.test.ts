import { expect, test } from '@jest/globals';
import { lagLines } from '../../cli/lag-view.ts';
import type { ConsumerLag } from '../../local/lag.ts';

function lagOf(consumer: string, ...behind: number[]): ConsumerLag {
  const lag = behind.reduce((sum, each) => sum + each, 0);
  return {
    consumer,
    group: consumer,
    topic: 't',
    lag,
    level: lag >= 100_000 ? 'incident' : lag >= 10_000 ? 'warning' : 'ok',
    warning: 10_000,
    incident: 100_000,
    partitions: behind.map((each, partition) => ({ partition, committed: 7, end: 7 + each, lag: each })),
  };
}

test('one row a consumer, the worst first, and the partitions that are behind', () => {
  expect(
    lagLines([lagOf('orders', 0, 0), lagOf('stock', 5, 0), lagOf('editorial', 71_211, 71_212)], false),
  ).toEqual([
    'editorial  142,423 behind  INCIDENT (over 100,000)',
    '  partition  committed     end     lag',
    '          0          7  71,218  71,211',
    '          1          7  71,219  71,212',
    'stock            5 behind  ok',
    '  partition  committed  end  lag',
    '          0          7   12    5',
    'orders           0 behind  ok',
  ]);
});

test('every partition where that is asked for', () => {
  expect(lagLines([lagOf('orders', 0, 0)], true)).toHaveLength(4);
});

test('a partition that has most of the lag is named', () => {
  expect(lagLines([lagOf('orders', 1, 98, 1)], false)[1]).toBe(
    '  partition 1 has 98% of it: it is stuck, or one key is hot',
  );
  expect(lagLines([lagOf('orders', 30, 40, 30)], false).join()).not.toContain('stuck');
  // A record or two are in one partition anyway.
  expect(lagLines([lagOf('orders', 0, 2, 0)], false).join()).not.toContain('stuck');
});

test('a topic without records, and a group of another name', () => {
  expect(lagLines([{ ...lagOf('orders'), group: 'orders.me' }], false)).toEqual([
    'orders  0 behind  ok  as orders.me',
    '  Nothing has been published to t yet.',
  ]);
});
