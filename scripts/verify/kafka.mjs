// Apache Kafka in KRaft mode: one node, or a cluster of three whose nodes can be lost and brought back. Every node is
// broker and controller at once.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mavenArtifacts } from './downloads.mjs';
import { java, jdk, maven } from './prerequisites.mjs';
import { freePort } from './processes.mjs';

const VERSION = '4.3.1';
/** Several at once take long on a machine that does other things. */
const START_SECONDS = 180;

const download = (processes) =>
  mavenArtifacts(processes, [
    `org.apache.kafka:kafka_2.13:${VERSION}`,
    `org.apache.kafka:kafka-tools:${VERSION}`,
    // Kafka logs through slf4j; the version is that of the log4j it brings.
    'org.apache.logging.log4j:log4j-slf4j-impl:2.25.4',
  ]);

export const kafka = {
  name: 'Kafka',
  variable: 'MILLRACE_TEST_KAFKA',
  prerequisites: [java, maven],
  download,
  async start(processes) {
    const [node] = await startKafka(processes, { nodes: 1 });
    return { value: node.address, version: VERSION };
  },
};

/** Users of the guarded one: whoever logs in with SCRAM, and the key by which IAM knows its caller. */
const USER = { username: 'verify', password: 'a secret of verify' };
const ACCESS_KEY = 'verify';
const SESSION_SECONDS = 3;

export const guardedKafka = {
  name: 'Kafka, guarded',
  variable: 'MILLRACE_TEST_GUARDED_KAFKA',
  prerequisites: [jdk, maven],
  download,
  async start(processes) {
    const certificate = await makeCertificate(processes);
    const tls = `localhost:${await freePort()}`;
    const sasl = `localhost:${await freePort()}`;
    const login = 'org.apache.kafka.common.security';
    await startKafka(processes, {
      nodes: 1,
      listeners: { TLS: tls, SASL: sasl },
      settings: {
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASL:SASL_SSL',
        'ssl.keystore.type': 'PKCS12',
        'ssl.keystore.location': certificate.keyStore,
        'ssl.keystore.password': certificate.password,
        'listener.name.sasl.sasl.enabled.mechanisms': 'SCRAM-SHA-512,OAUTHBEARER',
        'listener.name.sasl.scram-sha-512.sasl.jaas.config': `${login}.scram.ScramLoginModule required;`,
        // What the broker itself would log in with, which it never does, has to be there.
        'listener.name.sasl.oauthbearer.sasl.jaas.config': `${login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
        'listener.name.sasl.oauthbearer.sasl.server.callback.handler.class': 'MskLogin$Validator',
        'listener.name.sasl.oauthbearer.connections.max.reauth.ms': 60_000,
      },
      format: ['--add-scram', `SCRAM-SHA-512=[name=${USER.username},password="${USER.password}"]`],
      java: [`-Daccess.key=${ACCESS_KEY}`, `-Dsession.seconds=${SESSION_SECONDS}`],
      main: fileURLToPath(new URL('../../test/verify/java/MskLogin.java', import.meta.url)),
    });
    return {
      value: JSON.stringify({ tls, sasl, ...certificate, ...USER, sessionMs: SESSION_SECONDS * 1_000 }),
      version: VERSION,
    };
  },
};

/** A certificate of localhost's own, by the tool that comes with Java. */
async function makeCertificate(processes) {
  const folder = processes.makeFolder('kafka-certificate');
  const keyStore = join(folder, 'key.p12');
  const ca = join(folder, 'ca.pem');
  const password = 'verify-only';
  const store = ['-alias', 'kafka', '-keystore', keyStore, '-storetype', 'PKCS12', '-storepass', password];
  const keytool = join(dirname(jdk.find()), 'keytool');
  const whose = ['-dname', 'CN=localhost', '-ext', 'san=dns:localhost,ip:127.0.0.1'];
  await processes.run('keytool', keytool, [
    '-genkeypair',
    '-keyalg',
    'EC',
    '-validity',
    '2',
    ...whose,
    ...store,
  ]);
  await processes.run('keytool', keytool, ['-exportcert', '-rfc', '-file', ca, ...store]);
  return { keyStore, password, ca };
}

/**
 * For a test that takes nodes down: a Kafka of its own.
 * @param options further listeners, each on its address; further settings by Kafka's names, options of format and of
 *   Java; and another program than Kafka's own
 * @returns its nodes, all started
 */
export async function startKafka(processes, options) {
  const { nodes: count, settings: more = {}, format = [] } = options;
  const classPath = await download(processes);
  const nodes = [];
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
    // A group waits this long for more members before its first assignment; tests need not.
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

class KafkaNode {
  #processes;
  #classPath;
  #name;
  #properties;
  #java;
  #server;

  constructor(
    processes,
    classPath,
    { id, port, controllerPort },
    { settings, listeners = {}, java = [], main },
  ) {
    this.#processes = processes;
    this.#classPath = classPath;
    this.#java = [...java, '-cp', classPath, main ?? 'kafka.Kafka'];
    this.#name = `kafka-${port}`;
    this.id = id;
    this.address = `127.0.0.1:${port}`;
    const folder = processes.makeFolder(this.#name);
    const all = { PLAINTEXT: this.address, CONTROLLER: `127.0.0.1:${controllerPort}`, ...listeners };
    const addresses = Object.entries(all)
      .map(([name, address]) => `${name}://${address}`)
      .join(',');
    this.#properties = join(folder, 'server.properties');
    const properties = {
      ...settings,
      'node.id': id,
      listeners: addresses,
      'advertised.listeners': addresses,
      'log.dirs': join(folder, 'data'),
    };
    writeFileSync(
      this.#properties,
      Object.entries(properties)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
  }

  format(clusterId, controllers, more) {
    const command = ['kafka.tools.StorageTool', 'format', '--cluster-id', clusterId];
    const options = ['--initial-controllers', controllers, '--config', this.#properties, ...more];
    return this.#processes.run(`${this.#name}-format`, java.find(), [
      '-cp',
      this.#classPath,
      ...command,
      ...options,
    ]);
  }

  /** Also after kill(): it has the same data and port. */
  async start() {
    // Without a configuration of its own, log4j prints errors only.
    const options = ['-Xmx512m', '-Dorg.apache.logging.log4j.level=INFO'];
    this.#server = this.#processes.start(
      this.#name,
      java.find(),
      [...options, ...this.#java, this.#properties],
      // Handing over takes seconds, and its data goes with it.
      { endWith: 'SIGKILL' },
    );
    await this.#server.untilAnswers(async () => {
      if (!this.#server.output().includes('Kafka Server started')) throw new Error('it has not started');
    }, START_SECONDS);
  }

  /** As a machine that is lost: nothing is finished, and nobody is told. */
  async kill() {
    this.#server.signal('SIGKILL');
    await this.#server.ended;
  }

  /** As a machine that swaps, or a process in a long pause: its connections stay, and nothing answers. */
  hang() {
    this.#server.signal('SIGSTOP');
  }

  resume() {
    this.#server.signal('SIGCONT');
  }

  async restart() {
    await this.kill();
    await this.start();
  }
}

/** As Kafka writes them: 16 bytes in the URL alphabet. One that begins with a dash would be taken for an option. */
function uuid() {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? uuid() : id;
}
