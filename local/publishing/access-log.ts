import { createHmac } from 'node:crypto';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import type { InputItem } from './input.ts';

/**
 * `host ident user [time] "request" status bytes`, and in the combined format ` "referrer" "user agent"` behind it.
 * Inside quotes a backslash escapes. A user agent without its closing quote is a line that was cut short while it
 * was written: all that counts is there.
 * https://httpd.apache.org/docs/2.4/logs.html#accesslog (read 2026-11-24)
 */
const LINE =
  /^(?<host>\S+) \S+ [^[]+ \[(?<time>[^\]]*)\] "(?<request>(?:[^"\\]|\\.)*)" (?<status>\d{3}) (?:\d+|-)(?: "(?<referrer>(?:[^"\\]|\\.)*)" "(?<agent>(?:[^"\\]|\\.)*)"?)?$/;
const REQUEST = /^(?<method>\S+) (?<target>.+?)(?: HTTP\/\d(?:\.\d)?)?$/;
const TIME =
  /^(?<day>\d\d)\/(?<month>[A-Z][a-z]{2})\/(?<year>\d{4}):(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d) (?<zone>(?<sign>[+-])(?<zoneHours>\d\d)(?<zoneMinutes>\d\d))$/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const ASSET = /\.(?:css|js|png|jpe?g|gif|ico|svg|woff2?|ttf|eot|map|mp4|webp)$/i;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Turns lines of a web server's access log (Apache's combined or common format) into pageviews, and never throws for
 * what a line holds. A pageview is a GET answered 200 or 304 for anything but a static asset; its content id is the
 * path as the log writes it, without query and fragment. The reader's address and user agent end up in nothing but
 * `sessionId`, an HMAC of both and the day.
 * @param salt keys the HMACs: the same salt gives the same line the same `eventId` and `sessionId` again
 */
export function accessLogParser(salt: Buffer): (line: string, number: number) => InputItem<Pageview> {
  const pseudonym = (...parts: readonly unknown[]) =>
    createHmac('sha256', salt).update(parts.join('\n')).digest('base64url').slice(0, 22);

  return (line, number) => {
    const malformed = (reason: string): InputItem<Pageview> => ({ kind: 'malformed', line: number, reason });
    const fields = LINE.exec(line)?.groups;
    if (!fields) return malformed("not a line of Apache's combined or common log format");
    const occurredAt = parseTime(fields.time!);
    if (occurredAt === undefined)
      return malformed('the time is not a date that exists, as in 17/May/2015:10:05:03 +0000');

    const path = pageviewPath(fields.request!, fields.status!);
    if (path === undefined) return { kind: 'ignored', line: number };
    const agent = fields.agent ?? '-';
    const value: Pageview = {
      eventId: pseudonym('event', number, line),
      contentId: path,
      sessionId: pseudonym('session', fields.host, agent, Math.floor(occurredAt / DAY_MS)),
      userId: null,
      url: REQUEST.exec(fields.request!)!.groups!.target!.replace(/#.*$/, ''),
      referrer: fields.referrer === undefined || fields.referrer === '-' ? null : fields.referrer,
      section: path.split('/')[1] || 'home',
      device: deviceOf(agent),
      country: null,
      occurredAt,
      engagedMs: 0,
    };
    return { kind: 'value', line: number, value };
  };
}

/** The path of a request that is a pageview, undefined for any other request. */
function pageviewPath(request: string, status: string): string | undefined {
  const { method, target } = REQUEST.exec(request)?.groups ?? {};
  if (method !== 'GET' || target === undefined || (status !== '200' && status !== '304')) return undefined;
  // A request through a proxy names the whole URL.
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/, '') || '/';
  return ASSET.test(path) ? undefined : path;
}

/** Epoch milliseconds, undefined for a time that is not written as the log does or that does not exist. */
function parseTime(text: string): number | undefined {
  const fields = TIME.exec(text)?.groups;
  if (!fields) return undefined;
  const [day, year, hour, minute, second, zoneHours, zoneMinutes] = [
    'day',
    'year',
    'hour',
    'minute',
    'second',
    'zoneHours',
    'zoneMinutes',
  ].map((name) => Number(fields[name])) as [number, number, number, number, number, number, number];
  const month = MONTHS.indexOf(fields.month!);
  const exists =
    year >= 1970 &&
    month >= 0 &&
    day >= 1 &&
    day <= new Date(Date.UTC(year, month + 1, 0)).getUTCDate() &&
    hour <= 23 &&
    minute <= 59 &&
    second <= 60 &&
    zoneHours <= 14 &&
    zoneMinutes <= 59;
  if (!exists) return undefined;
  const zoneMs = (zoneHours * 60 + zoneMinutes) * 60_000 * (fields.sign === '-' ? -1 : 1);
  return Date.UTC(year, month, day, hour, minute, second) - zoneMs;
}

function deviceOf(agent: string): Pageview['device'] {
  if (/bot|crawl|spider|slurp|feed|rss|curl|wget|python|java\/|ruby|perl|libwww/i.test(agent)) return 'OTHER';
  if (/smart-?tv|appletv|googletv|hbbtv|roku/i.test(agent)) return 'TV';
  if (/ipad|tablet|kindle|silk|android(?!.*mobile)/i.test(agent)) return 'TABLET';
  if (/mobi|iphone|ipod|phone|blackberry|opera mini/i.test(agent)) return 'PHONE';
  if (/windows|macintosh|mac os x|linux|x11|cros/i.test(agent)) return 'DESKTOP';
  return 'OTHER';
}
