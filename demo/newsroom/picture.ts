/** What the page shows, from what its queries gave: a pure function of them. */
import type { PageData, PageFreshness } from '../../runtime/page.ts';
import { isBreaking } from './breaking.ts';

export interface Picture {
  /** When the newest minute began, in epoch milliseconds; null where nothing was read yet. */
  readonly newest: number | null;
  /** Whether that minute is about now. Else these are the last minutes of an old log. */
  readonly isLive: boolean;
  readonly sessions: number;
  /** Views of the last five minutes, a minute; of those that were watched in full, where the site has not been for longer. */
  readonly viewsPerMinute: number;
  /** Of a view, in the last five minutes; null where no page measures it. */
  readonly engagedMs: number | null;
  /** Views a minute, the oldest first; the newest has only begun where it is about now. */
  readonly minutes: readonly number[];
  /** The most read first. */
  readonly articles: readonly Article[];
}

export interface Article {
  readonly key: string;
  readonly id: string;
  readonly headline: string;
  readonly section: string;
  /** In the last five minutes. */
  readonly views: number;
  readonly engagedMs: number | null;
  readonly minutes: readonly number[];
  readonly isBreaking: boolean;
}

const MINUTES = 60;
const NOW_MINUTES = 5;
const MINUTE_MS = 60_000;
/** What was read longer ago is history. */
const LIVE_MS = 15 * MINUTE_MS;

export function pictureOf({ at, asOf, rows }: PageData): Picture {
  const [site] = rows.site ?? [];
  const newest = site?.newest == null ? null : Number(site.newest);
  const isLive = newest !== null && at - newest < LIVE_MS;
  const minutes = series(site?.minutes);
  const engaged = series(site?.minutes, 2);
  // A minute that has only begun counts for as much as the tables have of it.
  const until = Math.min(at, asOf ?? at);
  const share = newest === null ? 1 : Math.min(1, Math.max(0, (until - newest) / MINUTE_MS));
  return {
    newest,
    isLive,
    sessions: Number(site?.sessions ?? 0),
    viewsPerMinute: perMinute(minutes, share),
    engagedMs: mean(sum(engaged.slice(-NOW_MINUTES)), sum(minutes.slice(-NOW_MINUTES))),
    minutes,
    articles: (rows.articles ?? []).map((row) => {
      const id = String(row.id);
      const own = series(row.minutes);
      const count = Number(row.views);
      return {
        key: String(row.key),
        id,
        headline: headlineOf(id),
        section: sectionOf(id),
        views: count,
        engagedMs: mean(Number(row.engaged_ms), count),
        minutes: own,
        isBreaking: isLive && isBreaking(own, minutes, share),
      };
    }),
  };
}

/** Less of a minute than this is too little to go by. */
const LEAST_SHARE = 0.25;

function perMinute(minutes: readonly number[], share: number): number {
  const last = minutes.length - 1;
  const began = minutes.findIndex((views) => views > 0);
  if (began < 0) return 0;
  const from = minutes.length - NOW_MINUTES;
  if (began < from) return sum(minutes.slice(from)) / (NOW_MINUTES - 1 + share);
  // The first minute was watched for a part that nobody knows: what came after it says more, once it is long enough.
  const watched = last - began - 1 + share;
  if (began === last || watched < LEAST_SHARE) return sum(minutes.slice(began)) / Math.max(1, watched);
  return sum(minutes.slice(began + 1)) / watched;
}

/** From pairs of how many minutes ago, and how many; the newest last. */
function series(pairs: unknown, column = 1): readonly number[] {
  const values = new Array<number>(MINUTES).fill(0);
  for (const pair of (pairs ?? []) as readonly (readonly number[])[]) {
    const at = MINUTES - 1 - pair[0]!;
    if (at in values) values[at] = Math.max(0, Number(pair[column]));
  }
  return values;
}

