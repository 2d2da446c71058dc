/** A PostgreSQL of its own whose tables are captured into Kafka, by Debezium in a Connect worker of its own. */
import pg from 'pg';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { connectorConfiguration } from '../../runtime/capture/connector.ts';
import { CAPTURE_ROLE, captureSql } from '../../runtime/capture/sql.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';
import { capturedTables } from '../../runtime/capture/table.ts';
import { type ConnectVersion, type ConnectWorker, startConnect } from './connect.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';
import type { Processes } from './processes.ts';

interface CaptureOptions {
  /** Of one database. Its heartbeat comes along. */
  readonly tables: readonly CapturedTable[];
  /** Kafka's. */
  readonly brokers: string;
  /** The SQL that makes the tables, and what rows they begin with. */
  readonly schema: string;
  readonly version?: ConnectVersion;
  readonly heartbeatMs?: number;
  /** Further properties of the connector. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Capture {
  readonly server: PostgresServer;
  readonly worker: ConnectWorker;
  /** The database's URL, as its owner. */
  readonly url: string;
  /** The declared tables, and the heartbeat. */
  readonly tables: readonly CapturedTable[];
  /** The connector's name. */
  readonly connector: string;
  readonly configuration: Readonly<Record<string, string>>;
  /** Starts the connector: a snapshot, then the changes. */
  begin(): Promise<void>;
}

/** All is prepared, and nothing captured yet: call begin(). */
export async function prepareCapture(processes: Processes, options: CaptureOptions): Promise<Capture> {
  const tables = capturedTables(options.tables);
  const database = tables[0]!.database;
  const [server, worker] = await Promise.all([
    startPostgres(processes, {
      settings: ['wal_level=logical', 'max_wal_senders=4', 'max_replication_slots=4'],
    }),
    createTopics(options.brokers, tables).then(() => startConnect(processes, options)),
  ]);
  await runSql(server.url, `CREATE DATABASE ${database.name}`);
  const url = new URL(server.url);
  url.pathname = database.name;
  await runSql(url.href, options.schema);
  await runSql(url.href, captureSql(database, tables));
  const configuration = {
    ...connectorConfiguration(
      database,
      tables,
      { host: url.hostname, port: Number(url.port), database: database.name, user: CAPTURE_ROLE, login: {} },
      { ...(options.heartbeatMs !== undefined && { heartbeatMs: options.heartbeatMs }) },
    ),
    ...options.settings,
  };
  return {
    server,
    worker,
    url: url.href,
    tables,
    connector: database.connector,
    configuration,
    async begin() {
      await worker.configure(database.connector, configuration);
      await worker.untilRunning(database.connector);
    },
  };
}

async function createTopics(brokers: string, tables: readonly CapturedTable[]): Promise<void> {
  const log = openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
  try {
    for (const { topic } of tables) await log.createTopic(topic.name, topic.partitions);
  } finally {
    await log.close();
  }
}

async function runSql(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
