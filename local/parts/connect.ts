/** Kafka Connect, distributed, with one worker and Debezium's connector for PostgreSQL as its plugin. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEBEZIUM_PLUGIN } from '../../runtime/capture/plugin.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { mavenArchive, mavenArtifacts } from './downloads.ts';
import { KAFKA_VERSION, properties } from './kafka.ts';
import { java, maven, type Prerequisite, required } from './prerequisites.ts';
import { type Child, freePort, type Processes } from './processes.ts';

const START_SECONDS = 180;
const ANSWER_MS = 20_000;

/** MSK Connect runs 3.7.x: https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-plugins.html (2026-11-27) */
const RUNTIMES = {
  [KAFKA_VERSION]: 'org.apache.logging.log4j:log4j-slf4j-impl:2.25.4',
  // It brings reload4j, which wants a file of its own to print anything.
  '3.7.2': 'org.slf4j:slf4j-simple:1.7.36',
} as const;
export type ConnectVersion = keyof typeof RUNTIMES;

const download = async (processes: Processes, version: ConnectVersion) => ({
  classPath: await mavenArtifacts(processes, [
    `org.apache.kafka:connect-runtime:${version}`,
    `org.apache.kafka:connect-json:${version}`,
    `org.apache.kafka:connect-transforms:${version}`,
    RUNTIMES[version],
  ]),
  plugin: await mavenArchive(processes, DEBEZIUM_PLUGIN),
});

export const connect = {
  name: 'Kafka Connect with Debezium',
  prerequisites: [java, maven] as readonly Prerequisite[],
  download: async (processes: Processes) => {
    for (const version of Object.keys(RUNTIMES)) await download(processes, version as ConnectVersion);
  },
  /** Starts none: a worker belongs to whoever kills it. */
  start: async () => ({ value: Object.keys(RUNTIMES).join(','), version: Object.keys(RUNTIMES).join(', ') }),
};

export interface ConnectOptions {
  /** Kafka's brokers. */
  readonly brokers: string;
  readonly version?: ConnectVersion;
  /** How often the position in the source is kept: what came since is sent again after a kill. @default 10,000 */
  readonly offsetFlushMs?: number;
  /** The folder of another plugin's jars. @default Debezium's alone */
  readonly plugin?: string;
  /** Of the worker, over the caller's own. */
  readonly env?: NodeJS.ProcessEnv;
}

/** A worker of the caller's own, which may be killed: connectors and positions are in its topics. */
export async function startConnect(processes: Processes, options: ConnectOptions): Promise<ConnectWorker> {
  const { classPath, plugin } = await download(processes, options.version ?? KAFKA_VERSION);
  const folder = options.plugin ?? plugin;
  const worker = new ConnectWorker(processes, classPath, folder, await freePort(), options);
  await worker.start();
  return worker;
}

export interface ConnectorStatus {
  readonly connector: { readonly state: string };
  readonly tasks: readonly { readonly id: number; readonly state: string; readonly trace?: string }[];
}

export class ConnectWorker {
  readonly url: string;
  readonly #processes: Processes;
  readonly #name: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #server: Child | undefined;

  constructor(
    processes: Processes,
    classPath: string,
    plugin: string,
    port: number,
    { brokers, offsetFlushMs = 10_000, env = {} }: ConnectOptions,
  ) {
    this.#env = env;
    this.#processes = processes;
    this.#name = `connect-${port}`;
    this.url = `http://127.0.0.1:${port}`;
    const folder = processes.makeFolder(this.#name);
    // The plugin path is searched one folder deep.
    const plugins = join(folder, 'plugins');
    mkdirSync(plugins);
    symlinkSync(plugin, join(plugins, 'debezium-connector-postgres'));
    const file = join(folder, 'worker.properties');
    writeFileSync(
      file,
      properties({
        'bootstrap.servers': brokers,
        'group.id': this.#name,
        listeners: `http://127.0.0.1:${port}`,
        'rest.advertised.host.name': '127.0.0.1',
        'plugin.path': plugins,
        // Debezium has manifests. Looking into every class for plugins without one takes most of the start.
        'plugin.discovery': 'service_load',
        'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'offset.storage.topic': `${this.#name}-offsets`,
        'offset.storage.partitions': 1,
        'offset.storage.replication.factor': 1,
        'config.storage.topic': `${this.#name}-configs`,
        'config.storage.replication.factor': 1,
        'status.storage.topic': `${this.#name}-status`,
        'status.storage.partitions': 1,
        'status.storage.replication.factor': 1,
        'offset.flush.interval.ms': offsetFlushMs,
        // Connectors set the sizes that their topic takes. It is Connect's default, said for those who read this.
        'connector.client.config.override.policy': 'All',
        // A worker that was killed is still a member of its group; its successor waits until it is not.
        'session.timeout.ms': 6_000,
        'heartbeat.interval.ms': 2_000,
        'scheduled.rebalance.max.delay.ms': 0,
      }),
    );
    this.#args = [
      '-Xmx384m',
      '-Dorg.apache.logging.log4j.level=INFO',
      '-cp',
      classPath,
      'org.apache.kafka.connect.cli.ConnectDistributed',
      file,
    ];
  }

