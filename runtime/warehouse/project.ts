import { createHash } from 'node:crypto';
import { isArchive } from '../archive/archive.ts';
import type { SchemaNode } from '../avro/schema.ts';
import { parseShape } from '../avro/schema-parser.ts';
import type { ColumnType } from '../capture/column-type.ts';
import { isReservedName } from '../capture/reserved-names.ts';
import { type CapturedTable, heartbeatOf, modelsOf } from '../capture/table.ts';
import type { Contract, Topic } from '../contract/contract.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import { MillraceError } from '../errors.ts';
import { toYaml, type Yaml } from '../yaml.ts';

/** The schema of the raw tables, and dbt's name for them. */
const RAW = 'millrace_raw';

/** One file of the dbt project, with its header. */
export interface ProjectFile {
  /** From the project's folder, with "/". */
  readonly path: string;
  readonly text: string;
}

/** What the project is generated from. */
export interface WarehouseSubject {
  readonly name: string;
  readonly tables?: readonly CapturedTable[];
  /** Their archives are among them. */
  readonly consumers: readonly AnyConsumer[];
}

/** A topic's archive, as the warehouse loads it into a raw table of its own. */
export interface WarehouseSource {
  /** The raw table, and what the models are called after. */
  readonly name: string;
  readonly topic: string;
  /** The topic's life: objects of another are not its records. */
  readonly epoch: number;
  readonly partitions: number;
}

/** An archived topic and what declares it: a table, or a contract. */
type Source = WarehouseSource & { readonly owner: string } & (
    | { readonly table: CapturedTable; readonly contract?: never }
    | { readonly contract: Contract<never>; readonly table?: never }
  );

/** The archives that the warehouse loads, tables first: theirs, their databases' heartbeats', and those of topics. */
export function warehouseSources(subject: WarehouseSubject): readonly WarehouseSource[] {
  return sourcesOf(subject).map(({ name, topic, epoch, partitions }) => ({ name, topic, epoch, partitions }));
}

/** What the models of the heartbeats are called, one for each database. */
export function heartbeatModels(tables: readonly CapturedTable[]): readonly string[] {
  return heartbeatsOf(tables).map(({ name }) => name);
}

function heartbeatsOf(tables: readonly CapturedTable[]): readonly CapturedTable[] {
  return [...new Map(tables.map(({ database }) => [database.name, database])).values()].map(heartbeatOf);
}

/** The raw table of a topic: `news_pageviews` for news.pageviews. */
function rawName(topic: string): string {
  const plain = topic.toLowerCase().replaceAll(/[^a-z\d]+/g, '_');
  const name = /^\d/.test(plain) || isReservedName(plain) ? `topic_${plain}` : plain;
  if (name.length <= 58) return name;
  return `${name.slice(0, 49)}_${createHash('sha256').update(topic).digest('hex').slice(0, 8)}`;
}

/** @throws APP_INVALID where two sources would have one raw table, or one model */
function checkNames(sources: readonly Source[]): void {
  const takers = new Map<string, Source>();
  for (const source of sources) {
    const { name, table } = source;
    for (const taken of [`${RAW}.${name}`, ...(table ? modelsOf(name) : [`stg_${name}`])]) {
      const other = takers.get(taken);
      if (other) {
        const next =
          other.table || table
            ? 'Give the table another name, by "name" in defineTable().'
            : 'Take the archive of one of them out of millrace.config.ts, or load it by models of your own.';
        throw new MillraceError(
          'APP_INVALID',
          `The warehouse would have ${taken} for ${other.topic} and for ${source.topic}; each takes names of its own. ${next}`,
          { details: { topics: [other.topic, source.topic], name: taken } },
        );
      }
      takers.set(taken, source);
    }
  }
}

/** dbt's own packages, and ours: a project cannot be called so. */
const PACKAGES = ['millrace', 'dbt', 'dbt_duckdb', 'dbt_postgres', 'dbt_snowflake'];

