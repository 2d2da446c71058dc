import middy, { type MiddyfiedHandler } from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { type ErrorCode, MillraceError } from '../../runtime/errors.ts';
import type { Collected, CollectMetrics, Collector, EventFormat } from '../../runtime/publish/collect.ts';
import type { LambdaLogger } from './consumer-handler.ts';

export interface CollectorHandlerOptions {
  readonly collector: Collector;
  readonly logger: LambdaLogger;
  readonly metrics: CollectMetrics;
  /** Origins of the pages that may send events, such as `https://www.example.org`; `*` alone for every page. */
  readonly allowedOrigins: readonly string[];
}

/** What of API Gateway's event is read. */
export type CollectorEvent = Pick<
  APIGatewayProxyEvent,
  'httpMethod' | 'pathParameters' | 'headers' | 'body' | 'isBase64Encoded'
>;

/** `text/plain` is what navigator.sendBeacon() makes of a string, and what no browser asks leave for. */
const FORMATS: Readonly<Record<string, EventFormat>> = {
  'application/json': 'json',
  'text/plain': 'json',
  'application/x-ndjson': 'ndjson',
};

const STATUS: Partial<Record<ErrorCode, number>> = {
  REQUEST_UNREADABLE: 400,
  ORIGIN_REFUSED: 403,
  TOPIC_UNKNOWN: 404,
  REQUEST_TOO_LARGE: 413,
  REQUEST_UNSUPPORTED: 415,
};

const RETRY_AFTER_SECONDS = '5';
/** As long as Chrome keeps a preflight's answer: https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Access-Control-Max-Age (2026-11-25) */
const PREFLIGHT_SECONDS = '7200';

/**
 * The Lambda entry of the collector: `POST …/events/{topic}` by API Gateway's proxy integration, payload format 1.0
 * (https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html, 2026-11-25).
 * It answers every event and never throws: 202 when all were accepted, 207 when some were refused, 400 when all were, 503
 * when some failed; the body has a verdict for each. Neither logs nor records hold the caller's address or what was sent.
 */
export function collectorHandler(
  options: CollectorHandlerOptions,
): MiddyfiedHandler<CollectorEvent, APIGatewayProxyResult> {
  const { collector, logger, metrics, allowedOrigins } = options;

  const post = async (event: CollectorEvent): Promise<APIGatewayProxyResult> => {
    const topic = event.pathParameters?.topic ?? '';
    const body = Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8');
    const collected = await collector.collect({ topic, format: formatOf(event), body });
    const { accepted, refused, failed, failure, verdicts } = collected;
    metrics.reportCollect({ topic, accepted, refused, failed });
    if (failure) logger.error('Events not published', { topic, accepted, failed, error: failure });
    return answer(statusOf(collected), { accepted, refused, failed, verdicts });
  };

  const handle = async (event: CollectorEvent): Promise<APIGatewayProxyResult> => {
    try {
      checkOrigin(event, allowedOrigins);
      if (event.httpMethod === 'OPTIONS') return { statusCode: 204, headers: PREFLIGHT, body: '' };
      if (event.httpMethod === 'POST') return await post(event);
      return methodRefused();
    } catch (error) {
      if (error instanceof MillraceError && error.code in STATUS) return refusal(error);
      logger.error('Request failed', { error });
      return answer(500, { code: 'UNEXPECTED', message: 'The collector failed. Send the request again.' });
    }
  };

  return middy<CollectorEvent, APIGatewayProxyResult>({ timeoutEarlyInMillis: 0 }).handler(
    async (event, context) => {
      logger.addContext(context);
      const { headers, ...answered } = await handle(event);
      const cors = corsHeaders(headerOf(event, 'origin'), allowedOrigins);
      return { ...answered, headers: { ...cors, ...headers } };
    },
  );
}

const PREFLIGHT = {
  'Access-Control-Allow-Methods': 'POST',
  'Access-Control-Allow-Headers': 'content-type',
  'Access-Control-Max-Age': PREFLIGHT_SECONDS,
};

function isAllowed(origin: string, allowedOrigins: readonly string[]): boolean {
  return allowedOrigins.includes('*') || allowedOrigins.includes(origin);
}

/**
 * Browsers tell the page's origin, and no page can change it. A browser that leaves it out still tells whether it is
 * another. Whoever is no browser tells neither: this is no login.
 */
function checkOrigin(event: CollectorEvent, allowedOrigins: readonly string[]): void {
  const origin = headerOf(event, 'origin');
  const isOwn = ['same-origin', 'none'].includes(headerOf(event, 'sec-fetch-site') ?? 'none');
  if (origin === undefined ? isOwn || allowedOrigins.includes('*') : isAllowed(origin, allowedOrigins))
    return;
  throw new MillraceError(
    'ORIGIN_REFUSED',
    "This page's origin may not send events here. The collector's operator can add it.",
  );
}

/**
 * A beacon is sent with credentials, whatever it is: a page on the list may do that, though nothing here reads them. To
 * every page at once no browser grants it: https://fetch.spec.whatwg.org/#cors-protocol-and-credentials (2026-11-25).
 */
function corsHeaders(
  origin: string | undefined,
  allowedOrigins: readonly string[],
): Readonly<Record<string, string>> {
  if (allowedOrigins.includes('*')) return { 'Access-Control-Allow-Origin': '*', ...READABLE };
  if (origin === undefined || !isAllowed(origin, allowedOrigins)) return { Vary: 'Origin' };
  return {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Allow-Credentials': 'true',
    ...READABLE,
    Vary: 'Origin',
  };
}

/** What a page may read beside status and body. */
const READABLE = { 'Access-Control-Expose-Headers': 'Retry-After' };

function formatOf(event: CollectorEvent): EventFormat {
  const [type = ''] = (headerOf(event, 'content-type') ?? '').split(';');
  const format = Object.entries(FORMATS).find(([name]) => name === type.trim().toLowerCase())?.[1];
  const encoding = headerOf(event, 'content-encoding') ?? 'identity';
  if (format && encoding.trim().toLowerCase() === 'identity') return format;
  throw new MillraceError(
    'REQUEST_UNSUPPORTED',
    format
      ? 'The request is compressed, which the collector does not accept. Send it uncompressed.'
      : `The request's content type is not one of ${Object.keys(FORMATS).join(', ')}. Send one of these.`,
  );
}

/** API Gateway hands names on as they were written. */
function headerOf({ headers }: CollectorEvent, name: string): string | undefined {
  return Object.entries(headers ?? {}).find(([each]) => each.toLowerCase() === name)?.[1];
}

function statusOf({ accepted, refused, failed }: Collected): number {
  if (failed > 0) return 503;
  if (refused === 0) return 202;
  return accepted > 0 ? 207 : 400;
}

function refusal(error: MillraceError): APIGatewayProxyResult {
  return answer(STATUS[error.code]!, { code: error.code, message: error.message });
}

function answer(statusCode: number, body: object): APIGatewayProxyResult {
  return {
    statusCode,
    headers: {
      'Content-Type': 'application/json',
      'Cache-Control': 'no-store',
      ...(statusCode >= 500 && { 'Retry-After': RETRY_AFTER_SECONDS }),
    },
    body: JSON.stringify(body),
  };
}

/** With the methods that there are: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6 (2026-11-26) */
function methodRefused(): APIGatewayProxyResult {
  const error = new MillraceError(
    'REQUEST_UNSUPPORTED',
    'The collector takes POST, and OPTIONS for preflights.',
  );
  const { headers, ...refused } = refusal(error);
  return { ...refused, statusCode: 405, headers: { ...headers, Allow: 'POST, OPTIONS' } };
}
