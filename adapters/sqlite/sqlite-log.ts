import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import type { Header, RawRecord, TopicPartition } from '../../runtime/record.ts';
import type { LogReader, Producer, TopicAdmin } from '../../runtime/topics.ts';
import { inTransaction, openDatabase } from './open-database.ts';

export interface SqliteLog extends Producer, TopicAdmin, LogReader {
  close(): void;
}

const MIGRATIONS = [
  `CREATE TABLE topics (
     id INTEGER PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     partitions INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE records (
     topic INTEGER NOT NULL REFERENCES topics,
     "partition" INTEGER NOT NULL,
     "offset" INTEGER NOT NULL,
     timestamp INTEGER NOT NULL,
     key BLOB,
     value BLOB,
     headers TEXT,
     PRIMARY KEY (topic, "partition", "offset")
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE committed_offsets (
     consumer_group TEXT NOT NULL,
     topic INTEGER NOT NULL REFERENCES topics,
     "partition" INTEGER NOT NULL,
     "offset" INTEGER NOT NULL,
     PRIMARY KEY (consumer_group, topic, "partition")
   ) STRICT, WITHOUT ROWID;`,
];

interface RecordRow {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: string | null;
}

/**
 * A log in one SQLite file; every record gets CREATE_TIME. Several processes may have it open, to publish and to
 * consume at once. `send` appends all of its records or none, and they survive a kill once it has resolved.
 * @throws STATE_UNREADABLE, STATE_IN_USE when the file cannot be used
 */
export function openSqliteLog({ path, clock }: { readonly path: string; readonly clock: Clock }): SqliteLog {
  const database = openDatabase(path, MIGRATIONS);
  const selectTopic = database.prepare('SELECT id, partitions FROM topics WHERE name = ?');
  const insertTopic = database.prepare('INSERT INTO topics (name, partitions) VALUES (?, ?)');
  const insertRecord = database.prepare('INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)');
  const selectRecords = database.prepare(
    // As a double: node:sqlite refuses to give a larger integer as a number.
    `SELECT "offset", CAST(timestamp AS REAL) AS timestamp, key, value, headers FROM records
     WHERE topic = ? AND "partition" = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?`,
  );
  // Two queries, because SQLite walks to one end of an index for a lone min() or max() only.
  const selectStart = database.prepare(
    'SELECT min("offset") AS "offset" FROM records WHERE topic = ? AND "partition" = ?',
  );
  const selectLast = database.prepare(
    'SELECT max("offset") AS "offset" FROM records WHERE topic = ? AND "partition" = ?',
  );
  const selectOffsetAt = database.prepare(
    `SELECT "offset" FROM records WHERE topic = ? AND "partition" = ? AND timestamp >= ?
     ORDER BY "offset" LIMIT 1`,
  );
  const selectCommitted = database.prepare(
    'SELECT "offset" FROM committed_offsets WHERE consumer_group = ? AND topic = ? AND "partition" = ?',
  );
  const upsertCommitted = database.prepare(
    `INSERT INTO committed_offsets VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET "offset" = excluded."offset"`,
  );

  let unkeyedSends = 0;
  // A topic's number of partitions never changes, so what was read once holds.
  const topics = new Map<string, { readonly id: number; readonly partitions: number }>();
  const findTopic = (name: string) => {
    const known = topics.get(name);
    if (known) return known;
    const row = selectTopic.get(name) as { id: number; partitions: number } | undefined;
    if (row) topics.set(name, row);
    return row;
  };
  const topicOf = (name: string) => {
    const topic = findTopic(name);
    if (topic) return topic;
    throw new MillraceError(
      'TOPIC_UNKNOWN',
      `Topic ${JSON.stringify(name)} does not exist in ${path}. Create it first.`,
      {
        details: { topic: name },
      },
    );
  };
  const endOf = (topicId: number, partition: number) => {
    const { offset } = selectLast.get(topicId, partition) as { offset: number | null };
    return offset === null ? 0 : offset + 1;
  };

  return {
    async createTopic(name, partitions) {
      inTransaction(database, () => {
        const existing = findTopic(name)?.partitions;
        if (!Number.isInteger(partitions) || partitions < 1 || (existing ?? partitions) !== partitions) {
          throw new MillraceError(
            'INPUT_INVALID',
            `Topic ${JSON.stringify(name)} cannot have ${partitions} partitions: ${existing ? `it exists in ${path} with ${existing}. Use that many, or another state folder` : 'it takes a whole number from 1'}.`,
            { details: { topic: name, partitions } },
          );
        }
        if (!existing) insertTopic.run(name, partitions);
      });
    },

    async send(topic, records) {
      const { id, partitions } = topicOf(topic);
      const unkeyed = unkeyedSends++ % partitions;
      const now = clock.now();
      const ends: number[] = [];
      const append = () =>
        records.map(({ key, value, headers, timestamp = now }) => {
          const partition = key === null ? unkeyed : partitionOf(key, partitions);
          const offset = ends[partition] ?? endOf(id, partition);
          ends[partition] = offset + 1;
          insertRecord.run(id, partition, offset, timestamp, key, value, encodeHeaders(headers));
          return { topic, partition, offset };
        });
      try {
        return inTransaction(database, append);
      } catch (cause) {
        throw new MillraceError(
          'PUBLISH_FAILED',
          `None of ${records.length} records were appended to ${JSON.stringify(topic)} in ${path}: ${(cause as Error).message}. Send them again.`,
          { cause, details: { topic, records: records.length } },
        );
      }
    },

    async partitions(topic) {
      return topicOf(topic).partitions;
    },
    async read(from, fromOffset, maxRecords) {
      const rows = selectRecords.all(topicOf(from.topic).id, from.partition, fromOffset, maxRecords);
      return (rows as unknown as RecordRow[]).map((row) => toRecord(from, row));
    },
    async bounds({ topic, partition }) {
      const { id } = topicOf(topic);
      const { offset: start } = selectStart.get(id, partition) as { offset: number | null };
      return { start: start ?? 0, end: endOf(id, partition) };
    },
    async offsetAt({ topic, partition }, timestampMs) {
      const { id } = topicOf(topic);
      const row = selectOffsetAt.get(id, partition, timestampMs);
      return row ? (row.offset as number) : endOf(id, partition);
    },

    async committed(group, { topic, partition }) {
      return selectCommitted.get(group, topicOf(topic).id, partition)?.offset as number | undefined;
    },
    async commit(group, offsets) {
      inTransaction(database, () => {
        for (const { topic, partition, offset } of offsets) {
          upsertCommitted.run(group, topicOf(topic).id, partition, offset);
        }
      });
    },

    close: () => database.close(),
  };
}

function toRecord({ topic, partition }: TopicPartition, row: RecordRow): RawRecord {
  return {
    topic,
    partition,
    offset: row.offset,
    timestamp: row.timestamp,
    timestampType: 'CREATE_TIME',
    key: toBuffer(row.key),
    value: toBuffer(row.value),
    headers: row.headers === null ? [] : decodeHeaders(row.headers),
  };
}

function toBuffer(bytes: Uint8Array | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `[name, base64 or null]` of each header in order, as JSON; NULL where a record has none. */
function encodeHeaders(headers: readonly Header[] = []): string | null {
  if (headers.length === 0) return null;
  return JSON.stringify(headers.map(({ name, value }) => [name, value?.toString('base64') ?? null]));
}

function decodeHeaders(text: string): Header[] {
  return (JSON.parse(text) as [string, string | null][]).map(([name, value]) => ({
    name,
    value: value === null ? null : Buffer.from(value, 'base64'),
  }));
}
