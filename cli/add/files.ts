/** The files that `millrace add` writes. They have the form that the linter would give them, and no name that TypeScript keeps. */
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import { generateSchemaModule } from '../../runtime/contract/types.ts';
import type { EnvironmentSettings } from '../../runtime/environment.ts';
import { compareSpecifiers } from './edit-config.ts';

export interface NewFile {
  /** From the folder of the config. */
  readonly path: string;
  readonly text: string;
}

/** What a project's files import Millrace and their test runner by. */
export interface Surroundings {
  /** Whether the project is this repository, whose files import the sources. */
  readonly isCheckout: boolean;
  readonly testRunner: 'node:test' | '@jest/globals' | 'vitest';
}

const LINE_WIDTH = 110;

/** What a consumer's and a contract's own files bind, and what no module may export by name. */
const KEPT = new Set(
  (
    'abstract any arguments as async await boolean break case catch class const continue debugger declare default delete do else enum ' +
    'eval export extends false finally for from function get if implements import in infer Infinity instanceof interface is keyof let ' +
    'module namespace NaN never new null number object of package private protected public readonly require return set static string ' +
    'super switch symbol this throw true try type typeof undefined unique unknown using var void while with yield ' +
    'app assert consumerFunction db defineConsumer defineTopic globalThis handler process recordOf records test tx versions'
  ).split(' '),
);

/**
 * What a contract or a consumer is called in code: `pageviews` for news.pageviews, `ordersV1` for shop.orders.v1. A name
 * that is taken gets more of the whole name, and in the end its kind.
 */
export function identifierFor(name: string, kind: 'topic' | 'consumer', taken: ReadonlySet<string>): string {
  const parts = name.split('.').filter((part) => /[a-z\d]/i.test(part));
  const isVersion = (part: string) => /^v?\d+$/i.test(part);
  const short = parts.slice(isVersion(parts.at(-1) ?? '') ? -2 : -1);
  const suffix = kind === 'topic' ? 'Topic' : 'Consumer';
  const candidates = [short, parts].map((words) => camelCase(words.join('-'), kind));
  const isFree = (candidate: string) => !KEPT.has(candidate) && !taken.has(candidate);
  const free = [...candidates, `${candidates[0]}${suffix}`, `${candidates[1]}${suffix}`].find(isFree);
  if (free) return free;
  let number = 2;
  while (!isFree(`${candidates[1]}${suffix}${number}`)) number++;
  return `${candidates[1]}${suffix}${number}`;
}

/** A topic's folder: its first version to be edited, its declaration, its generated types. */
export function contractFiles(
  { name, owner, identifier, appName }: ContractNames,
  { isCheckout }: Surroundings,
): readonly NewFile[] {
  const folder = `contracts/${name}`;
  const definition = firstVersion(name, identifier, appName);
  const schema = generateSchemaModule(name, [{ version: 1, schema: JSON.parse(definition), definition }]);
  const type = /^export interface (\w+)/m.exec(schema)![1]!;
  const head = `export const ${identifier} = defineTopic<${type}>({`;
  const indent = head.length > LINE_WIDTH ? '    ' : '  ';
  const topic = [
    ...importLines({
      [isCheckout ? '../../runtime/index.ts' : 'millrace']: ['defineTopic'],
      './schema.ts': [`type ${type}`, 'versions'],
    }),
    '',
    ...wrapped(head, `export const ${identifier} =`, `  defineTopic<${type}>({`),
    property('name', name, indent),
    property('owner', owner, indent),
    property('key', KEY, indent),
    `${indent}versions,`,
    `${indent.slice(2)}});`,
    '',
  ].join('\n');
  return [
    { path: `${folder}/v1.avsc`, text: definition },
    { path: `${folder}/schema.ts`, text: schema },
    { path: `${folder}/topic.ts`, text: topic },
  ];
}

