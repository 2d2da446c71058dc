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
    'app assert assertDeadLettered assertEffectsOnce batch batches consumerFunction defineConsumer defineTopic FAULTS faults fc ' +
    'globalThis handler harness pipeline process records recordsOf TABLE test tx versions'
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
  const { name, identifier, contract, topic } = consumer;
  const folder = `lambdas/${name}`;
  const contractFolder = `contracts/${contract.name}`;
  const keyType = columnTypeOf(contract);
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
    `          key ${keyType} PRIMARY KEY,`,
    '          records bigint NOT NULL',
    '        )`,',
    '    },',
    '  ],',
    '  // A count is the same in any order. Leave this out where an older record must not overwrite a newer one.',
    "  onOvertaken: 'apply',",
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
    `       SELECT key, count(*) FROM unnest($1::${keyType}[]) AS batch (key) GROUP BY key ORDER BY key`,
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
  const test = [
    ...importLines({
      'node:assert/strict': ['default assert'],
      [testRunner]: ['test'],
      'fast-check': ['default fc'],
      [isCheckout ? '../../../testing/index.ts' : 'millrace/testing']: [
        'assertDeadLettered',
        'assertEffectsOnce',
        'FAULTS',
        'harness',
        'recordsOf',
      ],
      [`../../../${contractFolder}/topic.ts`]: [topic],
      [`../../../lambdas/${name}/consumer.ts`]: [identifier],
    }),
    '',
    `const TABLE = 'SELECT * FROM ${table} ORDER BY key';`,
    '',
    `test('${name} applies what its contract allows, once, whatever goes wrong', async () => {`,
    ...wrapped(
      `  const batches = fc.array(recordsOf(${topic}).valid, { minLength: 1, maxLength: 8 });`,
      `  const batches = fc.array(recordsOf(${topic}).valid, {`,
      '    minLength: 1,',
      '    maxLength: 8,',
      '  });',
    ),
    '  const faults = fc.array(fc.constantFrom(...FAULTS), { maxLength: 2 });',
    '  await fc.assert(',
    '    fc.asyncProperty(batches, faults, async (batch, faults) => {',
    `      const pipeline = await harness(${identifier});`,
    '      try {',
    '        await pipeline.deliver(batch, { faults });',
    '        assert.notDeepEqual(await pipeline.query(TABLE), []);',
    '        await assertEffectsOnce(pipeline, TABLE);',
    '        await assertDeadLettered(pipeline, []);',
    '      } finally {',
    '        await pipeline.close();',
    '      }',
    '    }),',
    '    { numRuns: 10 },',
    '  );',
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

function columnTypeOf({ latest, key }: Contract<never>): 'text' | 'bigint' {
  const { node } = parseSchema(latest.schema);
  const field = node?.kind === 'record' ? node.fields.find(({ name }) => name === key)?.type : undefined;
  return field?.kind === 'int' || field?.kind === 'long' ? 'bigint' : 'text';
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
function importLines(imports: Readonly<Record<string, readonly string[]>>): readonly string[] {
  return Object.entries(imports)
    .map(([specifier, names]) => ({ specifier, names }))
    .sort((a, b) => compareSpecifiers(a.specifier, b.specifier))
    .map(({ specifier, names }) => {
      const [only = ''] = names;
      if (only.startsWith('default ')) return `import ${only.slice(8)} from '${specifier}';`;
      const line = `import { ${names.join(', ')} } from '${specifier}';`;
      if (names.length === 1 || line.length <= LINE_WIDTH) return line;
      return `import {\n${names.map((name) => `  ${name},\n`).join('')}} from '${specifier}';`;
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
