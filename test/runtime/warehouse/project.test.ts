import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { defineApp } from '../../../runtime/app.ts';
import { defineArchive } from '../../../runtime/archive/archive.ts';
import { BASE_TYPES } from '../../../runtime/capture/column-type.ts';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { defineTable } from '../../../runtime/capture/table.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { isGenerated, warehouseProject, warehouseSources } from '../../../runtime/warehouse/project.ts';
import { snowflakeSql } from '../../../runtime/warehouse/snowflake.ts';
import { toYaml, type Yaml } from '../../../runtime/yaml.ts';

const news = defineDatabase({ name: 'news' });
const articles = defineTable({
  database: news,
  table: 'articles',
  key: ['id'],
  columns: {
    id: 'bigint',
    createdAt: 'timestamptz',
    author: { type: 'text', personal: true, description: 'Who wrote it: "a name"' },
    amount: 'numeric(38,9)',
    tags: 'text[]',
  },
});
const visits = defineTopic({
  name: 'web.visits',
  owner: 'web',
  key: 'id',
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Visit',
        fields: [
          { name: 'id', type: 'string', doc: 'Which visit.' },
          { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
          { name: 'reader', type: ['null', 'string'], default: null, pii: true },
          { name: 'parts', type: { type: 'array', items: 'string' } },
        ],
      },
    },
  ] as never,
});
const app = defineApp({
  name: 'news-room',
  contracts: [visits],
  consumers: [defineArchive({ topic: visits, epoch: 2 })],
  tables: [articles],
  environments: {},
});
const files = warehouseProject(app, { packagePath: '../node_modules/millrace/warehouse' });
const textAt = (path: string) => files.find((file) => file.path === path)!.text;

describe('warehouseProject', () => {
  test('each table, its heartbeat and each archived topic has a source and models', () => {
    expect(warehouseSources(app)).toEqual([
      { name: 'articles', topic: 'news.public.articles', epoch: 1, partitions: 6 },
      { name: 'news_heartbeat', topic: 'news.millrace_capture.heartbeat', epoch: 1, partitions: 1 },
      { name: 'web_visits', topic: 'web.visits', epoch: 2, partitions: 12 },
    ]);
    expect(files.map(({ path }) => path)).toEqual([
      'dbt_project.yml',
      'macros/millrace_sources.sql',
      'packages.yml',
      'profiles.yml',
      '.gitignore',
      'models/staging/sources.yml',
      'models/staging/stg_articles.sql',
      'models/staging/stg_news_heartbeat.sql',
      'models/staging/stg_web_visits.sql',
      'models/staging/staging.yml',
      'models/rows/articles_rows.sql',
      'models/rows/news_heartbeat_rows.sql',
      'models/rows/rows.yml',
      'models/current/articles.sql',
      'models/current/news_heartbeat.sql',
      'models/current/current.yml',
      'models/exposures.yml',
    ]);
  });

  test('what is loaded does not stand in the file of settings, which people change', () => {
    expect(textAt('macros/millrace_sources.sql')).toContain(
      "  {'name': 'web_visits', 'topic': 'web.visits', 'epoch': 2, 'partitions': 12},\n",
    );
    expect(textAt('dbt_project.yml')).not.toContain('web_visits');
  });

  test('models have the declared columns, with their types', () => {
    expect(textAt('models/staging/stg_articles.sql')).toContain(
      "{'name': 'amount', 'type': {'base': 'numeric', 'precision': 38, 'scale': 9}},",
    );
    expect(textAt('models/rows/articles_rows.sql')).toContain(
      "{'name': 'tags', 'type': {'base': 'text', 'array': true}},",
    );
    expect(textAt('models/staging/stg_web_visits.sql')).toContain(
      "{'name': 'at', 'type': {'base': 'timestamp-millis'}},",
    );
    expect(textAt('models/staging/stg_web_visits.sql')).toContain(
      "{'name': 'reader', 'type': {'base': 'text'}},",
    );
  });

  test('a personal column is tagged in the staging model and in the table', () => {
    for (const path of ['models/current/current.yml', 'models/staging/staging.yml']) {
      const { models } = parse(textAt(path)) as { models: { name: string; columns: object[] }[] };
      const model = models.find(({ name }) => name.endsWith('articles'))!;
      expect(model.columns).toContainEqual({
        name: 'author',
        description: 'Who wrote it: "a name"',
        config: { tags: ['personal'], meta: { personal: true } },
      });
    }
  });

  test('the same declarations give the same bytes, which count as generated until one of them changes', () => {
    expect(warehouseProject(app, { packagePath: '../node_modules/millrace/warehouse' })).toEqual(files);
    for (const { path, text } of files) {
      expect({ path, is: isGenerated(text) }).toEqual({ path, is: true });
      expect(isGenerated(`${text} `)).toBe(false);
    }
    expect(isGenerated('select 1\n')).toBe(false);
  });

  test('every file of YAML parses', () => {
    for (const { path, text } of files.filter(({ path }) => path.endsWith('.yml'))) {
      expect({ path, content: parse(text) }).toEqual({ path, content: expect.anything() });
    }
  });

  test('every declared type is among those that the macros know', () => {
    const known = [...BASE_TYPES].map((base) => `'${base}'`);
    const table = defineTable({
      database: news,
      table: 'kinds',
      key: ['id'],
      columns: { id: 'bigint', ...Object.fromEntries(BASE_TYPES.map((type, at) => [`c${at}`, type])) },
    });
    const project = warehouseProject({ name: 'all', tables: [table], consumers: [] }, { packagePath: '.' });
    const model = project.find(({ path }) => path === 'models/staging/stg_kinds.sql')!.text;
    for (const base of known) expect(model).toContain(`{'base': ${base}}`);
  });
});

