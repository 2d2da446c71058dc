/**
 * Breaks the code in one place after the other, and asks the tests: npm run mutants [-- NAME...]
 * Each of mutations.mjs is made in a copy of the project, in which the tests of its file run until one fails. NAME takes one
 * by its name, or all that begin so. Ends 1 where a mutation survives that is not listed as equivalent.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';
import { MUTATIONS, TESTS } from './mutations.mjs';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
/** Far more than any test file takes: what a mutation makes run for ever has been noticed. */
const TIMEOUT_MS = 240_000;

// A machine that is busy must not look like a fault.
const JEST_OPTIONS = ['--ci', '--bail', '--silent', '--runInBand', '--testTimeout', '60000'];

const names = process.argv.slice(2);
const isNamed = ({ name }) => names.some((wanted) => name.startsWith(wanted));
const chosen = MUTATIONS.filter((mutation) => (names.length > 0 ? isNamed(mutation) : !mutation.equivalent));
if (chosen.length === 0)
  throw new Error(`No mutation is called ${names.join(' or ')}; scripts/mutants/mutations.mjs has all.`);

function copyProject() {
  const copy = mkdtempSync(join(tmpdir(), 'mutants-'));
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: PROJECT,
  });
  for (const file of files.toString().split('\0').filter(Boolean))
    cpSync(join(PROJECT, file), join(copy, file));
  symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Whether the tests pass, and what they say. */
async function runTests(copy, files, timeoutMs) {
  const jest = join('node_modules', 'jest', 'bin', 'jest.js');
  const child = spawn(process.execPath, [jest, ...JEST_OPTIONS, ...files], {
    cwd: copy,
    env: {
      ...process.env,
      MILLRACE_TEST_RUNS: 'full',
      NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what the tests start ends with them.
    detached: true,
  });
  const timer = timeoutMs && setTimeout(() => process.kill(-child.pid, 'SIGKILL'), timeoutMs);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { passed: code === 0, output };
}

async function isKilled({ file, find, replace }, copy) {
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  const mutated = source.replace(find, () => replace);
  // What does not even parse would fail every test.
  parseSync(mutated, { syntax: 'typescript', target: 'es2022' });
  writeFileSync(path, mutated);
  try {
    for (const files of TESTS[file]) if (!(await runTests(copy, files, TIMEOUT_MS)).passed) return true;
    return false;
  } finally {
    writeFileSync(path, source);
  }
}

const startedAt = Date.now();
const seconds = (since) => `${((Date.now() - since) / 1_000).toFixed(0).padStart(4)} s`;
const survivors = [];
const queue = [...chosen];

async function work(copy) {
  for (let next = queue.shift(); next; next = queue.shift()) {
    const since = Date.now();
    const killed = await isKilled(next, copy);
    if (!killed) survivors.push(next);
    const verdict = killed ? 'killed   ' : next.equivalent ? 'as listed' : 'SURVIVED ';
    console.log(`${verdict} ${seconds(since)}  ${next.name}: ${next.equivalent ?? next.why}`);
  }
}

const stale = chosen.filter(
  ({ file, find }) => readFileSync(join(PROJECT, file), 'utf8').split(find).length !== 2,
);
if (stale.length > 0) {
  const names = stale.map(({ name, file }) => `${name} (${file})`).join(', ');
  throw new Error(`These have to stand once in their file: ${names}. Mend scripts/mutants/mutations.mjs.`);
}

const copies = Array.from({ length: Math.min(availableParallelism(), chosen.length) }, copyProject);
try {
  const files = [...new Set(chosen.flatMap(({ file }) => TESTS[file].flat()))];
  const { passed, output } = await runTests(copies[0], files);
  if (!passed) throw new Error(`The tests have to pass without any mutation:\n${output}`);
  await Promise.all(copies.map(work));
} finally {
  for (const copy of copies) rmSync(copy, { recursive: true, force: true });
}
const unexpected = survivors.filter(({ equivalent }) => !equivalent);
const listed = MUTATIONS.filter(({ equivalent }) => equivalent).length;
console.log(
  `${chosen.length - survivors.length} of ${chosen.length} killed in ${seconds(startedAt).trim()}; ` +
    `${unexpected.length} survived, ${listed} are listed as equivalent.`,
);
process.exitCode = unexpected.length > 0 ? 1 : 0;
