import { stripVTControlCharacters } from 'node:util';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { renderView, type Snapshot } from '../../cli/live-view.ts';
import { NOTHING_FED } from '../../local/publishing/feed.ts';

const SNAPSHOT: Snapshot = {
  phase: 'publishing',
  source: 'traffic at 200/s',
  state: '.millrace',
  elapsedMs: 83_000,
  feed: { ...NOTHING_FED, published: 16_600, poisoned: 33 },
  totals: { applied: 16_500, deadLettered: 33, skipped: 0, duplicates: 120, retries: 0 },
  publishedPerSecond: [190, 200, 210],
  appliedPerSecond: [0, 400, 200],
  lags: [
    {
      consumer: 'editorial-analytics',
      group: 'editorial-analytics',
      topic: 'news.pageviews',
      lag: 12_345,
      level: 'warning',
      warning: 10_000,
      incident: 100_000,
      partitions: [],
    },
  ],
  handling: [{ consumer: 'editorial-analytics', runningMs: 900, timeoutMs: 60_000 }],
  panel: {
    title: 'Most read',
    rows: Array.from({ length: 10 }, (_, index) => ({
      label: `/world/story-${index}`,
      value: 100 - index,
    })),
  },
  problems: Array.from({ length: 20 }, (_, index) => ({
    at: new Date(0),
    level: 'warn' as const,
    text: `Record dead-lettered  FRAME_UNKNOWN  news.pageviews/3/${index}`,
  })),
};

function lines(snapshot: Snapshot, columns: number, rows: number): string[] {
  return stripVTControlCharacters(renderView(snapshot, { columns, rows })).split('\n');
}

test('shows what matters', () => {
  const view = lines(SNAPSHOT, 100, 40).join('\n');
  expect(view).toMatch(/publishing, traffic at 200\/s +\.millrace {2}00:01:23/);
  expect(view).toMatch(/published +16,600 +200\/s {2}▇██/);
  expect(view).toMatch(/applied +16,500 +200\/s {2}▁█▅/);
  expect(view).toMatch(/duplicates 120 .* dead letters 33 /);
  expect(view).toMatch(/lag {2}editorial-analytics +12,345 {2}warning {2}warning 10,000, incident 100,000/);
  expect(view).toMatch(/100 {2}█+ +\/world\/story-0/);
  expect(view).toContain('news.pageviews/3/19');
  expect(view).toContain('Ctrl-C drains and sums up.');
});

test('fits the terminal, whatever its size and whatever the texts', () => {
  const text = fc.string({ unit: 'binary', maxLength: 200 });
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 300 }),
      fc.integer({ min: 12, max: 80 }),
      text,
      (columns, rows, hostile) => {
        const snapshot = {
          ...SNAPSHOT,
          source: 'x'.repeat(150),
          panel: { title: hostile, rows: [{ label: hostile, value: 3 }, ...SNAPSHOT.panel!.rows] },
          problems: [...SNAPSHOT.problems, { at: new Date(0), level: 'error' as const, text: hostile }],
        };
        const shown = lines(snapshot, columns, rows);
        expect(shown.length).toBeLessThan(rows);
        for (const line of shown) expect(line.length).toBeLessThanOrEqual(columns);
      },
    ),
  );
});

test('a small terminal shows the panel and leaves out the warnings', () => {
  const view = lines(SNAPSHOT, 80, 16).join('\n');
  expect(view).toContain('/world/story-0');
  expect(view).not.toContain('dead-lettered');
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