interface ContractNames {
  readonly name: string;
  readonly owner: string;
  readonly identifier: string;
  readonly appName: string;
}

/** A consumer's folder: its declaration with a table of its own, its Lambda entry; and its test. */
export function consumerFiles(
  consumer: ConsumerNames,
  { isCheckout, testRunner }: Surroundings,
): readonly NewFile[] {
  const { name, identifier, contract, topic, type } = consumer;
  const folder = `lambdas/${name}`;
  const contractFolder = `contracts/${contract.name}`;
  const column = columnOf(contract);
  const table = tableOf(name);
  const isCompacted = contract.cleanup === 'compact';
  const declaration = [
    ...importLines({
      [isCheckout ? '../../runtime/index.ts' : 'millrace']: ['defineConsumer'],
      [`../../${contractFolder}/topic.ts`]: [topic],
    }),
    '',
    '/** How many records each key has. Put here what this consumer is for, and change its table to hold that. */',
    `export const ${identifier} = defineConsumer({`,
    property('name', name, '  '),
    `  topic: ${topic},`,
    "  sink: 'postgres',",
    '  migrations: [',
    '    {',
    property('name', `0001-${name}`, '      '),
    '      sql: `',
    `        CREATE TABLE ${table} (`,
    `          key ${column.type} PRIMARY KEY,`,
    '          records bigint NOT NULL',
    '        )`,',
    '    },',
    '  ],',
    '  // One statement for the whole batch. It commits together with the ledger: however often a record is delivered, it',
    '  // counts once. The order keeps two batches that meet in a key from a deadlock.',
    '  async handle(records, { tx }) {',
    ...(isCompacted
      ? [
          '    // A tombstone has no value.',
          '    const present = records.filter(({ value }) => value !== null);',
        ]
      : []),
    '    await tx.query(',
    `      \`INSERT INTO ${table} AS total (key, records)`,
    `       SELECT key, count(*) FROM unnest($1::${column.type}[]) AS batch (key) GROUP BY key ORDER BY key`,
    '       ON CONFLICT (key) DO UPDATE SET records = total.records + excluded.records`,',
    `      [${isCompacted ? 'present' : 'records'}.map(({ value }) => value.${contract.key})],`,
    '    );',
    '  },',
    '});',
    '',
  ].join('\n');
  const entry = [
    ...importLines({
      [isCheckout ? '../../adapters/aws/index.ts' : 'millrace/lambda']: ['consumerFunction'],
      './consumer.ts': [identifier],
    }),
    '',
    `export const handler = consumerFunction(${identifier});`,
    '',
  ].join('\n');
  const [first = '', second = first] = column.examples;
  const value = (key: string) => `{ ${contract.key}: ${key} }`;
  const test = [
    ...importLines(
      {
        'node:assert/strict': ['default assert'],
        [testRunner]: ['test'],
        '@electric-sql/pglite': ['PGlite'],
        [`../../../lambdas/${name}/consumer.ts`]: [identifier],
      },
      {
        [isCheckout ? '../../../runtime/index.ts' : 'millrace']: ['ConsumerRecord'],
        [`../../../${contractFolder}/schema.ts`]: [type],
      },
    ),
    '',
    '/** A record as handle() gets it, with as much of its value as this consumer reads. */',
    ...wrapped(
      `const recordOf = (value: Partial<${type}>) => ({ value }) as ConsumerRecord<${type}>;`,
      `const recordOf = (value: Partial<${type}>) =>`,
      `  ({ value }) as ConsumerRecord<${type}>;`,
    ),
    '',
    `test('${name} counts every record under its key', async () => {`,
    '  const db = await PGlite.create();',
    '  try {',
    ...wrapped(
      `    for (const { sql } of ${identifier}.migrations) await db.exec(sql);`,
      `    for (const { sql } of ${identifier}.migrations)`,
      '      await db.exec(sql);',
    ),
    `    const consume = (...values: readonly Partial<${type}>[]) =>`,
    '      db.transaction(async (transaction) => {',
    '        const query = async <Row>(sql: string, parameters: readonly unknown[] = []) => {',
    '          const { rows, affectedRows = 0 } = await transaction.query<Row>(sql, [...parameters]);',
    '          return { rows, affectedRows };',
    '        };',
    '        const fail = (_record: unknown, error: unknown) => assert.fail(String(error));',
    '        const { signal } = new AbortController();',
    '        const records = values.map(recordOf);',
    `        await ${identifier}.handle(records, { tx: { query }, fail, signal, log: console });`,
    '      });',
    '',
    ...wrapped(
      `    await consume(${[first, second, first].map(value).join(', ')});`,
      '    await consume(',
      ...[first, second, first].map((key) => `      ${value(key)},`),
      '    );',
    ),
    `    await consume(${value(first)});`,
    '',
    ...wrapped(
      `    const { rows } = await db.query('SELECT key, records::int FROM ${table} ORDER BY records DESC');`,
      '    const { rows } = await db.query(',
      `      'SELECT key, records::int FROM ${table} ORDER BY records DESC',`,
      '    );',
    ),
    ...(second === first
      ? [`    assert.deepEqual(rows, [{ key: ${first}, records: 4 }]);`]
      : [
          '    assert.deepEqual(rows, [',
          `      { key: ${first}, records: 3 },`,
          `      { key: ${second}, records: 1 },`,
          '    ]);',
        ]),
    '  } finally {',
    '    await db.close();',
    '  }',
    '});',
    '',
  ].join('\n');
  return [
    { path: `${folder}/consumer.ts`, text: declaration },
    { path: `${folder}/index.ts`, text: entry },
    { path: `test/lambdas/${name}/consumer.test.ts`, text: test },
  ];
}

