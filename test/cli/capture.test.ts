import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace } from './millrace.ts';

const temporary = createTemporaryFolder();
beforeAll(() => {
  writeFileSync(join(temporary.path, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(temporary.path, 'millrace.config.ts'),
    `import { defineApp, defineDatabase, defineTable } from '${ROOT}/runtime/index.ts';
     const of = (name: string) => defineTable({
       database: defineDatabase({ name }), table: 'orders', name: name + '_orders', key: ['id'], columns: { id: 'bigint' },
     });
     export default defineApp({
       name: 'shops', contracts: [], consumers: [], tables: [of('shop'), of('store')], environments: {},
     });`,
  );
});
afterAll(() => temporary.remove());

const capture = (...args: readonly string[]) => millrace(['capture', ...args], '', temporary.path);

test('capture sql prints the SQL of one database, and asks which where there are several', async () => {
  const { code, stdout } = await capture('sql', '--database', 'store', '--role', 'debezium');
  expect(code).toBe(0);
  expect(stdout).toContain('CREATE PUBLICATION "millrace_store" FOR TABLE\n      "public"."orders",');
  expect(stdout).toContain('GRANT SELECT ON "public"."orders" TO "debezium";');
  const which = await capture('sql');
  expect(which.code).toBe(1);
  expect(which.stderr).toContain('Which database? Add --database shop or store.');
  const unknown = await capture('sql', '--database', 'stor');
  expect(unknown.stderr).toContain('no database "stor"');
});

test.each(['', 'a$$b', 'pg_monitor', 'public', "o'brien"])('capture sql takes no role %j', async (role) => {
  const { code, stdout, stderr } = await capture('sql', '--database', 'store', '--role', role);
  expect(code).not.toBe(0);
  expect(stdout).toBe('');
  expect(stderr).toContain('Give a role of up to 63');
});

test('capture check says that no database answers, without the password', async () => {
  const source = 'postgres://me:secret@127.0.0.1:1/shop';
  const { code, stderr } = await capture('check', '--database', 'shop', '--source', source);
  expect(code).toBe(1);
  expect(stderr).toContain('The database of --source did not answer');
  expect(stderr).not.toContain('secret');
});

test('capture snapshot names the tables that there are', async () => {
  const { code, stderr } = await capture(
    'snapshot',
    'order',
    '--source',
    'postgres://me@127.0.0.1:1/shop',
    '--database',
    'shop',
  );
  expect(code).toBe(1);
  expect(stderr).toContain('The app declares no table "order"');
  expect(stderr).toContain('shop_orders');
});

test('capture demo leaves a folder alone that holds something', async () => {
  const { code, stderr } = await capture('demo', '--state', temporary.path);
  expect(code).toBe(1);
  expect(stderr).toContain('is not empty');
});
