/** Which articles break: read far more than they usually are, and than everything else is. */

/** How many views there have to be: a quiet article is read by three instead of by one, and no news. */
const LEAST_VIEWS = 20;
/** Of all that is read meanwhile. */
const LEAST_SHARE = 0.02;
const LEAST_RISE = 3;
/** In standard deviations of a count. */
const LEAST_SURPRISE = 5;
/** The newest minute, which has only begun, and the one before. */
const RECENT_MINUTES = 2;
/** What is usual is not known sooner. */
const LEAST_HISTORY_MINUTES = 3;
/** An article that has been read for so long has a rate of its own, though it is younger than the hour. */
const NEW_MINUTES = 10;

/**
 * Whether an article's views rise well above its own rate: three times what it has in a usual minute, once what all other
 * articles gained is taken off. A new article's own rate is 0 for
 * its first ten minutes, as long as the site was read before.
 * @param article views by the minute, the oldest first
 * @param site the same minutes of all articles; a minute with nothing was not watched
 * @param share how much of the newest minute is over, from 0 to 1
 */
export function isBreaking(article: readonly number[], site: readonly number[], share: number): boolean {
  const began = site.findIndex((views) => views > 0);
  const from = site.length - RECENT_MINUTES;
  // The first minute may have been watched for a part of it.
  const usual = site.flatMap((views, at) => (at > began && at < from && views > 0 ? [at] : []));
  if (began < 0 || usual.length < LEAST_HISTORY_MINUTES) return false;

  const views = sum(article.slice(from));
  const all = sum(site.slice(from));
  const minutes = RECENT_MINUTES - 1 + Math.min(1, Math.max(0, share));
  const firstRead = article.findIndex((views) => views > 0);
  const read = usual.filter((at) => at >= firstRead);
  const own = median((read.length >= NEW_MINUTES ? read : usual).map((at) => article[at]!));
  const others = median(usual.map((at) => site[at]! - article[at]!));
  const siteRise = others > 0 ? Math.max(1, (all - views) / minutes / others) : 1;
  const expected = own * minutes * siteRise;
  return (
    views >= LEAST_VIEWS &&
    views >= all * LEAST_SHARE &&
    views >= expected * LEAST_RISE &&
    views - expected >= LEAST_SURPRISE * Math.sqrt(expected + 1)
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