function projectName(app: string): string {
  const name = app.replaceAll('-', '_');
  return PACKAGES.includes(name) ? `${name}_project` : name;
}

function sourcesOf({ tables = [], consumers }: WarehouseSubject): readonly Source[] {
  const archives = new Map<string, AnyConsumer>(
    consumers.filter(isArchive).map((consumer) => [consumer.topic.name, consumer]),
  );
  const ofTables = [...tables, ...heartbeatsOf(tables)].map((table): Source => {
    const { name, partitions, owner } = table.topic;
    return { name: table.name, topic: name, epoch: archives.get(name)?.epoch ?? 1, partitions, owner, table };
  });
  const ofTopics = [...archives.values()].flatMap(({ topic, epoch }): readonly Source[] => {
    const declared = topic as Topic<never>;
    if (declared.format !== 'avro') return [];
    const { name, partitions, owner } = declared;
    checkFields(declared);
    return [{ name: rawName(name), topic: name, epoch, partitions, owner, contract: declared }];
  });
  const sources = [...ofTables, ...ofTopics];
  checkNames(sources);
  return sources;
}

/** What the dbt package takes as variables, as it has them by default: docs/warehouse.md explains each. */
const SETTINGS = {
  millrace_strategy: 'lsn',
  millrace_strategies: {},
  millrace_lookback_minutes: 15,
  millrace_snapshot_grace_minutes: 60,
  millrace_raw_schema: RAW,
  millrace_load: 'copy',
  millrace_stage: `${RAW}.archive`,
  millrace_load_days: 3,
} as const;

/**
 * The dbt project of an app: the same declarations give the same bytes.
 * @param packagePath where the project's folder finds the dbt package `millrace`, from that folder
 */
