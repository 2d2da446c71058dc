import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Article,
  createPlaces,
  headlineOf,
  noticeOf,
  pictureOf,
  scaleOf,
  sectionOf,
} from '../../../demo/newsroom/picture.ts';
import type { PageFreshness } from '../../../runtime/page.ts';
import { freshnessAt, heldAt, newsroomData } from '../../verify/newsroom-data.ts';

const AT = Date.parse('2026-11-27T14:05:30Z');

test.each([
  ['/sport/cup-final-1200', 'sport', 'Cup final'],
  ['/world/2026/11/a_quiet_vote.html', 'world', 'A quiet vote'],
  ['/caf%C3%A9-society/best%20of-7', 'café society', 'Best of'],
  ['/broken/%E0%A4%A', 'broken', '%E0%A4%A'],
  ['/about', 'site', 'About'],
  ['/', 'site', 'Front page'],
  ['article 7', 'site', 'article 7'],
  ['/search/?q=a/b', 'site', 'Search'],
  ['/2026/1234', '2026', '1234'],
  ['', 'site', ''],
])('%s is of the section %s and reads %s', (id, section, headline) => {
  expect([sectionOf(id), headlineOf(id)]).toEqual([section, headline]);
});

test('a section is never longer than its place', () => {
  expect(sectionOf(`/${'x'.repeat(5_000)}/y`)).toBe('site');
});

describe('the picture', () => {
  test('finds the article that breaks, and no other', () => {
    const { articles, isLive, newest } = pictureOf(newsroomData(AT));
    expect(articles.filter(({ isBreaking }) => isBreaking).map(({ headline }) => headline)).toEqual([
      'Farmers block the harbour for a third night',
    ]);
    expect({ isLive, newest }).toEqual({ isLive: true, newest: Date.parse('2026-11-27T14:05:00Z') });
  });

  test('of an old log is not live, and nothing in it is news', () => {
    const { articles, isLive } = pictureOf({ ...newsroomData(AT), at: AT + 365 * 86_400_000 });
    expect(isLive).toBe(false);
    expect(articles.filter(({ isBreaking }) => isBreaking)).toEqual([]);
  });

  test('counts views a minute over the minutes that were watched', () => {
    const site = {
      newest: AT - 30_000,
      sessions: 3,
      minutes: [
        [0, 100, 0],
        [1, 200, 0],
      ],
    };
    const { viewsPerMinute, engagedMs } = pictureOf({ at: AT, asOf: AT, rows: { site: [site] } });
    expect({ viewsPerMinute, engagedMs }).toEqual({ viewsPerMinute: 200, engagedMs: null });
  });

  describe('of 2,000 views a second', () => {
    /** The tables of a site that is watched from a moment on, as they are `behindMs` before `at`. */
    const watched = (sinceMs: number, behindMs = 0) => {
      const [from, until] = [AT - sinceMs, AT - behindMs];
      const newest = Math.floor(until / 60_000) * 60_000;
      const minutes = Array.from({ length: 60 }, (_, ago): [number, number, number] => {
        const began = newest - ago * 60_000;
        return [ago, Math.max(0, Math.min(until, began + 60_000) - Math.max(from, began)) * 2, 0];
      }).filter(([, views]) => views > 0);
      const rows = { site: [{ newest, sessions: 1, minutes }], articles: [] };
      return pictureOf({ at: AT, asOf: until, rows }).viewsPerMinute;
    };

    test.each([46, 59, 60, 61, 90, 119, 120, 121, 150, 240, 299, 300, 301, 600, 3_700])(
      'it says 120,000 a minute, %d s after the start',
      (seconds) => {
        expect(watched(seconds * 1_000)).toBeCloseTo(120_000, -1);
      },
    );

    test.each([1_000, 20_000, 45_000, 200_000])(
      'it says so, too, while the tables are %d ms behind',
      (behindMs) => {
        expect(watched(900_000, behindMs)).toBeCloseTo(120_000, -1);
      },
    );
  });

  test('of nothing is empty', () => {
    const rows = { site: [{ newest: null, sessions: 0, minutes: [] }], articles: [] };
    expect(pictureOf({ at: AT, asOf: null, rows })).toMatchObject({
      newest: null,
      viewsPerMinute: 0,
      articles: [],
    });
    expect(pictureOf({ at: AT, asOf: null, rows: {} })).toMatchObject({ newest: null, isLive: false });
  });
});

