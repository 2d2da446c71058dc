import type { LedgerOwner } from '../../runtime/replay/ledgers.ts';
import type { ParkedTotals, WaitingKey, WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
import { type ParkedRow, parkedColumns, rawOf } from './parked-rows.ts';
import { hashOf } from './postgres-keys.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction } from './sql-transaction.ts';
import { decodeRows } from './sql-values.ts';

/** Of a page: what of it is JSON, with its bytes in base64, stays below the 6 MB of a function's answer. */
const PAGE = { items: 1_000, bytes: 1_000_000 } as const;

const MS = (at: string) => `floor(extract(epoch FROM ${at}) * 1000)::float8`;

/** The first one of a key was parked before all that wait behind it. */
const OLDEST = `(
  SELECT p.parked_at FROM millrace_parked p WHERE p.consumer = k.consumer AND p.key_id = k.id AND p."offset" = k.first_parked
)`;

const LAST_LETTER = `(
  SELECT max(l."offset") FROM millrace_key_letter l
  WHERE l.consumer = k.consumer AND l.key_id = k.id AND l.is_waited_for
)`;

const WAITING = `k.partition, k.first_letter AS "blockedBy", ${LAST_LETTER} AS "lastLetter", k.parked AS records, ${MS(OLDEST)} AS "oldestAt"`;

const OF_OWNER = 'k.consumer = $1 AND k.epoch = $2 AND k.topic = $3';

const TOTALS = `
  SELECT count(*)::int AS keys, coalesce(sum(parked), 0)::int AS records, ${MS(`min(${OLDEST})`)} AS "oldestAt"
  FROM millrace_key k WHERE ${OF_OWNER} AND k.parked > 0`;

const IS_ANY_WAITING = `
  SELECT EXISTS (
    SELECT FROM millrace_key k WHERE ${OF_OWNER} AND (k.parked > 0 OR k.first_letter IS NOT NULL)
  ) AS "isAny"`;

const LIST = `
  WITH page AS (
    SELECT k.id, row_number() OVER w AS rank, sum(octet_length(k.key)) OVER w AS bytes
    FROM millrace_key k WHERE ${OF_OWNER} AND k.parked > 0 AND k.id >= $4
    WINDOW w AS (ORDER BY k.id ROWS UNBOUNDED PRECEDING)
    ORDER BY k.id LIMIT $5::int + 1
  )
  SELECT page.id, page.rank = 1 OR (page.rank <= $5::int AND page.bytes <= $6::bigint) AS "fits", k.key, ${WAITING}
  FROM page JOIN millrace_key k ON k.consumer = $1 AND k.id = page.id ORDER BY page.id`;

const FIND = `
  SELECT ${WAITING} FROM millrace_key k
  WHERE ${OF_OWNER} AND k.hash = $4::uuid AND (k.parked > 0 OR k.first_letter IS NOT NULL)
  ORDER BY k.partition`;

const RECORDS = `
  WITH page AS (
    SELECT p.key_id, p."offset", row_number() OVER w AS rank, sum(p.bytes) OVER w AS bytes
    FROM millrace_key k JOIN millrace_parked p ON p.consumer = k.consumer AND p.key_id = k.id
    WHERE ${OF_OWNER} AND k.partition = $4 AND k.hash = $5::uuid AND p."offset" >= $6
    WINDOW w AS (ORDER BY p."offset" ROWS UNBOUNDED PRECEDING)
    ORDER BY p."offset" LIMIT $7::int + 1
  )
  SELECT page.rank = 1 OR (page.rank <= $7::int AND page.bytes <= $8::bigint) AS "fits",
    k.topic, k.partition, k.key, ${parkedColumns('p')}
  FROM page JOIN millrace_key k ON k.consumer = $1 AND k.id = page.key_id
  JOIN millrace_parked p ON p.consumer = $1 AND p.key_id = page.key_id AND p."offset" = page."offset"
  ORDER BY p."offset"`;

/** The waiting keys in a PostgreSQL sink, for any login that may read them. */
export function createPostgresWaitingKeys(driver: SqlDriver): WaitingKeyReader {
  const query = (sql: string, parameters: readonly unknown[]) =>
    inTransaction(driver, async (open) => decodeRows(await open.query(sql, parameters)));
  return {
    async totals(of) {
      const [row] = await query(TOTALS, owner(of));
      return row as unknown as ParkedTotals;
    },
    async isAnyWaiting(of) {
      const [row] = await query(IS_ANY_WAITING, owner(of));
      return row?.isAny === true;
    },
    async list(of, from) {
      const rows = await query(LIST, [...owner(of), from, PAGE.items, PAGE.bytes]);
      return page(
        rows as unknown as readonly (Fitting & WaitingKey & { readonly id: number })[],
        ({ id }) => id,
        (row) => waiting(of, row),
      );
    },
    async find(of, key) {
      const rows = await query(FIND, [...owner(of), hashOf(key)]);
      return rows.map((row) => waiting(of, { ...(row as unknown as Omit<WaitingKey, 'key'>), key }));
    },
    async records(of, { partition, key }, from) {
      const rows = await query(RECORDS, [...owner(of), partition, hashOf(key), from, PAGE.items, PAGE.bytes]);
      return page(rows as unknown as readonly (Fitting & ParkedRow)[], ({ offset }) => offset, rawOf);
    },
  };
}

interface Fitting {
  readonly fits: boolean;
}

function page<Row extends Fitting, Item>(
  rows: readonly Row[],
  place: (row: Row) => number,
  item: (row: Row) => Item,
) {
  const end = rows.findIndex(({ fits }) => !fits);
  const items = end < 0 ? rows : rows.slice(0, end);
  return { items: items.map(item), next: end < 0 ? null : place(rows[end]!) };
}

function waiting(
  { topic }: LedgerOwner,
  { partition, key, blockedBy, lastLetter, records, oldestAt }: WaitingKey,
): WaitingKey {
  return { topic, partition, key, blockedBy, lastLetter, records, oldestAt };
}

function owner({ consumer, epoch, topic }: LedgerOwner): readonly unknown[] {
  return [consumer, epoch, topic];
}
