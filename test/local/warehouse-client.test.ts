import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { WarehouseClient } from '../../local/warehouse/client.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

/** A client that answers as this shell script says, in place of Python. */
function clientOf(script: string): WarehouseClient {
  const python = join(folder, 'python');
  writeFileSync(python, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return new WarehouseClient('query', { python, target: 'duckdb', env: process.env, cwd: folder });
}
const ENDLESS = `read -r question; while :; do echo '["1"]'; done`;

test('close ends a client whose rows nobody reads any more', async () => {
  const client = clientOf(ENDLESS);
  for await (const row of client.query('select 1')) {
    expect(row).toEqual(['1']);
    break;
  }
  await client.close();
}, 10_000);

test('close ends a client that never answers', async () => {
  const client = clientOf('exec sleep 600');
  const rows = client.query('select 1')[Symbol.asyncIterator]();
  const refused = expect(rows.next()).rejects.toMatchObject({ code: 'WAREHOUSE_FAILED' });
  await client.close();
  await refused;
}, 10_000);

test('close lets a client end by itself once all rows are read', async () => {
  const client = clientOf(`read -r question; echo '["1"]'; echo null; read -r end; echo done > ended`);
  for await (const row of client.query('select 1')) expect(row).toEqual(['1']);
  await client.close();
  expect(existsSync(join(folder, 'ended'))).toBe(true);
});
