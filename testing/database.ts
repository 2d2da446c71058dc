/** PostgreSQL for tests: PGlite in this process, from an image with the ledger in it, emptied after each use. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { pgliteDriver, readAsText } from '../adapters/postgres/pglite-driver.ts';
import { provision } from '../adapters/postgres/provision.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { identifier } from '../adapters/postgres/sql-values.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { readerSchema } from '../runtime/replay/generation.ts';

/** A database that holds one consumer's tables and the ledger, and nothing else. */
export interface TestDatabase {
  /** As the consumer's own role: its function has no more rights than these in AWS. */
  readonly asConsumer: SqlDriver;
  /** As the role that owns the consumer's tables. */
  readonly asOwner: SqlDriver;
  /** As the superuser. */
  readonly driver: SqlDriver;
  /** Empties the database for the next one who needs it. */
  release(): Promise<void>;
}

/** Those that nobody uses now: to boot one takes most of a second, to empty one some milliseconds. */
const idle: PGlite[] = [];

/**
 * Applies the migrations of the consumer as a deployment does, with the roles that it makes.
 * @throws SINK_MISCONFIGURED when one fails
 */
export async function openDatabase(consumer: AnyConsumer): Promise<TestDatabase> {
  const pglite = idle.pop() ?? (await boot());
  const driver = pgliteDriver(pglite);
  const owner = `${consumer.name}-owner`;
  const release = async () => {
    await pglite.exec(cleared([owner, consumer.name]));
    idle.push(pglite);
  };
  try {
    await provision(driver, [consumer]);
    // A test changes and drops tables as it likes, which the views that read them would refuse.
    await pglite.exec(`DROP SCHEMA ${identifier(readerSchema(consumer.name))} CASCADE`);
  } catch (error) {
    await release();
    throw error;
  }
  return {
    asConsumer: withRole(driver, consumer.name, '"$user"'),
    asOwner: withRole(driver, owner, identifier(consumer.name)),
    driver,
    release,
  };
}

/** PGlite's own search path is `public` alone; a role that logs in to a server has PostgreSQL's, with its own schema first. */
function withRole(driver: SqlDriver, role: string, schema: string): SqlDriver {
  return {
    async begin() {
      const connection = await driver.begin();
      await connection.run(`SET LOCAL ROLE ${identifier(role)}; SET LOCAL search_path = ${schema}, public`);
      return connection;
    },
  };
}

/** The owner first: its default privileges name the other role, and PostgreSQL fails where it drops those twice. */
function cleared(roles: readonly string[]): string {
  return `
    RESET ALL;
    ${roles.map((role) => `DROP OWNED BY ${identifier(role)} CASCADE;`).join(' ')}
    DROP ROLE ${roles.map(identifier).join(', ')};
    TRUNCATE millrace_ledger, millrace_ledger_range, millrace_generation, millrace_key, millrace_key_letter, millrace_parked,
      millrace_breaker;
    DELETE FROM millrace_migration WHERE scope <> 'millrace';`;
}

/** What PostgreSQL logs of its own start has a timer, which would keep the process alive for ever. */
async function boot(): Promise<PGlite> {
  const path = imagePath();
  const image = readIfThere(path);
  const pglite = await PGlite.create({
    ...(image && { loadDataDir: new Blob([image]) }),
    startParams: [...PGlite.defaultStartParams, '-c', 'log_startup_progress_interval=0'],
  });
  readAsText(pglite);
  keepsNoProcessAlive(pglite);
  if (!image) {
    await migrate(pgliteDriver(pglite), 'millrace', ledgerMigrations);
    keep(path, Buffer.from(await (await pglite.dumpDataDir('none')).arrayBuffer()));
  }
  return pglite;
}

/** PostgreSQL sets a timer for the statistics that it has yet to write, while it runs a statement, which is at one go. */
function keepsNoProcessAlive(pglite: PGlite): void {
  const run = pglite.execProtocolRawSync.bind(pglite);
  pglite.execProtocolRawSync = (...message) => {
    const { setTimeout } = globalThis;
    globalThis.setTimeout = ((...timer: Parameters<typeof setTimeout>) => {
      const set = setTimeout(...timer);
      set.unref?.();
      return set;
    }) as typeof setTimeout;
    try {
      return run(...message);
    } finally {
      globalThis.setTimeout = setTimeout;
    }
  };
}

/** Beside the packages of the project, where tools keep what they can make again; a new PGlite or ledger has a new name. */
function imagePath(): string {
  const pglite = createRequire(import.meta.url).resolve('@electric-sql/pglite');
  const packages = pglite.slice(0, pglite.lastIndexOf(`${sep}node_modules${sep}`));
  const { version } = JSON.parse(readFileSync(join(dirname(pglite), '../package.json'), 'utf8'));
  const made = createHash('sha256')
    .update(JSON.stringify([version, ledgerMigrations]))
    .digest('hex');
  return join(packages, 'node_modules/.cache/millrace', `postgres-${made.slice(0, 16)}.tar`);
}

function readIfThere(path: string): Buffer<ArrayBuffer> | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** Written whole or not at all: test files run side by side. Where nothing can be kept, each process boots from nothing. */
function keep(path: string, image: Buffer): void {
  const unfinished = `${path}.${randomUUID()}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(unfinished, image);
    renameSync(unfinished, path);
  } catch {
    // A read-only file system, or a full one.
  }
}
