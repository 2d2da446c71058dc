/** Requests as no client of today's sends them: fetch() writes targets, hosts and cookies of its own. */
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawRequest {
  readonly method?: string;
  /** What stands between the method and the version. */
  readonly target: string;
  /** Lines of the head, as they are. */
  readonly head: readonly string[];
  readonly body?: string;
  readonly version?: '1.0' | '1.1';
}

/** Sends it to a server on this machine, and gives the first answer. Status 0: the server hung up. */
export async function rawRequest(
  port: number,
  { method = 'GET', target, head, body, version = '1.1' }: RawRequest,
): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1');
  const lines = [
    `${method} ${target} HTTP/${version}`,
    ...head,
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    'Connection: close',
  ];
  socket.on('error', () => {}).write(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    // What came before it hung up is the answer.
  }
  const text = Buffer.concat(chunks).toString();
  const [top = '', ...rest] = text.split('\r\n\r\n');
  const [first = '', ...fields] = top.split('\r\n');
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(first)?.[1] ?? 0),
    headers: Object.fromEntries(
      fields.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.replace(/^[^:]*:\s*/, '')]),
    ),
    body: rest.join('\r\n\r\n'),
  };
}
