import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import type pg from 'pg';
import { reconcile } from '../../local/warehouse/reconcile.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { defineTable } from '../../runtime/capture/table.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);
const database = defineDatabase({ name: 'shop' });
const table = defineTable({ database, table: 'orders', key: ['id'], columns: { id: 'bigint' } });

/** A warehouse whose heartbeat has what the file says, and one row of the table from `archivedAt` on. */
function warehouse() {
  const python = join(folder, 'python');
  const script = `while read -r question; do
  case "$question" in
    *heartbeat_rows*) cat "$PWD/heartbeat";;
    *) cat "$PWD/rows";;
  esac
  echo null
done`;
  writeFileSync(python, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return python;
}

/** A source with row 1, whose log grows by a byte a millisecond. */
function sourceOf(clock: { now(): number }): pg.Client {
  let isRead = false;
  return {
    query: async (query: string | { text: string }) => {
      const sql = typeof query === 'string' ? query : query.text;
      if (sql.startsWith('declare')) isRead = false;
      if (sql.includes('pg_current_wal_lsn'))
        return { rows: [{ position: `0/${clock.now().toString(16)}` }] };
      if (!sql.startsWith('fetch') || isRead) return { rows: [] };
      isRead = true;
      return { rows: [['1', '1']] };
    },
  } as never;
}

/** @param archiveMs after how long the table's row is in the warehouse; the heartbeat is there after five seconds */
async function reconciled(archiveMs: number, windowMs: number) {
  let now = 1_000_000;
  const python = warehouse();
  const look = () => {
    writeFileSync(join(folder, 'heartbeat'), `["${now - 5_000}"]\n`);
    writeFileSync(join(folder, 'rows'), now >= 1_000_000 + archiveMs ? '["1", "1", null]\n' : '');
  };
  look();
  const clock = {
    now: () => now,
    async sleep(ms: number) {
      now += ms;
      look();
    },
  };
  const result = await reconcile({
    ...{ table, source: sourceOf(clock), python, target: 'duckdb', env: process.env, cwd: folder },
    ...{ windowMs, clock, timeoutMs: 60_000 },
  });
  return { result, ms: now - 1_000_000 };
}

test('a table whose archive gathers for longer than the heartbeat’s is not compared too early', async () => {
  const { result, ms } = await reconciled(45_000, 60_000);
  expect(result).toMatchObject({ missing: 0, extra: 0, different: 0, actual: { rows: 1 } });
  // The heartbeat, the window with an invocation, and the heartbeat from after that.
  expect(ms).toBeGreaterThanOrEqual(5_000 + 60_000 + 10_000 + 5_000);
  expect(ms).toBeLessThan(90_000);
});

test('a row that never comes is missing, after a second look', async () => {
  const { result } = await reconciled(Number.POSITIVE_INFINITY, 0);
  expect(result).toMatchObject({ missing: 1, extra: 0, different: 0, changing: 0 });
});
