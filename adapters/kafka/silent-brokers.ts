import {
  type Base,
  type Broker,
  type CallbackWithPromise,
  type Connection,
  type ConnectionPoolEventPayload,
  kGetBootstrapConnection,
  NetworkError,
} from '@platformatic/kafka';

type Get = (broker: Broker | undefined, callback: CallbackWithPromise<Connection>) => void;

/**
 * For so long a broker that did not answer is not asked again. The cluster has taken its partitions and groups from it
 * by then: broker.session.timeout.ms is 9,000 by default (https://kafka.apache.org/documentation/#brokerconfigs, 2026-11-26).
 */
const PASSED_BY_MS = 10_000;
/** For so long it is the last to be asked what any broker can answer: it may still hang. */
const ASKED_LAST_MS = 300_000;
/** What is given up sooner says nothing of the broker. */
const LEAST_SILENCE_MS = 3_000;
/** A connection that was quiet for so long may have been cut on the way, as one of a function that was frozen. */
const STALE_MS = 60_000;

/** When a connection last brought something, and how much had been sent on it by then. */
interface Heard {
  readonly at: number;
  readonly sentBytes: number;
}

/**
 * Passes by brokers that take connections and say nothing, as a process that was stopped or a machine that swaps. The
 * client has no memory of them: it would ask the same one again, each time for a request's whole timeout.
 * One for all clients of a connection: what one has found out, the others need not.
 */
export class SilentBrokers {
  readonly #now: () => number;
  readonly #silentAt = new Map<string, number>();
  readonly #known = new Map<string, Broker>();
  readonly #heard = new WeakMap<Connection, Heard>();

  /** @param brokers each `host:port`, where clients begin */
  constructor(brokers: readonly string[], now: () => number = Date.now) {
    this.#now = now;
    for (const broker of brokers) {
      const at = broker.lastIndexOf(':');
      const host = broker.slice(0, at).replace(/^\[|\]$/g, '');
      this.#know({ host, port: Number(broker.slice(at + 1)) });
    }
  }

  /** From now on the client learns from what others found out, and tells them. @returns the client */
  watch<Client extends Base>(client: Client): Client {
    const { connections } = client;
    // It takes a broker that is not there, as it comes from old metadata, and says so.
    const get = connections.get.bind(connections) as Get;
    const passing: Get = (broker, callback) => {
      if (!broker || this.#silentFor(nameOf(broker)) >= PASSED_BY_MS) return get(broker, callback);
      callback(new NetworkError(`${nameOf(broker)} took a request and did not answer`, { canRetry: true }));
    };
    connections.get = passing as typeof connections.get;
    client[kGetBootstrapConnection] = (callback, attempt = 0) => {
      connections.getFirstAvailable(this.#inOrder(attempt), callback as CallbackWithPromise<Connection>);
    };
    client.on('client:metadata', ({ brokers }) => {
      for (const broker of brokers.values()) this.#know(broker);
    });
    client.on('client:broker:connect', ({ connection }: ConnectionPoolEventPayload) => {
      const hear = () =>
        this.#heard.set(connection, { at: this.#now(), sentBytes: connection.socket.bytesWritten });
      hear();
      // Before the client, which may destroy the socket for what comes.
      connection.socket.prependListener('data', hear);
    });
    const lost = ({ broker, connection }: ConnectionPoolEventPayload) => {
      // A connection that the other side ended or broke has an end or an error. Only ours to one that is silent has none.
      if (client.closed || connection.socket?.readableEnded || connection.socket?.errored) return;
      // One that answered all that it was asked: what it said was not to the client's liking, such as that it wants TLS.
      if (this.#heard.get(connection)?.sentBytes === connection.socket?.bytesWritten) return;
      if (!this.#isStale(connection)) this.#silentAt.set(nameOf(broker), this.#now());
    };
    client.on('client:broker:disconnect', lost);
    client.on('client:broker:failed', lost);
    return client;
  }

  /** To be called before a client is closed, or no longer waited for, because what it does has taken too long. */
  giveUp(client: Base): void {
    for (const [name, connection] of client.connections) {
      const heard = this.#heard.get(connection);
      if (!heard || connection.socket.bytesWritten === heard.sentBytes || this.#isStale(connection)) continue;
      if (this.#now() - heard.at >= LEAST_SILENCE_MS) this.#silentAt.set(name, this.#now());
    }
  }

  #isStale(connection: Connection): boolean {
    const heard = this.#heard.get(connection);
    return heard !== undefined && this.#now() - heard.at > STALE_MS;
  }

  #know(broker: Broker): void {
    this.#known.set(nameOf(broker), broker);
  }

  #silentFor(name: string): number {
    const at = this.#silentAt.get(name);
    return at === undefined ? Number.POSITIVE_INFINITY : this.#now() - at;
  }

  /** Those that answer, another one first with each attempt; then those that were silent, the longest ago first. */
  #inOrder(attempt: number): Broker[] {
    const all = [...this.#known].map(([name, broker]) => ({ broker, silentFor: this.#silentFor(name) }));
    const answering = all.filter(({ silentFor }) => silentFor >= ASKED_LAST_MS);
    const silent = all
      .filter(({ silentFor }) => silentFor < ASKED_LAST_MS)
      .sort((a, b) => b.silentFor - a.silentFor);
    const offset = answering.length > 0 ? attempt % answering.length : 0;
    const turned = [...answering.slice(offset), ...answering.slice(0, offset)];
    return [...turned, ...silent].map(({ broker }) => broker);
  }
}

function nameOf({ host, port }: Broker): string {
  return `${host}:${port}`;
}
