/** Serves pages and what they ask for to browsers on this machine, and to nobody else. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';
import { PAGE_HEADERS } from '../runtime/page.ts';
import { printableLines } from '../runtime/printable.ts';
import { type EventStream, openEventStream } from './event-stream.ts';
import { createGuard, type Guard } from './guard.ts';

export interface Asset {
  readonly type: string;
  readonly body: string | Uint8Array;
}

/** What a page's script asks for. The answer is JSON; a stream's is its events, and it ends with the page. */
export type Route = (
  | { readonly method: 'GET' | 'POST'; answer(request: RouteRequest): unknown }
  | { readonly method: 'GET'; stream(events: EventStream, request: RouteRequest): unknown }
) & {
  /** Segments that begin with a colon match anything, as in `/api/actions/:id/pause`. */
  readonly path: string;
};

export interface RouteRequest {
  /** What the colons stand for, decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Of a POST: its JSON. */
  readonly body: unknown;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface PageServerOptions {
  /** By their paths, such as `/assets/console.js`. Read at each request. */
  readonly assets: Readonly<Record<string, Asset>>;
  /** The page at a path outside `/assets/` and `/api/` that is no route; undefined where there is none. */
  page(path: string): string | undefined;
  readonly routes: (guard: Guard) => readonly Route[];
  /** 0 for any that is free. */
  readonly port: number;
  /** Any free port, where that one is taken. @default false: it is refused */
  readonly orAnyPort?: boolean;
}

export interface PageServer {
  /** With the token: whoever has it can open the page. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
const MAX_BODY_BYTES = 1_048_576;

/** What a failed call ends with; any other error is 500. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  INPUT_INVALID: 400,
  DEAD_LETTER_NOT_FOUND: 404,
  TOPIC_UNKNOWN: 404,
  STATE_IN_USE: 409,
};

/** @throws INPUT_INVALID when the port is taken */
export async function servePages(options: PageServerOptions): Promise<PageServer> {
  const guard = createGuard();
  const routes = options.routes(guard).map((route) => ({ route, matches: matcher(route.path) }));
  let port = 0;

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(PAGE_HEADERS)) response.setHeader(name, value);
    const refusal = guard.refusal(request, port);
    if (refusal) return refuse(response, refusal.status, 'PAGE_REFUSED', refusal.message);
    // Of two texts, not of a base: "//evil.example" is a path here, and no host.
    const url = new URL(`http://${HOST}${request.url}`);
    const token = url.searchParams.get('token');
    if (token !== null && request.method === 'GET' && guard.opens(token))
      return signIn(url, request, response);
    const isReading = request.method === 'GET' || request.method === 'HEAD';
    if (isReading && url.pathname === PLAIN_PATH) return send(response, 200, 'text/css', PLAIN_STYLE);
    if (!guard.isSignedIn(request, port)) return notSignedIn(url, response);

    const asset = Object.hasOwn(options.assets, url.pathname) && options.assets[url.pathname];
    if (asset && isReading) return send(response, 200, asset.type, asset.body);
    for (const { route, matches } of routes) {
      const parameters = matches(url.pathname);
      if (!parameters || route.method !== request.method) continue;
      return call(route, { parameters, query: url.searchParams }, request, response);
    }
    // A script that is not there must not be a page: the browser would say that the page is no script.
    const isPage = isReading && !/^\/(?:api|assets)(?:\/|$)/.test(url.pathname);
    const page = isPage ? options.page(url.pathname) : undefined;
    if (page !== undefined) return send(response, 200, 'text/html; charset=utf-8', page);
    refuse(response, 404, 'PAGE_UNKNOWN', `There is nothing at ${url.pathname}.`);
  };

  /**
   * The cookie takes the token's place, so that it is in no history and no bookmark. Cookies know no ports: a server on another
   * one gets this cookie along when its page is opened. What writes is therefore told to the page alone, behind the #.
   */
  const signIn = (url: URL, request: IncomingMessage, response: ServerResponse) => {
    url.searchParams.delete('token');
    const path = `${url.pathname.replace(/^\/+/, '/')}${url.search}#csrf=${guard.csrf}`;
    response.setHeader('Set-Cookie', guard.cookie(port));
    // A browser that comes from another site leaves out a strict cookie on the way; from this page it goes along.
    const site = request.headers['sec-fetch-site'];
    if (site === undefined || site === 'none' || site === 'same-origin')
      return response.writeHead(303, { Location: path }).end();
    send(response, 200, 'text/html; charset=utf-8', opening(path));
  };