export function warehouseProject(
  subject: WarehouseSubject,
  { packagePath }: { readonly packagePath: string },
): readonly ProjectFile[] {
  const sources = sourcesOf(subject);
  const tables = sources.flatMap((source) => (source.table ? [source] : []));
  const topics = sources.flatMap((source) => (source.contract ? [source] : []));
  const project = projectName(subject.name);
  const yaml = (path: string, content: Readonly<Record<string, Yaml | undefined>>) =>
    file(path, toYaml(content));
  return [
    yaml('dbt_project.yml', {
      name: project,
      version: '1.0.0',
      'config-version': 2,
      profile: project,
      'model-paths': ['models'],
      'macro-paths': ['macros'],
      'on-run-start': ['{{ millrace.load() }}'],
      models: {
        [project]: {
          staging: { '+materialized': 'view', '+schema': 'staging' },
          rows: { '+schema': 'staging' },
          current: { '+materialized': 'view' },
        },
      },
      vars: SETTINGS,
    }),
    file('macros/millrace_sources.sql', sourcesMacro(sources)),
    yaml('packages.yml', { packages: [{ local: packagePath }] }),
    file('profiles.yml', profiles(project)),
    file(
      '.gitignore',
      'target/\ntarget-*/\ndbt_packages/\nlogs/\npackage-lock.yml\n*.duckdb\n*.duckdb.wal\n',
    ),
    yaml('models/staging/sources.yml', {
      version: 2,
      sources: [
        {
          name: RAW,
          schema: `{{ var('millrace_raw_schema', '${RAW}') }}`,
          description: "The archives' records as they were loaded: JSON, when it was loaded, and where from.",
          config: { loaded_at_field: 'loaded_at' },
          tables: sources.map(rawTable),
        },
      ],
    }),
    ...tables.map(({ name, table }) => file(`models/staging/stg_${name}.sql`, stagedTable(name, table))),
    ...topics.map(({ name, contract }) =>
      file(`models/staging/stg_${name}.sql`, stagedTopic(name, contract)),
    ),
    yaml('models/staging/staging.yml', {
      version: 2,
      models: [
        ...tables.map(({ name, table }) => ({
          name: `stg_${name}`,
          description: `The changes of ${table.schema}.${table.table} in ${table.database.name}, one row for each record.`,
          columns: documented(table),
        })),
        ...topics.map(({ name, topic, contract }) => ({
          name: `stg_${name}`,
          description: `The records of ${topic}, each once.`,
          columns: [
            {
              name: '_record',
              description: 'Partition, offset and timestamp.',
              tests: ['unique', 'not_null'],
            },
            ...eventFields(contract).map(({ name: field, description, isPersonal }) =>
              documentedColumn(field, description, isPersonal),
            ),
          ],
        })),
      ],
    }),
    ...tables.map(({ name, table }) => file(`models/rows/${name}_rows.sql`, latestRows(name, table))),
    yaml('models/rows/rows.yml', {
      version: 2,
      models: tables.map(({ name, table }) => ({
        name: `${name}_rows`,
        description: `The newest change of each key of ${table.schema}.${table.table}, deleted ones marked: read ${name} instead.`,
        tests: [
          ...['key_in_one_partition', 'offset_agrees_with_lsn', 'values_are_known', 'values_fit'].map(
            (test) => ({ [`millrace.${test}`]: { config: { severity: 'warn' } } }),
          ),
        ],
        columns: [{ name: '_cdc_key', tests: ['unique', 'not_null'] }],
      })),
    }),
    ...tables.map(({ name, table }) => file(`models/current/${name}.sql`, currentRows(name, table))),
    yaml('models/current/current.yml', {
      version: 2,
      models: tables.map(({ name, table, owner }) => ({
        name,
        description: `${table.schema}.${table.table} of ${table.database.name}, as it is.`,
        config: { meta: { owner, topic: table.topic.name } },
        tests: ['key_is_unique', 'key_is_not_null'].map((test) => ({
          [`millrace.${test}`]: { arguments: { key: table.key } },
        })),
        columns: documented(table),
      })),
    }),
    yaml('models/exposures.yml', {
      version: 2,
      exposures: [...new Set(tables.map(({ table }) => table.database.name))].map((database) => ({
        name: `${database}_reconciliation`,
        type: 'application',
        description: `millrace warehouse reconcile compares these with the database ${database}.`,
        owner: { name: tables.find(({ table }) => table.database.name === database)?.owner ?? database },
        depends_on: tables
          .filter(({ table }) => table.database.name === database)
          .map(({ name }) => `ref('${name}')`),
      })),
    }),
  ];
}

/** What is loaded, in a file that nobody has to change: settings are in dbt_project.yml, which people do change. */
function sourcesMacro(sources: readonly Source[]): string {
  const list = sources.map(
    ({ name, topic, epoch, partitions }) =>
      `  {'name': '${name}', 'topic': '${topic}', 'epoch': ${epoch}, 'partitions': ${partitions}},`,
  );
  return `{% macro millrace_sources() %}{{ return([\n${list.join('\n')}\n]) }}{% endmacro %}\n`;
}

function rawTable({ name, topic, table }: Source): Yaml {
  const isHeartbeat =
    table?.topic.name.endsWith('.heartbeat') && table.name === heartbeatOf(table.database).name;
  return {
    name,
    description: `The archive of ${topic}.`,
    // A quiet table is no fault; a quiet heartbeat is.
    config: isHeartbeat
      ? {
          freshness: {
            warn_after: { count: 5, period: 'minute' },
            error_after: { count: 15, period: 'minute' },
          },
        }
      : undefined,
  };
}

function documented(table: CapturedTable): Yaml {
  return table.columns.map(({ name, description, isPersonal }) =>
    documentedColumn(name, description, isPersonal),
  );
}

function documentedColumn(name: string, description: string | undefined, isPersonal: boolean) {
  return {
    name: name.toLowerCase(),
    description,
    config: isPersonal ? { tags: ['personal'], meta: { personal: true } } : undefined,
  };
}

