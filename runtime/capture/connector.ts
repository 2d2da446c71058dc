import { CAPTURE_SCHEMA, type CapturedDatabase, EPOCH_HEADER } from './database.ts';
import type { CapturedTable } from './table.ts';

/** Where the connector finds its database, and how it logs in. */
export interface CaptureSource {
  /** The writer: a proxy or a replica cannot carry replication. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Further properties of the connector: its password, its way to log in, TLS. */
  readonly login: Readonly<Record<string, string>>;
}

/** How often the heartbeat's row is touched. */
export const HEARTBEAT_MS = 5_000;

/**
 * The configuration of one Debezium connector, for one database, as Kafka Connect takes it. Deterministic: the same
 * declarations give the same text.
 * https://debezium.io/documentation/reference/3.6/connectors/postgresql.html (2026-11-27)
 */
export function connectorConfiguration(
  database: CapturedDatabase,
  tables: readonly CapturedTable[],
  { host, port, database: name, user, login }: CaptureSource,
  { heartbeatMs = HEARTBEAT_MS }: { readonly heartbeatMs?: number } = {},
): Readonly<Record<string, string>> {
  const captured = tables.filter((table) => table.database.name === database.name);
  const largest = Math.max(...captured.map(({ topic }) => topic.maxBodyBytes));
  return {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    // PostgreSQL gives a slot's changes in one order, to one reader.
    'tasks.max': '1',
    'topic.prefix': database.name,
    'database.hostname': host,
    'database.port': String(port),
    'database.dbname': name,
    'database.user': user,
    ...login,
    'plugin.name': 'pgoutput',
    'slot.name': database.slot,
    'publication.name': database.publication,
    // Its owner makes it: the connector's role need own no table.
    'publication.autocreate.mode': 'disabled',
    'table.include.list': captured.map(({ schema, table }) => `${schema}[.]${table}`).join(','),
    // `when_needed` would take a new snapshot by itself, in which rows deleted meanwhile are missing: docs/capture.md.
    'snapshot.mode': 'initial',
    // Fails when somebody has made the slot anew, which has changes missing.
    'offset.mismatch.strategy': 'trust_offset',
    'skipped.operations': 'none',
    'tombstones.on.delete': 'true',
    // Digits as they are, in every type.
    'decimal.handling.mode': 'string',
    'time.precision.mode': 'isostring',
    'interval.handling.mode': 'string',
    'binary.handling.mode': 'base64',
    // Four headers in each record, of which source and topic say what matters.
    'extended.headers.enabled': 'false',
    'heartbeat.interval.ms': String(heartbeatMs),
    'heartbeat.action.query': `UPDATE ${CAPTURE_SCHEMA}.heartbeat SET beat_at = clock_timestamp() WHERE id = 1`,
    'signal.data.collection': `${CAPTURE_SCHEMA}.signal`,
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'key.converter.schemas.enable': 'false',
    'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'value.converter.schemas.enable': 'false',
    'header.converter': 'org.apache.kafka.connect.storage.StringConverter',
    // It would wait for ever for a topic that nobody made. What they are for has happened before they are dropped.
    predicates: 'own',
    'predicates.own.type': 'org.apache.kafka.connect.transforms.predicates.TopicNameMatches',
    'predicates.own.pattern': `__debezium-heartbeat[.].*|${database.name}[.]${CAPTURE_SCHEMA}[.]signal`,
    transforms: 'own,epoch',
    'transforms.own.type': 'org.apache.kafka.connect.transforms.Filter',
    'transforms.own.predicate': 'own',
    'transforms.epoch.type': 'org.apache.kafka.connect.transforms.InsertHeader',
    'transforms.epoch.header': EPOCH_HEADER,
    'transforms.epoch.value.literal': String(database.epoch),
    'producer.override.max.request.size': String(largest + 65_536),
    'producer.override.compression.type': 'lz4',
  };
}
