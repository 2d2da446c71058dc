/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html (2026-11-27) */
import type { ServerResponse } from 'node:http';

export interface EventStream {
  /** Resolves with the page's end, or the server's. */
  readonly closed: Promise<void>;
  /** Sends the value as JSON. A page that does not keep up misses events in between; the newest reaches it. */
  send(event: string, value: unknown): void;
}

/** Says that the page is there where nothing else is sent, so that what lies between does not give up. */
const KEEP_ALIVE_MS = 15_000;

export function openEventStream(response: ServerResponse): EventStream {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  response.flushHeaders();
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const waiting = new Map<string, string>();
  const flush = () => {
    while (waiting.size > 0 && !response.writableNeedDrain && !response.destroyed) {
      const [[event, text]] = waiting as unknown as [[string, string]];
      waiting.delete(event);
      response.write(text);
    }
  };
  const keepAlive = setInterval(() => {
    if (!response.writableNeedDrain) response.write(':\n\n');
  }, KEEP_ALIVE_MS);
  response.on('drain', flush);
  response.on('error', () => {});
  response.on('close', () => {
    clearInterval(keepAlive);
    resolve();
  });
  return {
    closed,
    send(event, value) {
      // JSON has no line break of its own.
      waiting.set(event, `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`);
      flush();
    },
  };
}
