/** A page of the app's own, such as the newsroom's: what an app declares, and what the page's script is given. */
import type { ConsumerStatus, LagVerdict } from './lag/status.ts';
import { duration, moment } from './lag/words.ts';

/** A page that shows a consumer's tables while they fill. */
export interface DemoPage {
  readonly title: string;
  /**
   * From the folder of `millrace.config.ts`. A `.tsx` or `.ts` is bundled by esbuild, with the styles it imports; a `.js` is
   * served as it is, with the `.css` of the same name beside it. It fills the element `#app`.
   */
  readonly script: string;
  /** The consumer whose tables it shows: the page says how fresh they are. */
  readonly consumer: string;
  /**
   * Read only, by names of the page's own. Each runs within a second of a commit, twice a second at most. On AWS it sees the
   * tables of `consumer` alone.
   */
  readonly queries: Readonly<Record<string, string>>;
}

/** By the column's name, as PostgreSQL makes JSON of it: a time is a text. */
export type PageRow = Readonly<Record<string, unknown>>;

/** The event `data`: what the page's queries gave, all in one snapshot of the tables. */
export interface PageData {
  /** When they ran, in epoch milliseconds. */
  readonly at: number;
  /** As of when the tables are: the newest time among the records that they hold; null before the first. */
  readonly asOf: number | null;
  /** By the query's name. */
  readonly rows: Readonly<Record<string, readonly PageRow[]>>;
}

/** The event `freshness`: how far behind the numbers are, in the words of `millrace status`. Times are epoch milliseconds. */
export interface PageFreshness {
  /** When this was looked at. */
  readonly at: number;
  readonly consumer: string;
  readonly verdict: LagVerdict;
  readonly isPaused: boolean;
  /** Why, a sentence each; the first says most. */
  readonly evidence: readonly string[];
  /** Whether the numbers lack what was published a while ago, and since when. Null while they are current. */
  readonly old: {
    /** Everything published before is counted; null where that is unknown. */
    readonly since: number | null;
  } | null;
  /** Records that are not counted yet; null where that is unknown. */
  readonly lag: number | null;
}

/**
 * What `GET data` answers, beside the page. Its script reads the server-sent events of `events` where there are any, and asks
 * for this again and again where there are none. Both addresses are relative to the page.
 */
export interface PageAnswer {
  /** Null before the tables were first read. */
  readonly data: PageData | null;
  /** Null before the consumer's first sample. */
  readonly freshness: PageFreshness | null;
  /** Also the event `problem`: why the tables cannot be read, where a query is wrong. @default null */
  readonly problem?: string | null;
}

/**
 * The page's queries as one statement, so that they see one snapshot: one row, with `as_of` in epoch milliseconds and `rows` as
 * JSON, by the queries' names. Run it read only, as a role that may read the consumer's tables and `millrace_as_of`.
 */
export function pageStatement({
  consumer,
  queries,
}: Pick<DemoPage, 'consumer' | 'queries'> & Partial<DemoPage>): string {
  // The line break ends a comment of the query's own.
  const rows = Object.entries(queries).map(
    ([name, sql]) => `${quoted(name)}, (SELECT coalesce(json_agg(q), '[]') FROM (${sql}\n) AS q)`,
  );
  return `SELECT
    (SELECT (extract(epoch FROM max(up_to_time)) * 1000)::bigint FROM millrace_as_of WHERE consumer = ${quoted(consumer)}) AS as_of,
    json_build_object(${rows.join(', ')}) AS rows`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const OLD: readonly LagVerdict[] = [
  'LOST',
  'AT_RISK',
  'BLOCKED',
  'STALLED',
  'RISING',
  'BEHIND',
  'RECOVERING',
];

/** @param at when the consumer was looked at */
export function freshnessOf(
  { consumer, verdict, isPaused, evidence, lag, ageMs, lastProgressAt }: ConsumerStatus,
  at: number,
): PageFreshness {
  // A consumer with nothing unread has counted everything, whoever paused it.
  const isOld = OLD.includes(verdict) && lag !== 0;
  const since = ageMs === null ? lastProgressAt : at - ageMs;
  return { at, consumer, verdict, isPaused, evidence, old: isOld ? { since } : null, lag };
}

/** What the tables themselves tell of how fresh they are: `millrace_as_of` of the page's consumer. Times are epoch milliseconds. */
export interface TablesAsOf {
  /** The database's own time. */
  readonly at: number;
  /** The newest time among the records that the tables hold; null before the first. */
  readonly asOf: number | null;
  /** When the consumer last settled anything; null before the first time. */
  readonly settledAt: number | null;
}

/** A site that people read has a record a minute; and what is on its way through a healthy consumer takes less. */
const FRESH_MS = 120_000;

/**
 * How far behind the numbers are, by the tables alone: without the log's end, nobody can tell a topic without records from a
 * consumer that has stopped. That is UNKNOWN, and the page says since when the numbers are old.
 */
export function freshnessByTables(consumer: string, { at, asOf, settledAt }: TablesAsOf): PageFreshness {
  const freshness = (verdict: LagVerdict, because: string, since: number | null = asOf): PageFreshness => ({
    at,
    consumer,
    verdict,
    isPaused: false,
    evidence: [because],
    old: verdict === 'OK' ? null : { since },
    lag: null,
  });
  if (asOf === null || settledAt === null)
    return freshness('UNKNOWN', `${consumer} has applied no record yet.`, null);
  // A producer's clock may be ahead.
  const behindMs = Math.max(0, settledAt - asOf);
  if (at - settledAt > FRESH_MS)
    return freshness(
      'UNKNOWN',
      `Nothing has been applied since ${moment(settledAt)}: nothing was published, or ${consumer} has stopped. "millrace status" tells which.`,
    );
  if (behindMs > FRESH_MS)
    return freshness('BEHIND', `${consumer} applies records that are ${duration(behindMs)} old.`);
  return freshness('OK', `Records up to ${moment(asOf)} are counted.`);
}

/** What a deployed page's function logs in to the database as: it reads the reader views of the page's consumer, and nothing else. */
export const PAGE_ROLE = 'millrace-page';

/** What the function of a deployed page is given beside its code: no consumer's, and nothing of the app but this. */
export interface DeployedPage extends Pick<DemoPage, 'consumer' | 'queries'> {
  /** The HTML of `/page/live`. Its addresses are relative. */
  readonly document: string;
  /** What it loads, by the file's name, as text: script, style and icon. */
  readonly assets: Readonly<Record<string, { readonly type: string; readonly body: string }>>;
}

/** The file beside the function's code that has it, as JSON. */
export const PAGE_FILE = 'page.json';

/** The names that browsers load a page's files by. A page without a style has no such file. */
export function pageFiles({ script }: Pick<DemoPage, 'script'>): readonly string[] {
  const name = script.replace(/^.*\//, '').replace(/\.\w+$/, '');
  return [`${name}.js`, `${name}.css`, 'icon.svg'];
}

/** Of every answer to a browser: nothing inline, nothing from elsewhere, in nobody's frame, and kept nowhere. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};
