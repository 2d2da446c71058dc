import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './millrace.ts';

const { path: folder, remove } = createTemporaryFolder();
const warehouse = (...args: readonly string[]) => millrace(['warehouse', ...args], '', folder);

function declare(...tables: readonly string[]): void {
  const sources = join(process.cwd(), 'runtime');
  writeFileSync(
    join(folder, 'millrace.config.ts'),
    `import { defineApp } from '${sources}/app.ts';
import { defineDatabase } from '${sources}/capture/database.ts';
import { defineTable } from '${sources}/capture/table.ts';
const database = defineDatabase({ name: 'news' });
const columns = { id: 'bigint', title: 'text' };
export default defineApp({
  name: 'news', contracts: [], consumers: [], environments: {},
  tables: ${JSON.stringify(tables)}.map((table) => defineTable({ database, table, key: ['id'], columns })),
});
`,
  );
}

describe('millrace warehouse', () => {
  beforeAll(() => {
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    declare('articles', 'authors');
  });

  afterAll(remove);

  test('without a project, run says to generate one', async () => {
    const { code, stderr } = await warehouse('run', '--archive', '.');
    expect(code).toBe(1);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('Run millrace warehouse generate first');
  });

  test('generate writes once, keeps what a person changed, and removes what is declared no longer', async () => {
    const first = await millraceJson(['warehouse', 'generate'], '', folder);
    expect(first).toMatchObject({ kept: [], orphaned: [], removed: [], unchanged: 0 });
    expect(first.written).toContain('models/current/authors.sql');
    expect((await warehouse('generate')).stdout).toBe(
      `dbt: nothing to write, ${first.written.length} files as declared\n`,
    );

    const mine = join(folder, 'dbt/models/current/authors.sql');
    writeFileSync(mine, `${readFileSync(mine, 'utf8')}limit 1\n`);
    declare('articles');
    const { stdout } = await warehouse('generate');
    expect(stdout).toContain('removed  models/rows/authors_rows.sql');
    expect(stdout).toContain(
      'orphaned models/current/authors.sql, which you have changed, and which is declared no longer: dbt fails on it. Delete it, or',
    );
    expect(existsSync(mine)).toBe(true);
    // A model of their own is none of ours.
    writeFileSync(join(folder, 'dbt/models/current/own.sql'), 'select 1 as one\n');
    const again = await millraceJson(['warehouse', 'generate'], '', folder);
    expect(again).toMatchObject({ written: [], removed: [], orphaned: ['models/current/authors.sql'] });
    expect(existsSync(join(folder, 'dbt/models/staging/stg_authors.sql'))).toBe(false);

    const articles = join(folder, 'dbt/models/current/articles.sql');
    writeFileSync(articles, 'select 1\n');
    expect((await warehouse('generate')).stdout).toContain('kept     models/current/articles.sql');
    expect(readFileSync(articles, 'utf8')).toBe('select 1\n');
  });

  test('run loads what is archived in the state folder, and says where there is none', async () => {
    const { code, stderr } = await warehouse('run', '--state', join(folder, 'none'));
    expect(code).toBe(1);
    expect(stderr).toContain(
      `Run this first, or name another folder with --state: npx millrace up --state ${join(folder, 'none')}`,
    );
  });

  test.each(['/none/dbt', '/bin/ls'])('a path that is not dbt is named: %s', async (dbt) => {
    const { code, stderr } = await warehouse('run', '--archive', '.', '--dbt', dbt);
    expect(code).toBe(1);
    expect(stderr).toContain('PREREQUISITE_MISSING');
  });

  test.each<[readonly string[], string]>([
    [['run', '--archive', 'millrace.config.ts'], 'it takes s3://BUCKET, or a folder that exists'],
    [['run', '--archive', "s3://b'x"], 'it takes s3://BUCKET, or a folder that exists'],
    [['run', '--archive', 's3://news-archive', '--archive-endpoint', 'notaurl'], 'Give a URL'],
    [['run', '--archive-endpoint', 'http://127.0.0.1:9'], '--archive-endpoint needs --archive'],
    [
      ['sql', '--bucket', "b'x", '--role-arn', 'arn:aws:iam::123456789012:role/r'],
      'Give the name of a bucket',
    ],
    [['sql', '--bucket', 'news-archive', '--role-arn', 'nope'], 'Give the ARN of a role'],
  ])('%j is refused', async (args, message) => {
    const { code, stderr, stdout } = await warehouse(...args);
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(message);
  });

  test('reconcile names the closest table', async () => {
    const { code, stderr } = await warehouse(
      'reconcile',
      'article',
      '--source',
      'postgres://127.0.0.1:1/none',
    );
    expect(code).toBe(1);
    expect(stderr).toContain('Did you mean');
  });

  test.each(['nonsense', 'postgres://u:hunter2@localhost:notaport/x', 'postgres://u:hunter2@localhost'])(
    'reconcile takes a source as capture check does, and not %s',
    async (source) => {
      const { code, stderr } = await warehouse('reconcile', 'articles', '--source', source);
      expect(code).toBe(1);
      expect(stderr).toContain('--source needs a URL with a database');
      expect(stderr).not.toContain('hunter2');
      expect(stderr).not.toContain('bug in Millrace');
    },
  );

  test('reconcile looks at the project and the source before it installs anything', async () => {
    const of = [
      'reconcile',
      'articles',
      '--source',
      'postgres://u:hunter2@127.0.0.1:1/x',
      '--dbt',
      '/none/dbt',
    ];
    const unreachable = await warehouse(...of);
    expect(unreachable.stderr).toContain('The database of --source did not answer');
    expect(unreachable.stderr).not.toContain('hunter2');
    const nowhere = await warehouse(...of, '--project', 'nowhere');
    expect(nowhere.stderr.replaceAll(/\s+/g, ' ')).toContain('Run millrace warehouse generate first');
  });

  test('sql prints what an administrator runs', async () => {
    const { code, stdout } = await warehouse(
      'sql',
      '--bucket',
      'news-archive',
      '--role-arn',
      'arn:aws:iam::123456789012:role/r',
    );
    expect(code).toBe(0);
    expect(stdout).toContain('CREATE TABLE IF NOT EXISTS millrace_raw.articles');
    expect(stdout).toContain("'s3://news-archive/topics/'");
  });
});
