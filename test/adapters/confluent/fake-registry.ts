import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

type Reply = readonly [status: number, body: unknown];

export interface FakeRegistry {
  readonly url: string;
  /** What was asked for, as `GET /schemas/ids/1`. */
  readonly requests: readonly IncomingMessage[];
  /** Replies to the next requests, in their order, whatever they ask for. `drop` closes the connection. */
  replyNext(...replies: readonly (Reply | 'drop')[]): void;
  close(): void;
}

/** As much of Confluent's REST API as the adapter calls. */
export async function startFakeRegistry(): Promise<FakeRegistry> {
  /** A schema's id is its place, whatever the subject: as Confluent's, and from 1. */
  const schemas: string[] = [];
  const subjects = new Map<string, Set<string>>();
  const requests: IncomingMessage[] = [];
  const next: (Reply | 'drop')[] = [];

  function answer(method: string, path: string, body: string): Reply {
    const id = /^\/schemas\/ids\/(\d+)$/.exec(path)?.[1];
    if (method === 'GET' && id) {
      const schema = schemas[Number(id) - 1];
      return schema ? [200, { schema }] : [404, { error_code: 40403, message: 'Schema not found' }];
    }
    const [, subject, versions] = /^\/subjects\/([^/]+)(\/versions)?$/.exec(path) ?? [];
    if (method !== 'POST' || !subject) return [404, '<html>not here</html>'];
    const { schema } = JSON.parse(body);
    const known = subjects.get(subject) ?? new Set();
    if (versions) {
      if (!schemas.includes(schema)) schemas.push(schema);
      subjects.set(subject, known.add(schema));
    } else if (!known.has(schema)) {
      return [404, { error_code: subjects.has(subject) ? 40403 : 40401, message: 'not found' }];
    }
    return [200, { subject, id: schemas.indexOf(schema) + 1 }];
  }

  const server = createServer(async (request, response) => {
    requests.push(request);
    const body = await text(request);
    const reply = next.shift() ?? answer(request.method!, decodeURIComponent(request.url!), body);
    if (reply === 'drop') return request.socket.destroy();
    const [status, content] = reply;
    response.writeHead(status).end(typeof content === 'string' ? content : JSON.stringify(content));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    replyNext: (...replies) => next.push(...replies),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
