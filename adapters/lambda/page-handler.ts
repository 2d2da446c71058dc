import { gzipSync } from 'node:zlib';
import type { APIGatewayProxyEvent, APIGatewayProxyResult, Context } from 'aws-lambda';
import { type ErrorCode, MillraceError } from '../../runtime/errors.ts';
import { type DeployedPage, PAGE_HEADERS, type PageAnswer } from '../../runtime/page.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { LambdaLogger } from './consumer-handler.ts';

export interface PageHandlerOptions {
  readonly page: Pick<DeployedPage, 'document' | 'assets'>;
  /** Asks the tables. Gives up when the signal aborts. */
  read(signal: AbortSignal): Promise<PageAnswer>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: LambdaLogger;
}

/** What of API Gateway's event is read. `resource` is the route, as the API declares it: no path of a caller's is ever looked up. */
export type PageEvent = Pick<
  APIGatewayProxyEvent,
  'httpMethod' | 'resource' | 'path' | 'pathParameters' | 'headers'
>;

/** How long an answer is good for whoever asks next. */
const KEPT_MS = 1_000;
/** What is left of the invocation when the database is given up: time to say so. */
const SPARE_MS = 2_000;
/** A small text is not worth the processor. */
const LEAST_ZIPPED = 1_024;
const RETRY_AFTER_SECONDS = '5';

/** A body, and the headers that it has beside those of every page. */
interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
  zipped?: string;
}

/**
 * The Lambda entry of a deployed page, behind API Gateway's proxy integration, payload format 1.0: `/page` leads to `/page/live`,
 * which loads `/page/assets/{file}` and asks for `/page/data`. API Gateway has checked who asks. What `data` answers is kept
 * for a second, so that a hundred viewers cost one query. It reads only, and never throws: the log says what failed, and no answer does.
 */
export function pageHandler({ page, read, clock, logger }: PageHandlerOptions) {
  const html = { status: 200, type: 'text/html; charset=utf-8', text: page.document };
  const files = new Map(
    Object.entries(page.assets).map(([name, { type, body }]): [string, Answer] => [
      name,
      { status: 200, type, text: body },
    ]),
  );
  let kept: { readonly until: number; readonly answer: Promise<Answer> } | undefined;

  const failed = (error: unknown): Answer => {
    logger.error('Page not read', {
      error,
      ...(error instanceof MillraceError && { code: error.code }),
    });
    return refusal(503, 'SINK_UNAVAILABLE', 'The tables do not answer. Ask again.', {
      'Retry-After': RETRY_AFTER_SECONDS,
    });
  };

  /** Whoever asks meanwhile waits for the same answer. */
  const data = (remainingMs: number): Promise<Answer> => {
    const now = clock.now();
    if (kept && now < kept.until) return kept.answer;
    const reading = read(AbortSignal.timeout(Math.max(1, remainingMs - SPARE_MS)));
    const asked = { until: now + KEPT_MS, answer: reading.then(json, failed) };
    kept = asked;
    // Whoever asks next asks the tables again.
    reading.catch(() => {
      if (kept === asked) kept = undefined;
    });
    return asked.answer;
  };

  const answerTo = async (event: PageEvent, context: Context): Promise<Answer> => {
    const { httpMethod, resource, pathParameters, path } = event;
    if (httpMethod !== 'GET' && httpMethod !== 'HEAD')
      return refusal(405, 'REQUEST_UNSUPPORTED', 'The page takes GET.', { Allow: 'GET, HEAD' });
    if (comesFromAnotherPage(event))
      return refusal(403, 'ORIGIN_REFUSED', 'The request comes from another page.');
    switch (resource) {
      case '/page':
        // Only the browser knows under which name and stage it came, so the way there is relative.
        return {
          status: 302,
          type: 'text/plain; charset=utf-8',
          text: '',
          headers: { Location: path.endsWith('/') ? 'live' : 'page/live' },
        };
      case '/page/live':
        return html;
      case '/page/data':
        return data(context.getRemainingTimeInMillis());
      default: {
        const file = resource === '/page/assets/{file}' ? pathParameters?.file : undefined;
        return files.get(file ?? '') ?? refusal(404, 'PAGE_UNKNOWN', 'There is nothing at this path.');
      }
    }
  };

  return async (event: PageEvent, context: Context): Promise<APIGatewayProxyResult> => {
    logger.addContext(context);
    return resultOf(await answerTo(event, context), event);
  };
}

/** The browser may add a login to a request of any page. A person may follow a link from elsewhere to the page; nothing else is answered. */
function comesFromAnotherPage(event: PageEvent): boolean {
  const site = headerOf(event, 'sec-fetch-site') ?? 'none';
  if (site === 'same-origin' || site === 'none') return false;
  const isLink =
    headerOf(event, 'sec-fetch-mode') === 'navigate' && headerOf(event, 'sec-fetch-dest') === 'document';
  return !isLink || !['/page', '/page/live'].includes(event.resource);
}

function resultOf(answer: Answer, event: PageEvent): APIGatewayProxyResult {
  const { status, type, text, headers } = answer;
  const isZipped = text.length >= LEAST_ZIPPED && takesGzip(event);
  const result = {
    statusCode: status,
    headers: {
      ...PAGE_HEADERS,
      // API Gateway answers by TLS alone.
      'Strict-Transport-Security': 'max-age=31536000',
      'Content-Type': type,
      Vary: 'Accept-Encoding',
      ...(isZipped && { 'Content-Encoding': 'gzip' }),
      ...headers,
    },
  };
  if (event.httpMethod === 'HEAD') return { ...result, body: '' };
  if (!isZipped) return { ...result, body: text };
  // Once for all who ask for it.
  answer.zipped ??= gzipSync(text).toString('base64');
  return { ...result, body: answer.zipped, isBase64Encoded: true };
}

function takesGzip(event: PageEvent): boolean {
  const encodings = (headerOf(event, 'accept-encoding') ?? '').split(',').map((each) => each.trim());
  return encodings.some((each) => /^gzip(?:\s*;\s*q=(?!0(?:\.0*)?$).*)?$/i.test(each));
}

/** API Gateway hands names on as they were written. */
function headerOf({ headers }: PageEvent, name: string): string | undefined {
  return Object.entries(headers ?? {}).find(([each]) => each.toLowerCase() === name)?.[1];
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', text: JSON.stringify(value) };
}

function refusal(
  status: number,
  code: ErrorCode,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { ...json({ error: { code, message } }), status, headers };
}