describe('names', () => {
  const topicNamed = (name: string, fields: readonly string[] = ['id']) =>
    defineTopic({
      name,
      owner: 'web',
      key: 'id',
      versions: [
        {
          version: 1,
          schema: {
            type: 'record',
            name: 'R',
            fields: fields.map((field) => ({ name: field, type: 'string' })),
          },
        },
      ] as never,
    });
  const subjectOf = (tables: readonly string[], topics: readonly ReturnType<typeof topicNamed>[] = []) =>
    defineApp({
      name: 'news-room',
      contracts: topics,
      consumers: topics.map((topic) => defineArchive({ topic })),
      tables: tables.map((table) =>
        defineTable({ database: news, table, key: ['id'], columns: { id: 'bigint' } }),
      ),
      environments: {},
    });

  test.each(['_offset', '_Record', '_cdc_w_place', 'ID'])(
    'a field %s of an archived topic is refused',
    (field) => {
      const subject = subjectOf([], [topicNamed('web.visits', ['id', field])]);
      expect(() => warehouseProject(subject, { packagePath: '.' })).toThrow(
        expect.objectContaining({
          code: 'APP_INVALID',
          message: expect.stringContaining(`no column for the field ${field} of web.visits. It takes`),
        }),
      );
    },
  );
});

describe('snowflakeSql', () => {
  const settings = { bucket: 'archive-bucket', roleArn: 'arn:aws:iam::123456789012:role/reader' };

  test('the role reads what is archived and nothing else', () => {
    const sql = snowflakeSql(app, { ...settings, snowpipe: false });
    expect(sql).toContain("STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/reader'");
    // The stage is where the integration allows one, and the role's policy reads there alone.
    const location = "'s3://archive-bucket/topics/'";
    expect(sql).toContain(`  STORAGE_ALLOWED_LOCATIONS = (${location});`);
    expect(sql).toContain(
      `ALTER STORAGE INTEGRATION millrace_archive SET STORAGE_ALLOWED_LOCATIONS = (${location});`,
    );
    expect(sql).toContain(`  URL = ${location} STORAGE_INTEGRATION = millrace_archive`);
    expect(sql.match(/s3:\/\/[^']*/g)).toEqual(Array(3).fill('s3://archive-bucket/topics/'));
    expect(sql.match(/CREATE TABLE IF NOT EXISTS/g)).toHaveLength(4);
    expect(sql).not.toContain('PIPE');
  });

  test('Snowpipe has a pipe for each topic', () => {
    const sql = snowflakeSql(app, { ...settings, snowpipe: true });
    expect(sql.match(/CREATE PIPE/g)).toHaveLength(3);
    expect(sql).toContain('  FROM @millrace_raw.archive/news.public.articles/\n');
  });
});

describe('toYaml', () => {
  test('a YAML parser reads back what was written', () => {
    const scalar = fc.oneof(
      fc.string(),
      fc.boolean(),
      fc.integer(),
      fc.constantFrom('yes', 'null', '1e3', '~', '- a', 'a: b', '#'),
    );
    const { value } = fc.letrec<{ value: Yaml; map: Readonly<Record<string, Yaml>> }>((tie) => ({
      map: fc.dictionary(fc.string({ minLength: 1 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
      value: fc.oneof({ maxDepth: 3 }, scalar, fc.array(tie('value'), { maxLength: 3 }), tie('map')),
    }));
    fc.assert(
      fc.property(value, (content) => {
        expect(parse(toYaml({ content }))).toEqual({ content });
      }),
    );
  });
});
