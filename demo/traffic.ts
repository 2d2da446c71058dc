import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import type { Traffic } from '../runtime/app.ts';
import type { Random } from '../runtime/ports.ts';

/** An endless newsroom's worth of pageviews. The same randomness and the same times give the same pageviews. */
export interface PageviewTraffic extends Traffic {
  next(atMs: number): Pageview;
  /** How busy the site is at `atMs`, around 1 on average: it varies over the day, and rises while a story breaks. */
  load(atMs: number): number;
}

const SECTIONS = [
  'world',
  'politics',
  'business',
  'sport',
  'culture',
  'science',
  'opinion',
  'local',
] as const;
const WHO = [
  'ministers',
  'scientists',
  'striker',
  'council',
  'central-bank',
  'novelist',
  'voters',
  'farmers',
];
const DOES = ['weigh', 'reject', 'celebrate', 'delay', 'defend', 'question', 'unveil', 'revisit'];
const WHAT = [
  'budget',
  'harbour-plan',
  'cup-final',
  'rate-cut',
  'school-reform',
  'sea-wall',
  'archive',
  'night-trains',
];
const DEVICES = [
  ['PHONE', 62],
  ['DESKTOP', 28],
  ['TABLET', 7],
  ['TV', 1],
  ['OTHER', 2],
] as const;
const COUNTRIES = [
  ['US', 46],
  ['GB', 21],
  ['CA', 9],
  ['IN', 8],
  ['DE', 6],
  ['AU', 6],
  ['FR', 4],
] as const;
const REFERRERS = [
  [null, 45],
  ['https://search.example/', 30],
  ['https://social.example/', 17],
  ['https://newsletter.example/', 8],
] as const;

const ARTICLES = 400;
// Readers spread over articles as words over a language: the k-th most read gets about 1/k of the first's readers.
const ZIPF_EXPONENT = 1.05;
const SESSIONS = 1_500;
const NEW_SESSION_SHARE = 0.25;
const SIGNED_IN_SHARE = 0.3;
const TIDE_PERIOD_MS = 10 * 60 * 1000;
const MEDIAN_ENGAGED_MS = 12_000;
const MAX_ENGAGED_MS = 30 * 60 * 1000;

interface Article {
  readonly path: string;
  readonly section: string;
}

type Session = Pick<Pageview, 'sessionId' | 'userId' | 'device' | 'country' | 'referrer'>;

/** One article that everybody reads for a while: `share` of all pageviews at the start, half of it every half-life. */
interface Spike {
  readonly article: Article;
  readonly startMs: number;
  readonly share: number;
  readonly halfLifeMs: number;
}

/** Makes newsroom-like traffic: Zipf-skewed articles, returning sessions, busy and quiet hours, and breaking news now and then. */
export function createTraffic(random: Random): PageviewTraffic {
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random.next() * items.length)]!;
  const between = (from: number, to: number) => from + random.next() * (to - from);
  const token = () => Array.from({ length: 4 }, () => hex32(random)).join('');

  const articles = Array.from({ length: ARTICLES }, (_, index) => article(index));
  const popularity = cumulative(articles.map((_, index) => 1 / (index + 1) ** ZIPF_EXPONENT));
  const sessions: Session[] = [];
  let published = ARTICLES;
  let spike: Spike | undefined;
  let nextSpikeMs: number | undefined;

  function article(index: number): Article {
    const section = pick(SECTIONS);
    return { section, path: `/${section}/${pick(WHO)}-${pick(DOES)}-${pick(WHAT)}-${1000 + index}` };
  }

  function session(): Session {
    const isFull = sessions.length >= SESSIONS;
    if (sessions.length > 0 && random.next() >= NEW_SESSION_SHARE) return pick(sessions);
    const fresh: Session = {
      sessionId: token(),
      userId: random.next() < SIGNED_IN_SHARE ? `reader-${Math.floor(random.next() * 50_000)}` : null,
      device: weighted(DEVICES, random),
      country: weighted(COUNTRIES, random),
      referrer: weighted(REFERRERS, random),
    };
    sessions[isFull ? Math.floor(random.next() * SESSIONS) : sessions.length] = fresh;
    return fresh;
  }

  function spikeShare(atMs: number): number {
    return spike && atMs >= spike.startMs
      ? spike.share * 2 ** (-(atMs - spike.startMs) / spike.halfLifeMs)
      : 0;
  }

  function breakNews(atMs: number): void {
    nextSpikeMs ??= atMs + between(15_000, 30_000);
    if (atMs < nextSpikeMs) return;
    spike = {
      article: article(published++),
      startMs: atMs,
      share: between(0.3, 0.6),
      halfLifeMs: between(20_000, 40_000),
    };
    // The story stays on the front page, among the most read.
    articles[Math.floor(between(2, 20))] = spike.article;
    nextSpikeMs = atMs + between(90_000, 180_000);
  }

  return {
    next(atMs) {
      breakNews(atMs);
      const breaking = random.next() < spikeShare(atMs);
      const { path, section } = breaking ? spike!.article : articles[search(popularity, random.next())]!;
      const reader = session();
      return {
        eventId: uuidV7(atMs, token()),
        contentId: path,
        ...reader,
        url: `https://news.example${path}`,
        section,
        occurredAt: atMs,
        engagedMs: Math.min(MAX_ENGAGED_MS, Math.round(MEDIAN_ENGAGED_MS * Math.exp(gaussian(random)))),
      };
    },
    load: (atMs) => 0.95 + 0.15 * Math.sin((2 * Math.PI * atMs) / TIDE_PERIOD_MS) + 0.6 * spikeShare(atMs),
  };
}

function weighted<Item>(choices: readonly (readonly [Item, number])[], random: Random): Item {
  const total = choices.reduce((sum, [, weight]) => sum + weight, 0);
  let left = random.next() * total;
  for (const [item, weight] of choices) {
    left -= weight;
    if (left < 0) return item;
  }
  return choices.at(-1)![0];
}

/** Running totals, scaled so that the last is 1. */
function cumulative(weights: readonly number[]): readonly number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  return weights.map((weight) => {
    sum += weight;
    return sum / total;
  });
}

/** The first index whose running total exceeds `target`. */
function search(totals: readonly number[], target: number): number {
  let low = 0;
  let high = totals.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (totals[middle]! > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/**
 * RFC 9562: milliseconds, then random bits. Ids that begin with their time stand together in the sink, where `once` looks
 * them up; and a run with the same seed is made of other events.
 */
function uuidV7(atMs: number, random: string): string {
  const time = Math.trunc(atMs).toString(16).padStart(12, '0');
  const variant = '89ab'[Number.parseInt(random.charAt(3), 16) % 4];
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`;
}

function hex32(random: Random): string {
  return Math.floor(random.next() * 2 ** 32)
    .toString(16)
    .padStart(8, '0');
}
