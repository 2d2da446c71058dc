/** Who may ask a page's server anything: a browser on this machine that was given the page's URL, and no other page in it. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Guard {
  /** The word in the first URL. It opens the page for as long as the server runs. */
  readonly token: string;
  /** Sent by the page's own script with every request that does something; no other page can read it. */
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
    refusal({ headers, url = '' }, port) {
      const own = [`127.0.0.1:${port}`, `localhost:${port}`];
      // A page can have a name of its own lead to this machine (DNS rebinding); the request names what it was sent to.
      if (!own.includes(headers.host?.toLowerCase() ?? '') || !url.startsWith('/'))
        return { status: 421, message: `This page is served as ${own[0]} only.` };
      const { origin } = headers;
      if (origin !== undefined && !own.some((host) => origin === `http://${host}`))
        return { status: 403, message: 'The request comes from another page.' };
      // A link leads here by a navigation; nothing else of another page is answered.
      const site = headers['sec-fetch-site'];
      const isElsewhere = site !== undefined && site !== 'same-origin' && site !== 'none';
      if (isElsewhere && headers['sec-fetch-mode'] !== 'navigate')
        return { status: 403, message: 'The request comes from another page.' };
      return undefined;
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

function cookieName(port: number): string {
  return `millrace-${port}`;
}

/** Takes the same time for each wrong word. */
function same(given: string, wanted: string): boolean {
  const [a, b] = [given, wanted].map((text) => createHmac('sha256', 'compare').update(text).digest());
  return timingSafeEqual(a!, b!);
}
