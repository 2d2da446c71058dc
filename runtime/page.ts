/** A page of the app's own, such as the newsroom's: what an app declares, and what the page's script is given. */
import type { ConsumerStatus, LagVerdict } from './lag/status.ts';

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
  /** Read only, by names of the page's own. Each runs within a second of a commit, twice a second at most. */
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
  /** Null before the first look at the tables. */
  readonly data: PageData | null;
  /** Null before the first look at the consumer. */
  readonly freshness: PageFreshness | null;
}

/**
 * The page's queries as one statement, so that they see one snapshot: one row, with `as_of` in epoch milliseconds and `rows` as
 * JSON, by the queries' names. Run it read only, as a role that may read the consumer's tables and `millrace_as_of`.
 */
export function pageStatement({ consumer, queries }: DemoPage): string {
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
