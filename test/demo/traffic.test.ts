import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { createTraffic } from '../../demo/traffic.ts';

/** Pageviews at an even rate, from `startMs` on. */
function generate(seed: number, records: number, everyMs: number, startMs = 1_700_000_000_000): Pageview[] {
  const traffic = createTraffic(createSeededRandom(seed));
  return Array.from({ length: records }, (_, index) => traffic.next(startMs + index * everyMs));
}

function countBy(pageviews: readonly Pageview[], field: 'contentId' | 'sessionId'): number[] {
  const counts = Map.groupBy(pageviews, (pageview) => pageview[field]);
  return [...counts.values()].map((group) => group.length).sort((a, b) => b - a);
}

test('the same seed and times give the same pageviews, another seed others', () => {
  expect(generate(7, 500, 5)).toEqual(generate(7, 500, 5));
  expect(generate(8, 500, 5)).not.toEqual(generate(7, 500, 5));
});

test('every event id is its own, and begins with its time', () => {
  const views = generate(1, 20_000, 1);
  expect(new Set(views.map(({ eventId }) => eventId)).size).toBe(20_000);
  for (const { eventId, occurredAt } of views) {
    expect(eventId).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(Number.parseInt(eventId.replaceAll('-', '').slice(0, 12), 16)).toBe(occurredAt);
  }
});

test('the same seed at another time gives other events', () => {
  const ids = [generate(7, 500, 5), generate(7, 500, 5, 1_700_000_086_400)].flatMap((views) =>
    views.map(({ eventId }) => eventId),
  );
  expect(new Set(ids).size).toBe(1_000);
});

describe('newsroom-like', () => {
  // Ten seconds: before the first story breaks.
  const calm = generate(3, 20_000, 0.5);

  test('few articles have most readers', () => {
    const counts = countBy(calm, 'contentId');
    const topTen = counts.slice(0, 10).reduce((sum, n) => sum + n, 0);
    expect(topTen / calm.length).toBeGreaterThan(0.3);
    expect(counts.length).toBeGreaterThan(300);
  });

  test('readers come back', () => {
    const counts = countBy(calm, 'sessionId');
    expect(counts.length).toBeLessThan(calm.length / 2);
    expect(counts.length).toBeGreaterThan(1_000);
  });

  test('a content id is the path of its url, and belongs to its section', () => {
    for (const { contentId, url, section } of calm.slice(0, 200)) {
      expect(new URL(url).pathname).toBe(contentId);
      expect(contentId.startsWith(`/${section}/`)).toBe(true);
    }
  });
});

test.each([1, 2, 3, 4, 5])(
  'with seed %d a story breaks within half a minute, leads by far, and fades',
  (seed) => {
    const minutes = generate(seed, 18_000, 5);
    const share = (from: number, to: number) => {
      const window = minutes.slice(from * 200, to * 200);
      return countBy(window, 'contentId')[0]! / window.length;
    };
    const busiest = Math.max(...Array.from({ length: 9 }, (_, index) => share(index * 5, index * 5 + 5)));
    expect(share(0, 10)).toBeLessThan(0.25);
    expect(busiest).toBeGreaterThan(0.27);
  },
);

test('load is around 1, and higher while a story breaks', () => {
  const traffic = createTraffic(createSeededRandom(3));
  const start = 1_700_000_000_000;
  const tides: number[] = [];
  for (let atMs = start; atMs < start + 20 * 60_000; atMs += 500) {
    traffic.next(atMs);
    tides.push(traffic.load(atMs));
  }
  const mean = tides.reduce((sum, load) => sum + load, 0) / tides.length;
  expect(mean).toBeGreaterThan(0.85);
  expect(mean).toBeLessThan(1.15);
  expect(Math.max(...tides)).toBeGreaterThan(1.15);
});
