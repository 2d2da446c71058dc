import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MillraceError } from '../../runtime/errors.ts';

/** Versions that were run together. dbt-snowflake brings Snowflake's own connector. */
const PACKAGES = {
  common: ['dbt-core==1.11.16'],
  duckdb: ['dbt-duckdb==1.11.1', 'duckdb==2.0.1'],
  postgres: ['dbt-postgres==1.11.0'],
  snowflake: ['dbt-snowflake==1.11.6'],
} as const;

export type WarehouseTarget = Exclude<keyof typeof PACKAGES, 'common'>;

/** The programs that build a warehouse. */
export interface WarehousePrograms {
  readonly python: string;
  readonly dbt: string;
}

/**
 * dbt with its adapters and clients, in a virtual environment of its own below the project's node_modules; made when it
 * is first needed.
 * @param dbt a dbt of the person's own, beside whose Python the target's client is installed
 * @throws PREREQUISITE_MISSING without Python, or where pip cannot install; says what to do
 */
export async function warehousePrograms(
  root: string,
  target: WarehouseTarget,
  { dbt, note = () => {} }: { readonly dbt?: string; note?(text: string): void } = {},
): Promise<WarehousePrograms> {
  if (dbt !== undefined) {
    const python = ['python', 'python3'].map((name) => join(dirname(dbt), name)).find(existsSync);
    if (existsSync(dbt) && python && hasDbt(python, target)) return { python, dbt };
    throw new MillraceError(
      'PREREQUISITE_MISSING',
      `--dbt ${dbt} is no dbt with its Python beside it. Give the dbt of a virtual environment, such as ` +
        `.venv/bin/dbt, that has dbt-${target}.`,
    );
  }
  // One environment for the targets that run here, so that a second target waits for nothing.
  const packages = [...PACKAGES.common, ...PACKAGES.duckdb, ...PACKAGES.postgres, ...PACKAGES.snowflake];
  const folder = join(cacheOf(root), `warehouse-${PACKAGES.common[0].replace('==', '-')}`);
  const [python, complete] = [join(folder, 'bin', 'python'), join(folder, 'complete')];
  if (!existsSync(complete)) {
    if (spawnSync('python3', ['-c', 'import venv, ensurepip']).status !== 0) {
      throw new MillraceError(
        'PREREQUISITE_MISSING',
        'Building a warehouse needs Python 3 with venv, which is not here. Debian: apt-get install python3 ' +
          'python3-venv; macOS: brew install python. Or name a dbt of your own with --dbt.',
      );
    }
    note('Installing dbt and its adapters (once; about a minute, 300 MB) …');
    mkdirSync(dirname(folder), { recursive: true });
    rmSync(folder, { recursive: true, force: true });
    await install('python3', ['-m', 'venv', folder]);
    await install(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages]);
    writeFileSync(complete, '');
  }
  return { python, dbt: join(folder, 'bin', 'dbt') };
}

/** Asks the Python whose dbt it is, since dbt itself takes seconds to say its version, and asks PyPI for the newest. */
function hasDbt(python: string, target: WarehouseTarget): boolean {
  const program = "import sys, importlib.metadata as m; [m.version('dbt-' + name) for name in sys.argv[1:]]";
  return spawnSync(python, ['-c', program, 'core', target]).status === 0;
}

function cacheOf(root: string): string {
  for (let folder = root; ; folder = dirname(folder)) {
    const modules = join(folder, 'node_modules');
    if (existsSync(modules) || folder === dirname(folder)) {
      return existsSync(modules) ? join(modules, '.cache') : join(root, 'node_modules', '.cache');
    }
  }
}

async function install(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const errors: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text));
  const [code] = await once(child, 'close');
  if (code === 0) return;
  throw new MillraceError(
    'PREREQUISITE_MISSING',
    `dbt could not be installed: ${errors.join('').trim().split('\n').slice(-3).join(' ')} Give pip a way to its ` +
      'registry and try again, or name a dbt of your own with --dbt.',
  );
}
