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

/**
 * Passes by brokers that take connections and say nothing, as a process that was stopped or a machine that swaps. The
 * client has no memory of them: it would ask the same one again, each time for a request's whole timeout.
 * One for all clients of a connection: what one has found out, the others need not.
 */
export class SilentBrokers {
  readonly #now: () => number;
  readonly #silentAt = new Map<string, number>();
  readonly #known = new Map<string, Broker>();

  /** @param brokers each `host:port`, where clients begin */
  constructor(brokers: readonly string[], now: () => number = () => performance.now()) {
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
      if (!broker || !this.#isPassedBy(broker)) return get(broker, callback);
      callback(new NetworkError(`${nameOf(broker)} took a request and did not answer`, { canRetry: true }));
    };
    connections.get = passing as typeof connections.get;
    client[kGetBootstrapConnection] = (callback, attempt = 0) => {
      connections.getFirstAvailable(this.#inOrder(attempt), callback as CallbackWithPromise<Connection>);
    };
    client.on('client:metadata', ({ brokers }) => {
      for (const broker of brokers.values()) this.#know(broker);
    });
    const lost = ({ broker, connection: { socket } }: ConnectionPoolEventPayload) => {
      // A connection that the other side ended or broke has an end or an error. Only ours to one that is silent has none.
      if (client.closed || socket?.readableEnded || socket?.errored) return;
      this.#silentAt.set(nameOf(broker), this.#now());
    };
    client.on('client:broker:disconnect', lost);
    client.on('client:broker:failed', lost);
    return client;
  }

  #know(broker: Broker): void {
    this.#known.set(nameOf(broker), broker);
  }

  #isPassedBy(broker: Broker): boolean {
    return this.#silentFor(broker) < PASSED_BY_MS;
  }

  #silentFor(broker: Broker): number {
    const at = this.#silentAt.get(nameOf(broker));
    return at === undefined ? Number.POSITIVE_INFINITY : this.#now() - at;
  }

  /** Those that answer, another one first with each attempt; then those that were silent, the longest ago first. */
  #inOrder(attempt: number): Broker[] {
    const all = [...this.#known.values()];
    const answering = all.filter((broker) => this.#silentFor(broker) >= ASKED_LAST_MS);
    const silent = all
      .filter((broker) => !answering.includes(broker))
      .sort((a, b) => this.#silentFor(b) - this.#silentFor(a));
    const offset = answering.length > 0 ? attempt % answering.length : 0;
    return [...answering.slice(offset), ...answering.slice(0, offset), ...silent];
  }
}

function nameOf({ host, port }: Broker): string {
  return `${host}:${port}`;
}