/** Macros take what Jinja reads: JSON is that, but for its words for true. */
function typeOf({ base, precision, scale, isArray }: ColumnType): string {
  const parts = [
    `'base': '${base}'`,
    ...(precision === undefined ? [] : [`'precision': ${precision}`]),
    ...(scale === undefined ? [] : [`'scale': ${scale}`]),
    ...(isArray ? ["'array': true"] : []),
  ];
  return `{${parts.join(', ')}}`;
}

function columnsOf(table: CapturedTable): string {
  const columns = table.columns.map(({ name, type }) => `  {'name': '${name}', 'type': ${typeOf(type)}},`);
  return `{% set columns = [\n${columns.join('\n')}\n] %}\n`;
}

function keyOf({ key }: CapturedTable): string {
  return `[${key.map((name) => `'${name}'`).join(', ')}]`;
}

function stagedTable(name: string, table: CapturedTable): string {
  return `${columnsOf(table)}{{ millrace.staged_changes(source('${RAW}', '${name}'), columns, ${keyOf(table)}) }}\n`;
}

function latestRows(name: string, table: CapturedTable): string {
  return `{{ config(
  materialized='incremental',
  incremental_strategy=millrace.incremental_strategy(),
  unique_key='_cdc_key',
  on_schema_change='append_new_columns'
) }}
${columnsOf(table)}{{ millrace.latest_rows('${name}', ref('stg_${name}'), columns, ${keyOf(table)}) }}
`;
}

function currentRows(name: string, table: CapturedTable): string {
  const heartbeat = heartbeatOf(table.database).name;
  const beats = name === heartbeat ? 'none' : `ref('${heartbeat}_rows')`;
  return `${columnsOf(table)}{{ millrace.current_rows(ref('${name}_rows'), ${beats}, columns) }}\n`;
}

interface EventField {
  readonly name: string;
  readonly type: string;
  readonly description: string | undefined;
  readonly isPersonal: boolean;
}

/** The fields of the newest version: readers resolve into it. */
function eventFields(contract: Contract<never>): readonly EventField[] {
  const newest = contract.versions.at(-1);
  const root = newest ? parseShape(newest.schema) : null;
  if (root?.kind !== 'record') return [];
  return root.fields.map(({ name, doc, type, pii }) => ({
    name,
    type: `{'base': '${eventType(type)}'}`,
    description: doc ?? undefined,
    isPersonal: pii,
  }));
}

/** What stands beside a record's fields in its model. */
const RECORD_COLUMNS = [
  '_record',
  '_partition',
  '_offset',
  '_recorded_at',
  '_record_key',
  '_schema_id',
  '_is_tombstone',
  '_loaded_at',
];

/** @throws APP_INVALID where a field would have the column of another, since warehouses ignore case */
function checkFields(contract: Contract<never>): void {
  const seen = new Set(RECORD_COLUMNS);
  for (const { name } of eventFields(contract)) {
    const column = name.toLowerCase();
    if (seen.has(column) || column.startsWith('_cdc_')) {
      throw new MillraceError(
        'APP_INVALID',
        `The warehouse has no column for the field ${name} of ${contract.name}. It takes names that differ in more than ` +
          `capitals, do not begin with "_cdc_", and are none of ${RECORD_COLUMNS.join(', ')}. Rename the field in a new ` +
          "version, or take the topic's archive out of millrace.config.ts.",
        { details: { topic: contract.name, field: name } },
      );
    }
    seen.add(column);
  }
}

