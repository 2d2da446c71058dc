import { expect, test } from '@jest/globals';
import { explainLines, lagLines } from '../../cli/lag-view.ts';
import { partitionOf, statusOf } from './status-of.ts';

function lagOf(consumer: string, ...behind: number[]) {
  const lag = behind.reduce((sum, each) => sum + each, 0);
  return statusOf({
    consumer,
    lag,
    partitions: behind.map((each, partition) => partitionOf(partition, each)),
  });
}

test('one row a consumer, with why, and the partitions that are behind', () => {
  const editorial = {
    ...lagOf('editorial', 71_211, 0),
    verdict: 'BEHIND' as const,
    evidence: ['71,211 unread, over the warning threshold of 10,000.', 'Run by a test.'],
  };
  expect(lagLines([editorial, lagOf('orders', 0, 0)], false, 80)).toEqual([
    'editorial  BEHIND  71,211 behind (warning from 10,000)',
    '  71,211 unread, over the warning threshold of 10,000.',
    '  partition  committed     end     lag  age  verdict',
    '          0          7  71,218  71,211  0 s  OK',
    '',
    'orders  OK  0 behind',
  ]);
});

test('every partition where that is asked for, and a group of another name', () => {
  const lines = lagLines([{ ...lagOf('orders', 0, 0), group: 'orders.me' }], true, 80);
  expect(lines[1]).toBe('  group orders.me');
  expect(lines).toHaveLength(5);
});

test('what is unknown is no number', () => {
  const unknown = statusOf({
    consumer: 'orders',
    verdict: 'UNKNOWN',
    lag: null,
    evidence: ['No broker answers.'],
  });
  expect(lagLines([unknown], false, 80)).toEqual(['orders  UNKNOWN  ? behind', '  No broker answers.']);
});

test.each([
  ['a paused consumer', { verdict: 'STALLED', isPaused: true }, 'resume orders'],
  [
    'a consumer that nobody runs',
    { verdict: 'STALLED', evidence: ['1 unread and nobody runs it.'] },
    'up --no-publish',
  ],
  ['a consumer that is held', { verdict: 'STALLED', heldBy: 'SINK_UNAVAILABLE' }, 'status --watch'],
  ['lost records', { verdict: 'LOST' }, 'audit orders'],
  ['dead letters', { verdict: 'OK', deadLetters: 3 }, 'dlq triage --consumer orders'],
] as const)('the next command is complete: %s', (_, given, command) => {
  const place = { state: 'my état', kafka: ['localhost:9092'] };
  const lines = explainLines(statusOf({ consumer: 'orders', ...given }), place, 80);
  expect(lines.at(-1)).toBe(`  npx millrace ${command} --state 'my état' --kafka localhost:9092`);
});

test('an explanation has the partitions that are behind, and fits a screen however many there are', () => {
  const place = { state: 'elsewhere' };
  const few = explainLines(lagOf('orders', 0, 3, 0), place, 80).join('\n');
  expect(few).toContain('        1          7   10    3  0 s  OK');
  expect(few.match(/ 0 s {2}OK/g)).toHaveLength(1);

  const lags = Array.from({ length: 12 }, (_, partition) => 10 + partition);
  const status = {
    ...lagOf('orders', ...lags),
    verdict: 'STALLED' as const,
    evidence: ['One.', 'Two.', 'Three.'],
  };
  const lines = explainLines(status, place, 80);
  expect(lines.length).toBeLessThanOrEqual(23);
  expect(lines[0]).toBe('orders  STALLED');
  expect(lines.join('\n')).toContain(
    'and 7 more that are less behind:\n  npx millrace lag orders --partitions --state elsewhere',
  );
});
