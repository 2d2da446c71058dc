import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { generateContracts } from '../../adapters/files/contract-files.ts';
import { addEnvironment, addToList, wordsOf } from '../../cli/add/edit-config.ts';
import {
  consumerFiles,
  contractFiles,
  ENVIRONMENT_SETTINGS,
  identifierFor,
  type NewFile,
  settingLines,
} from '../../cli/add/files.ts';
import { defineTopic } from '../../runtime/contract/contract.ts';
import { childEnvironment } from '../child-environment.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace } from './millrace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const CONFIG = `import { defineApp } from './runtime/app.ts';

export default defineApp({
  name: 'shop',
  contracts: [],
  consumers: [],
  environments: {},
});
`;

const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

/** An empty app whose framework is this checkout's. */
function createProject(name: string, config = CONFIG): string {
  const project = join(folder, name);
  mkdirSync(join(project, 'contracts'), { recursive: true });
  for (const part of ['adapters', 'node_modules', 'runtime', 'testing'])
    symlinkSync(join(ROOT, part), join(project, part));
  writeFileSync(join(project, 'millrace.config.ts'), config);
  const { imports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ name: 'millrace', type: 'module', imports, exports: { '.': './runtime/index.ts' } }),
  );
  const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'));
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions,
      include: ['millrace.config.ts', 'contracts', 'lambdas', 'test', 'adapters/postgres/pg-client.d.ts'],
    }),
  );
  const { vcs: _, ...biome } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8'));
  writeFileSync(
    join(project, 'biome.json'),
    JSON.stringify({
      ...biome,
      files: { includes: ['millrace.config.ts', 'contracts/**/*.ts', 'lambdas/**', 'test/**'] },
    }),
  );
  return project;
}

async function add(project: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await millrace(['add', ...args], '', project);
  expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
}

/** A tool of the project, on Node; what it printed where it failed. */
function problemsOf(project: string, tool: string, ...args: readonly string[]): string {
  const env = childEnvironment();
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, ...args], {
    cwd: project,
    env,
    encoding: 'utf8',
  });
  return status === 0 ? '' : `${stdout}${stderr}` || `ended with ${status}`;
}

const BIOME = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');

/** Every file of an app's own, with what it holds. */
function filesOf(project: string): Readonly<Record<string, string>> {
  const own = ['contracts', 'lambdas', 'test', 'millrace.config.ts'];
  const paths = readdirSync(project, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(project.length + 1))
    .filter((path) => own.includes(path.split('/')[0]!));
  return Object.fromEntries(
    paths.toSorted().map((path) => [path, readFileSync(join(project, path), 'utf8')]),
  );
}

const TOPICS = [
  'shop.orders',
  'news.pageviews',
  'other.orders',
  'shop.orders.v1',
  '2fa',
  'class',
  'versions',
  'buffers',
  'Maps',
  'snake_case-and-kebab.Topic_name',
  `a.${'long-'.repeat(12)}name`,
];
/** A consumer and its topic. */
const CONSUMERS: readonly (readonly [string, string])[] = [
  ['order-counts', 'shop.orders'],
  ['orders', 'shop.orders'],
  ['user', 'class'],
  ['2fa-counts', '2fa'],
  ['new', 'Maps'],
  ['buffers', 'buffers'],
  [`${'long-'.repeat(7)}n`, `a.${'long-'.repeat(12)}name`],
  ['numbers', 'by.number'],
  ['states', 'by.state'],
  ['only', 'by.single'],
];
/** Contracts of a person's own, with keys that `add contract` never writes. */
const KEYED = {
  'by.number': { type: 'long', settings: '' },
  'by.state': {
    type: { type: 'enum', name: 'Switch', symbols: ['ON', 'OFF'] },
    settings: "\n  cleanup: 'compact',",
  },
  'by.single': { type: { type: 'enum', name: 'Sole', symbols: ['ONE'] }, settings: '' },
};