function eventType(node: SchemaNode): string {
  if (node.kind === 'union') {
    const branches = node.branches.filter(({ kind }) => kind !== 'null');
    return branches.length === 1 && branches[0] ? eventType(branches[0]) : 'json';
  }
  const logical = node.logical?.name;
  if (node.kind === 'long' && (logical === 'timestamp-millis' || logical === 'timestamp-micros'))
    return logical;
  if (node.kind === 'int' && logical === 'date') return 'avro-date';
  if (node.kind === 'string') return logical === 'uuid' ? 'uuid' : 'text';
  const plain: Partial<Record<SchemaNode['kind'], string>> = {
    boolean: 'boolean',
    int: 'integer',
    long: 'bigint',
    float: 'real',
    double: 'double precision',
    bytes: 'bytea',
    fixed: 'bytea',
    enum: 'text',
  };
  return plain[node.kind] ?? 'json';
}

function stagedTopic(name: string, contract: Contract<never>): string {
  const fields = eventFields(contract).map((field) => `  {'name': '${field.name}', 'type': ${field.type}},`);
  return `{{ config(
  materialized='incremental',
  incremental_strategy=millrace.incremental_strategy(),
  unique_key='_record',
  on_schema_change='append_new_columns'
) }}
{% set fields = [\n${fields.join('\n')}\n] %}
{{ millrace.staged_events(source('${RAW}', '${name}'), fields) }}
`;
}

/** No secret stands in it: dbt reads them from the environment. */
function profiles(project: string): string {
  const env = (name: string, otherwise?: string) =>
    `"{{ env_var('${name}'${otherwise === undefined ? '' : `, '${otherwise}'`}) }}"`;
  return `${project}:
  target: "{{ env_var('MILLRACE_WAREHOUSE_TARGET', 'duckdb') }}"
  outputs:
    duckdb:
      type: duckdb
      path: ${env('MILLRACE_DUCKDB_PATH', 'warehouse.duckdb')}
      schema: ${env('MILLRACE_WAREHOUSE_SCHEMA', 'analytics')}
      threads: 1
    postgres:
      type: postgres
      host: ${env('MILLRACE_WAREHOUSE_HOST', 'localhost')}
      port: "{{ env_var('MILLRACE_WAREHOUSE_PORT', '5432') | as_number }}"
      dbname: ${env('MILLRACE_WAREHOUSE_DATABASE', 'warehouse')}
      user: ${env('MILLRACE_WAREHOUSE_USER', 'millrace')}
      password: ${env('MILLRACE_WAREHOUSE_PASSWORD', '')}
      schema: ${env('MILLRACE_WAREHOUSE_SCHEMA', 'analytics')}
      threads: 2
    snowflake:
      type: snowflake
      account: ${env('SNOWFLAKE_ACCOUNT', '')}
      user: ${env('SNOWFLAKE_USER', '')}
      private_key: ${env('SNOWFLAKE_PRIVATE_KEY', '')}
      role: ${env('SNOWFLAKE_ROLE', 'MILLRACE')}
      warehouse: ${env('SNOWFLAKE_WAREHOUSE', 'MILLRACE')}
      database: ${env('SNOWFLAKE_DATABASE', 'MILLRACE')}
      schema: ${env('MILLRACE_WAREHOUSE_SCHEMA', 'analytics')}
      threads: 4
`;
}

const MARK = 'Written by "millrace warehouse generate". Change it, and it is yours: it is not written again.';

/** A file with a header that tells whether a person has changed it since. */
function file(path: string, body: string): ProjectFile {
  const [open, close] = path.endsWith('.sql') ? ['{# ', ' #}'] : ['# ', ''];
  return { path, text: `${open}${MARK} ${checksum(body)}${close}\n${body}` };
}

/** Whether the text is as it was generated, once: no person has changed it. */
export function isGenerated(text: string): boolean {
  const [header = '', ...body] = text.split('\n');
  if (!wasGenerated(text)) return false;
  return header.includes(` ${checksum(body.join('\n'))}`);
}

/** Whether it was generated once, though a person may have changed it since: its first line says so. */
export function wasGenerated(text: string): boolean {
  return text.split('\n', 1)[0]!.includes(MARK);
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex').slice(0, 16);
}