function mean(total: number, of: number): number | null {
  return of > 0 && total > 0 ? total / of : null;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

const STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

/** What the full height of bars stands for. In steps, so that a minute that grows seldom changes it. */
export function scaleOf(values: readonly number[]): number {
  const most = Math.max(1, ...values);
  const power = 10 ** Math.floor(Math.log10(most));
  return power * STEPS.find((step) => step * power >= most)!;
}

/** The first part of a path: `sport` of `/sport/cup-final-1200`; what is in no part is `site`. */
export function sectionOf(id: string): string {
  const [, section] = /^\/([^/?#\s]{1,40})\/[^/?#]/u.exec(id) ?? [];
  return section === undefined ? 'site' : words(section).toLowerCase();
}

/** The last part of a path as words: `Cup final` of `/sport/cup-final-1200`; other ids as they are. */
export function headlineOf(id: string): string {
  const [path = ''] = id.split(/[?#]/, 1);
  if (!path.startsWith('/')) return id;
  const last = path.split('/').findLast((part) => part !== '');
  if (last === undefined) return 'Front page';
  const text = words(last.replace(/\.\w{1,5}$/, '').replace(/-\d+$/, ''));
  return text === '' ? id : text.charAt(0).toUpperCase() + text.slice(1);
}

function words(slug: string): string {
  try {
    return decodeURIComponent(slug)
      .replace(/[-_+]+/g, ' ')
      .trim();
  } catch {
    return slug;
  }
}

/** A sentence that a banner has, and how bad it is. */
export interface Notice {
  readonly tone: 'bad' | 'warn' | 'good';
  readonly text: string;
  /** Why, in the words of `millrace status`. */
  readonly evidence: readonly string[];
}

/** Why the numbers are not to be taken for those of now; null where they are. @param time how a moment is written */
export function noticeOf(freshness: PageFreshness | null, time: (ms: number) => string): Notice | null {
  if (!freshness) return null;
  const { verdict, old, evidence, isPaused } = freshness;
  const pause = evidence.find((fact) => fact.includes('paused by '));
  const why = [...new Set([...evidence.slice(0, 1), ...(isPaused && pause !== undefined ? [pause] : [])])];
  if (!old) {
    if (verdict === 'UNKNOWN')
      return { tone: 'warn', text: 'Nobody can tell how old the numbers are.', evidence: why };
    if (isPaused) return { tone: 'warn', text: 'What is read from now on is not counted.', evidence: why };
    return null;
  }
  const since = old.since === null ? 'The numbers are old' : `The numbers are old since ${time(old.since)}`;
  if (verdict === 'RECOVERING') return { tone: 'good', text: `${since}, and catching up.`, evidence: why };
  // UNKNOWN may be a quiet night, where only the tables could be asked.
  const isMild = ['BEHIND', 'RISING', 'UNKNOWN'].includes(verdict);
  return { tone: isMild ? 'warn' : 'bad', text: `${since}.`, evidence: why };
}

/** The order in which articles stand: kept for a while, so that two that are as good as equal do not swap all the time. */
export interface Places {
  /** @returns at most `most` articles, with the newest numbers of each */
  order(articles: readonly Article[], nowMs: number): readonly Article[];
}

const PLACES_MS = 2_000;

export function createPlaces(most: number): Places {
  let kept: readonly string[] = [];
  let breaking = new Set<string>();
  let notBefore = 0;
  return {
    order(articles, nowMs) {
      const byKey = new Map(articles.map((article) => [article.key, article]));
      const stand = kept.flatMap((key) => byKey.get(key) ?? []);
      const isNews = articles.some((each) => each.isBreaking && !breaking.has(each.key));
      const isSettled = stand.length === kept.length && stand.length === Math.min(most, articles.length);
      breaking = new Set(articles.flatMap((each) => (each.isBreaking ? [each.key] : [])));
      if (isSettled && !isNews && nowMs < notBefore) return stand;
      const next = articles.slice(0, most);
      kept = next.map(({ key }) => key);
      notBefore = nowMs + PLACES_MS;
      return next;
    },
  };
}
