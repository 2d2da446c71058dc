/** The command line in a project of somebody else: no newsroom, no demo. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { loadApp } from '../../cli/app.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './millrace.ts';

const FRAMEWORK = new URL('../../runtime/', import.meta.url).pathname;
const contract = (topic: string, fields: readonly object[]) => ({
  'v1.avsc': JSON.stringify({ type: 'record', name: topic.replace('.', '_'), fields }),
  'topic.ts': `import { defineTopic } from '${FRAMEWORK}index.ts';
import { versions } from './schema.ts';
export const topic = defineTopic<{ id: string }>({ name: '${topic}', owner: 'shop', key: 'id', partitions: 3, versions });`,
});
const STRING = { type: 'string' };
const FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'contracts/shop.orders': contract('shop.orders', [
    { name: 'id', ...STRING },
    { name: 'placedAt', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'lines', type: { type: 'array', items: 'int' } },
  ]),
  'contracts/shop.returns': contract('shop.returns', [{ name: 'id', ...STRING }]),
  lambdas: {
    'order-count.ts': `import { defineConsumer } from '${FRAMEWORK}index.ts';
import { topic } from '../contracts/shop.orders/topic.ts';
export const orderCount = defineConsumer({
  name: 'order-count',
  topic,
  sink: 'postgres',
  migrations: [{ name: '1', sql: 'CREATE TABLE order_count (id text PRIMARY KEY, orders bigint NOT NULL)' }],
  async handle(records, { tx }) {
    for (const { value } of records)
      await tx.query('INSERT INTO order_count AS t VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET orders = t.orders + 1', [value.id]);
  },
});`,
  },
  '.': {
    'millrace.config.ts': `import { defineApp } from '${FRAMEWORK}index.ts';
import { topic as orders } from './contracts/shop.orders/topic.ts';
import { topic as returns } from './contracts/shop.returns/topic.ts';
import { orderCount } from './lambdas/order-count.ts';
export default defineApp({ name: 'shop', contracts: [orders, returns], consumers: [orderCount], environments: {} });`,
  },
};

let temporary: ReturnType<typeof createTemporaryFolder>;
let project: string;
beforeAll(async () => {
  temporary = createTemporaryFolder();
  project = join(temporary.path, 'shop');
  for (const [folder, files] of Object.entries(FILES)) {
    mkdirSync(join(project, folder), { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(project, folder, name), text);
  }
  expect(await millrace(['contracts', 'generate'], '', project)).toMatchObject({ code: 0, stderr: '' });
});
afterAll(() => temporary.remove());

test('up publishes generated events of every contract and applies those that a consumer reads', async () => {
  const report = await millraceJson(
    ['up', '--duration', '2', '--rate', '200', '--poison', '0', '--exit-when-drained'],
    '',
    project,
  );
  expect(report.published).toBeGreaterThan(200);
  expect(report).toMatchObject({ refused: 0, deadLettered: 0, lag: 0 });
  expect(report.applied).toBeGreaterThan(100);
  expect(report.applied).toBeLessThan(report.published);
  const rows = await millraceJson(['sql', 'select sum(orders)::int as orders from order_count'], '', project);
  expect(rows).toEqual([{ orders: report.applied }]);
});

test('commands find the app from a folder inside of it', async () => {
  const inside = join(project, 'lambdas');
  const list = await millraceJson(['contracts', 'list'], '', inside);
  expect(list.map(({ topic }: { topic: string }) => topic)).toEqual(['shop.orders', 'shop.returns']);
});

describe('refused, with what to do', () => {
  test('files for several topics', async () => {
    writeFileSync(join(project, 'orders.jsonl'), '{"id":"1"}\n');
    const { code, stderr } = await millrace(['up', '--input', 'orders.jsonl'], '', project);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /Which topic do the files hold\? .*millrace publish.*shop\.orders, shop\.returns\. \[INPUT_INVALID\]/s,
    );
  });

  test('a folder without a config', async () => {
    const { code, stderr } = await millrace(['lag'], '', temporary.path);
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: expect.stringMatching(/There is no millrace\.config\.ts in .*\[APP_INVALID\]/s),
    });
  });

  test.each([
    ['no default export', 'export const app = 1;', /has no app as its default export.*defineApp/s],
    [
      'a throw',
      "throw new Error('no');",
      /millrace\.config\.ts does not load, because of millrace\.config\.ts:1: no/,
    ],
    ['a missing file', "import './nowhere.ts';", /millrace\.config\.ts does not load.*nowhere\.ts/s],
    [
      'a name that AWS would refuse',
      `import { defineApp } from '${FRAMEWORK}index.ts';
       export default defineApp({ name: 'My App', contracts: [], consumers: [], environments: {} });`,
      /name is "My App"; it takes up to 40 lower-case letters/,
    ],
  ])('%s', async (what, text, message) => {
    const folder = join(temporary.path, what.replaceAll(' ', '-'));
    mkdirSync(folder);
    writeFileSync(join(folder, 'millrace.config.ts'), text);
    await expect(loadApp(folder)).rejects.toMatchObject({
      code: 'APP_INVALID',
      message: expect.stringMatching(message),
    });
  });
});