describe('the banner', () => {
  const notice = (change: Partial<PageFreshness>) =>
    noticeOf(freshnessAt(AT, change), (ms) => new Date(ms).toISOString().slice(11, 19));

  test('says since when the numbers are old, and why in the words of status', () => {
    expect(noticeOf(heldAt(AT), (ms) => new Date(ms).toISOString().slice(11, 19))).toEqual({
      tone: 'bad',
      text: 'The numbers are old since 14:05:06.',
      evidence: [expect.stringContaining('held by SINK_UNAVAILABLE')],
    });
  });

  test('of a consumer that recovers is a good one', () => {
    expect(notice({ verdict: 'RECOVERING', old: { since: AT } })).toMatchObject({
      tone: 'good',
      text: 'The numbers are old since 14:05:30, and catching up.',
    });
  });

  test('names who paused the consumer, whatever else there is to say', () => {
    const evidence = [
      '9 unread.',
      'It is paused by ada since 2026-11-27 14:00:00Z, and reads nothing.',
      'More.',
    ];
    expect(notice({ verdict: 'STALLED', isPaused: true, old: { since: null }, evidence })).toMatchObject({
      text: 'The numbers are old.',
      evidence: evidence.slice(0, 2),
    });
    expect(notice({ verdict: 'IDLE', isPaused: true, evidence })?.text).toContain('not counted');
  });

  test('is not there while the numbers are those of now', () => {
    for (const verdict of ['OK', 'IDLE', 'SILENT'] as const) expect(notice({ verdict })).toBeNull();
    expect(noticeOf(null, String)).toBeNull();
  });

  test('says that nobody can tell', () => {
    expect(notice({ verdict: 'UNKNOWN', lag: null })?.text).toContain('Nobody can tell');
  });
});

describe('places', () => {
  const article = (key: string, views: number, isBreaking = false): Article => ({
    key,
    id: key,
    headline: key,
    section: 'site',
    views,
    engagedMs: null,
    minutes: [],
    isBreaking,
  });
  const keys = (articles: readonly Article[]) => articles.map(({ key }) => key).join('');

  test('stay for two seconds, with the newest numbers', () => {
    const places = createPlaces(2);
    expect(keys(places.order([article('a', 9), article('b', 8), article('c', 1)], 0))).toBe('ab');
    const soon = places.order([article('b', 12), article('a', 11), article('c', 1)], 1_000);
    expect([keys(soon), soon[0]!.views]).toEqual(['ab', 11]);
    expect(keys(places.order([article('b', 13), article('a', 11)], 2_000))).toBe('ba');
  });

  test('change at once for news, for a first article and for one that is gone', () => {
    const places = createPlaces(3);
    places.order([article('a', 9)], 0);
    expect(keys(places.order([article('b', 10), article('a', 9)], 1))).toBe('ba');
    expect(keys(places.order([article('a', 11, true), article('b', 10)], 2))).toBe('ab');
    expect(keys(places.order([article('b', 10), article('a', 9, true)], 3))).toBe('ab');
    expect(keys(places.order([article('b', 10)], 4))).toBe('b');
  });
});

describe('the scale of bars', () => {
  test('leaves at most a quarter of the height free, and cuts none', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10_000_000), { minLength: 1 }), (values) => {
        const share = Math.max(1, ...values) / scaleOf(values);
        expect(share).toBeLessThanOrEqual(1);
        expect(share).toBeGreaterThanOrEqual(0.75);
      }),
    );
  });

  test('changes ten times while a minute grows tenfold', () => {
    expect(new Set(Array.from({ length: 900 }, (_, n) => scaleOf([101 + n]))).size).toBe(10);
  });
});