interface ConsumerNames {
  readonly name: string;
  readonly identifier: string;
  readonly contract: Contract<never>;
  /** What the contract's topic.ts exports. */
  readonly topic: string;
  /** What its schema.ts calls a value. */
  readonly type: string;
}

/** What an environment costs least with, and what one needs that must not stop: the newsroom's dev and prod. */
export const ENVIRONMENT_SETTINGS = {
  development: {
    network: { type: 'new' },
    brokers: { type: 'standard', instanceType: 'kafka.t3.small', storageGiB: 50 },
    monitoring: 'DEFAULT',
    polling: { mode: 'on-demand' },
    database: { minCapacity: 0, maxCapacity: 2, standbys: 0, proxy: false, backupDays: 1 },
    alarmActions: false,
    retainsData: false,
    logRetentionDays: 7,
  },
  production: {
    network: { type: 'new' },
    brokers: { type: 'express', instanceType: 'express.m7g.large' },
    monitoring: 'DEFAULT',
    polling: { mode: 'provisioned', minimumPollers: 2, maximumPollers: 12 },
    database: { minCapacity: 2, maxCapacity: 32, standbys: 1, proxy: true, backupDays: 35 },
    alarmActions: true,
    retainsData: true,
    logRetentionDays: 365,
  },
} as const satisfies Readonly<Record<string, EnvironmentSettings>>;

/** The settings as lines of the config, one a setting. */
export function settingLines(settings: EnvironmentSettings): readonly string[] {
  return Object.entries(settings).map(([name, value]) => `  ${name}: ${literal(value)},`);
}

