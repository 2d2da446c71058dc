import { hash } from 'node:crypto';
import type { LogTime } from '../../runtime/delivery/log-time.ts';
import type { SeenStore, Sighting } from '../../runtime/delivery/sink.ts';
import type { TopicPartition } from '../../runtime/record.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { column, decodeRows } from './sql-values.ts';

/** What a locked ledger's row has for the ids of its events. */
export interface SeenLedger extends TopicPartition {
  readonly id: number;
  readonly log_time: KeptLogTime | null;
}

/** As the column has it. */
export interface KeptLogTime extends LogTime {
  /** No id is left that was seen before this: what looks for old ones need not walk over those that are gone. */
  readonly seenSince?: number;
}

export interface PostgresSeen extends SeenStore {
  /** What a ledger's column is to have: with it goes how far ids were removed. */
  kept(of: TopicPartition, logTime: LogTime): KeptLogTime;
}

/**
 * Ids in one table, by the ledger's number and 16 bytes. A batch looks its own up and then inserts those that are not there:
 * the ledger's lock keeps others of the partition away meanwhile.
 * @param locked the ledgers that the transaction has locked, by partition
 */
export function createPostgresSeen(
  open: OpenTransaction,
  locked: (of: TopicPartition) => SeenLedger,
): PostgresSeen {
  const seenSince = new Map<number, number>();
  return {
    async see(_key, sightings, windowMs) {
      if (sightings.length === 0) return [];
      const found: (number | null)[] = new Array(sightings.length).fill(null);
      const old = oldOnes(sightings, windowMs, locked);
      const { rows } = await query(open, SEE, [
        ...idsOf(sightings, locked),
        arrayOf(column(sightings, 'at')),
        windowMs,
        column(old, 'ledger'),
        column(old, 'since'),
        column(old, 'before'),
        column(old, 'most'),
      ]);
      for (const { n, at } of rows as unknown as readonly { n: number; at: number }[]) {
        if (n > 0) found[n - 1] = at;
      }
      const removed = new Map(
        (rows as unknown as readonly RemovedRow[]).filter(({ n }) => n < 0).map((row) => [-row.n, row]),
      );
      for (const { ledger, before, most } of old) {
        const row = removed.get(ledger);
        seenSince.set(ledger, row && row.gone >= most ? row.at : before);
      }
      return found;
    },
    async forget(_key, sightings) {
      await query(open, FORGET, idsOf(sightings, locked));
    },
    kept(of, logTime) {
      const { id, log_time } = locked(of);
      const since = seenSince.get(id) ?? log_time?.seenSince;
      return { ...logTime, ...(since !== undefined && { seenSince: since }) };
    },
  };
}

export function logTimeOf({ time, recent, behind }: KeptLogTime): LogTime {
  return { time, recent, behind };
}

interface RemovedRow {
  /** The ledger's number, below zero. */
  readonly n: number;
  /** The newest that was removed. */
  readonly at: number;
  readonly gone: number;
}

/**
 * Which ids of a ledger none of its sightings can meet, nor any later one. More are removed than come, so that a burst is
 * gone in time, and not many more, so that no batch has to do the work of a day.
 */
function oldOnes(
  sightings: readonly Sighting[],
  windowMs: number,
  locked: (of: TopicPartition) => SeenLedger,
) {
  const byPartition = new Map<number, { of: Sighting; oldest: number; sighted: number }>();
  for (const sighting of sightings) {
    const known = byPartition.get(sighting.partition);
    if (!known) byPartition.set(sighting.partition, { of: sighting, oldest: sighting.at, sighted: 1 });
    else {
      known.oldest = Math.min(known.oldest, sighting.at);
      known.sighted++;
    }
  }
  return Array.from(byPartition.values(), ({ of, oldest, sighted }) => {
    const { id, log_time } = locked(of);
    const before = oldest - windowMs;
    const since = log_time?.seenSince ?? 0;
    // The log's time may have gone back.
    return { ledger: id, before, since: since > before ? 0 : since, most: 2 * sighted + 1_000 };
  });
}

