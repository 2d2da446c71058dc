import { createHmac, randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import type { InputItem } from '../runtime/app.ts';

/** What stands between quotes, where a backslash escapes. */
const TEXT = String.raw`[^"\\]*(?:\\.[^"\\]*)*`;
/**
 * `head [time] "request" status bytes`, and in the combined format ` "referrer" "user agent"` behind it. Further fields,
 * such as the `"$http_x_forwarded_for"` of nginx's packaged format and the byte counts of Apache's combinedio, count for
 * nothing. A last field without its closing quote is a line that was cut short while it was written: all that counts
 * is there.
 * https://httpd.apache.org/docs/2.4/logs.html#accesslog (read 2026-11-24),
 * https://github.com/nginx/nginx/blob/master/conf/nginx.conf (read 2026-11-26)
 */
const LINE = new RegExp(
  [
    String.raw`^(?<head>(?:\[[\da-f:.]+\]:\d{1,5} )?[^[]*) \[(?<time>[^\]]*)\] `,
    String.raw`"(?<request>${TEXT})" (?<status>\d{3}) (?:\d+|-)`,
    String.raw`(?: "(?<referrer>${TEXT})" "(?<agent>${TEXT})(?:"(?: (?:"${TEXT}"|\d+(?:\.\d+)?|-))*(?: "${TEXT})?)?)?$`,
  ].join(''),
  's',
);

const ISO_TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)`;
/** What stands before a line that came by way of a log collector. */
const COLLECTOR_PREFIX = new RegExp(
  `^(?:${[
    // `docker compose logs`, with -t or without.
    String.raw`[\w.-]+ +\| (?:${ISO_TIME} )?`,
    // https://www.rfc-editor.org/rfc/rfc5424#section-6 (read 2026-11-26)
    String.raw`(?:<\d{1,3}>)?1 ${ISO_TIME} \S+ \S+ \S+ \S+ (?:-|(?:\[(?:[^\]"\\]|\\.|"${TEXT}")*\])+) \ufeff?`,
    // https://www.rfc-editor.org/rfc/rfc3164#section-4.1 (read 2026-11-26); with ISO times by rsyslog and journalctl.
    String.raw`(?:<\d{1,3}>)?(?:[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d|${ISO_TIME}) (?:\S+ )?[^\s:[\]]+(?:\[\d+\])?: `,
    // Kubernetes' CRI, whole lines only; `docker logs -t` and `kubectl logs --timestamps`.
    `${ISO_TIME} (?:std(?:out|err) F )?`,
  ].join('|')})`,
);

const REQUEST = /^(?<method>\S+) (?<target>.+?)(?: HTTP\/\d(?:\.\d)?)?$/s;
const TIME =
  /^(?<day>\d\d)\/(?<month>[A-Z][a-z]{2})\/(?<year>\d{4}):(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d) (?<zone>(?<sign>[+-])(?<zoneHours>\d\d)(?<zoneMinutes>\d\d))$/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Files that a page loads or offers for download. Texts that people open, such as a PDF, are pageviews. */
const ASSET = new RegExp(
  String.raw`\.(?:${[
    'css|js|mjs|cjs|map|wasm|json|webmanifest',
    'apng|avif|bmp|cur|gif|hei[cf]|ico|jfif|jp2|jpe?g|jxl|png|svgz?|tiff?|webp',
    'eot|otf|tt[cf]|woff2?',
    '3gp|aac|aiff?|avi|cmf[av]|flac|flv|m2ts|m3u8|m4[apsv]|mka|mkv|mov|mp[34]|mpd|mpe?g|og[agv]|opus|swf|ts|wav|web[am]|wm[av]',
    'srt|vtt',
    '7z|apk|bz2|deb|dmg|exe|gz|iso|jar|msi|pkg|rar|rpm|tar|tgz|xz|zip|zst',
  ].join('|')})$`,
  'i',
);
/** What sites answer to machines at well-known places. */
const FOR_MACHINES =
  /^\/(?:(?:robots|ads|app-ads|humans|security|llms)\.txt|sitemap[\w.-]*\.xml|\.well-known\/.*)$/i;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Turns lines of a web server's access log (Apache's common or combined format, with the virtual host before it or not)
 * into pageviews, and never throws for what a line holds. A line that does not say for certain who the client was is
 * malformed: a wrong client would merge sessions, or split them, without a word.
 *
 * A pageview is a GET answered 200 or 304 for anything but a static asset or a file for machines, such as /robots.txt; its
 * content id is the path, percent-decoded, without query and fragment. The reader's address and user agent end up in nothing but `sessionId`, an HMAC of both
 * and the day.
 * @param salt keys the HMACs: the same salt gives the same line the same `sessionId` again
 * @param reading which reading of the log it is. Its name is in each `eventId`: a log that is read twice counts twice, and
 *   nothing that one reading sends twice does. @default a new one
 */
export function accessLogParser(
  salt: Buffer,
  reading: string = randomUUID(),
): (line: string, number: number) => InputItem<Pageview> {
  const pseudonym = (...parts: readonly unknown[]) =>
    createHmac('sha256', salt).update(parts.join('\n')).digest('base64url').slice(0, 22);

  return (line, number) => {
    const malformed = (reason: string): InputItem<Pageview> => ({ kind: 'malformed', line: number, reason });
    const fields = LINE.exec(line.replace(COLLECTOR_PREFIX, ''))?.groups;
    const client = clientOf(fields?.head ?? '');
    if (!fields || client === undefined)
      return malformed("not a line of Apache's combined or common log format");
    const occurredAt = parseTime(fields.time!);
    if (occurredAt === undefined)
      return malformed('the time is not a date that exists, as in 17/May/2015:10:05:03 +0000');

    const page = pageOf(fields.request!, fields.status!);
    if ('reason' in page) return { kind: 'ignored', line: number, reason: page.reason };
    const { path } = page;
    const agent = fields.agent ?? '-';
    const value: Pageview = {
      eventId: pseudonym('event', reading, number, line),
      contentId: path,
      sessionId: pseudonym('session', client, agent, Math.floor(occurredAt / DAY_MS)),
      userId: null,
      url: REQUEST.exec(fields.request!)!.groups!.target!.split('#', 1)[0]!,
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

/**
 * The client in what stands before the time: `host ident user`, of which the user may hold blanks, and before it the
 * virtual host, with its port (Debian's vhost_combined) or without. Undefined where another reading is possible.
 */
function clientOf(head: string): string | undefined {
  const [first, second, ...rest] = head.split(' ');
  if (first === undefined || second === undefined || rest.length === 0 || rest.some((text) => isIP(text) > 0))
    return undefined;
  const isVirtualHost =
    rest.length > 1 && (VIRTUAL_HOST.test(first) || (isHostName(first) && isIP(second) > 0));
  if (isVirtualHost) return isIP(second) > 0 || isHostName(second) ? second : undefined;
  if (isIP(first) > 0) return isIP(second) > 0 ? undefined : first;
  return isHostName(first) && second === '-' ? first : undefined;
}

/** With its port: without one it is told from a client's name by the address behind it. */
const VIRTUAL_HOST = /^(?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5}$/i;

/** A name ends in a label that is not a number, so that what is left of a date or an address is none. */
function isHostName(text: string): boolean {
  return (
    text.length <= 253 && /^(?:[a-z\d_](?:[\w-]{0,62})\.)*(?!\d+$)[a-z\d](?:[\w-]{0,62})\.?$/i.test(text)
  );
}

/** The path of a request that is a pageview, or why it is none. */
function pageOf(request: string, status: string): { readonly path: string } | { readonly reason: string } {
  const { method, target } = REQUEST.exec(request)?.groups ?? {};
  if (method !== 'GET' || target === undefined) return { reason: 'requests other than GET' };
  if (status !== '200' && status !== '304') return { reason: 'answers other than 200 and 304' };
  // A request through a proxy names the whole URL.
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1)[0] || '/';
  if (ASSET.test(path)) return { reason: 'files that pages load' };
  return FOR_MACHINES.test(path) ? { reason: 'files for machines' } : { path: decoded(path) };
}

/** `/news/%C3%A9lection` as `/news/élection`; as it is where that is no text, or holds what nobody can see. */
function decoded(path: string): string {
  try {
    const text = decodeURI(path);
    return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) ? path : text;
  } catch {
    return path;
  }
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
  const isTabletOnAndroid = /android/i.test(agent) && !/mobile/i.test(agent);
  if (isTabletOnAndroid || /ipad|tablet|kindle|silk/i.test(agent)) return 'TABLET';
  if (/mobi|iphone|ipod|phone|blackberry|opera mini/i.test(agent)) return 'PHONE';
  if (/windows|macintosh|mac os x|linux|x11|cros/i.test(agent)) return 'DESKTOP';
  return 'OTHER';
}
