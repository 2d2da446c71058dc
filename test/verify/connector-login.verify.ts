/**
 * The plugin that `millrace capture plugin` builds, on MSK Connect's line of Kafka Connect: Debezium logs in, for queries and
 * for replication, to a PostgreSQL that takes tokens of IAM in place of passwords, as RDS does.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Signer } from '@aws-sdk/rds-signer';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { type KafkaLog, openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { type ConnectWorker, startConnect } from '../../local/parts/connect.ts';
import { buildConnectorPlugin, checkPinned, unpackedPlugin } from '../../local/parts/connector-plugin.ts';
import { Processes } from '../../local/parts/processes.ts';
import { connectorConfiguration } from '../../runtime/capture/connector.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { iamLogin } from '../../runtime/capture/plugin.ts';
import { CAPTURE_ROLE, captureSql } from '../../runtime/capture/sql.ts';
import { capturedTables, defineTable } from '../../runtime/capture/table.ts';
import { startRdsPostgres } from '../../scripts/verify/rds-postgres.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

jest.setTimeout(240_000);
const brokers = part('MILLRACE_TEST_KAFKA');
/** Of those that are fetched, MSK Connect's. */
const [version] = part('MILLRACE_TEST_CONNECT')
  .split(',')
  .filter((each) => each.startsWith('3.7.'));
const REGION = 'eu-west-1';
/** What a container is given: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html (2026-11-27) */
const CREDENTIALS = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'secret/+=',
  sessionToken: 'a+session/token==',
};

const database = defineDatabase({ name: 'guarded' });
const tables = capturedTables([
  defineTable({
    database,
    table: 'orders',
    key: ['id'],
    partitions: 1,
    columns: { id: 'bigint', note: 'text' },
  }),
]);
const [orders] = tables;
const temporary = createTemporaryFolder();
const processes = new Processes(temporary.path);
let server: Awaited<ReturnType<typeof startRdsPostgres>>;
let worker: ConnectWorker;
let log: KafkaLog;
let client: pg.Client;
let credentials: Server;

beforeAll(async () => {
  log = openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
  for (const { topic } of tables) await log.createTopic(topic.name, topic.partitions);
  server = await startRdsPostgres(processes, { settings: ['wal_level=logical'] });
  const owner = new pg.Client({ connectionString: server.url });
  await owner.connect();
  await owner.query(`CREATE DATABASE ${database.name}`);
  await owner.end();
  client = new pg.Client({ connectionString: server.url.replace(/postgres$/, database.name) });
  await client.connect();
  await client.query(
    "CREATE TABLE orders (id bigint PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'first')",
  );
  await client.query(captureSql(database, tables, { onRds: true }));
  // On RDS the right comes with rds_replication; PostgreSQL itself knows it as this attribute only.
  await client.query(`ALTER ROLE ${CAPTURE_ROLE} REPLICATION`);
  credentials = createServer((_, response) =>
    response.end(
      JSON.stringify({
        AccessKeyId: CREDENTIALS.accessKeyId,
        SecretAccessKey: CREDENTIALS.secretAccessKey,
        Token: CREDENTIALS.sessionToken,
        Expiration: '2099-01-01T00:00:00Z',
      }),
    ),
  ).listen(0, '127.0.0.1');
  await once(credentials, 'listening');
  worker = await startConnect(processes, {
    brokers,
    version: version as '3.7.2',
    plugin: await unpackedPlugin(processes),
    env: {
      AWS_ACCESS_KEY_ID: undefined,
      AWS_SECRET_ACCESS_KEY: undefined,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${(credentials.address() as AddressInfo).port}/`,
    },
  });
});
afterAll(async () => {
  await client?.end();
  await processes.endAll();
  credentials?.close();
  await log?.close();
  temporary.remove();
});

const configuration = (login: Readonly<Record<string, string>>) =>
  connectorConfiguration(database, tables, {
    host: server.address,
    port: 5_432,
    database: database.name,
    user: CAPTURE_ROLE,
    login,
  });

async function notes(count: number): Promise<readonly unknown[]> {
  const of = { topic: orders!.topic.name, partition: 0 };
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; await systemClock.sleep(250)) {
    const records = await log.read(of, 0, 100);
    const rows = records.map(({ value }) => JSON.parse(value!.toString()).after.note);
    if (rows.length >= count) return rows;
  }
  throw new Error(`fewer than ${count} changes after a minute`);
}

test('a password is refused, so that only a token can be what lets the connector in', async () => {
  const login = { 'database.password': 'no token', 'database.sslmode': 'require' };
  await expect(worker.configure(database.connector, configuration(login))).rejects.toMatchObject({
    code: 'PART_FAILED',
  });
  expect(server.passwords).toContain('no token');
});

test('a snapshot and a change arrive, logged in with tokens', async () => {
  server.passwords.length = 0;
  await worker.configure(database.connector, configuration(iamLogin(REGION)));
  await worker.untilRunning(database.connector);
  expect(await notes(1)).toEqual(['first']);
  await client.query("INSERT INTO orders VALUES (2, 'second')");
  expect(await notes(2)).toEqual(['first', 'second']);
  const { rows } = await client.query(
    "SELECT usename, backend_type FROM pg_stat_activity WHERE usename = $1 AND backend_type = 'walsender'",
    [CAPTURE_ROLE],
  );
  expect(rows).toHaveLength(1);
  expect(server.passwords.length).toBeGreaterThan(1);
});

test('each token is the one that AWS’s own signer makes', async () => {
  for (const token of new Set(server.passwords)) {
    const date = new URL(`https://${token}`).searchParams.get('X-Amz-Date')!;
    const at = date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z');
    jest.useFakeTimers({
      now: new Date(at),
      doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'setInterval', 'setTimeout'],
    });
    try {
      const signer = new Signer({
        hostname: server.address,
        port: 5_432,
        username: CAPTURE_ROLE,
        region: REGION,
        credentials: CREDENTIALS,
      });
      expect(token.split('&').toSorted()).toEqual((await signer.getAuthToken()).split('&').toSorted());
    } finally {
      jest.useRealTimers();
    }
  }
});

test('a connector that is made again goes on, and takes no second snapshot', async () => {
  await worker.remove(database.connector);
  await client.query("INSERT INTO orders VALUES (3, 'while it was away')");
  await worker.configure(database.connector, configuration(iamLogin(REGION)));
  await worker.untilRunning(database.connector);
  expect(await notes(3)).toEqual(['first', 'second', 'while it was away']);
});

test('two builds of the plugin have the same bytes, and a jar that is not pinned is refused', async () => {
  const build = async (name: string) => {
    const own = new Processes(processes.makeFolder(name));
    return readFileSync((await buildConnectorPlugin(own)).path);
  };
  const [first, second] = [await build('build-1'), await build('build-2')];
  expect(first.length).toBeGreaterThan(20_000_000);
  expect(second.equals(first)).toBe(true);
  const jar = new Map([['other.jar', Buffer.from('other')]]);
  expect(() => checkPinned(jar)).toThrow(expect.objectContaining({ code: 'PART_FAILED' }));
});