function literal(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([name, inner]) => `${name}: ${literal(inner)}`)
    .join(', ')} }`;
}

/** The field that `add contract` keys by. */
export const KEY = 'id';

function firstVersion(topic: string, identifier: string, appName: string): string {
  const spaces = topic.split('.').slice(0, -1);
  const namespace = (spaces.length > 0 ? spaces : [appName])
    .map((part) => part.replaceAll('-', '_'))
    .map((part) => (/^[A-Za-z_]/.test(part) ? part : `_${part}`))
    .join('.');
  return `{
  "type": "record",
  "name": "${recordNameOf(identifier)}",
  "namespace": "${namespace}",
  "fields": [
    { "name": "${KEY}", "type": "string" },
    { "name": "occurredAt", "type": { "type": "long", "logicalType": "timestamp-millis" } }
  ]
}
`;
}

/** One record of `orders` is an Order. */
function recordNameOf(identifier: string): string {
  const words = identifier.charAt(0).toUpperCase() + identifier.slice(1);
  const one = /(?:ss|us|is|news|series)$/i.test(words)
    ? words
    : words.replace(/(?<=.{2})ies$/, 'y').replace(/(?<=.{2})s$/, '');
  return one in globalThis || one === 'ContractVersion' ? `${one}Record` : one;
}

function columnOf({ latest, key }: Contract<never>): {
  type: 'text' | 'bigint';
  examples: readonly string[];
} {
  const { node } = parseSchema(latest.schema);
  const field = node?.kind === 'record' ? node.fields.find(({ name }) => name === key)?.type : undefined;
  if (field?.kind === 'int' || field?.kind === 'long') return { type: 'bigint', examples: ['1', '2'] };
  if (field?.kind === 'enum')
    return { type: 'text', examples: field.symbols.slice(0, 2).map((each) => `'${each}'`) };
  return { type: 'text', examples: ["'a'", "'b'"] };
}

/** Never a word that PostgreSQL keeps, for it has more than one; as long as PostgreSQL's names can be. */
function tableOf(consumer: string): string {
  const words = consumer.toLowerCase().replaceAll(/\W+/g, '_');
  return `${/^[a-z_]/.test(words) ? '' : '_'}${words}`.slice(0, 56).concat('_by_key');
}

function camelCase(name: string, kind: string): string {
  const words = name.split(/[^a-z\d]+/i).filter(Boolean);
  const [first = kind, ...others] = /^\d/.test(words[0] ?? '') ? [kind, ...words] : words;
  return [
    first.charAt(0).toLowerCase() + first.slice(1),
    ...others.map((word) => word.charAt(0).toUpperCase() + word.slice(1)),
  ].join('');
}

/** Sorted as the linter sorts them. A name `default x` is the module's default export. */
function importLines(
  values: Readonly<Record<string, readonly string[]>>,
  types: Readonly<Record<string, readonly string[]>> = {},
): readonly string[] {
  const all = [
    ...Object.entries(values).map(([specifier, names]) => ({ specifier, names, head: 'import' })),
    ...Object.entries(types).map(([specifier, names]) => ({ specifier, names, head: 'import type' })),
  ];
  return all
    .sort((a, b) => compareSpecifiers(a.specifier, b.specifier))
    .map(({ specifier, names, head }) => {
      const [only = ''] = names;
      if (only.startsWith('default ')) return `${head} ${only.slice(8)} from '${specifier}';`;
      const line = `${head} { ${names.join(', ')} } from '${specifier}';`;
      if (names.length === 1 || line.length <= LINE_WIDTH) return line;
      return `${head} {\n${names.map((name) => `  ${name},\n`).join('')}} from '${specifier}';`;
    });
}

/** A line, or the lines that the formatter makes of it where it is too long. */
function wrapped(line: string, ...broken: readonly string[]): readonly string[] {
  return line.length <= LINE_WIDTH ? [line] : broken;
}

function property(name: string, text: string, indent: string): string {
  const line = `${indent}${name}: ${quote(text)},`;
  return line.length <= LINE_WIDTH ? line : `${indent}${name}:\n${indent}  ${quote(text)},`;
}

/** In the quotes that need fewer escapes, as the formatter chooses them. */
function quote(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  const singles = escaped.split("'").length;
  const doubles = escaped.split('"').length;
  return singles > doubles ? `"${escaped.replaceAll('"', '\\"')}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}