// In the order of the ledgers' numbers and ids, so that the pages of the index are visited one after the other. Looking
// first costs less than ON CONFLICT, which looks too, and then inserts in two steps.
//
// Arrays in a SELECT of their own have the planner expect ten elements, whatever they have. It would else add up ten thousand
// look-ups in a table without statistics, and compile the statement (jit_above_cost), for longer than the statement runs.
// So nothing here may join `event` with anything but an index.
const SEE = `
  WITH event AS MATERIALIZED (
    SELECT e.*, s.at AS seen_at, s.row_id
    FROM (
      SELECT * FROM unnest((SELECT $1::int[]), (SELECT $2::uuid[]), (SELECT $3::bigint[]))
        WITH ORDINALITY AS e (ledger, id, at, n)
      ORDER BY ledger, id
    ) e
    LEFT JOIN LATERAL (
      SELECT s.at, s.ctid AS row_id FROM millrace_seen s WHERE s.ledger = e.ledger AND s.id = e.id LIMIT 1
    ) s ON true
  ), added AS (
    INSERT INTO millrace_seen (ledger, id, at) SELECT ledger, id, at FROM event WHERE seen_at IS NULL
  ), renewed AS (
    UPDATE millrace_seen s SET at = e.at FROM event e WHERE s.ctid = e.row_id AND abs(e.seen_at - e.at) > $4::bigint
  ), old AS MATERIALIZED (
    SELECT s.*
    FROM unnest((SELECT $5::int[]), (SELECT $6::bigint[]), (SELECT $7::bigint[]), (SELECT $8::int[])) AS p (ledger, since, before, most)
    CROSS JOIN LATERAL (
      SELECT s.ledger, s.at, s.ctid AS row_id FROM millrace_seen s
      WHERE s.ledger = p.ledger AND s.at >= p.since AND s.at < p.before
        AND s.ctid NOT IN (SELECT row_id FROM event WHERE abs(seen_at - at) > $4::bigint)
      ORDER BY s.at LIMIT p.most
    ) s
  ), removed AS (
    DELETE FROM millrace_seen WHERE ctid = ANY (ARRAY(SELECT row_id FROM old))
  )
  SELECT n::int AS n, seen_at AS at, 0 AS gone FROM event WHERE abs(seen_at - at) <= $4::bigint
  UNION ALL
  SELECT -ledger, max(at), count(*)::int FROM old GROUP BY ledger`;

const FORGET = `
  DELETE FROM millrace_seen s USING unnest($1::int[], $2::uuid[]) AS e (ledger, id)
  WHERE s.ledger = e.ledger AND s.id = e.id`;

function idsOf(sightings: readonly Sighting[], locked: (of: TopicPartition) => SeenLedger): string[] {
  return [
    arrayOf(sightings.map((sighting) => locked(sighting).id)),
    arrayOf(sightings.map(({ id }) => shortId(id))),
  ];
}

/** An array's text, of values that need no quotes: there are thousands in a batch. */
function arrayOf(values: readonly (string | number)[]): string {
  return `{${values.join(',')}}`;
}

/** Of the versions that there are: https://www.rfc-editor.org/rfc/rfc9562#name-version-field (2026-11-27) */
const UUID = /^[\da-f]{8}-[\da-f]{4}-[1-8][\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/;

/**
 * 16 bytes in the text of a uuid. An id that is one is its own: those that begin with their time stay together in the index.
 * Any other text, which may be as long as it likes, is half of its SHA-256, marked with a version that no uuid has: nobody can
 * send a uuid that passes for the id of another event.
 */
function shortId(id: string): string {
  if (UUID.test(id)) return id;
  const sha256 = hash('sha256', id);
  return `${sha256.slice(0, 12)}f${sha256.slice(13, 32)}`;
}

async function query(open: OpenTransaction, sql: string, parameters: readonly unknown[]) {
  return { rows: decodeRows(await open.query(sql, parameters)) };
}
