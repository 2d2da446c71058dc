import type pg from 'pg';
import { qualified, quoted } from '../../runtime/capture/sql.ts';
import { type CapturedTable, type Column, heartbeatOf } from '../../runtime/capture/table.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { canonicalText } from '../../runtime/warehouse/canonical.ts';
import {
  type ComparedRow,
  type Comparison,
  compareRows,
  type Difference,
} from '../../runtime/warehouse/compare.ts';
import { type ClientOptions, WarehouseClient } from './client.ts';
import { keyText, TEXTS } from './texts.ts';
import { modelSchema } from './warehouse.ts';

export interface Reconciliation extends Comparison {
  /** The source's position that the warehouse had passed when it was read, as PostgreSQL writes it. */
  readonly position: string;
  /** Rows that were changed while they were compared, and are compared with nothing. */
  readonly changing: number;
}

interface ReconcileOptions extends ClientOptions {
  readonly table: CapturedTable;
  /** Of this comparison alone; it stays open. */
  readonly source: pg.Client;
  /** How long the table's archive gathers records for one object. */
  readonly windowMs: number;
  readonly clock: Clock;
  /** How long the heartbeat may take to pass the source's position. */
  readonly timeoutMs: number;
  note?(text: string): void;
}

/** How many differing rows are looked at once more: with more than that, no change under way is the reason. */
const MOST_SECOND_LOOKS = 10_000;
const POLL_MS = 2_000;
/** What an invocation of the archive takes, beside its window, and a load between two of its lists: docs/warehouse.md. */
const INVOCATION_MS = 10_000;

/**
 * Compares a table of the warehouse with its source. The source's rows are one snapshot; then the warehouse passes the
 * source's position. A row that differs is read once more on both sides, the same way: only a row that the source has
 * not changed between, and that still differs, counts.
 * @throws WAREHOUSE_FAILED where the warehouse does not pass the position in time
 */
export async function reconcile(options: ReconcileOptions): Promise<Reconciliation> {
  const { source } = options;
  await source.query(
    "set timezone = 'UTC'; set intervalstyle = 'iso_8601'; set datestyle = 'iso'; set bytea_output = 'hex'",
  );
  const columns = options.table.columns.map(({ name }) => name);
  await source.query('begin isolation level repeatable read read only');
  const snapshot = sourceRows(source, options.table);
  // The snapshot is taken by its first statement, so that the position is not before it.
  const first = await snapshot.open();
  const position = await positionOf(source);
  await untilPassed(options, position);
  const client = new WarehouseClient('query', options);
  let comparison: Comparison;
  try {
    comparison = await compareRows(columns, first, warehouseRows(client, options), {
      limit: MOST_SECOND_LOOKS,
    });
  } finally {
    await client.close();
  }
  await source.query('commit');
  return lookAgain(options, columns, comparison, position);
}

async function lookAgain(
  options: ReconcileOptions,
  columns: readonly string[],
  comparison: Comparison,
  position: string,
): Promise<Reconciliation> {
  const { source } = options;
  const found = comparison.missing + comparison.extra + comparison.different;
  if (found === 0 || found > MOST_SECOND_LOOKS) return { ...comparison, position, changing: 0 };
  const keys = new Set(comparison.differences.map(({ key }) => key));
  const now = new Map<string, ComparedRow>();
  await source.query('begin isolation level repeatable read read only');
  for await (const row of await sourceRows(source, options.table).open()) {
    if (keys.has(row.key)) now.set(row.key, row);
  }
  const second = await positionOf(source);
  await source.query('commit');
  await untilPassed(options, second);
  const client = new WarehouseClient('query', options);
  const there = new Map<string, ComparedRow>();
  try {
    for await (const row of warehouseRows(client, options)) if (keys.has(row.key)) there.set(row.key, row);
  } finally {
    await client.close();
  }
  const same = (a: ComparedRow | null | undefined, b: ComparedRow | null | undefined) =>
    JSON.stringify(a?.values ?? null) === JSON.stringify(b?.values ?? null);
  const counts = { missing: 0, extra: 0, different: 0 };
  const differences: Difference[] = [];
  let changing = 0;
  for (const { key, expected } of comparison.differences) {
    const [mine, theirs] = [now.get(key) ?? null, there.get(key) ?? null];
    if (same(mine, theirs)) continue;
    // Whoever changes it now makes it differ, for a moment.
    if (!same(expected, mine)) {
      changing++;
      continue;
    }
    const kind = mine === null ? 'extra' : theirs === null ? 'missing' : 'different';
    counts[kind]++;
    const differing =
      kind === 'different' ? columns.filter((_, at) => mine!.values[at] !== theirs!.values[at]) : [];
    differences.push({ kind, key, columns: differing, expected: mine, actual: theirs });
  }
  return { ...comparison, ...counts, differences, position: second, changing };
}

