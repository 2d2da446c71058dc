import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MillraceError } from '../../runtime/errors.ts';
import { warehousePackage } from './client.ts';
import type { WarehouseTarget } from './python.ts';

export interface DbtOptions {
  readonly dbt: string;
  /** The folder of the dbt project. */
  readonly folder: string;
  readonly target: WarehouseTarget;
  readonly env: NodeJS.ProcessEnv;
  readonly vars?: Readonly<Record<string, unknown>>;
  readonly fullRefresh?: boolean;
  /** Whether the models are tested once they are built. @default true */
  readonly isTested?: boolean;
  /** Ends dbt in the middle. */
  readonly signal?: AbortSignal;
  onLine?(text: string): void;
}

export interface Built {
  readonly models: number;
  readonly tests: number;
  readonly warnings: readonly string[];
}

interface LogLine {
  readonly info?: { readonly name?: string; readonly msg?: string; readonly level?: string };
  readonly data?: {
    readonly node_info?: { readonly resource_type?: string; readonly node_status?: string };
  };
}

/**
 * Builds and tests the project's models.
 * @throws WAREHOUSE_FAILED with the lines of dbt that say why
 */
export async function buildModels(options: DbtOptions): Promise<Built> {
  if (!(await hasPackage(options.folder))) await run(['deps'], options);
  const { vars = {}, fullRefresh = false, isTested = true } = options;
  const lines = await run(
    [isTested ? 'build' : 'run', '--vars', JSON.stringify(vars), ...(fullRefresh ? ['--full-refresh'] : [])],
    options,
  );
  const finished = lines.filter(
    ({ info }) => info?.name === 'LogModelResult' || info?.name === 'LogTestResult',
  );
  const ofType = (type: string) =>
    finished.filter(({ data }) => data?.node_info?.resource_type === type).length;
  return {
    models: ofType('model'),
    tests: ofType('test'),
    warnings: finished
      .filter(({ data }) => data?.node_info?.node_status === 'warn')
      .map(({ info }) => info?.msg ?? ''),
  };
}

/** dbt makes a link to a package on this machine. It stays when the package moves, or another version stands elsewhere. */
async function hasPackage(folder: string): Promise<boolean> {
  try {
    const [linked, wanted] = await Promise.all([
      realpath(join(folder, 'dbt_packages', 'millrace')),
      realpath(warehousePackage),
    ]);
    return linked === wanted;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function run(
  command: readonly string[],
  { dbt, folder, target, env, signal, onLine = () => {} }: DbtOptions,
): Promise<readonly LogLine[]> {
  const isDeps = command[0] === 'deps';
  const child = spawn(
    dbt,
    [
      ...['--log-format', 'json', '--no-use-colors', '--no-send-anonymous-usage-stats'],
      ...command,
      ...['--project-dir', folder, '--profiles-dir', folder, '--target', target],
      // Each target has a folder of its own: otherwise every change of the target parses the project anew.
      ...(isDeps ? [] : ['--target-path', join(folder, `target-${target}`)]),
    ],
    { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) },
  );
  const lines: LogLine[] = [];
  const others: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => others.push(text));
  const ended = once(child, 'close').catch((cause: unknown) => {
    throw new MillraceError('PREREQUISITE_MISSING', `${dbt} does not start. Name a dbt with --dbt.`, {
      cause,
    });
  });
  const reading = (async () => {
    for await (const text of createInterface({ input: child.stdout })) {
      const line = parse(text);
      if (line === undefined) others.push(`${text}\n`);
      else {
        lines.push(line);
        if (isWorthReading(line)) onLine(line.info?.msg ?? '');
      }
    }
  })();
  const [[code]] = await Promise.all([ended, reading]);
  if (code === 0) return lines;
  const reasons = lines
    .filter(({ info }) => info?.level === 'error')
    .map(({ info }) => info?.msg?.trim() ?? '')
    .filter((text) => text !== '');
  const said = reasons.length > 0 ? reasons : others.join('').trim().split('\n').slice(-5);
  throw new MillraceError(
    'WAREHOUSE_FAILED',
    `dbt ${command[0]} failed:\n${said.join('\n').slice(0, 4_000)}\nCorrect what it names and run it again; ` +
      `${join(folder, 'logs', 'dbt.log')} has all of it.`,
  );
}

/** What has ended, and what is wrong: not what begins, and no empty line. */
function isWorthReading({ info }: LogLine): boolean {
  return Boolean(info?.msg?.trim()) && info?.level !== 'debug' && !info?.name?.endsWith('StartLine');
}

function parse(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
