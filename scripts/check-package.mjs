/**
 * Packs both packages, creates a project from them in an empty folder, and does there what its owner would, on plain Node 22: npm run
 * check:package. Needs the npm registry. Prints how long each step took.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pack } from './pack.mjs';

const OLDEST_NODE = '22.18.0';
/** The other runner that the example of docs/testing.md works in; jest has the package's own tests. */
const VITEST = '4';
const MAX_BYTES = 6_000_000;
/** What a newcomer waits for the first record, at most. */
const MAX_COLD_START_S = 60;
const root = fileURLToPath(new URL('..', import.meta.url));
const { version, exports, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'millrace-package-'));
const project = join(folder, 'shop');
const node = join(folder, 'node_modules/node/bin');

function timed(what, work) {
  const startedAt = performance.now();
  const result = work();
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`${seconds.toFixed(1).padStart(6)} s  ${what}`);
  return { result, seconds };
}

/** Runs a command in the project, on the oldest Node; gives its stdout and how long it took. */
function run(command, args, { cwd = project, expected = 0 } = {}) {
  const shown = `${command} ${args.join(' ')}`.replaceAll(`${folder}/`, '').slice(0, 100);
  const { result, seconds } = timed(shown, () =>
    spawnSync(command, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${node}${delimiter}${process.env.PATH}` },
    }),
  );
  const { status, stdout, stderr, error } = result;
  expect(
    status === expected,
    `${shown} ended with ${status ?? error?.message}, not ${expected}:\n${stdout}${stderr}`,
  );
  return { stdout, seconds };
}

function expect(isSo, otherwise) {
  if (!isSo) throw new Error(otherwise);
}

const millrace = (...args) => run('npx', ['millrace', ...args]).stdout;

/** The example of docs/testing.md, by node:test and by vitest, with packages that the project does not have. */
function testExample() {
  const example = join(project, 'example');
  const test = join(example, 'test/order-count.test.ts');
  const packages = join(project, 'node_modules');
  cpSync(join(root, 'test/fixtures/shop'), example, { recursive: true });
  const runners = [`vitest@${VITEST}`, `fast-check@${devDependencies['fast-check']}`];
  run('npm', [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...runners,
  ]);
  run('node', [join(packages, 'millrace/bin/launch.mjs'), 'contracts', 'generate'], { cwd: example });
  run('node', ['--test', test], { cwd: example });
  writeFileSync(test, readFileSync(test, 'utf8').replace("'node:test'", "'vitest'"));
  run('node', [join(packages, 'vitest/vitest.mjs'), 'run', '--testTimeout=120000'], { cwd: example });
  rmSync(example, { recursive: true });
}

/** What browsers load: the licences of what it is made of go along. */
function checkBundle() {
  const script = readFileSync(join(project, 'node_modules/millrace/dist/console/ui/console.js'), 'utf8');
  for (const holder of ['Jason Miller', 'Leon Sorokin'])
    expect(
      new RegExp(`^Copyright .*${holder}`, 'm').test(script),
      `The packed console.js lacks the licence of ${holder}'s package.`,
    );
}

/** Starts a command that serves a page, and gets paths of it as a browser would. Its first line on stdout is JSON with URLs. */
async function served(args, urlOf, paths) {
  const startedAt = performance.now();
  const server = spawn(join(node, 'node'), [join(project, 'node_modules/millrace/bin/launch.mjs'), ...args], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    let stdout = '';
    let stderr = '';
    server.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const ended = once(server, 'exit');
    const listening = new Promise((resolve) => {
      server.stdout.setEncoding('utf8').on('data', (text) => {
        stdout += text;
        if (stdout.includes('\n')) resolve();
      });
    });
    await Promise.race([listening, ended]);
    expect(stdout.includes('\n'), `millrace ${args.join(' ')} ended with ${server.exitCode}:\n${stderr}`);
    const url = urlOf(JSON.parse(stdout.split('\n')[0]));
    const opened = await fetch(url, { redirect: 'manual' });
    const headers = { cookie: opened.headers.get('set-cookie')?.split(';')[0] ?? '' };
    for (const [path, part] of Object.entries(paths)) {
      const answer = await fetch(new URL(path, url), { headers });
      const text = await answer.text();
      expect(answer.ok && text.includes(part), `${path} answers ${answer.status}, without ${part}.`);
    }
    server.kill('SIGINT');
    await ended;
  } finally {
    server.kill('SIGKILL');
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  console.log(`${seconds.toFixed(1).padStart(6)} s  the pages of millrace ${args[0]}`);
}

/** The console, and a page of the project's own in plain JavaScript: neither needs esbuild. */
async function checkPages() {
  checkBundle();
  await served(['console', '--port', '0', '--json'], ({ url }) => url, {
    '/': '/assets/console.js',
    '/assets/console.js': 'Copyright',
    '/assets/console.css': 'light-dark(',
    '/api/status': 'order-counts',
  });
  const config = join(project, 'millrace.config.ts');
  const before = readFileSync(config, 'utf8');
  writeFileSync(join(project, 'orders.js'), 'document.title = "Orders of mine";');
  const demo = `demo: {
    topic: orders,
    page: { title: 'Orders', script: 'orders.js', consumer: 'order-counts', queries: { one: 'SELECT 1 AS one' } },
  },
  environments`;
  writeFileSync(
    config,
    before.replace('environments', () => demo),
  );
  const ports = ['--collector-port', '0', '--page-port', '0', '--console-port', '0'];
  await served(['up', '--no-publish', '--json', ...ports], ({ newsroom }) => newsroom, {
    '/': 'assets/orders.js',
    '/assets/orders.js': 'Orders of mine',
    '/data': '[{"one":1}]',
  });
  writeFileSync(config, before);
  rmSync(join(project, 'orders.js'));
}

process.exitCode = 1;
try {
  const { result: packages } = timed('npm run pack', () => pack(folder));
  const [packed, packedCreate] = packages;
  expect(
    packed.unpackedSize <= MAX_BYTES,
    `The package has ${packed.unpackedSize} bytes; it may have ${MAX_BYTES}.`,
  );
  // It stands for the Node that a person has. The package fetches it by a script.
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, allowScripts: { node: true } }),
  );
  run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', `node@${OLDEST_NODE}`], {
    cwd: folder,
  });
  rmSync(join(folder, 'package.json'));

  const files = packages.map(({ filename }) => join(folder, filename));
  run(
    'npm',
    [
      'exec',
      '--yes',
      '--package',
      files[1],
      '--',
      'create-millrace',
      'shop',
      '--yes',
      '--millrace',
      files[0],
    ],
    {
      cwd: folder,
    },
  );
  const start = ['start', '--', '--duration', '2', '--poison', '0', '--exit-when-drained', '--json'];
  const { stdout, seconds } = run('npm', start);
  const report = JSON.parse(stdout.trim().split('\n').at(-1));
  expect(
    report.published > 0 && report.applied === report.published,
    `It did not apply all: ${JSON.stringify(report)}`,
  );
  expect(seconds < MAX_COLD_START_S, `npm start took ${seconds} s; it may take ${MAX_COLD_START_S} s.`);
  const [{ records }] = JSON.parse(
    millrace('sql', '--json', 'select sum(records)::int as records from order_counts_by_key'),
  );
  expect(records === report.applied, `The table has ${records} records of ${report.applied}.`);
  await checkPages();
  run('npm', ['test']);
  testExample();
  expect(millrace('--version').trim() === version, 'It is another version.');

  millrace('contracts', 'check');
  millrace('add', 'contract', 'shop.payments');
  millrace('add', 'consumer', 'payment-counts', '--topic', 'shop.payments');
  millrace('add', 'environment', 'staging');
  run('npx', ['millrace', 'add', 'contract', 'shop.payments'], { expected: 1 });
  run('npx', ['millrace', 'add', 'consumer', 'not_deployable', '--topic', 'shop.payments'], { expected: 2 });

  // A middleware of the project's own, around the engine.
  writeFileSync(
    join(project, 'lambdas/payment-counts/index.ts'),
    `import { consumerFunction } from 'millrace/lambda';
import { paymentCounts } from './consumer.ts';

export const handler = consumerFunction(paymentCounts, { use: [{ before: async () => {} }] });
`,
  );
  run('npm', ['run', 'check']);
  run('npm', ['test']);
  const modules = Object.keys(exports)
    .filter((path) => !path.endsWith('.json'))
    .map((path) => `millrace${path.slice(1)}`);
  run('node', ['--input-type=module', '--eval', modules.map((name) => `await import('${name}');`).join(' ')]);
  run('npx', ['cdk', 'synth', '-c', 'env=dev', '--quiet']);
  for (const { name, unpackedSize, entryCount } of [packed, packedCreate])
    console.log(
      `${name} ${version}: ${unpackedSize} bytes in ${entryCount} files, used on Node ${OLDEST_NODE}`,
    );
  process.exitCode = 0;
} catch (error) {
  console.error(`error: ${error.message}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
