// `npm run verify`: starts the real parts that the tests in test/verify name, on the loopback, and runs these tests.
// `npm run verify -- postgres` runs the test files with "postgres" in their path, and starts what these name.
// `npm run verify -- --long` runs those that take many minutes, NAME.long.verify.ts, and none but those.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../../local/parts/connect.ts';
import { kafka } from '../../local/parts/kafka.ts';
import { moto } from '../../local/parts/moto.ts';
import { postgres } from '../../local/parts/postgres.ts';
import { checkPrerequisites } from '../../local/parts/prerequisites.ts';
import { Processes } from '../../local/parts/processes.ts';
import { apicurio } from './apicurio.mjs';
import { elasticmq } from './elasticmq.mjs';
import { fakesnow } from './fakesnow.mjs';
import { guardedKafka } from './guarded-kafka.ts';
import { avroJava, glueSerde, javaProducer } from './java-libraries.mjs';
import { lambdaRuntime } from './lambda-runtime.mjs';
import { prometheus } from './prometheus.mjs';
import { pythonProducer } from './python-libraries.mjs';

/** A part has the environment variable by which tests find it, and is started when one of them names that. */
const PARTS = [
  { ...postgres, variable: 'MILLRACE_TEST_POSTGRES' },
  { ...kafka, variable: 'MILLRACE_TEST_KAFKA' },
  { ...guardedKafka, variable: 'MILLRACE_TEST_GUARDED_KAFKA' },
  { ...moto, variable: 'MILLRACE_TEST_AWS' },
  // Each suite starts workers of its own; here they are only fetched, one after another.
  { ...connect, variable: 'MILLRACE_TEST_CONNECT' },
  ...[
    elasticmq,
    apicurio,
    fakesnow,
    glueSerde,
    avroJava,
    javaProducer,
    pythonProducer,
    lambdaRuntime,
    prometheus,
  ],
];

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'millrace-verify-'));
const processes = new Processes(folder, { ownGroups: true, note: console.log });
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  // Every time: a second Ctrl-C must not end this before its children.
  process.on(signal, () => {
    stopped = true;
    processes.endAll();
  });
}

let passed = 0;
let failed = 0;
try {
  await verify(process.argv.slice(2));
} catch (error) {
  failed = Math.max(failed, 1);
  console.error(stopped ? 'Stopped.' : error.message);
} finally {
  await processes.endAll();
}
const succeeded = failed === 0 && passed > 0;
cleanUp();
console.log(`${passed} passed, ${failed} failed`);
process.exit(succeeded ? 0 : 1);

async function verify(args) {
  const tests = findTests(args);
  const texts = tests.map((path) => readFileSync(path, 'utf8'));
  const parts = PARTS.filter(({ variable }) =>
    texts.some((text) => new RegExp(`\\b${variable}\\b`).test(text)),
  );
  checkPrerequisites(parts.flatMap(({ prerequisites }) => prerequisites));

  // One after another: two Mavens would write to one repository.
  const downloads = [];
  for (const part of parts) downloads.push(await settle(() => part.download?.(processes)));
  const starts = await Promise.all(parts.map((part, i) => start(part, downloads[i])));
  throwIfStopped();
  printTable(
    ['part', 'version', 'started in'],
    starts.map(({ row }) => row),
  );
  const failures = starts.filter(({ error }) => error);
  failed = failures.length;
  if (failed > 0) throw new Error(failures.map(({ error }) => error.message).join('\n\n'));

  const suites = await runTests(tests, Object.fromEntries(starts.map(({ variable }) => variable)));
  throwIfStopped();
  printTable(['suite', 'passed', 'failed', 'seconds'], suites.rows);
  ({ passed, failed } = suites);
}

function findTests(args) {
  const isLong = args.includes('--long');
  const patterns = args.filter((arg) => arg !== '--long');
  const all = readdirSync(join(root, 'test/verify'), { recursive: true })
    .filter((path) => path.endsWith('.verify.ts') && path.endsWith('.long.verify.ts') === isLong)
    .map((path) => join(root, 'test/verify', path));
  const tests = all.filter(
    (path) => patterns.length === 0 || patterns.some((pattern) => relative(root, path).includes(pattern)),
  );
  if (tests.length > 0) return tests;
  const names = all.map((path) => relative(root, path)).join(', ');
  throw new Error(`No test file has ${patterns.join(' or ')} in its path. There are: ${names}`);
}

async function start(part, download) {
  const began = Date.now();
  try {
    if (download.error) throw download.error;
    const { value, version } = await part.start(processes, download.value);
    return { row: [part.name, version, seconds(Date.now() - began)], variable: [part.variable, value] };
  } catch (error) {
    return { row: [part.name, '', 'failed'], error };
  }
}

async function runTests(tests, variables) {
  const report = join(folder, 'logs', 'jest.json');
  const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const match = '--testMatch=<rootDir>/test/verify/**/*.verify.ts';
  const jest = processes.start(
    'jest',
    process.execPath,
    [
      ...flags,
      'node_modules/jest/bin/jest.js',
      match,
      '--json',
      `--outputFile=${report}`,
      '--runTestsByPath',
      ...tests,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        ...variables,
        // Nobody's own: a test that forgets its endpoint must not reach an account.
        AWS_REGION: 'eu-west-1',
        AWS_ACCESS_KEY_ID: 'verify',
        AWS_SECRET_ACCESS_KEY: 'verify',
        AWS_SESSION_TOKEN: undefined,
        AWS_PROFILE: undefined,
      },
    },
  );
  const outcome = await jest.ended;
  throwIfStopped();
  const { value: results, error } = await settle(() => JSON.parse(readFileSync(report, 'utf8')));
  if (error) throw new Error(`jest left no report: ${outcome}`);
  return {
    passed: results.numPassedTests,
    failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    rows: results.testResults.map((suite) => {
      const count = (status) => suite.assertionResults.filter((result) => result.status === status).length;
      // A suite that failed without a failed test could not be run.
      const failures = count('failed') || (suite.status === 'failed' ? 1 : 0);
      const path = relative(root, suite.name).replaceAll(sep, '/');
      return [path, count('passed'), failures, seconds(suite.endTime - suite.startTime)];
    }),
  };
}

async function settle(work) {
  try {
    return { value: await work() };
  } catch (error) {
    return { error };
  }
}

function throwIfStopped() {
  if (stopped) throw new Error('Stopped.');
}

function seconds(ms) {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function printTable(head, rows) {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map((line) =>
    line
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('   ')
      .trimEnd(),
  );
  console.log(`${text.join('\n')}\n`);
}

/** After a failure the logs stay; the data of the parts goes in any case. */
function cleanUp() {
  if (succeeded) return rmSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (name !== 'logs') rmSync(join(folder, name), { recursive: true });
  }
  if (readdirSync(join(folder, 'logs')).length === 0) return rmSync(folder, { recursive: true });
  console.error(`Logs: ${join(folder, 'logs')}`);
}
