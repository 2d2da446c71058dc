/**
 * Apache Kafka in KRaft mode: one node, or a cluster of three whose nodes can be lost and brought back. Every node is
 * broker and controller at once.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mavenArtifacts } from './downloads.ts';
import { java, maven, type Prerequisite, required } from './prerequisites.ts';
import { type Child, freePort, type Processes } from './processes.ts';

export const KAFKA_VERSION = '4.3.1';
/** Several at once take long on a machine that does other things. */
const START_SECONDS = 180;

const download = (processes: Processes) =>
  mavenArtifacts(processes, [
    `org.apache.kafka:kafka_2.13:${KAFKA_VERSION}`,
    `org.apache.kafka:kafka-tools:${KAFKA_VERSION}`,
    // Kafka logs through slf4j; the version is that of the log4j it brings.
    'org.apache.logging.log4j:log4j-slf4j-impl:2.25.4',
  ]);

export const kafka = {
  name: 'Kafka',
  prerequisites: [java, maven] as readonly Prerequisite[],
  download,
  async start(processes: Processes) {
    const [node] = await startKafka(processes, { nodes: 1 });
    return { value: node!.address, version: KAFKA_VERSION };
  },
};

interface KafkaOptions {
  readonly nodes: number;
  /** Further settings, by Kafka's names. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>;
  /** Further listeners, each on its address. */
  readonly listeners?: Readonly<Record<string, string>>;
  /** Further options of the format command. */
  readonly format?: readonly string[];
  /** Further options of Java. */
  readonly java?: readonly string[];
  /** Another program than Kafka's own. */
  readonly main?: string;
}

/**
 * A Kafka of the caller's own, whose nodes may be taken down.
 * @returns its nodes, all started
 */
export async function startKafka(processes: Processes, options: KafkaOptions): Promise<readonly KafkaNode[]> {
  const { nodes: count, settings: more = {}, format = [] } = options;
  const classPath = await download(processes);
  const nodes: NodeIdentity[] = [];
  for (let id = 1; id <= count; id++) {
    nodes.push({ id, directoryId: uuid(), port: await freePort(), controllerPort: await freePort() });
  }
  const clusterId = uuid();
  const controllers = nodes
    .map(({ id, directoryId, controllerPort }) => `${id}@127.0.0.1:${controllerPort}:${directoryId}`)
    .join(',');
  const settings = {
    'process.roles': 'broker,controller',
    'controller.quorum.bootstrap.servers': nodes.map((node) => `127.0.0.1:${node.controllerPort}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'auto.create.topics.enable': false,
    'default.replication.factor': count,
    'min.insync.replicas': Math.min(count, 2),
    'offsets.topic.replication.factor': count,
    'transaction.state.log.replication.factor': count,
    'transaction.state.log.min.isr': Math.min(count, 2),
    'share.coordinator.state.topic.replication.factor': count,
    'share.coordinator.state.topic.min.isr': Math.min(count, 2),
    // A killed broker is let back in when its session has expired, by default after 9 seconds (as 4.3.1 logs when it
    // starts, 2026-11-25).
    'broker.session.timeout.ms': 4_000,
    'broker.heartbeat.interval.ms': 500,
    // A group waits this long for more members before its first assignment; here nobody else comes.
    'group.initial.rebalance.delay.ms': 0,
    ...more,
  };
  // A broker is up when the quorum is, so that they have to be started together.
  return Promise.all(
    nodes.map(async (node) => {
      const kafkaNode = new KafkaNode(processes, classPath, node, { ...options, settings });
      await kafkaNode.format(clusterId, controllers, format);
      await kafkaNode.start();
      return kafkaNode;
    }),
  );
}

interface NodeIdentity {
  readonly id: number;
  readonly directoryId: string;
  readonly port: number;
  readonly controllerPort: number;
}

export class KafkaNode {
  readonly id: number;
  readonly address: string;
  readonly #processes: Processes;
  readonly #classPath: string;
  readonly #name: string;
  readonly #properties: string;
  readonly #java: readonly string[];
  #server: Child | undefined;

  constructor(
    processes: Processes,
    classPath: string,
    { id, port, controllerPort }: NodeIdentity,
    { settings, listeners = {}, java: more = [], main = 'kafka.Kafka' }: KafkaOptions,
  ) {
    this.#processes = processes;
    this.#classPath = classPath;
    this.#java = [...more, '-cp', classPath, main];
    this.#name = `kafka-${port}`;
    this.id = id;
    this.address = `127.0.0.1:${port}`;
    const folder = processes.makeFolder(this.#name);
    const all = { PLAINTEXT: this.address, CONTROLLER: `127.0.0.1:${controllerPort}`, ...listeners };
    const addresses = Object.entries(all)
      .map(([name, address]) => `${name}://${address}`)
      .join(',');
    this.#properties = join(folder, 'server.properties');
    writeFileSync(
      this.#properties,
      properties({
        ...settings,
        'node.id': id,
        listeners: addresses,
        'advertised.listeners': addresses,
        'log.dirs': join(folder, 'data'),
      }),
    );
  }

  format(clusterId: string, controllers: string, more: readonly string[]): Promise<void> {
    const command = ['kafka.tools.StorageTool', 'format', '--cluster-id', clusterId];
    const options = ['--initial-controllers', controllers, '--config', this.#properties, ...more];
    return this.#processes.run(`${this.#name}-format`, required(java), [
      '-cp',
      this.#classPath,
      ...command,
      ...options,
    ]);
  }

  /** Also after kill(): it has the same data and port. */
  async start(): Promise<void> {
    // Without a configuration of its own, log4j prints errors only.
    const options = ['-Xmx512m', '-Dorg.apache.logging.log4j.level=INFO'];
    const server = this.#processes.start(
      this.#name,
      required(java),
      [...options, ...this.#java, this.#properties],
      // Handing over takes seconds, and its data goes with it.
      { endWith: 'SIGKILL' },
    );
    this.#server = server;
    await server.untilAnswers(async () => {
      if (!server.output().includes('Kafka Server started')) throw new Error('it has not started');
    }, START_SECONDS);
  }

  /** As a machine that is lost: nothing is finished, and nobody is told. */
  async kill(): Promise<void> {
    this.#server?.signal('SIGKILL');
    await this.#server?.ended;
  }

  /** As a machine that swaps, or a process in a long pause: its connections stay, and nothing answers. */
  hang(): void {
    this.#server?.signal('SIGSTOP');
  }

  resume(): void {
    this.#server?.signal('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }
}

/** The text of a file of properties. */
export function properties(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

/** As Kafka writes them: 16 bytes in the URL alphabet. One that begins with a dash would be taken for an option. */
function uuid(): string {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? uuid() : id;
}