  const call = async (
    route: Route,
    { parameters, query }: Pick<RouteRequest, 'parameters' | 'query'>,
    request: IncomingMessage,
    response: ServerResponse,
  ) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const asked = { parameters, query, signal: gone.signal };
    try {
      if ('stream' in route) {
        const events = openEventStream(response);
        await route.stream(events, { ...asked, body: undefined });
        return response.end();
      }
      if (route.method === 'POST' && !guard.mayWrite(request))
        return refuse(
          response,
          403,
          'PAGE_REFUSED',
          'The page may not write: open it by the URL that the command printed.',
        );
      const body = route.method === 'POST' ? await bodyOf(request) : undefined;
      const answer = await route.answer({ ...asked, body });
      send(response, 200, 'application/json', JSON.stringify(answer ?? null));
    } catch (error) {
      if (response.headersSent) return response.destroy();
      // Nobody reads the rest of a body that is too large.
      if (!request.complete) response.setHeader('Connection', 'close');
      const { code, message } = error instanceof MillraceError ? error : unexpected(error);
      refuse(response, STATUSES[code] ?? 500, code, message);
    }
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  port = await listen(server, options);
  return {
    url: `http://${HOST}:${port}/?token=${guard.token}`,
    port,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(
  server: ReturnType<typeof createServer>,
  { port, orAnyPort = false }: PageServerOptions,
): Promise<number> {
  const on = async (wanted: number) => {
    server.listen(wanted, HOST);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  try {
    return await on(port);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    if (orAnyPort) return on(0);
    throw new MillraceError(
      'INPUT_INVALID',
      `Port ${port} of ${HOST} is in use. Choose another, or 0 for any free port.`,
      { cause, details: { port } },
    );
  }
}

/** What the path's colons stand for; undefined where it is another path. */
function matcher(path: string): (given: string) => Readonly<Record<string, string>> | undefined {
  const wanted = path.split('/');
  return (given) => {
    const segments = given.split('/');
    if (segments.length !== wanted.length) return undefined;
    const parameters: Record<string, string> = {};
    for (const [at, segment] of wanted.entries()) {
      if (!segment.startsWith(':')) {
        if (segment !== segments[at]) return undefined;
        continue;
      }
      const text = decoded(segments[at]!);
      if (text === undefined) return undefined;
      parameters[segment.slice(1)] = text;
    }
    return parameters;
  };
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** @throws INPUT_INVALID where it is no JSON, or too large to be a page's */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const invalid = (problem: string) =>
    new MillraceError('INPUT_INVALID', `${problem} Send JSON, up to ${MAX_BODY_BYTES} bytes.`);
  if (!/^application\/json(?:;|$)/.test(request.headers['content-type'] ?? ''))
    throw invalid('The request is not application/json.');
  // Said before it is read: one that is hung up on in the middle hears no answer.
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES)
    throw invalid('The request is too large.');
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw invalid('The request is too large.');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw invalid('The request holds no JSON.');
  }
}

function send(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body);
}

function refuse(response: ServerResponse, status: number, code: ErrorCode, message: string): void {
  send(response, status, 'application/json', JSON.stringify({ error: { code, message } }));
}

const NOT_SIGNED_IN = `<p>Open this page by the URL in the terminal: it holds a token.</p>
<dl><dt><code>npx millrace console</code></dt><dd>prints the URL of the console.</dd>
<dt><code>npm start</code></dt><dd>runs the pipeline, and prints the URLs of its pages.</dd></dl>
<p>Each start makes a new token, and the one before is no longer valid.</p>`;

function notSignedIn(url: URL, response: ServerResponse): void {
  const message = 'Open the page by the URL that the command printed: it holds a token.';
  if (url.pathname.startsWith('/api/')) refuse(response, 401, 'PAGE_REFUSED', message);
  else send(response, 401, 'text/html; charset=utf-8', plainPage('Not signed in', NOT_SIGNED_IN));
}

/** What a page says of an error that nobody foresaw. Its text may quote a record, so it goes to the terminal alone. */
export function unexpected(error: unknown): { readonly code: 'UNEXPECTED'; readonly message: string } {
  const text = error instanceof Error ? (error.stack ?? error) : error;
  // It may quote what moves a terminal's cursor, or worse.
  process.stderr.write(`${printableLines(String(text))}\n`);
  return { code: 'UNEXPECTED', message: 'This is a bug in Millrace. The terminal has the details.' };
}

function opening(path: string): string {
  return plainPage(
    'Opening',
    '<p>Opening …</p>',
    `<meta http-equiv="refresh" content="0;url=${escaped(path)}">`,
  );
}

/** The one file for whoever is not signed in: it says nothing of the pipeline. The colours are those of `ui/style.css`. */
const PLAIN_PATH = '/assets/plain.css';
const PLAIN_STYLE = `:root { color-scheme: light dark; }
body { margin: 0; padding: 1.25rem; font: 1rem/1.55 ui-sans-serif, system-ui, "Segoe UI", "Noto Sans", Roboto, sans-serif;
  background: light-dark(#f4f3ee, #0b1217); color: light-dark(#15202a, #e9eef1); }
main { max-width: 34rem; margin: 12vh auto 0; padding: 1.25rem 1.5rem; border: 1px solid light-dark(#dcd9ce, #26343e);
  border-radius: 0.4rem; background: light-dark(#fffefb, #121b22); border-top: 3px solid light-dark(#0a5f63, #79d4c8); }
h1 { margin: 0 0 0.5rem; font-size: 1.25rem; }
p, dl { margin: 0 0 0.75rem; }
dd { margin: 0 0 0.35rem; color: light-dark(#525d68, #a0aeb9); }
code { padding: 0.1em 0.35em; border-radius: 0.25rem; background: light-dark(#ebe9e1, #0a1014);
  font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.92em; }
`;

function plainPage(title: string, body: string, head = ''): string {
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="${PLAIN_PATH}"><title>${title} · Millrace</title>${head}</head><body><main><h1>${title}</h1>${body}</main></body></html>`;
}

/** Text that is safe in HTML, also in quotes. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
}
