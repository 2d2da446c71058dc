/** The collector over HTTP on this machine: the handler that API Gateway invokes, behind node:http. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { APIGatewayProxyResult, Context } from 'aws-lambda';
import { type CollectorEvent, collectorHandler } from '../adapters/lambda/collector-handler.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/ports.ts';
import { type CollectLimits, type CollectPorts, createCollector } from '../runtime/publish/collect.ts';

export interface CollectorServer {
  /** Such as `http://127.0.0.1:4180`. */
  readonly url: string;
  /** Events published since the start. */
  accepted(): number;
  /** Takes nothing more, and resolves when what was taken is answered. */
  close(): Promise<void>;
}

export interface CollectorServerOptions extends CollectPorts {
  readonly collected: readonly Contract<never>[];
  readonly limits: CollectLimits;
  /** 0 for any that is free. @default 4180, or any where that is taken */
  readonly port?: number | undefined;
  /** Origins of pages that may send events, as the deployed collector's. */
  readonly allowedOrigins: readonly string[];
  readonly log: Logger;
}

const DEFAULT_PORT = 4180;
const HOST = '127.0.0.1';
/** What Lambda takes of a request: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-25) */
const MAX_REQUEST_BYTES = 6 * 1_048_576;

/**
 * Serves the collector, to this machine alone. The topics are there.
 * @throws INPUT_INVALID when the port is taken
 */
export async function serveCollector(options: CollectorServerOptions): Promise<CollectorServer> {
  const { collected, limits, allowedOrigins, log, ...ports } = options;
  let eventsAccepted = 0;
  const handler = collectorHandler({
    collector: createCollector(collected, ports, limits),
    logger: { ...log, addContext() {} },
    metrics: {
      reportCollect({ accepted }) {
        eventsAccepted += accepted;
      },
    },
    allowedOrigins,
  });

  const underWay = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const event = await eventOf(request);
    // It came to its end after the others were counted: published now, it would be in no sum, and answered to nobody.
    if (closing) return void response.destroy();
    if (!event) return end(response, { statusCode: 413, headers: { Connection: 'close' }, body: '' });
    if (!isForThisMachine(request)) return end(response, FOREIGN_HOST);
    // middy types what it makes for any context; the handler reads none.
    const answering = handler(event, {} as Context) as Promise<APIGatewayProxyResult>;
    const answered = answering.then((result) => end(response, result));
    underWay.add(answered);
    await answered.finally(() => underWay.delete(answered));
  };
  const server = createServer((request, response) => {
    // A caller that hangs up needs no answer.
    answer(request, response).catch(() => response.destroy());
  });

  const listen = async (port: number) => {
    server.listen(port, HOST);
    await once(server, 'listening');
  };
  try {
    await listen(options.port ?? DEFAULT_PORT);
  } catch (error) {
    if (!isTaken(error)) throw error;
    if (options.port !== undefined) throw portTaken(options.port, error);
    await listen(0);
  }
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    const closed = once(server, 'close');
    server.close();
    await Promise.allSettled(underWay);
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `http://${HOST}:${port}`,
    accepted: () => eventsAccepted,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/**
 * A page can have its own name lead to this machine, and then counts as of one origin with the collector. Its name stands
 * in the request: https://www.rfc-editor.org/rfc/rfc9112#section-3.2 (2026-11-26).
 */
function isForThisMachine({ url = '', headers }: IncomingMessage): boolean {
  const authority = ABSOLUTE.exec(url)?.groups?.authority ?? headers.host ?? '127.0.0.1';
  return /^(?:localhost|(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i.test(authority);
}

/** What stands before the path where the client takes the collector for a proxy. */
const ABSOLUTE = /^https?:\/\/(?<authority>[^/?#]*)/i;

const FOREIGN_HOST: APIGatewayProxyResult = {
  statusCode: 403,
  headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  body: JSON.stringify({
    code: 'ORIGIN_REFUSED',
    message: `The request names a host other than this machine. Send it to ${HOST} or localhost.`,
  }),
};

/** As API Gateway makes it of a request for `/events/{topic}`; undefined where it is too large to be one. */
async function eventOf(request: IncomingMessage): Promise<CollectorEvent | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_REQUEST_BYTES) return undefined;
    chunks.push(chunk);
  }
  const path = (request.url ?? '').replace(ABSOLUTE, '');
  const topic = decoded(/^\/events\/([^/?]+)\/?(?:\?|$)/.exec(path)?.[1]);
  return {
    httpMethod: request.method ?? 'GET',
    pathParameters: topic === undefined ? null : { topic },
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    ),
    // API Gateway sends text as text; as base64 no byte of it is lost on the way.
    body: Buffer.concat(chunks).toString('base64'),
    isBase64Encoded: true,
  };
}

/** Undefined where it is no percent-encoding of UTF-8. */
function decoded(segment: string | undefined): string | undefined {
  try {
    return segment && decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** Resolves when the answer is on its way, or the caller has gone. */
async function end(
  response: ServerResponse,
  { statusCode, headers, body }: APIGatewayProxyResult,
): Promise<void> {
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, String(value));
  const closed = once(response, 'close');
  response.writeHead(statusCode).end(body);
  await closed;
}

function isTaken(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
}

function portTaken(port: number, cause: unknown): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `Port ${port} of ${HOST} is in use. Choose another with --collector-port, or 0 for any free port.`,
    { cause, details: { port } },
  );
}
