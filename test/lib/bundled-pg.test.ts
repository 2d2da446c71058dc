import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { buildSync } from 'esbuild';
import { ALIASES, BUNDLING } from '../../lib/constructs/bundled-function.ts';
import { type PgliteServer, servePglite } from '../adapters/postgres/pglite-server.ts';
import { createPglite } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The sink as a function's bundle has it: with what bundling leaves out of pg. */
const ENTRY = `
  import Client from 'pg/lib/client.js';
  import { keptConnection } from './adapters/postgres/kept-connection.ts';
  import { pgDriver } from './adapters/postgres/pg-driver.ts';
  import { PostgresSink } from './adapters/postgres/postgres-sink.ts';
  const password = async () => 'a token';
  const create = () => new Client({ host: '127.0.0.1', port: Number(process.env.PORT), user: 'postgres', password });
  const sink = new PostgresSink(pgDriver(keptConnection(create)));
  const sql = 'SELECT $1::bigint AS n, $2::timestamptz AS at, $3::text[] AS names, $4::bytea AS bytes, 1.5::numeric AS x';
  const { rows } = await sink.transaction(({ tx }) =>
    tx.query(sql, [2 ** 40, new Date(0), ['a', 'b'], Buffer.from('hi')]));
  process.stdout.write(JSON.stringify(rows));
  process.exit();
`;

let pglite: PGlite;
let server: PgliteServer;
const { path: folder, remove } = createTemporaryFolder();
beforeAll(async () => {
  pglite = createPglite();
  server = await servePglite(pglite);
}, 120_000);
afterAll(async () => {
  await server.close();
  await pglite.close();
  remove();
});

test('a bundle reads and writes every kind of value, without what it leaves out of pg', async () => {
  const outfile = join(folder, 'index.mjs');
  buildSync({
    stdin: { contents: ENTRY, resolveDir: ROOT, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    minify: BUNDLING.minify,
    target: BUNDLING.target,
    external: BUNDLING.externalModules,
    alias: ALIASES,
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    outfile,
    logLevel: 'silent',
  });
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [outfile], { env: { ...env, PORT: String(server.port) } });
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  expect(errors).toBe('');
  expect(JSON.parse(output)).toEqual([
    {
      n: 2 ** 40,
      at: '1970-01-01T00:00:00.000Z',
      names: '{a,b}',
      bytes: { type: 'Buffer', data: [104, 105] },
      x: '1.5',
    },
  ]);
});
