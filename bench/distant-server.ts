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
      from.on('data', (chunk) => after(roundTripMs / 2, () => to.writable && to.write(chunk)));
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

/** Node's timers know whole milliseconds only, so the rest is waited for turn by turn. */
function after(ms: number, work: () => void): void {
  const at = performance.now() + ms;
  const wait = () => {
    if (performance.now() >= at) work();
    else setImmediate(wait);
  };
  wait();
}
