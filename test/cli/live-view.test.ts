import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeFaults, renderView, type Snapshot } from '../../cli/live-view.ts';
import { NOTHING_FED } from '../../local/publishing/feed.ts';
import { statusOf } from './status-of.ts';

const NO_FAULTS = { redelivered: 0, crashes: 0, sinkOutageEndsAt: null, deadLetterOutageEndsAt: null };
const NOW = new Date(2026, 10, 26, 9, 31, 0).getTime();

const SNAPSHOT: Snapshot = {
  phase: 'publishing',
  source: 'traffic, about 200/s',
  state: '.millrace',
  nowMs: NOW,
  elapsedMs: 83_000,
  feed: { ...NOTHING_FED, published: 16_600, poisoned: 33 },
  totals: {
    applied: 16_500,
    deadLettered: 33,
    parked: 0,
    skipped: 0,
    duplicates: 120,
    repeated: 0,
    retries: 0,
    consumers: [
      { consumer: 'editorial-analytics', applied: 16_500, parked: 0, deadLettered: 33, skipped: 0 },
    ],
  },
  publishedPerSecond: [190, 200, 210],
  appliedPerSecond: [0, 400, 200],
  lags: [
    statusOf({ consumer: 'editorial-analytics', topic: 'news.pageviews', verdict: 'BEHIND', lag: 12_345 }),
  ],
  handling: [{ consumer: 'editorial-analytics', runningMs: 900, timeoutMs: 60_000 }],
  holds: [],
  faults: NO_FAULTS,
  panel: {
    title: 'Most read',
    rows: Array.from({ length: 10 }, (_, index) => ({
      label: `/world/story-${index}`,
      value: 100 - index,
    })),
  },
  events: Array.from({ length: 20 }, (_, index) => ({
    level: 'warn' as const,
    firstAt: NOW - 20_000,
    lastAt: NOW - 10_000,
    count: index + 1,
    text: `editorial-analytics  ReferenceError: valeu${index} is not defined (editorial-analytics/consumer.ts:17)`,
  })),
};

function lines(snapshot: Snapshot, columns: number, rows: number): string[] {
  return stripVTControlCharacters(renderView(snapshot, { columns, rows })).split('\n');
}

test.each([
  ['rebuilding shop-g2: 40 records to go', { lag: 40, isRunning: true }],
  ['shop-g2 has caught up: npx millrace rebuild promote shop', { lag: 0, isRunning: true }],
  [
    'shop-g2 was begun with other code and is not run: npx millrace rebuild drop shop',
    { lag: 40, isRunning: false },
  ],
])('a candidate is one line: %s', (line, candidate) => {
  const rebuilding = [{ consumer: 'shop', number: 2, ...candidate }];
  expect(lines({ ...SNAPSHOT, rebuilding }, 100, 50)).toContainEqual(expect.stringContaining(line));
});

test('shows what matters', () => {
  const view = lines(SNAPSHOT, 100, 50).join('\n');
  expect(view).toMatch(/publishing: traffic, about 200\/s +\.millrace {2}00:01:23/);
  expect(view).toMatch(/published +16,600 +200\/s {2}▇██/);
  expect(view).toMatch(/applied +16,500 +200\/s {2}▁█▅/);
  expect(view).toMatch(/plus bad on purpose 33 .* duplicates 120 .* retries/);
  expect(view).not.toContain('repeated');
  const sentTwice = { ...SNAPSHOT, totals: { ...SNAPSHOT.totals, repeated: 7 } };
  expect(lines(sentTwice, 100, 50).join('\n')).toMatch(/duplicates 120 .* repeated 7 .* retries/);
  expect(view).toMatch(/editorial-analytics +16,500 +33 +12,345 {2}BEHIND/);
  expect(view).toMatch(/100 {2}█+ +\/world\/story-0/);
  expect(view).toContain('valeu19 is not defined');
  expect(view).toContain('Ctrl-C drains what is published and sums up.');
});

