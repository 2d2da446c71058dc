import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import type { ObjectStore } from '../../runtime/objects.ts';
import {
  heartbeatModels,
  isGenerated,
  type WarehouseSubject,
  warehouseProject,
  warehouseSources,
  wasGenerated,
} from '../../runtime/warehouse/project.ts';
import { WarehouseClient, warehousePackage } from './client.ts';
import { type Built, buildModels } from './dbt.ts';
import { type Loaded, loadArchive } from './load.ts';
import type { WarehousePrograms, WarehouseTarget } from './python.ts';

/** What `generate` did to the project's files, by their paths. */
export interface GeneratedProject {
  readonly written: readonly string[];
  /** Of something that is declared no longer. */
  readonly removed: readonly string[];
  /** A person has changed these: they stay as they are. */
  readonly kept: readonly string[];
  /** So they have these, of something that is declared no longer: dbt misses what they are built from. */
  readonly orphaned: readonly string[];
  readonly unchanged: number;
}

/** Writes the dbt project of an app. Files that a person has changed stay; those that are as they should be, too. */
export async function generateProject(subject: WarehouseSubject, folder: string): Promise<GeneratedProject> {
  const packagePath = relative(folder, warehousePackage).split(sep).join('/');
  const files = warehouseProject(subject, { packagePath });
  const [written, removed, kept, orphaned]: [string[], string[], string[], string[]] = [[], [], [], []];
  let unchanged = 0;
  for (const { path, text } of files) {
    const found = await textOf(join(folder, path));
    if (found === text) unchanged++;
    else if (found !== undefined && !isGenerated(found)) kept.push(path);
    else {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text);
      written.push(path);
    }
  }
  const declared = new Set(files.map(({ path }) => path));
  for (const path of await modelsIn(folder)) {
    if (declared.has(path)) continue;
    const text = await textOf(join(folder, path));
    if (text === undefined || !wasGenerated(text)) continue;
    if (!isGenerated(text)) {
      orphaned.push(path);
      continue;
    }
    await rm(join(folder, path));
    removed.push(path);
  }
  return { written, removed, kept, orphaned, unchanged };
}

async function modelsIn(folder: string): Promise<readonly string[]> {
  const found = await readdir(join(folder, 'models'), { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    },
  );
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

export interface WarehouseRun {
  readonly subject: WarehouseSubject;
  /** The folder of the dbt project. */
  readonly folder: string;
  readonly target: WarehouseTarget;
  readonly programs: WarehousePrograms;
  readonly env: NodeJS.ProcessEnv;
  /** What DuckDB and PostgreSQL are loaded from. Snowflake loads by itself. */
  readonly archive?: Pick<ObjectStore, 'list' | 'folders' | 'get'>;
  readonly vars?: Readonly<Record<string, unknown>>;
  readonly fullRefresh?: boolean;
  /** Whether the models are tested once they are built. @default true */
  readonly isTested?: boolean;
  /** Ends dbt in the middle. */
  readonly signal?: AbortSignal;
  onLine?(text: string): void;
}

export type WarehouseReport = Partial<Loaded> &
  Built & {
    /**
     * When the oldest of the databases' newest heartbeats that the models have was written; without tables, the newest
     * record of an archived topic: epoch milliseconds.
     */
    readonly beatAt?: number;
  };

/**
 * Loads, builds and tests, once.
 * @throws WAREHOUSE_FAILED with the lines that say why
 */
export async function runWarehouse(run: WarehouseRun): Promise<WarehouseReport> {
  const { subject, folder, target, programs, env, archive } = run;
  const client = { python: programs.python, target, env, cwd: folder };
  const sources = warehouseSources(subject);
  const loaded = archive && (await loadArchive(archive, sources, rawSchema(run.vars), client));
  const built = await buildModels({ ...run, dbt: programs.dbt });
  const beatAt = await freshest(subject, env, client);
  return { ...loaded, ...built, ...(beatAt !== undefined && { beatAt }) };
}

function rawSchema(vars: WarehouseRun['vars'] = {}): string {
  return typeof vars.millrace_raw_schema === 'string' ? vars.millrace_raw_schema : 'millrace_raw';
}

/** The schema of the models that people read. */
export function modelSchema(env: NodeJS.ProcessEnv): string {
  return env.MILLRACE_WAREHOUSE_SCHEMA ?? 'analytics';
}

/** Without tables there is no heartbeat: then when the newest record of an archived topic was written. */
async function freshest(
  subject: WarehouseSubject,
  env: NodeJS.ProcessEnv,
  options: ConstructorParameters<typeof WarehouseClient>[1],
): Promise<number | undefined> {
  const models = heartbeatModels(subject.tables ?? []);
  const seconds = (time: string) =>
    ({
      duckdb: `epoch(${time})`,
      postgres: `extract(epoch from ${time})`,
      snowflake: `date_part(epoch_second, ${time})`,
    })[options.target];
  const queries =
    models.length > 0
      ? models.map((model) => `select ${seconds('max(beat_at)')} from ${modelSchema(env)}.${model}`)
      : // A producer's clock may be ahead.
        warehouseSources(subject).map(
          ({ name }) =>
            `select ${seconds('max(least(_recorded_at, _loaded_at))')} from ${modelSchema(env)}_staging.stg_${name}`,
        );
  if (queries.length === 0) return undefined;
  const client = new WarehouseClient('query', options);
  try {
    const times: number[] = [];
    for await (const [time = null] of client.query(queries.join(' union all '))) {
      // A database that is new has no heartbeat yet, which says nothing of the others.
      if (time !== null) times.push(Number(time) * 1_000);
    }
    if (times.length === 0) return undefined;
    return models.length > 0 ? Math.min(...times) : Math.max(...times);
  } finally {
    await client.close();
  }
}
