/** PostgreSQL: the installed one, as a server with data of its own. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { MillraceError } from '../../runtime/errors.ts';
import { type Prerequisite, postgresql, required } from './prerequisites.ts';
import { type Child, freePort, type Processes } from './processes.ts';

export const postgres = {
  name: 'PostgreSQL',
  prerequisites: [postgresql] as readonly Prerequisite[],

  async start(processes: Processes) {
    const { url, version } = await startPostgres(processes);
    return { value: url, version };
  },
};

interface PostgresOptions {
  /** Commits wait for the disk, as they should where it is measured how long they take. @default false */
  readonly fsync?: boolean;
  readonly address?: string;
  readonly port?: number;
  /** Further settings, as `NAME=VALUE`. */
  readonly settings?: readonly string[];
  /** Works on the data folder before the first start, as the server's user, and gives further settings. */
  prepare?(
    data: string,
    run: (name: string, command: string, args: readonly string[]) => Promise<void>,
  ): Promise<readonly string[]>;
}

/** A server of the caller's own, which may be taken down. */
export async function startPostgres(
  processes: Processes,
  options: PostgresOptions = {},
): Promise<PostgresServer> {
  const { address = '127.0.0.1', port = await freePort(), fsync = false, settings = [] } = options;
  const server = new PostgresServer(processes, address, port, [
    `listen_addresses=${address}`,
    'unix_socket_directories=',
    `fsync=${fsync ? 'on' : 'off'}`,
    'log_statement=none',
    ...settings,
  ]);
  await server.init(options.prepare);
  await server.start();
  return server;
}

export class PostgresServer {
  readonly url: string;
  version = '';
  readonly #processes: Processes;
  readonly #name: string;
  readonly #port: number;
  readonly #settings: string[];
  readonly #data: string;
  readonly #options: { readonly uid?: number; readonly gid?: number; cwd: string; env: NodeJS.ProcessEnv };
  #server: Child | undefined;

  constructor(processes: Processes, address: string, port: number, settings: readonly string[]) {
    this.#processes = processes;
    this.#port = port;
    this.#name = `postgres-${port}`;
    this.#settings = [...settings];
    this.url = `postgres://postgres@${address}:${port}/postgres`;
    const folder = processes.makeFolder(this.#name);
    this.#data = join(folder, 'data');
    const user = unprivilegedUser();
    if (user.uid !== undefined && user.gid !== undefined) {
      chownSync(folder, user.uid, user.gid);
      chmodSync(dirname(folder), 0o711);
    }
    this.#options = { ...user, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', HOME: folder } };
  }

  async init(prepare?: PostgresOptions['prepare']): Promise<void> {
    const options = ['-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-locale', '--no-sync'];
    const run = (name: string, command: string, args: readonly string[]) =>
      this.#processes.run(name, command, args, this.#options);
    await run('initdb', join(required(postgresql), 'initdb'), ['-D', this.#data, ...options]);
    if (prepare) this.#settings.push(...(await prepare(this.#data, run)));
  }

  /** Also after crash(): it has the same data and port. */
  async start(): Promise<void> {
    this.#server = this.#processes.start(
      this.#name,
      join(required(postgresql), 'postgres'),
      ['-D', this.#data, '-p', String(this.#port), ...this.#settings.flatMap((setting) => ['-c', setting])],
      // Its fast shutdown: on SIGTERM it would wait for its clients.
      { ...this.#options, endWith: 'SIGINT' },
    );
    this.version = await this.#server.untilAnswers(() => serverVersion(this.url));
  }

  /** Its immediate shutdown: nothing is finished, and the next start recovers from the log. */
  async crash(): Promise<void> {
    this.#server?.signal('SIGQUIT');
    await this.#server?.ended;
  }

  async restart(): Promise<void> {
    await this.crash();
    await this.start();
  }
}

async function serverVersion(connectionString: string): Promise<string> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    // Debian adds the name of its package.
    return rows[0]?.server_version.split(' ')[0] ?? '';
  } finally {
    await client.end().catch(() => {});
  }
}

/** initdb and postgres refuse to run as root. */
function unprivilegedUser(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {};
  for (const user of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) =>
        Number(execFileSync('id', [flag, user], { encoding: 'utf8', stdio: 'pipe' }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // This system has no such user.
    }
  }
  throw new MillraceError(
    'PREREQUISITE_MISSING',
    'PostgreSQL does not run as root, and there is no user postgres or nobody to run it as. Run this as another user.',
  );
}
