import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { exampleEvent } from '../../local/publishing/generated-traffic.ts';
import { SETTINGS } from '../../runtime/deployment.ts';
import { PAGE_FILE } from '../../runtime/page.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { page, paged } from '../fixtures/newsdesk/paged.ts';
import { bundlesOf, DEAD_LETTERS_IN_KAFKA } from './synthesized.ts';

const MAX_BYTES = 256_000;
const withPage = {
  collector: { ...newsdesk.environments.dev!.collector!, page: { authorizer: 'iam' } },
} as const;

const bundles = bundlesOf({});
const codeOf = (folder: string) => readFileSync(join(folder, 'index.js'), 'utf8');
const isCollector = (folder: string) => codeOf(folder).includes('Access-Control-Allow-Origin');
const isOperator = (folder: string) => codeOf(folder).includes('it knows probe');
const writesToKafka = (folder: string) => existsSync(join(folder, 'msk.js'));
const letters = (folder: string) => (writesToKafka(folder) ? '#msk' : '#sqs');
const [collector] = bundles.filter(isCollector);
const [writing] = bundlesOf(DEAD_LETTERS_IN_KAFKA).filter(
  (folder) => writesToKafka(folder) && !isCollector(folder) && !isOperator(folder),
);

const [archiving] = bundlesOf({
  consumers: captured.consumers.filter(({ name }) => name === 'news-pageviews-archive'),
}).filter((folder) => existsSync(join(folder, 's3.js')));

const [paging] = bundlesOf({ demo: paged.demo!, settings: withPage }).filter((folder) =>
  existsSync(join(folder, PAGE_FILE)),
);

const LAMBDAS = new URL('../fixtures/newsdesk/lambdas/', import.meta.url);
// The archives' entry is of another app: captured.ts.
const entries = readdirSync(LAMBDAS).filter(
  (name) => name !== 'archive' && existsSync(new URL(`${name}/index.ts`, LAMBDAS)),
);

test('each function has a bundle', () => {
  // The operator function is ours: no app has a folder for it.
  expect(bundles).toHaveLength(entries.length + 1);
});

