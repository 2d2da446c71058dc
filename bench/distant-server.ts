import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';

export interface DistantServer {
  /** Of the server, by way of the distance. */
  readonly url: string;
  close(): void;
}

/**
 * Puts a distance in front of a server: what goes there and what comes back arrives half a round trip later, in order. What a
 * client sends without waiting for an answer is not delayed by one another, as on a line.
 */
export async function startDistantServer(serverUrl: string, roundTripMs: number): Promise<DistantServer> {
  const { hostname, port } = new URL(serverUrl);
  const proxy = createServer((client) => {
    const server = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay(true);
      const send = delayed(roundTripMs / 2, (chunk) => to.writable && to.write(chunk));
      from.on('data', send);
      from.on('close', () => to.destroy());
      from.on('error', () => to.destroy());
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = new URL(serverUrl);
  url.port = String((proxy.address() as AddressInfo).port);
  return { url: url.href, close: () => void proxy.close() };
}

/** Writes chunks in order, each after its time. Node's timers know whole milliseconds only, so it is waited for turn by turn. */
function delayed(ms: number, write: (chunk: Buffer) => void) {
  const line: { readonly chunk: Buffer; readonly at: number }[] = [];
  const go = () => {
    while (line[0] && performance.now() >= line[0].at) write(line.shift()!.chunk);
    if (line.length > 0) setImmediate(go);
  };
  return (chunk: Buffer) => {
    line.push({ chunk, at: performance.now() + ms });
    if (line.length === 1) setImmediate(go);
  };
}
