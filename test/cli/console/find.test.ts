import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { loadApp } from '../../../cli/app.ts';
import { type ConsoleContext, placeOf } from '../../../cli/console/context.ts';
import { findInTopic } from '../../../cli/console/find.ts';
import { openStateFolder } from '../../../local/state-folder.ts';
import { openStores } from '../../../local/stores.ts';
import { createEncoder } from '../../../runtime/contract/codec.ts';
import type { Contract } from '../../../runtime/contract/contract.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const runtime = (path: string) => new URL(`../../../runtime/${path}`, import.meta.url).href;
const CONFIG = `
import { defineApp } from '${runtime('app.ts')}';
import { defineTopic } from '${runtime('contract/contract.ts')}';
import { defineConsumer } from '${runtime('delivery/consumer.ts')}';

const fields = [{ name: 'page', type: 'string' }, { name: 'mail', type: 'string', pii: true }];
const versions = [{ version: 1, schema: { type: 'record', name: 'Visit', fields } }];
const visits = defineTopic({ name: 'visits', owner: 'web', key: 'page', partitions: 3, versions });
const people = defineTopic({ name: 'people', owner: 'web', key: 'mail', partitions: 3, versions });
const reader = defineConsumer({ name: 'reader', topic: visits, sink: 'postgres', migrations: [], async handle() {} });
export default defineApp({ name: 'visits', contracts: [visits, people], consumers: [reader], environments: {} });
`;

describe('find', () => {
  const { path: folder, remove } = createTemporaryFolder();
  const path = join(folder, 'state');
  const before = process.cwd();
  let context: ConsoleContext;
  beforeAll(async () => {
    writeFileSync(join(folder, 'millrace.config.ts'), CONFIG);
    process.chdir(folder);
    const app = await loadApp();
    const options = { state: path };
    context = { app, options, place: placeOf(app, options) };
    const stores = await openStores(openStateFolder(path));
    for (const topic of app.contracts as readonly Contract<never>[]) {
      await stores.log.prepareTopic(topic as never);
      const values = Array.from({ length: 240 }, (_, n) => ({ page: `/${n % 2}`, mail: `SECRET-${n % 4}` }));
      const encoded = await createEncoder(topic, createContractSchemaRegistry([topic])).encodeBatch(values);
      await stores.log.send(
        topic.name,
        encoded.map((each) => (each as { record: { key: Buffer; value: Buffer } }).record),
      );
    }
    await stores.close();
  });
  afterAll(() => {
    process.chdir(before);
    remove();
  });
  const find = (query: Parameters<typeof findInTopic>[0], signal = new AbortController().signal) =>
    findInTopic(query, context, signal);

  test('gives the newest hundred records at most, each with what became of it, and the command that does the same', async () => {
    const answer = await find({ topic: 'visits', key: '/1', since: '1d' });
    expect(answer).toMatchObject({ isWhole: false, unreadable: 0 });
    expect(answer.records).toHaveLength(100);
    for (const record of answer.records)
      expect(record).toMatchObject({ key: '/1', outcomes: { reader: { outcome: 'pending', letter: null } } });
    expect(answer.command).toBe(`npx millrace find visits --key /1 --since 1d --newest --state ${path}`);
    const offsets = answer.records.map(({ offset }) => offset);
    expect(offsets).toEqual(offsets.toSorted((a, b) => b - a));
    // Of 120, the oldest 20 are left out.
    expect(answer.records.at(-1)!.offset).toBeGreaterThanOrEqual(20);
  });

  test('finds by fields, and shows no key that is personal data', async () => {
    const answer = await find({ topic: 'people', where: ['mail=SECRET-1', 'page=/1'] });
    expect(answer).toMatchObject({ isWhole: true, looked: 240 });
    expect(answer.records).toHaveLength(60);
    expect(JSON.stringify(answer.records)).not.toContain('SECRET');
  });

  test('ends with its signal', async () => {
    expect(await find({ topic: 'visits', key: '/1' }, AbortSignal.abort())).toMatchObject({
      records: [],
      isWhole: false,
    });
  });

  test.each<[string, Parameters<typeof findInTopic>[0], string]>([
    ['an unknown topic', { topic: 'vists', key: 'a' }, 'Did you mean'],
    ['neither key nor condition', { topic: 'visits', where: [] }, 'Which records?'],
    ['no condition', { topic: 'visits', where: ['page'] }, 'Give a field and its value'],
    ['an unknown field', { topic: 'visits', where: ['pge=/1'] }, 'Did you mean'],
    ['no time', { topic: 'visits', key: 'a', since: 'noon' }, 'Give a time such as 2h'],
  ])('refuses %s in the words of the command', async (_, query, words) => {
    await expect(find(query)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining(words),
    });
  });
});