  /** Also after kill(): its connectors go on. */
  async start(): Promise<void> {
    // Positions are kept while it runs: nothing is lost by a kill.
    this.#server = this.#processes.start(this.#name, required(java), this.#args, {
      endWith: 'SIGKILL',
      env: { ...process.env, ...this.#env },
    });
    await this.#server.untilAnswers(() => this.#call('GET', '/connectors'), START_SECONDS);
  }

  /** As a machine that is lost: what was not kept is captured again. */
  async kill(): Promise<void> {
    this.#server?.signal('SIGKILL');
    await this.#server?.ended;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** What the worker has printed since its last start. */
  output(): string {
    return this.#server?.output() ?? '';
  }

  /** Makes the connector, or changes its configuration. @throws PART_FAILED when Connect refuses it */
  async configure(connector: string, configuration: Readonly<Record<string, string>>): Promise<void> {
    await this.#call('PUT', `/connectors/${connector}/config`, configuration);
  }

  /** Its position in the source stays. */
  async remove(connector: string): Promise<void> {
    await this.#call('DELETE', `/connectors/${connector}`);
  }

  /** What Connect says of it. "RUNNING" proves nothing: a task may wait for its slot in this state. */
  async status(connector: string): Promise<ConnectorStatus> {
    return (await this.#call('GET', `/connectors/${connector}/status`)) as ConnectorStatus;
  }

  /** Resolves when the connector has a task that runs. @throws PART_FAILED when it fails, or takes too long */
  async untilRunning(connector: string, seconds = 90): Promise<void> {
    const deadline = Date.now() + seconds * 1_000;
    for (;;) {
      const status = await this.status(connector).catch(() => undefined);
      const failed = status?.tasks.find(({ state }) => state === 'FAILED');
      if (failed) throw this.#failure(connector, `failed: ${failed.trace?.split('\n')[0] ?? ''}`);
      if (status?.tasks.some(({ state }) => state === 'RUNNING')) return;
      if (Date.now() > deadline)
        throw this.#failure(connector, `has no running task after ${seconds} seconds`);
      await sleep(250);
    }
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    // While it rebalances it answers 409, for seconds: https://kafka.apache.org/43/kafka-connect/user-guide/ (2026-11-27)
    for (const until = Date.now() + START_SECONDS * 1_000; ; await sleep(500)) {
      const response = await fetch(`${this.url}${path}`, {
        method,
        signal: AbortSignal.timeout(ANSWER_MS),
        ...(body !== undefined && {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
      });
      const text = await response.text();
      if (response.ok) return text === '' ? undefined : JSON.parse(text);
      if (response.status !== 409 || Date.now() > until) {
        throw new MillraceError(
          'PART_FAILED',
          `Kafka Connect answered ${response.status} to ${method} ${path}: ${messageOf(text)}`,
          { details: { status: response.status } },
        );
      }
    }
  }

  #failure(connector: string, what: string): MillraceError {
    return new MillraceError(
      'PART_FAILED',
      `The connector ${connector} ${what}. Read the log of ${this.#name}.`,
      {
        details: { connector },
      },
    );
  }
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { readonly message?: string }).message ?? text;
  } catch {
    return text.slice(0, 500);
  }
}
