/**
 * The dialect of Snowflake, on an emulator that is DuckDB: dbt's own adapter and client run every model and test. What
 * this does not prove is in docs/warehouse.md.
 */
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineTable } from '../../runtime/capture/table.ts';
import { snowflakeSql } from '../../runtime/warehouse/snowflake.ts';
import { part } from './part.ts';
import { SimulatedTable, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

const articles = defineTable({
  database: sim,
  table: 'articles',
  key: ['id'],
  partitions: 3,
  columns: { id: 'bigint', title: 'text', note: 'text', amount: 'numeric(38,9)' },
});

/** The emulator lists nothing, and copies into one column alone: both macros are replaced by what it can. */
const EMULATOR = `
{% macro snowflake__objects_in_stage(prefix) %}{{ return(var('objects').get(prefix, [])) }}{% endmacro %}
{% macro snowflake__copy_objects(name, objects) %}
  {%- do run_query('create or replace table millrace_raw.landing (record variant)') -%}
  {%- do run_query("copy into millrace_raw.landing from @millrace_raw.archive files = ('" ~ objects | join("', '") ~ "') file_format = (type = json)") -%}
  {%- do run_query('insert into millrace_raw.' ~ name ~ ' (record, loaded_at) select record, sysdate() from millrace_raw.landing') -%}
{% endmacro %}
`;

describe('the models on Snowflake', () => {
  const warehouse = new Warehouse('snowflake', [articles]);
  const table = new SimulatedTable(articles, warehouse.archive);
  const stage = join(warehouse.folder, 'stage');
  const objects: Record<string, string[]> = {};

  beforeAll(async () => {
    const [host, port] = part('MILLRACE_TEST_SNOWFLAKE').split(':');
    Object.assign(warehouse.env, {
      SNOWFLAKE_HOST: host,
      SNOWFLAKE_PORT: port,
      SNOWFLAKE_PROTOCOL: 'http',
      SNOWFLAKE_ACCOUNT: 'fakesnow',
      SNOWFLAKE_USER: 'millrace',
      SNOWFLAKE_PASSWORD: 'unused',
    });
    await warehouse.prepare();
    mkdirSync(stage);
    const at = (path: string) => join(warehouse.project, path);
    writeFileSync(at('macros/emulator.sql'), EMULATOR);
    const project = readFileSync(at('dbt_project.yml'), 'utf8')
      // A temporary table with its database's name is more than the emulator takes.
      .replace('  sim:\n    staging:', '  sim:\n    +tmp_relation_type: transient\n    staging:')
      .concat('dispatch:\n  - macro_namespace: millrace\n    search_order: [sim, millrace]\n');
    writeFileSync(at('dbt_project.yml'), project);
    const output = {
      type: 'snowflake',
      account: 'fakesnow',
      user: 'millrace',
      password: 'unused',
      host,
      port: Number(port),
      protocol: 'http',
      database: 'MILLRACE',
      schema: 'analytics',
      threads: 1,
      // It answers what it does not know as a server that is down, which is tried for minutes.
      connect_retries: 0,
      connect_timeout: 10,
    };
    writeFileSync(
      at('profiles.yml'),
      JSON.stringify({ sim: { target: 'snowflake', outputs: { snowflake: output } } }),
    );
    const sql = snowflakeSql(warehouse.subject, {
      bucket: 'b',
      roleArn: 'arn:aws:iam::123456789012:role/r',
      snowpipe: false,
    });
    const statements = sql.replaceAll(/^--.*$/gm, '').split(';');
    for (const statement of statements.filter((each) => /^\s*CREATE (?:DATABASE|SCHEMA|TABLE)/.test(each))) {
      await warehouse.rows(statement);
    }
    await warehouse.rows(`create stage millrace_raw.archive url = 'file://${stage}/'`);
  }, 400_000);
  afterAll(() => rmSync(warehouse.folder, { recursive: true }));

  /** What the archive has new, as the emulator's stage can have it: side by side. */
  function restage(): void {
    for (const path of globSync('**/*.gz', { cwd: warehouse.archive }).sort()) {
      const name = path.replaceAll('/', '-');
      // From the stage's location on, which is the archive's topics.
      const prefix = `${dirname(path).replace(/^topics\//, '')}/`;
      objects[prefix] ??= [];
      if (objects[prefix].includes(name)) continue;
      objects[prefix].push(name);
      copyFileSync(join(warehouse.archive, path), join(stage, name));
    }
  }

  const raw = async () => (await warehouse.rows('select count(*) from millrace_raw.articles'))[0]![0];
  const found = () =>
    warehouse.rows('select id, title, note, cast(amount as varchar) from analytics.articles order by id');

  test('dbt builds and tests every model, again on new objects, and loads no object twice', async () => {
    for (let id = 1; id <= 12; id++) table.insert(id, valuesOf(`first ${id}`));
    table.update(1, { title: 'changed, without its note' });
    table.changeKey(4, 40);
    table.archive((partition) => (partition === 1 ? 0.5 : 1));
    restage();
    const report = await warehouse.build({ objects });
    expect(report.models).toBe(6);
    expect(report.tests).toBeGreaterThan(10);
    expect(await found()).toEqual(textsOf(table.expected()));

    table.hold(2, { title: 'held' });
    table.incrementalSnapshot();
    table.commitHeld();
    table.delete(3);
    table.replay(10);
    table.truncate();
    table.insert(9_007_199_254_740, valuesOf('after the truncate'));
    table.archive();
    restage();
    await warehouse.build({ objects });
    expect(await found()).toEqual(textsOf(table.expected()));
    expect(table.expected().size).toBe(1);

    const rows = await raw();
    await warehouse.build({ objects });
    expect(await raw()).toBe(rows);
  }, 400_000);
});

function valuesOf(title: string): Values {
  return { title, note: title.repeat(300).slice(0, 2_200), amount: '12345678901234567890.123456789' };
}

function textsOf(rows: ReadonlyMap<number, Values>): readonly (readonly (string | null)[])[] {
  return [...rows]
    .sort(([a], [b]) => a - b)
    .map(([id, { title, note, amount }]) => [String(id), title, note, amount]);
}
