/** An hour of a newsroom, made up: what the page's queries would give. */
import type { PageData, PageFreshness, PageRow } from '../../runtime/page.ts';

/** Ids as somebody might send them to break a page. */
export const HOSTILE_IDS = [
  '/world/<script>document.title="owned"</script>',
  '/local/"><img src=x onerror=document.title="owned">',
  `/sport/${'long-'.repeat(2_000)}`,
  '/culture/\u202eevitisop\u202c\u200b-news',
  '\u0000\u0007\u001b[31mred',
  '{{constructor.constructor("document.title=1")()}}',
];

const HEADLINES = [
  ['politics', 'ministers-weigh-a-budget-nobody-asked-for-1401'],
  ['world', 'farmers-block-the-harbour-for-a-third-night-1377'],
  ['sport', 'striker-decides-the-cup-final-in-stoppage-time-1412'],
  ['science', 'scientists-find-water-where-nobody-looked-1398'],
  ['local', 'council-delays-the-sea-wall-again-1390'],
  ['culture', 'novelist-returns-a-prize-after-forty-years-1369'],
  ['business', 'central-bank-holds-rates-and-its-breath-1405'],
  ['opinion', 'the-case-for-slow-trains-1351'],
  ['world', 'voters-queue-past-midnight-1413'],
  ['local', 'night-trains-come-back-to-the-valley-1364'],
  ['politics', 'what-the-reform-changes-for-schools-1380'],
  ['sport', 'the-long-road-to-the-relegation-fight-1344'],
  ['science', 'a-comet-you-can-see-without-a-telescope-1333'],
  ['culture', 'how-the-archive-was-saved-1329'],
  ['business', 'who-owns-the-harbour-1322'],
  ['opinion', 'letters-on-the-cup-final-1318'],
  ['local', 'a-bakery-turns-one-hundred-1307'],
  ['world', 'three-capitals-one-treaty-1299'],
  ['politics', 'a-quiet-resignation-1288'],
  ['science', 'why-the-river-turned-green-1275'],
] as const;

/** @param at when it is now, in epoch milliseconds */
export function newsroomData(at: number, ids: readonly string[] = []): PageData {
  const newest = Math.floor(at / 60_000) * 60_000;
  const share = (at - newest) / 60_000;
  const noise = (n: number) =>
    0.85 +
    0.3 * Math.abs(Math.sin(n * 12.9898) * 43_758.5453 - Math.floor(Math.sin(n * 12.9898) * 43_758.5453));
  const given = [...ids, ...HEADLINES.map(([section, slug]) => `/${section}/${slug}`)].slice(0, 24);
  const articles = given.map((id, index): { id: string; minutes: number[][]; views: number } => {
    const level = 900 / (index + 1) ** 0.8;
    const minutes = Array.from({ length: 60 }, (_, ago) => {
      const trend = 1 + 0.5 * Math.sin((ago + index * 11) / 14);
      // The second one has only just happened.
      const rise = index === 1 ? (ago < 6 ? 6 * 0.8 ** ago : 0.15) : 1;
      return [ago, Math.round(level * trend * rise * noise(index * 61 + ago) * (ago === 0 ? share : 1))];
    });
    return { id, minutes, views: sum(minutes.slice(0, 5).map(([, views]) => views!)) };
  });
  const site = Array.from({ length: 60 }, (_, ago) => {
    const views = sum(articles.map(({ minutes }) => minutes[ago]![1]!));
    return [ago, views, views * 19_000];
  });
  return {
    at,
    asOf: at - 400,
    rows: {
      site: [{ newest, sessions: 12_408, minutes: site }],
      articles: articles
        .toSorted((a, b) => b.views - a.views)
        .map(
          ({ id, minutes, views }, index): PageRow => ({
            key: `key-${id.slice(0, 40)}`,
            id: id.slice(0, 300),
            views,
            engaged_ms: views * (11_000 + index * 1_700),
            minutes,
          }),
        ),
    },
  };
}

/** As on the busiest day: counts of six digits. */
export function busyData(at: number): PageData {
  const { rows, ...others } = newsroomData(at);
  const articles = rows.articles!.map((row, index) => ({
    ...row,
    views: 999_999 - index,
    ...(index === 5 && { views: 120_000 }),
  }));
  const site = rows.site!.map((row) => ({
    ...row,
    sessions: 999_999,
    minutes: (row.minutes as number[][]).map(([ago, views, engaged]) => [ago, views! * 100, engaged! * 100]),
  }));
  return { ...others, rows: { site, articles } };
}

export function freshnessAt(at: number, change: Partial<PageFreshness> = {}): PageFreshness {
  return {
    at,
    consumer: 'editorial-analytics',
    verdict: 'OK',
    isPaused: false,
    evidence: [],
    old: null,
    lag: 12,
    ...change,
  };
}

/** As during an outage of the sink. */
export function heldAt(at: number): PageFreshness {
  return freshnessAt(at, {
    verdict: 'STALLED',
    lag: 4_812,
    old: { since: at - 24_000 },
    evidence: [
      '4,812 unread and held by SINK_UNAVAILABLE since 2026-11-27 14:03:12Z, 9 tries: the sink does not answer.',
    ],
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
