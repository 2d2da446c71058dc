// `npm run verify`: the tests that need the real thing, run against it where it is installed.
// PostgreSQL: a server of this run's own, in a temporary folder, on a free port of the loopback.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const root = fileURLToPath(new URL('..', import.meta.url));

const bin = findPostgres();
if (!bin) {
  console.error(
    'PostgreSQL is not installed here: no folder has both initdb and postgres (looked in PATH, /usr/lib/postgresql, ' +
      '/usr/pgsql-*, /usr/local/pgsql and Homebrew). Install it (Debian: apt-get install postgresql; macOS: brew ' +
      'install postgresql) and run this again. No server needs to be running.',
  );
  console.log('0 passed, 1 failed');
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-verify-'));
/** Processes of this run, ended with it however it ends. */
const children = new Set();
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());

let exitCode = 1;
try {
  const url = await startPostgres(bin);
  const { passed, failed } = await runTests({ MILLRACE_TEST_POSTGRES: url });
  console.log(`${passed} passed, ${failed} failed`);
  exitCode = failed === 0 && passed > 0 ? 0 : 1;
} catch (error) {
  console.error(stop.signal.aborted ? 'Stopped.' : error.message);
  console.log('0 passed, 1 failed');
} finally {
  await Promise.all([...children].reverse().map(end));
  rmSync(folder, { recursive: true, force: true });
}
process.exit(exitCode);

function findPostgres() {
  const versions = (parent, suffix) =>
    existsSync(parent)
      ? readdirSync(parent)
          .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
          .map((version) => join(parent, version, suffix))
      : [];
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...versions('/usr/lib/postgresql', 'bin'),
    ...versions('/usr', 'bin').filter((path) => path.startsWith('/usr/pgsql-')),
    '/usr/local/pgsql/bin',
    ...versions('/opt/homebrew/opt', 'bin').filter((path) => path.includes('postgresql')),
  ];
  return folders.find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')));
}

async function startPostgres(bin) {
  const as = unprivilegedUser();
  if (as.uid !== undefined) chownSync(folder, as.uid, as.gid);
  const data = join(folder, 'data');
  const options = {
    ...as,
    cwd: folder,
    env: { PATH: process.env.PATH, LC_ALL: 'C', HOME: folder },
    encoding: 'utf8',
  };
  const init = spawnSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'],
    options,
  );
  if (init.status !== 0) throw new Error(`initdb failed: ${init.stderr || init.error?.message}`);

  const port = await freePort();
  const settings = [
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'fsync=off',
    'log_statement=none',
  ];
  const server = start(
    join(bin, 'postgres'),
    ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  server.stderr.on('data', (chunk) => {
    log = (log + chunk).slice(-4_000);
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const version = await firstAnswer(url, server, () => log);
  console.log(`PostgreSQL ${version} from ${bin}, in ${folder}`);
  return url;
}

/** initdb and postgres refuse to run as root. */
function unprivilegedUser() {
  if (process.getuid?.() !== 0) return {};
  for (const user of ['postgres', 'nobody']) {
    try {
      const id = (flag) => Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: 'pipe' }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // This system has no such user.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody to run it as.');
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function firstAnswer(url, server, log) {
  for (let tries = 0; tries < 150; tries++) {
    stop.signal.throwIfAborted();
    if (server.exitCode !== null) throw new Error(`postgres ended with ${server.exitCode}:\n${log()}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      const { rows } = await client.query('SHOW server_version');
      return rows[0].server_version;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200));
    } finally {
      await client.end().catch(() => {});
    }
  }
  throw new Error(`postgres did not answer within 30 seconds:\n${log()}`);
}

async function runTests(env) {
  const report = join(folder, 'report.json');
  const jest = start(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      join(root, 'node_modules/jest/bin/jest.js'),
      '--testMatch=<rootDir>/test/verify/**/*.verify.ts',
      '--json',
      `--outputFile=${report}`,
    ],
    { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await once(jest, 'exit', { signal: stop.signal });
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
}

function start(command, args, options) {
  const child = spawn(command, args, options);
  children.add(child);
  return child;
}

/** SIGINT is PostgreSQL's fast shutdown. */
async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  await ended;
}
