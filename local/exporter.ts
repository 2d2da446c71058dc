/** Metrics over HTTP, for Prometheus: the last sample of a watch that looks again and again, whoever scrapes how often. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MillraceError } from '../runtime/errors.ts';
import type { LagSource, WatchedConsumer } from '../runtime/lag/sample.ts';
import type { ConsumerStatus, LagWatch } from '../runtime/lag/status.ts';
import { createLagWatch } from '../runtime/lag/watch.ts';
import type { Clock } from '../runtime/ports.ts';
import {
  CONTENT_TYPES,
  ENDS,
  type ExpositionFormat,
  exposeFamilies,
  negotiate,
} from '../runtime/prometheus/exposition.ts';
import {
  exporterMetrics,
  LossCount,
  lagMetrics,
  type SamplingState,
} from '../runtime/prometheus/lag-metrics.ts';

export interface Exporter {
  /** Such as `http://127.0.0.1:9308`. */
  readonly url: string;
  /** Answers nothing more, and resolves when no sample is under way. */
  close(): Promise<void>;
}

export interface ExporterOptions {
  readonly source: LagSource;
  /** Asked before each sample: groups come and go. */
  consumers(): Promise<readonly WatchedConsumer[]>;
  readonly clock: Clock;
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** From the start of one sample to that of the next; one that takes longer delays it. */
  readonly intervalMs: number;
  /** What the label cluster_name says: asked at each scrape, because a cluster that never answered has no id yet. */
  cluster(): string;
  readonly partitions: boolean;
  readonly version: string;
  /** Hears of the first sample, with how many consumers it has, of the first failure after one, and of the next sample. */
  onChange?(change: { readonly failure: unknown } | { readonly sampled: number }): void;
}

/** Without a new sample for so many intervals the last one says nothing of the present. */
const STALE_INTERVALS = 4;

/**
 * Samples in the background and serves what it found last; a scrape never asks the cluster.
 * @throws INPUT_INVALID where the address cannot be listened on
 */
export async function serveExporter(options: ExporterOptions): Promise<Exporter> {
  const sampler = new Sampler(options);
  const server = createServer((request, response) => {
    const { status, type, body, headers } = replyTo(request, sampler, options);
    response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store', ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  const { host, port } = options;
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    throw notListening(host, port, error);
  }
  sampler.start();
  const { address, port: taken, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, sampler.stop()]);
    },
  };
}