test('fits the terminal, whatever its size and whatever the texts', () => {
  const text = fc.string({ unit: 'binary', maxLength: 200 });
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 300 }),
      fc.integer({ min: 12, max: 80 }),
      text,
      (columns, rows, hostile) => {
        const snapshot: Snapshot = {
          ...SNAPSHOT,
          source: 'x'.repeat(150),
          panel: { title: hostile, rows: [{ label: hostile, value: 3 }, ...SNAPSHOT.panel!.rows] },
          events: [...SNAPSHOT.events, { ...SNAPSHOT.events[0]!, level: 'error', text: hostile }],
        };
        const shown = lines(snapshot, columns, rows);
        expect(shown.length).toBeLessThan(rows);
        for (const line of shown) expect(line.length).toBeLessThanOrEqual(columns);
      },
    ),
  );
});

test('on the default terminal the top of the panel stands above the newest warnings', () => {
  const view = lines(SNAPSHOT, 80, 24);
  expect(view.filter((line) => line.includes('/world/story-'))).toHaveLength(3);
  expect(view.filter((line) => line.includes('is not defined')).length).toBeGreaterThan(2);
  expect(view.join('\n').replaceAll(/\n +/g, ' ')).toContain('×20 since 09:30:40');
});

test('where there is no room for both, the warnings win', () => {
  const view = lines(SNAPSHOT, 80, 15).join('\n');
  expect(view).not.toContain('/world/story-0');
  expect(view).toContain('valeu19');
});

test('a panel without warnings has the room', () => {
  const view = lines({ ...SNAPSHOT, events: [] }, 80, 24);
  expect(view.filter((line) => line.includes('/world/story-'))).toHaveLength(10);
});

test('says at the top what holds a consumer, since when, and how much waits', () => {
  const holds = [
    {
      consumer: 'editorial-analytics',
      code: 'SINK_UNAVAILABLE',
      why: 'the sink does not answer',
      since: NOW - 33_000,
      tries: 22,
      records: [],
    },
  ];
  const view = lines({ ...SNAPSHOT, holds }, 120, 24);
  expect(view[1]).toBe(
    'editorial-analytics HELD 33 s: the sink does not answer (SINK_UNAVAILABLE); nothing is lost; 12,345 waiting',
  );
  expect(lines({ ...SNAPSHOT, holds }, 80, 24)[2]).toBe('  nothing is lost; 12,345 waiting');
});

test('a text cannot steer the terminal', () => {
  const label = '/a\u001b[2J\u0007\n/b\u009b31m';
  const view = renderView(
    { ...SNAPSHOT, panel: { title: label, rows: [{ label, value: 1 }] } },
    { columns: 100, rows: 40 },
  );
  expect(view).toContain('/a�[2J��/b�31m');
});

test('says of a handler that takes long for how long, and when its function is ended', () => {
  const handling = [...SNAPSHOT.handling, { consumer: 'order-totals', runningMs: 24_300, timeoutMs: 60_000 }];
  const view = lines({ ...SNAPSHOT, handling }, 80, 24);
  expect(view).toContain('order-totals: handle() has been running 24 s (limit 60 s)');
  expect(view.join('\n')).not.toContain('editorial-analytics: handle()');
});

test('while it drains it counts down', () => {
  const view = lines({ ...SNAPSHOT, phase: 'draining' }, 80, 40).join('\n');
  expect(view).toContain('Draining: 12,345 left, about 1 min. Ctrl-C quits at once; the next run goes on.');
});

describe('faults', () => {
  test.each([
    [NO_FAULTS, ''],
    [{ ...NO_FAULTS, redelivered: 41, crashes: 1 }, 'faults so far: 41 batches redelivered, 1 crash'],
    [{ ...NO_FAULTS, sinkOutageEndsAt: NOW + 4_000 }, 'faults so far: sink down, up again in 4 s'],
    [
      { ...NO_FAULTS, sinkOutageEndsAt: NOW - 1, deadLetterOutageEndsAt: NOW - 1 },
      'faults so far: sink outage over, dead-letter store outage over',
    ],
  ])('%j reads %j', (faults, text) => {
    expect(describeFaults({ faults, nowMs: NOW })).toBe(text);
  });
});
