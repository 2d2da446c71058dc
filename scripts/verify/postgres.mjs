// PostgreSQL: the installed one, as a server with data of its own.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { postgresql } from './prerequisites.mjs';
import { freePort } from './processes.mjs';

export const postgres = {
  name: 'PostgreSQL',
  variable: 'MILLRACE_TEST_POSTGRES',
  prerequisites: [postgresql],

  async start(processes) {
    const bin = postgresql.find();
    const folder = processes.makeFolder('postgres');
    const user = unprivilegedUser();
    if (user.uid !== undefined) {
      chownSync(folder, user.uid, user.gid);
      chmodSync(dirname(folder), 0o711);
    }
    const data = join(folder, 'data');
    const options = { ...user, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', HOME: folder } };
    const init = ['-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'];
    await processes.run('initdb', join(bin, 'initdb'), ['-D', data, ...init], options);

    const port = await freePort();
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'fsync=off',
      'log_statement=none',
    ];
    const server = processes.start(
      'postgres',
      join(bin, 'postgres'),
      ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
      // Its fast shutdown: on SIGTERM it would wait for its clients.
      { ...options, endWith: 'SIGINT' },
    );
    const value = `postgres://postgres@127.0.0.1:${port}/postgres`;
    return { value, version: await server.untilAnswers(() => serverVersion(value)) };
  },
};

async function serverVersion(connectionString) {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    const { rows } = await client.query('SHOW server_version');
    // Debian adds the name of its package.
    return rows[0].server_version.split(' ')[0];
  } finally {
    await client.end().catch(() => {});
  }
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
