// PostgreSQL: the installed one, as a server with data of its own.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { openssl, postgresql } from './prerequisites.mjs';
import { freeAddress, freePort } from './processes.mjs';
import { startLogins } from './rds-logins.mjs';

export const postgres = {
  name: 'PostgreSQL',
  variable: 'MILLRACE_TEST_POSTGRES',
  prerequisites: [postgresql],

  async start(processes) {
    const { url, version } = await startPostgres(processes);
    return { value: url, version };
  },
};

/**
 * For a test that takes the server down: one of its own.
 * @param options `fsync`: commits wait for the disk, as they should where it is measured how long they take.
 *   `likeRds`: at RDS's port, on an address of its own, with TLS, its certificate in `certificate`; who has rds_iam logs in
 *   with a token; with the database and the administrator that lib/stacks/database-stack.ts asks for
 */
export async function startPostgres(processes, { fsync = false, likeRds = false } = {}) {
  const [address, port] = likeRds ? [await freeAddress(5432), 5432] : ['127.0.0.1', await freePort()];
  const server = new PostgresServer(processes, address, port, [
    `listen_addresses=${address}`,
    'unix_socket_directories=',
    `fsync=${fsync ? 'on' : 'off'}`,
    'log_statement=none',
  ]);
  await server.init();
  if (likeRds) await server.guard();
  await server.start();
  if (likeRds) await query(server.url, DATABASE_STACK);
  return server;
}

class PostgresServer {
  #processes;
  #name;
  #address;
  #port;
  #settings;
  #data;
  #options;
  #server;

  constructor(processes, address, port, settings) {
    this.#processes = processes;
    this.#address = address;
    this.#port = port;
    this.#name = `postgres-${port}`;
    this.#settings = settings;
    this.url = `postgres://postgres@${address}:${port}/postgres`;
    const folder = processes.makeFolder(this.#name);
    this.#data = join(folder, 'data');
    const user = unprivilegedUser();
    if (user.uid !== undefined) {
      chownSync(folder, user.uid, user.gid);
      chmodSync(dirname(folder), 0o711);
    }
    this.#options = { ...user, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', HOME: folder } };
  }

  async init() {
    const options = ['-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'];
    const initdb = join(postgresql.find(), 'initdb');
    await this.#processes.run('initdb', initdb, ['-D', this.#data, ...options], this.#options);
  }

  /** With a certificate that it has signed itself, and tokens. */
  async guard() {
    this.certificate = join(this.#data, 'server.crt');
    const key = join(this.#data, 'server.key');
    await this.#processes.run(
      'certify',
      openssl.find(),
      [
        ...['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '2', '-subj', `/CN=${this.#address}`],
        ...['-addext', `subjectAltName=IP:${this.#address}`, '-keyout', key, '-out', this.certificate],
      ],
      this.#options,
    );
    this.#settings.push('ssl=on');
    const logins = `ldap ldapprefix="" ldapserver=127.0.0.1 ldapport=${await startLogins(`${this.#address}:${this.#port}`)}`;
    writeFileSync(
      join(this.#data, 'pg_hba.conf'),
      `hostssl all +rds_iam all ${logins}\nhost all +rds_iam all reject\nhost all all all trust\n`,
    );
  }

  /** Also after crash(): it has the same data and port. */
  async start() {
    this.#server = this.#processes.start(
      this.#name,
      join(postgresql.find(), 'postgres'),
      ['-D', this.#data, '-p', String(this.#port), ...this.#settings.flatMap((setting) => ['-c', setting])],
      // Its fast shutdown: on SIGTERM it would wait for its clients.
      { ...this.#options, endWith: 'SIGINT' },
    );
    this.version = await this.#server.untilAnswers(() => serverVersion(this.url));
  }

  /** Its immediate shutdown: nothing is finished, and the next start recovers from the log. */
  async crash() {
    this.#server.signal('SIGQUIT');
    await this.#server.ended;
  }

  async restart() {
    await this.crash();
    await this.start();
  }
}

/** On RDS the administrator is no superuser, and logs in with a token, as all do that have rds_iam. */
const DATABASE_STACK = [
  'CREATE ROLE rds_iam NOLOGIN',
  'CREATE ROLE millrace_admin LOGIN CREATEROLE',
  'GRANT rds_iam TO millrace_admin WITH ADMIN OPTION',
  'CREATE DATABASE millrace OWNER millrace_admin',
];

async function serverVersion(url) {
  const [version] = await query(url, ['SHOW server_version']);
  // Debian adds the name of its package.
  return version.rows[0].server_version.split(' ')[0];
}

async function query(connectionString, statements) {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    const results = [];
    for (const statement of statements) results.push(await client.query(statement));
    return results;
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