describe('what is added', () => {
  let project: string;

  beforeAll(async () => {
    project = createProject('names');
    const surroundings = { isCheckout: true, testRunner: 'node:test' } as const;
    const edit = (change: (text: string) => string) =>
      writeFileSync(
        join(project, 'millrace.config.ts'),
        change(readFileSync(join(project, 'millrace.config.ts'), 'utf8')),
      );
    const write = (files: readonly NewFile[]) => {
      for (const { path, text } of files) {
        mkdirSync(dirname(join(project, path)), { recursive: true });
        writeFileSync(join(project, path), text);
      }
    };
    const words = () => wordsOf(readFileSync(join(project, 'millrace.config.ts'), 'utf8'));
    const topics = new Map<string, { readonly topic: string }>();

    for (const env of ['prod', 'eu-west-1', '1st'])
      edit((text) => addEnvironment(text, env, settingLines(ENVIRONMENT_SETTINGS.production)));
    for (const name of [...TOPICS, ...Object.keys(KEYED)]) {
      const identifier = identifierFor(name, 'topic', words());
      const files = contractFiles({ name, owner: "Ann's team", identifier, appName: 'shop' }, surroundings);
      write(files);
      topics.set(name, { topic: identifier });
      edit((text) => addToList(text, 'contracts', { identifier, specifier: `./contracts/${name}/topic.ts` }));
    }
    for (const [topic, { type, settings }] of Object.entries(KEYED)) {
      const path = join(project, 'contracts', topic);
      const schema = JSON.parse(readFileSync(join(path, 'v1.avsc'), 'utf8'));
      schema.fields[0] = { name: 'myKey', type };
      writeFileSync(join(path, 'v1.avsc'), JSON.stringify(schema));
      const declaration = readFileSync(join(path, 'topic.ts'), 'utf8');
      writeFileSync(join(path, 'topic.ts'), declaration.replace("key: 'id',", `key: 'myKey',${settings}`));
    }
    await generateContracts(join(project, 'contracts'));
    for (const [name, topic] of CONSUMERS) {
      const identifier = identifierFor(name, 'consumer', new Set([...words(), topics.get(topic)!.topic]));
      const schema = JSON.parse(readFileSync(join(project, 'contracts', topic, 'v1.avsc'), 'utf8'));
      const contract = defineTopic<never>({
        name: topic,
        owner: 'tests',
        key: schema.fields[0].name as never,
        versions: [{ version: 1, schema }],
        cleanup: topic === 'by.state' ? 'compact' : 'delete',
      });
      write(consumerFiles({ name, identifier, contract, ...topics.get(topic)! }, surroundings));
      edit((text) =>
        addToList(text, 'consumers', { identifier, specifier: `./lambdas/${name}/consumer.ts` }),
      );
    }
    // By the command line, as a person would.
    await add(project, 'environment', 'dev');
    await add(project, 'contract', 'shop.payments');
    await add(project, 'consumer', 'payment-counts', '--topic', 'shop.payments');
  }, 120_000);

  test('passes the check of contracts', async () => {
    const { code, stdout } = await millrace(['contracts', 'check'], '', project);
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining('shop.orders: 1 version') });
  });

  test('has the types that it says', () => {
    expect(problemsOf(project, TSC)).toBe('');
  });

  test('has the form that the linter gives it', () => {
    expect(
      problemsOf(
        project,
        BIOME,
        'check',
        '--error-on-warnings',
        'millrace.config.ts',
        'contracts',
        'lambdas',
        'test',
      ),
    ).toBe('');
  });

  test('passes its tests, whatever type the key has', () => {
    expect(problemsOf(project, '--test', 'test/lambdas/{numbers,states,only}/*.test.ts')).toBe('');
  }, 300_000);

  test('is listed once, in the order in which it was added', () => {
    const config = readFileSync(join(project, 'millrace.config.ts'), 'utf8');
    expect(config.match(/consumers: \[[^\]]*\]/)?.[0].match(/\w+/g)).toEqual([
      'consumers',
      'orderCounts',
      'ordersConsumer',
      'user',
      'consumer2faCounts',
      'newConsumer',
      'buffersConsumer',
      'longLongLongLongLongLongLongN',
      'numbers',
      'states',
      'only',
      'paymentCounts',
    ]);
    expect(
      config
        .match(/contracts: \[[^\]]*\]/)?.[0]
        .match(/\w+/g)
        ?.slice(1, 10),
    ).toEqual([
      'orders',
      'pageviews',
      'otherOrders',
      'ordersV1',
      'topic2fa',
      'classTopic',
      'versionsTopic',
      'buffers',
      'maps',
    ]);
  });

  test('has the form of the newsroom', () => {
    const files = filesOf(project);
    expect(
      files['contracts/shop.orders/topic.ts'],
    ).toBe(`import { defineTopic } from '../../runtime/index.ts';
import { type Order, versions } from './schema.ts';

export const orders = defineTopic<Order>({
  name: 'shop.orders',
  owner: "Ann's team",
  key: 'id',
  versions,
});
`);
    expect(
      files['lambdas/order-counts/index.ts'],
    ).toBe(`import { consumerFunction } from '../../adapters/aws/index.ts';
import { orderCounts } from './consumer.ts';

export const handler = consumerFunction(orderCounts);
`);
    expect(files['lambdas/order-counts/consumer.ts']).toMatch(
      /^export const orderCounts = defineConsumer\({\n {2}name: 'order-counts',\n {2}topic: orders,\n {2}sink: 'postgres',$/m,
    );
  });

  test.each([
    ['a contract that is there', ['contract', 'shop.orders'], 1, /lists a contract called shop\.orders/],
    ['a consumer that is there', ['consumer', 'user', '--topic', 'class'], 1, /lists a consumer called user/],
    ['an environment that is there', ['environment', 'dev'], 1, /has an environment called dev/],
    ['a topic that Kafka takes for another', ['contract', 'shop_orders'], 2, /differ in "\." and "_" alone/],
    ['a topic that is none', ['contract', 'a b'], 2, /up to 249 letters/],
    ['no topic', ['contract', '..'], 2, /up to 249 letters/],
    ['an owner that is none', ['contract', 'x', '--owner', ' '], 2, /'--owner' is empty/],
    [
      'an unknown topic',
      ['consumer', 'x', '--topic', 'shop.order'],
      1,
      /Did you mean shop\.orders\?.*TOPIC_UNKNOWN/s,
    ],
    [
      'a topic like no other',
      ['consumer', 'x', '--topic', 'zzz'],
      1,
      /there is shop\.orders, .*add contract NAME/s,
    ],
    ['a consumer without a topic', ['consumer', 'x'], 2, /'--topic <name>' not specified/],
    [
      'a consumer that AWS does not take',
      ['consumer', 'a_b', '--topic', 'class'],
      2,
      /in prod it takes up to \d+ letters/,
    ],
    [
      'a consumer that a stack is called by',
      ['consumer', 'database', '--topic', 'class'],
      2,
      /is none of archive, cluster/,
    ],
    [
      'a consumer that a role is called by',
      ['consumer', 'user-owner', '--topic', 'class'],
      2,
      /which cannot log in/,
    ],
    [
      'a consumer that differs in capitals',
      ['consumer', 'User', '--topic', 'class'],
      2,
      /differ in capitals alone/,
    ],
    ['an environment that is none', ['environment', 'Big_One'], 2, /small letters and digits/],
    [
      'an environment too long for a consumer',
      ['environment', 'e'.repeat(44)],
      2,
      /in e+ it takes up to \d+ letters/,
    ],
    ['nothing', [], 2, /Usage: millrace add/],
  ])('%s is refused, and nothing is written', async (_, args, code, message) => {
    const before = filesOf(project);
    const result = await millrace(['add', ...args], '', project);
    expect(result.stderr).toMatch(message);
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code, stdout: '' });
    expect(filesOf(project)).toEqual(before);
  });
});

