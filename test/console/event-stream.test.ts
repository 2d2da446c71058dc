import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { type EventStream, openEventStream } from '../../console/event-stream.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Opened {
  readonly events: EventStream;
  readonly response: ServerResponse;
  readonly page: Socket;
}

async function open(): Promise<Opened> {
  const opened = Promise.withResolvers<Omit<Opened, 'page'>>();
  const server = createServer((_request, response) =>
    opened.resolve({ events: openEventStream(response), response }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const page = connect((server.address() as AddressInfo).port, '127.0.0.1');
  page.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  cleanups.push(() => {
    page.destroy();
    server.close();
    server.closeAllConnections();
  });
  return { ...(await opened.promise), page };
}

/** What the page has got, until it holds the text. */
async function received(page: Socket, text: string): Promise<string> {
  let all = '';
  for await (const chunk of page as AsyncIterable<Buffer>) {
    all += chunk;
    if (all.includes(text)) break;
  }
  return all;
}

test('an event is its name and one line of JSON', async () => {
  const { events, page } = await open();
  events.send('status', { text: 'two\nlines\r\n\r\nevent: forged\u2028' });
  const got = await received(page, 'forged');
  expect(got).toContain('Content-Type: text/event-stream');
  expect(got).toContain('event: status\ndata: {"text":"two\\nlines\\r\\n\\r\\nevent: forged');
});

test('a page that does not read costs one event of each name, and gets the newest when it reads again', async () => {
  const { events, page, response } = await open();
  page.pause();
  const large = 'x'.repeat(1_000_000);
  for (let at = 0; at < 100; at++) {
    events.send('status', { at, large });
    events.send('other', { at, large });
  }
  // What the kernel took is gone; at most the event that filled the buffer waits in the response.
  expect(response.writableLength).toBeLessThan(2_100_000);
  const got = await received(page, '"at":99');
  const seen = new Set([...got.matchAll(/"at":(\d+)/g)].map(([, at]) => Number(at)));
  expect(seen).toContain(99);
  expect(seen.size).toBeLessThan(50);
});

test('a page that has gone ends the stream, and what is sent to it afterwards is nothing', async () => {
  const { events, page, response } = await open();
  page.destroy();
  await events.closed;
  events.send('status', 1);
  expect(response.destroyed).toBe(true);
});
