import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../adapters/system/system-clock.ts';
import { type Exporter, serveExporter } from '../local/exporter.ts';
import { watchedConsumer } from '../local/lag.ts';
import { notedLedger } from '../local/ledger-origin.ts';
import { openPauses, type Pauses } from '../local/pauses.ts';
import { existingStateFolder, isStateFolder, type StateFolder } from '../local/state-folder.ts';
import { openKafkaTopics } from '../local/topic-log.ts';
import { type WatchedGroups, watchGroups } from '../local/watched-groups.ts';
import type { WatchedConsumer } from '../runtime/lag/sample.ts';
import { hasConfigAbove, loadApp } from './app.ts';
import { watchInterrupts } from './interrupts.ts';
import { stateOption, tcpPort } from './options.ts';
import { type KafkaOptions, kafkaAuthOption, kafkaOption, storesOptions } from './outside-options.ts';
import { epilogue, plural, printLine, printNote } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace exporter --kafka localhost:9092
  millrace exporter --kafka b-1.news.kafka.eu-west-1.amazonaws.com:9098 \\
    --kafka-auth iam --cluster news-prod --listen 10.0.3.7:9308
  millrace exporter --kafka localhost:9092 --group '^(billing|search)-'

It samples the groups of the app's consumers, and with --group any others; then
the folder needs no app. It reads offsets and a few records' timestamps, and
changes nothing. A scrape gets the last sample and its age. Nobody has to log in
to read the metrics: without --listen only this machine can. docs/prometheus.md
lists the metrics and the permissions that it needs in Kafka.`;

/** What a declaration without thresholds has. */
const LIMITS = { warning: 10_000, incident: 100_000 };
const DEFAULT_LISTEN = { host: '127.0.0.1', port: 9308 };

interface Listen {
  readonly host: string;
  readonly port: number;
}

interface ExporterCommandOptions extends KafkaOptions {
  readonly listen: Listen;
  readonly group: readonly RegExp[];
  readonly interval: number;
  readonly cluster?: string;
  readonly partitions: boolean;
  readonly state: string;
}

export function exporterCommand(): Command {
  return new Command('exporter')
    .description('Serves the lag of consumer groups as metrics for Prometheus, until Ctrl-C.')
    .addOption(kafkaOption().makeOptionMandatory())
    .addOption(kafkaAuthOption())
    .addOption(
      new Option('--listen <host:port>', 'where to serve')
        .default(DEFAULT_LISTEN, `${DEFAULT_LISTEN.host}:${DEFAULT_LISTEN.port}`)
        .argParser(listenAddress),
    )
    .addOption(
      new Option('--group <regex>', 'watch these groups too; can be given several times')
        .default([], 'none')
        .argParser((text: string, earlier: readonly RegExp[]) => [...earlier, pattern(text)]),
    )
    .addOption(
      new Option('--interval <seconds>', 'from one sample to the next')
        .default(15)
        .argParser(intervalSeconds),
    )
    .option('--cluster <name>', "the label cluster_name (default: the cluster's id)")
    .option('--no-partitions', 'leave out the series of each partition')
    .addOption(stateOption())
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: ExporterCommandOptions) => {
      const { kafka } = storesOptions(options);
      const log = await openKafkaTopics(kafka!);
      const interrupts = watchInterrupts();
      try {
        const started = await startExporter(options, log);
        printLine(`metrics of ${log.at}: ${started.url}/metrics`);
        if (!isLoopback(options.listen.host))
          printLine('Whoever reaches that address can read them, without a login.');
        printLine('Ctrl-C ends it.');
        await interrupts.first;
        await Promise.race([started.close(), interrupts.second]);
      } finally {
        interrupts.ignore();
        await log.close();
      }
    });
}

async function startExporter(
  options: ExporterCommandOptions,
  log: Awaited<ReturnType<typeof openKafkaTopics>>,
): Promise<Exporter> {
  const folder = isStateFolder(options.state) ? existingStateFolder(options.state) : undefined;
  const consumersOf = await declaredConsumers(options);
  const target = lateCluster(log, folder, (groupOf, isOwn, pauses) =>
    watchGroups({
      standing: log.standing,
      clock: systemClock,
      declared: consumersOf(groupOf, isOwn),
      ...(options.group.length > 0 && { others: anyOf(options.group) }),
      limits: LIMITS,
      ...(pauses && { pauses }),
    }),
  );
  let attempt: Promise<WatchedGroups> | undefined;
  return serveExporter({
    source: { sample: async (consumers) => (await attempt!).source.sample(consumers) },
    // Until the cluster has answered, what is declared is UNKNOWN; which other groups there are, nobody knows.
    consumers: async () => {
      attempt = target.reached();
      return attempt.then(
        ({ consumers }) => consumers(),
        () => consumersOf((name) => name, false),
      );
    },
    clock: systemClock,
    ...options.listen,
    intervalMs: options.interval * 1_000,
    cluster: () => options.cluster ?? target.id() ?? options.kafka!.join(','),
    partitions: options.partitions,
    version: version(),
    onChange(change) {
      if ('failure' in change) printNote(`No sample: ${(change.failure as Error).message}`);
      else printNote(`Sampling ${plural(change.sampled, 'group')} every ${options.interval} s.`);
    },
  });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

/** What can be known only of a cluster that answers: a monitoring process outlives an outage, also at its start. */
function lateCluster(
  log: Awaited<ReturnType<typeof openKafkaTopics>>,
  folder: StateFolder | undefined,
  watch: (groupOf: (consumer: string) => string, isOwn: boolean, pauses: Pauses | undefined) => WatchedGroups,
) {
  let id: string | undefined;
  let found: WatchedGroups | undefined;
  return {
    id: () => id,
    async reached(): Promise<WatchedGroups> {
      if (found) return found;
      id = (await log.id()).replace(/^kafka /, '');
      const ledger = folder && (await notedLedger(folder, log));
      found =
        folder && ledger !== undefined
          ? watch((name) => log.groupOf(name, ledger), true, openPauses(folder))
          : watch((name) => name, false, undefined);
      return found;
    },
  };
}

/** Those of the app, by what their groups are called; none where only other groups are asked for and there is no app. */
async function declaredConsumers({
  group,
}: ExporterCommandOptions): Promise<
  (groupOf: (consumer: string) => string, isOwn: boolean) => readonly WatchedConsumer[]
> {
  if (group.length > 0 && !hasConfigAbove()) return () => [];
  const { consumers } = await loadApp();
  return (groupOf, isOwn) =>
    consumers.map((consumer) => watchedConsumer(consumer, consumer.name, groupOf(consumer.name), isOwn));
}

function anyOf(patterns: readonly RegExp[]): RegExp {
  return new RegExp(patterns.map(({ source }) => `(?:${source})`).join('|'));
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new InvalidArgumentError("Give a regular expression, such as '^billing-'.");
  }
}

function intervalSeconds(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 1 && value <= 3_600) return value;
  throw new InvalidArgumentError('Give whole seconds from 1 to 3600.');
}

/** `127.0.0.1:9308`, `[::1]:9308`, or a port alone, which is this machine's own. */
function listenAddress(text: string): Listen {
  const [, v6, name, port] = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined)
    throw new InvalidArgumentError('Give an address and a port, such as 127.0.0.1:9308.');
  return { host: v6 ?? name ?? DEFAULT_LISTEN.host, port: tcpPort(port) };
}

function version(): string {
  return JSON.parse(readFileSync(new URL(import.meta.resolve('millrace/package.json')), 'utf8')).version;
}
