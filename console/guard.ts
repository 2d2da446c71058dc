/** Who may ask a page's server anything: a browser on this machine that was given the page's URL, and no other page in it. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export interface Guard {
  /** The word in the first URL. It opens the page for as long as the server runs. */
  readonly token: string;
  /** Sent by the page's own script with every request that does something. It is in no cookie and no answer to one. */
  readonly csrf: string;
  /** What the browser keeps from the first URL on. */
  cookie(port: number): string;
  /** Why the request is refused; undefined where it is let through to what needs no session. */
  refusal(request: IncomingMessage, port: number): Refusal | undefined;
  /** Whether the request has the cookie. */
  isSignedIn(request: IncomingMessage, port: number): boolean;
  /** Whether the word is the token. */
  opens(word: string): boolean;
  /** Whether the request has the page's own header, and comes from the page itself. */
  mayWrite(request: IncomingMessage): boolean;
}

export interface Refusal {
  readonly status: 403 | 421;
  readonly message: string;
}

export const CSRF_HEADER = 'x-millrace-csrf';

/** A guard with secrets of its own: they are nowhere but in this process and in the browser. */
export function createGuard(): Guard {
  const secret = randomBytes(32);
  // 192 bits, so that a URL fits a line of a terminal.
  const derived = (of: string) => createHmac('sha256', secret).update(of).digest('base64url').slice(0, 32);
  const [token, session, csrf] = ['token', 'session', 'csrf'].map(derived) as [string, string, string];
  return {
    token,
    csrf,
    // Ports share cookies: two servers on this machine each have a name of their own.
    cookie: (port) => `${cookieName(port)}=${session}; HttpOnly; SameSite=Strict; Path=/`,
    refusal({ method, headers, rawHeaders, url = '' }, port) {
      // A page can have a name of its own lead to this machine (DNS rebinding); the request names what it was sent to.
      const host = headers.host?.toLowerCase() ?? '';
      const hosts = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host').length;
      if (hosts !== 1 || !isOwn(host, port) || !url.startsWith('/'))
        return { status: 421, message: `This page is served as http://127.0.0.1:${port} only.` };
      const { origin } = headers;
      if (origin !== undefined && origin !== `http://${host}`) return FOREIGN;
      return isElsewhere(headers) && !isLink(method, url, headers) ? FOREIGN : undefined;
    },
    isSignedIn({ headers }, port) {
      const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
      return pairs.some((pair) => {
        const at = pair.indexOf('=');
        return pair.slice(0, at) === cookieName(port) && same(pair.slice(at + 1), session);
      });
    },
    opens: (word) => same(word, token),
    mayWrite: ({ headers }) => same(String(headers[CSRF_HEADER] ?? ''), csrf),
  };
}

const FOREIGN: Refusal = { status: 403, message: 'The request comes from another page.' };

/** Browsers leave out the port where it is HTTP's own. */
function isOwn(host: string, port: number): boolean {
  return ['127.0.0.1', 'localhost'].some(
    (name) => host === `${name}:${port}` || (port === 80 && host === name),
  );
}

/** Other ports of this machine are another origin, yet the same site: they get the cookie, and are told apart by this. */
function isElsewhere({ 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}

/** A person may follow a link from elsewhere to a page, in a window of its own; nothing else of another page is answered. */
function isLink(method: string | undefined, url: string, headers: IncomingHttpHeaders): boolean {
  return (
    method === 'GET' &&
    !url.startsWith('/api/') &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers['sec-fetch-dest'] === 'document'
  );
}

function cookieName(port: number): string {
  return `millrace-${port}`;
}

/** Takes the same time for each wrong word. */
function same(given: string, wanted: string): boolean {
  const [a, b] = [given, wanted].map((text) => createHmac('sha256', 'compare').update(text).digest());
  return timingSafeEqual(a!, b!);
}