async function positionOf(source: pg.Client): Promise<string> {
  const { rows } = await source.query<{ position: string }>('select pg_current_wal_lsn()::text as position');
  return rows[0]!.position;
}

/** As a number of bytes, which is what Debezium gives. */
function bytesOf(position: string): bigint {
  const [high = '0', low = '0'] = position.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/**
 * Waits until the warehouse has the table's changes up to a position. The heartbeat alone does not tell: it has an archive
 * of its own, which may write its object while the table's still gathers. Once the heartbeat has passed, the table's
 * changes are in Kafka; a window later they are in the archive; and a load that brings a heartbeat from after that has
 * found them.
 */
async function untilPassed(options: ReconcileOptions, position: string): Promise<void> {
  const { source, table, windowMs, clock, note = () => {} } = options;
  await untilHeartbeatPassed(options, position);
  const ms = windowMs + INVOCATION_MS;
  note(`Waiting ${Math.ceil(ms / 1_000)} s for the archive of ${table.name}, and for the load after that …`);
  await clock.sleep(ms);
  await untilHeartbeatPassed(options, await positionOf(source));
}

async function untilHeartbeatPassed(options: ReconcileOptions, position: string): Promise<void> {
  const { table, timeoutMs, clock, env, note = () => {} } = options;
  const wanted = bytesOf(position);
  const until = clock.now() + timeoutMs;
  const model = `${modelSchema(env)}_staging.${heartbeatOf(table.database).name}_rows`;
  const sql = `select max(_cdc_lsn) as lsn from ${model} where _cdc_epoch = ${table.database.epoch}`;
  let said = false;
  for (;;) {
    const client = new WarehouseClient('query', options);
    try {
      for await (const [lsn = null] of client.query(sql)) {
        if (lsn !== null && BigInt(lsn) >= wanted) return;
      }
    } finally {
      await client.close();
    }
    if (clock.now() >= until) {
      throw new MillraceError(
        'WAREHOUSE_FAILED',
        `The warehouse has not passed the source's position ${position} within ${Math.round(timeoutMs / 1_000)} s. Run millrace ` +
          'warehouse run while this waits, or look for the part that is behind: connector, archive, load.',
      );
    }
    if (!said) note(`Waiting until the warehouse has passed ${position} …`);
    said = true;
    await clock.sleep(POLL_MS);
  }
}

/** Rows of the source, in the order of their keys' hashes. */
function sourceRows(
  source: pg.Client,
  table: CapturedTable,
): { open(): Promise<AsyncIterable<ComparedRow>> } {
  const text = (column: Column) => TEXTS.postgres(column, quoted(column.name));
  const key = keyText(table, 'postgres', (column) => quoted(column.name));
  const sql =
    `select ${[key, ...table.columns.map(text)].map((each, at) => `${each} as c${at}`).join(', ')} ` +
    `from ${qualified(table)} order by md5(${key})`;
  return {
    async open() {
      await source.query(`declare compared no scroll cursor for ${sql}`);
      return (async function* () {
        for (;;) {
          const { rows } = await source.query<(string | null)[]>({
            text: 'fetch 5000 from compared',
            rowMode: 'array',
          });
          if (rows.length === 0) return;
          for (const row of rows) yield comparedRow(table, row, null);
        }
      })();
    },
  };
}

async function* warehouseRows(
  client: WarehouseClient,
  { table, target, env }: ReconcileOptions,
): AsyncIterable<ComparedRow> {
  const name = (column: Column) =>
    quoted(target === 'snowflake' ? column.name.toUpperCase() : column.name.toLowerCase());
  const key = keyText(table, target, name);
  const texts = table.columns.map((column) => TEXTS[target](column, name(column)));
  const sql = `select ${[key, ...texts, '_cdc_specials'].join(', ')} from ${modelSchema(env)}.${table.name} order by md5(${key})`;
  for await (const row of client.query(sql)) yield comparedRow(table, row.slice(0, -1), row.at(-1) ?? null);
}

/** What a warehouse's type cannot hold stands beside the row. */
function comparedRow(
  { columns }: CapturedTable,
  [key, ...texts]: readonly (string | null)[],
  specials: string | null,
): ComparedRow {
  const special = new Map(
    (specials ?? '')
      .split('; ')
      .filter((each) => each !== '')
      .map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)] as const),
  );
  return {
    key: key ?? '',
    values: columns.map(({ name, type }, at) => canonicalText(type, texts[at] ?? special.get(name) ?? null)),
  };
}
