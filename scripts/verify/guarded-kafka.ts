/** A Kafka that asks for TLS and logins, as MSK does. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KAFKA_VERSION, kafka, startKafka } from '../../local/parts/kafka.ts';
import { jdk, maven, required } from '../../local/parts/prerequisites.ts';
import { freePort, type Processes } from '../../local/parts/processes.ts';

/** Users of it: whoever logs in with SCRAM, and the key by which IAM knows its caller. */
const USER = { username: 'verify', password: 'a secret of verify' };
const ACCESS_KEY = 'verify';
const SESSION_SECONDS = 3;

export const guardedKafka = {
  name: 'Kafka, guarded',
  prerequisites: [jdk, maven],
  download: kafka.download,
  async start(processes: Processes) {
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
      version: KAFKA_VERSION,
    };
  },
};

/** A certificate of localhost's own, by the tool that comes with Java. */
async function makeCertificate(processes: Processes) {
  const folder = processes.makeFolder('kafka-certificate');
  const keyStore = join(folder, 'key.p12');
  const ca = join(folder, 'ca.pem');
  const password = 'verify-only';
  const store = ['-alias', 'kafka', '-keystore', keyStore, '-storetype', 'PKCS12', '-storepass', password];
  const keytool = join(dirname(required(jdk)), 'keytool');
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
