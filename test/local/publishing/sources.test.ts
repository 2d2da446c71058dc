import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Source } from '../../../local/publishing/feed.ts';
import { fileSource } from '../../../local/publishing/sources.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { demo } from '../../fixtures/newsdesk/demo.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

/** As the newsdesk's demo reads them. */
const LOG_LINE = '2015-05-17T10:05:03Z visit /a s1';
const IGNORED_LINE = '# nobody';
const salt = Buffer.from('a salt');

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

function file(name: string, lines: readonly string[]): string {
  const path = join(temporary.path, name);
  writeFileSync(path, lines.join('\n'));
  return path;
}

async function kinds(source: Source<unknown>, max = 100): Promise<string[]> {
  return (await source.take(max)).map(({ kind }) => kind);
}

test('tells JSON from what the demo reads, by name or by content', async () => {
  const log = file('visits.log', [LOG_LINE]);
  const json = file('values', ['{"a":1}']);
  const named = file('values.jsonl', ['damaged', '{"a":1}']);
  const source = fileSource([log, json, named], pageviews, demo, salt);
  expect(await source.take(100)).toMatchObject([
    { kind: 'value', value: { contentId: '/a' } },
    { kind: 'value', value: { a: 1 } },
    { kind: 'malformed', line: 1 },
    { kind: 'value', value: { a: 1 } },
  ]);
  expect(await source.take(100)).toEqual([]);
});

test('gives so many values at a time, and what lies between them', async () => {
  const lines = [IGNORED_LINE, LOG_LINE, IGNORED_LINE, LOG_LINE, LOG_LINE];
  const source = fileSource([file('visits.log', lines)], pageviews, demo, salt);
  expect(await kinds(source, 2)).toEqual(['ignored', 'value', 'ignored', 'value']);
  expect(await kinds(source, 2)).toEqual(['value']);
  expect(await kinds(source, 2)).toEqual([]);
});

test('a stretch without values is not gathered whole', async () => {
  const source = fileSource([file('visits.log', Array(10_001).fill(IGNORED_LINE))], pageviews, demo, salt);
  expect((await kinds(source)).length).toBe(10_000);
  expect((await kinds(source)).length).toBe(1);
});

test('another topic than the one of the demo takes JSON alone', async () => {
  const source = fileSource(
    [file('visits.log', [LOG_LINE])],
    { ...pageviews, name: 'shop.orders' },
    demo,
    salt,
  );
  await expect(source.take(1)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringContaining('shop.orders'),
  });
});

test('of several files each item says which one it is from, of a single one none does', async () => {
  const [first, second] = [file('a.jsonl', ['{"a":1}', 'damaged']), file('b.jsonl', ['damaged'])];
  expect(await fileSource([first, second], pageviews, demo, salt).take(100)).toMatchObject([
    { input: first, line: 1 },
    { input: first, line: 2 },
    { input: second, line: 1 },
  ]);
  for (const item of await fileSource([first], pageviews, demo, salt).take(100))
    expect(item).not.toHaveProperty('input');
});