describe('nothing is written', () => {
  test('where the config has another shape', async () => {
    const project = createProject('shape', CONFIG.replace('contracts: []', 'contracts: Array.of()'));
    const before = filesOf(project);
    const { code, stderr } = await millrace(['add', 'contract', 'shop.orders'], '', project);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /has no contracts: \[ … \].*Add this by hand: import \{ orders \}.*\[APP_INVALID\]/s,
      ),
    });
    expect(filesOf(project)).toEqual(before);
  });

  test('where the config does not take what it gets', async () => {
    const project = createProject('stubborn', CONFIG.replace('contracts: []', 'contracts: [].slice(0, 0)'));
    const before = filesOf(project);
    const { code, stderr } = await millrace(['add', 'contract', 'shop.orders'], '', project);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('Everything is as it was before.'),
    });
    expect(filesOf(project)).toEqual(before);
  });

  test('over a folder that the config does not list', async () => {
    const project = createProject('folder');
    mkdirSync(join(project, 'contracts/shop.orders'));
    writeFileSync(join(project, 'contracts/shop.orders/notes.txt'), 'mine');
    const before = filesOf(project);
    const { code, stderr } = await millrace(['add', 'contract', 'shop.orders'], '', project);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('There is a folder contracts/shop.orders'),
    });
    expect(filesOf(project)).toEqual(before);
    rmSync(join(project, 'contracts/shop.orders'), { recursive: true });
  });

  test('outside a project', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    const { code, stderr } = await millrace(['add', 'contract', 'shop.orders'], '', outside);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('There is no millrace.config.ts'),
    });
    expect(readdirSync(outside)).toEqual([]);
  });
});