describe.each([...bundles, writing!, archiving!, paging!])('%#', (folder) => {
  const code = codeOf(folder);

  test('is under 256 kB, minified', () => {
    expect(Buffer.byteLength(code)).toBeLessThan(MAX_BYTES);
  });

  test('needs nothing of the runtime but Node.js: the SDK stands beside it', () => {
    const { imports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const parts = Object.entries<string>(imports);
    expect(parts.length).toBeGreaterThan(0);
    const files = [code, ...parts.map(([, path]) => readFileSync(join(folder, path), 'utf8'))];
    const required = files.flatMap((text) => [...text.matchAll(/\brequire\("([^"]+)"\)/g)]);
    const foreign = required.map(([, name]) => name!).filter((name) => !isBuiltIn(name));
    const optional = [
      // pg asks for it where it is given no password.
      'pgpass',
      // What dead letters do not go to.
      letters(folder) === '#msk' ? '#sqs' : '#msk',
      // Kafka's client looks for faster code than its own, and for what it does not need for Avro.
      '@node-rs/crc32',
      'protobufjs',
      // Signs for several regions at once.
      '@aws-sdk/signature-v4-crt',
    ];
    const missing = foreign.filter((name) => !Object.hasOwn(imports, name) && !optional.includes(name));
    expect(missing).toEqual([]);
    // By require(), which takes a fraction of the time.
    expect(files.filter((text) => /\bimport\(/.test(text))).toEqual([]);
  });

  test('starts, and says which setting is missing, and where by our own files and lines', () => {
    const stderr = run(folder, "require('./index.js')", { AWS_REGION: 'eu-west-1' });
    expect(stderr).toContain('The environment variable MILLRACE_');
    expect(stderr).toContain('FUNCTION_MISCONFIGURED');
    expect(stderr).toMatch(/adapters\/aws\/function-settings\.ts:\d+/);
  });
});

test('a consumer that starts loads what logs in to its database, and no other client', () => {
  const [consumer] = bundles.filter((folder) => !writesToKafka(folder) && existsSync(join(folder, 'sqs.js')));
  const settings = Object.values(SETTINGS).map((name) => [
    name,
    new Map<string, string>([
      [SETTINGS.partialResponses, 'true'],
      [SETTINGS.schemaIds, ''],
      [SETTINGS.generation, '2'],
    ]).get(name) ?? 'x',
  ]);
  const script = `
    require('./index.js');
    setImmediate(() => console.error(Object.keys(require.cache).map((path) => require('node:path').basename(path))));`;
  const stderr = run(consumer!, script, { ...Object.fromEntries(settings), AWS_REGION: 'eu-west-1' });
  expect(stderr.trim()).toBe("[ 'index.js', 'rds.js' ]");
});

test('an archive has no client of a database', () => {
  expect(existsSync(join(archiving!, 'rds.js'))).toBe(false);
});

describe('the page’s function', () => {
  const answer = (event: object) => {
    const given = { httpMethod: 'GET', headers: {}, pathParameters: null, path: '', ...event };
    const context = '{ getRemainingTimeInMillis: () => 10_000 }';
    const script = `require('./index.js').handler(${JSON.stringify(given)}, ${context})
      .then(({ statusCode, body }) => console.error(JSON.stringify({ statusCode, body })))
      .finally(() => process.exit())`;
    const stderr = run(paging!, script, {
      AWS_REGION: 'eu-west-1',
      AWS_ACCESS_KEY_ID: 'nobody',
      AWS_SECRET_ACCESS_KEY: 'nothing',
      LAMBDA_TASK_ROOT: paging!,
      MILLRACE_ENVIRONMENT: 'dev',
      MILLRACE_DATABASE_HOST: '127.0.0.2',
      MILLRACE_DATABASE_NAME: 'millrace',
    });
    return JSON.parse(stderr.trim().split('\n').at(-1)!) as { statusCode: number; body: string };
  };

  test('has the page’s queries as they are, and no code of a consumer', () => {
    const { queries, consumer } = JSON.parse(readFileSync(join(paging!, PAGE_FILE), 'utf8'));
    expect({ queries, consumer }).toEqual({ queries: page.queries, consumer: page.consumer });
    expect(codeOf(paging!)).not.toContain('article_minute');
  });

  test('answers with the document, and with the files that it names', () => {
    const { statusCode, body } = answer({ resource: '/page/live' });
    expect(statusCode).toBe(200);
    expect(body).toContain('<title>Most read &#38; &#34;more&#34;</title>');
    const files = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
    expect(files.toSorted()).toEqual(['assets/icon.svg', 'assets/most-read.css', 'assets/most-read.js']);
    const file = answer({ resource: '/page/assets/{file}', pathParameters: { file: 'most-read.js' } });
    expect(file).toMatchObject({ statusCode: 200, body: expect.stringContaining("fetch('data')") });
  });

  test('says that the tables do not answer, where nothing does', () => {
    expect(answer({ resource: '/page/data' })).toMatchObject({
      statusCode: 503,
      body: expect.stringContaining('SINK_UNAVAILABLE'),
    });
  });
});

describe('the collector answers, and says what it cannot reach', () => {
  const event = {
    httpMethod: 'POST',
    pathParameters: { topic: pageviews.name },
    headers: { 'content-type': 'text/plain' },
    body: JSON.stringify([exampleEvent(pageviews, 0), {}]),
  };
  const answer = (settings: Readonly<Record<string, string>>) =>
    run(
      collector!,
      `require('./index.js').handler(${JSON.stringify(event)}, {}).then((answer) => console.error(answer))`,
      {
        AWS_REGION: 'eu-west-1',
        AWS_ACCESS_KEY_ID: 'nobody',
        AWS_SECRET_ACCESS_KEY: 'nothing',
        AWS_ENDPOINT_URL_GLUE: 'http://127.0.0.1:1',
        MILLRACE_BROKERS: '127.0.0.1:1',
        MILLRACE_ENVIRONMENT: 'dev',
        MILLRACE_REGISTRY_NAME: 'millrace-dev',
        MILLRACE_ALLOWED_ORIGINS: '[]',
        ...settings,
      },
    );

  test('the registry, where it was told of no version', () => {
    expect(bundles.filter(writesToKafka).filter((folder) => !isOperator(folder))).toEqual([collector]);
    const stderr = answer({});
    expect(stderr).toContain('statusCode: 503');
    expect(stderr).toContain('REGISTRY_UNAVAILABLE');
  });

  test('the brokers, where it was told: the registry is not asked', () => {
    const { name, latest } = pageviews;
    const id = '6b1f0e6c-6c0a-4b0e-8f5a-000000000000';
    const stderr = answer({ MILLRACE_SCHEMA_IDS: `${name}/${latest.version}=${id}` });
    expect(stderr).toContain('statusCode: 503');
    expect(stderr).not.toContain('REGISTRY_UNAVAILABLE');
    expect(stderr).toContain('PUBLISH_FAILED');
  });
});

test("Kafka's client is beside a function that writes to topics, and needs nothing else", () => {
  const options = { topic: 't', brokers: '127.0.0.1:1', region: 'eu-west-1', clientId: 'c' };
  const letters = [{ record: { headers: [] }, failure: { causes: [], earlier: [] } }];
  const script = `require('#msk').openMskLetters(${JSON.stringify(options)}).put(${JSON.stringify(letters)})`;
  const stderr = run(writing!, script);
  expect(stderr).toContain('DEAD_LETTER_STORE_UNAVAILABLE');
  expect(stderr).toContain('connect ECONNREFUSED 127.0.0.1:1');
  expect(stderr).toMatch(/adapters\/kafka\/kafka-errors\.ts:\d+/);
});

/** @returns what a script in a bundle's folder complains about */
function run(folder: string, script: string, settings: Readonly<Record<string, string>> = {}): string {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const args = ['--enable-source-maps', '--eval', script];
  return spawnSync(process.execPath, args, { cwd: folder, env: { ...env, ...settings }, encoding: 'utf8' })
    .stderr;
}

function isBuiltIn(name: string): boolean {
  return process.getBuiltinModule(name) !== undefined;
}
