import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { copyNewsdesk } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace } from './millrace.ts';

jest.setTimeout(30_000);

const TOPIC = 'contracts/news.pageviews/topic.ts';
const CONSUMER = 'lambdas/editorial-analytics/consumer.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
let project: string;
beforeAll(() => {
  temporary = createTemporaryFolder();
  project = join(temporary.path, 'project');
  copyNewsdesk(project);
});
afterAll(() => temporary.remove());

/** Runs a command while a file of the project is broken. */
async function withBroken(file: string, breakIt: (text: string) => string, ...args: string[]) {
  const path = join(project, file);
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, breakIt(text));
  return millrace(args, '', project).finally(() => writeFileSync(path, text));
}

describe('a file of the project that does not load is named, without a stack trace', () => {
  test.each([
    [
      'bad syntax',
      TOPIC,
      (text: string) => `${text}\nconst = 1;\n`,
      ['contracts', 'check'],
      'CONTRACT_INVALID',
    ],
    [
      'a throw',
      TOPIC,
      (text: string) => `${text}\nthrow new Error('no');\n`,
      ['audit', 'editorial-analytics'],
      'CONTRACT_INVALID',
    ],
    [
      'a misspelled import',
      TOPIC,
      (text: string) => text.replace('./schema.ts', './shema.ts'),
      ['dlq', 'list'],
      'CONTRACT_INVALID',
    ],
    [
      'a throw in a consumer',
      CONSUMER,
      (text: string) => `${text}\nthrow new Error('no');\n`,
      ['up', '--duration', '1'],
      'CONSUMER_INVALID',
    ],
  ])('%s', async (_, file, breakIt, args, code) => {
    const finished = await withBroken(file, breakIt, ...args);
    expect(finished.stderr).toMatch(
      new RegExp(`does not load.*${file}.*Correct it there.*\\[${code}\\]`, 's'),
    );
    expect(finished.stderr).not.toMatch(/^\s+at /m);
    expect(finished.code).toBe(1);
  });
});

describe('contracts that do not hold are refused before anything runs', () => {
  test.each([
    ['up', ['up', '--no-publish', '--exit-when-drained']],
    ['publish', ['publish', 'news.pageviews', '--input', TOPIC]],
  ])('by %s', async (_, args) => {
    const broken = (text: string) => text.replace("key: 'contentId'", "key: 'nothing' as 'contentId'");
    const { code, stderr } = await withBroken(TOPIC, broken, ...args);
    expect(stderr).toMatch(/news\.pageviews.*millrace contracts check.*\[CONTRACT_INVALID\]/s);
    expect(code).toBe(1);
  });
});