class Sampler {
  readonly #options: ExporterOptions;
  readonly #watch: LagWatch;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #statuses: readonly ConsumerStatus[] = [];
  readonly #lossCount = new LossCount();
  #losses: ReadonlyMap<string, number> = new Map();
  #state: SamplingState = {
    sampledAt: null,
    durationMs: null,
    partitions: null,
    succeeded: 0,
    failed: 0,
  };
  /** Of the last sample, once somebody has asked for it. */
  readonly #texts = new Map<ExpositionFormat, string>();
  #failure: unknown;
  #isFailing = false;

  constructor(options: ExporterOptions) {
    const { source, clock, consumers } = options;
    this.#options = options;
    this.#watch = createLagWatch({
      clock,
      consumers,
      source: {
        // The watch makes UNKNOWN of what could not be sampled. Here it also is no sample.
        sample: (watched) =>
          source.sample(watched).catch((failure) => {
            this.#failure = failure;
            throw failure;
          }),
      },
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  get state(): SamplingState {
    return this.#state;
  }

  get isStale(): boolean {
    const { clock, intervalMs } = this.#options;
    const { sampledAt } = this.#state;
    return sampledAt === null || clock.now() - sampledAt > STALE_INTERVALS * intervalMs;
  }

  metrics(format: ExpositionFormat): string {
    const { partitions, version, clock, intervalMs } = this.#options;
    const cluster = this.#options.cluster();
    const own = exposeFamilies(
      exporterMetrics(this.#state, { cluster, version, now: clock.now(), intervalMs }),
      format,
    );
    let text = this.#texts.get(format);
    if (text === undefined) {
      const families = lagMetrics(this.#statuses, { cluster, partitions, losses: this.#losses });
      text = exposeFamilies(families, format);
      this.#texts.set(format, text);
    }
    return own + text + ENDS[format];
  }

  async #run(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const startedAt = clock.now();
      await this.#sample(startedAt);
      if (signal.aborted) return;
      await clock.sleep(Math.max(0, intervalMs - (clock.now() - startedAt)), signal);
    }
  }

  async #sample(startedAt: number): Promise<void> {
    const { clock, onChange } = this.#options;
    this.#failure = undefined;
    try {
      const statuses = await this.#watch.look();
      this.#losses = this.#lossCount.add(statuses);
      this.#statuses = statuses;
      this.#texts.clear();
    } catch (failure) {
      this.#failure = failure;
    }
    const { succeeded, failed, sampledAt } = this.#state;
    if (this.#failure !== undefined) {
      // The clock was set back since the last sample: how old that is nobody knows any more, and it must not look new.
      const isOfTheFuture = sampledAt !== null && sampledAt > startedAt;
      this.#state = { ...this.#state, failed: failed + 1, ...(isOfTheFuture && { sampledAt: null }) };
      if (!this.#isFailing) onChange?.({ failure: this.#failure });
      this.#isFailing = true;
      return;
    }
    const durationMs = clock.now() - startedAt;
    const partitions = this.#statuses.reduce((sum, status) => sum + status.partitions.length, 0);
    this.#state = { sampledAt: startedAt, durationMs, partitions, succeeded: succeeded + 1, failed };
    if (this.#isFailing || succeeded === 0) onChange?.({ sampled: this.#statuses.length });
    this.#isFailing = false;
  }
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function replyTo(
  { method, url = '/', headers }: IncomingMessage,
  sampler: Sampler,
  options: ExporterOptions,
): Reply {
  const type = CONTENT_TYPES.text;
  if (method !== 'GET' && method !== 'HEAD')
    return { status: 405, type, body: 'Only GET is answered.\n', headers: { Allow: 'GET, HEAD' } };
  const [path] = url.split('?');
  const { sampledAt } = sampler.state;
  if (path === '/') return { status: 200, type, body: page(sampler.state, options) };
  if (path === '/metrics') {
    const format = negotiate(headers.accept);
    const body = sampler.metrics(format);
    return { status: 200, type: CONTENT_TYPES[format], body, headers: { Vary: 'Accept' } };
  }
  if (path === '/healthz') {
    const last =
      sampledAt === null ? 'there is no sample yet' : `the last sample is ${ageOf(sampledAt, options)} old`;
    return sampler.isStale
      ? { status: 503, type, body: `stale: ${last}\n` }
      : { status: 200, type, body: `ok: ${last}\n` };
  }
  return { status: 404, type, body: 'There are /metrics and /healthz.\n' };
}

function ageOf(sampledAt: number, { clock }: ExporterOptions): string {
  return `${Math.round((clock.now() - sampledAt) / 1_000)} s`;
}

function page({ sampledAt, durationMs, failed }: SamplingState, options: ExporterOptions): string {
  const last =
    sampledAt === null
      ? 'No sample yet.'
      : `Last sample: ${ageOf(sampledAt, options)} ago, in ${durationMs} ms.`;
  return [
    `millrace exporter for ${options.cluster()}`,
    '',
    '/metrics  OpenMetrics 1.0, or the text format 0.0.4',
    '/healthz  200 while samples are new, else 503',
    '',
    `${last} Failed samples: ${failed}.`,
    '',
  ].join('\n');
}

function notListening(host: string, port: number, cause: unknown): MillraceError {
  const { code } = cause as NodeJS.ErrnoException;
  const why =
    code === 'EADDRINUSE'
      ? `Port ${port} of ${host} is in use. Choose another with --listen, or port 0 for any free one.`
      : `Cannot listen on ${host}:${port} (${code}). Give an address of this machine with --listen.`;
  return new MillraceError('INPUT_INVALID', why, { cause, details: { host, port } });
}
