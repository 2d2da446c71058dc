/** What the suites of the warehouse share: a project in a folder of its own, on one target. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { folderObjects } from '../../adapters/files/folder-objects.ts';
import { WarehouseClient } from '../../local/warehouse/client.ts';
import {
  type WarehousePrograms,
  type WarehouseTarget,
  warehousePrograms,
} from '../../local/warehouse/python.ts';
import { generateProject, runWarehouse, type WarehouseReport } from '../../local/warehouse/warehouse.ts';
import { defineApp } from '../../runtime/app.ts';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import type { CapturedTable } from '../../runtime/capture/table.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import type { WarehouseSubject } from '../../runtime/warehouse/project.ts';
import { part } from './part.ts';

export const sim = defineDatabase({ name: 'sim' });

type Row = readonly (string | null)[];

export class Warehouse {
  readonly folder: string;
  readonly archive: string;
  readonly project: string;
  readonly target: WarehouseTarget;
  readonly env: NodeJS.ProcessEnv;
  subject: WarehouseSubject;
  readonly #topics: readonly Contract<never>[];
  #programs: WarehousePrograms | undefined;

  /** @param topics that are archived */
  constructor(
    target: WarehouseTarget,
    tables: readonly CapturedTable[],
    topics: readonly Contract<never>[] = [],
  ) {
    this.#topics = topics;
    this.target = target;
    this.folder = mkdtempSync(join(tmpdir(), `millrace-warehouse-${target}-`));
    this.archive = join(this.folder, 'archive');
    this.project = join(this.folder, 'dbt');
    this.env = { ...process.env, MILLRACE_DUCKDB_PATH: join(this.folder, 'sim.duckdb') };
    this.subject = appOf(tables, this.#topics);
  }

  get dbt(): string {
    return this.#programs!.dbt;
  }

  async prepare(): Promise<void> {
    this.#programs = await warehousePrograms(process.cwd(), this.target);
    await generateProject(this.subject, this.project);
    if (this.target !== 'postgres') return;
    // The folder's name is nobody else's.
    const name = this.folder.split('-').at(-1)!.toLowerCase();
    Object.assign(this.env, await postgresWarehouse(`warehouse_${name}`));
  }

  async redeclare(tables: readonly CapturedTable[]): Promise<void> {
    this.subject = appOf(tables, this.#topics);
    await generateProject(this.subject, this.project);
  }

  /** @param isTested runs dbt's tests as well, which take longer than the models */
  build(vars: Readonly<Record<string, unknown>> = {}, isTested = true): Promise<WarehouseReport> {
    return runWarehouse({
      subject: this.subject,
      folder: this.project,
      target: this.target,
      programs: this.#programs!,
      env: this.env,
      vars,
      isTested,
      ...(this.target !== 'snowflake' && { archive: folderObjects(this.archive) }),
    });
  }

  async rows(sql: string): Promise<readonly Row[]> {
    const { target, env, folder } = this;
    const client = new WarehouseClient('query', { python: this.#programs!.python, target, env, cwd: folder });
    try {
      const rows: Row[] = [];
      for await (const row of client.query(sql)) rows.push(row);
      return rows;
    } finally {
      await client.close();
    }
  }
}

function appOf(tables: readonly CapturedTable[], topics: readonly Contract<never>[]): WarehouseSubject {
  const consumers = topics.map((topic) => defineArchive({ topic }));
  return defineApp({ name: 'sim', contracts: topics, consumers, tables, environments: {} });
}

/** A database of the test's own, as the variables by which dbt and the client find it. */
async function postgresWarehouse(name: string): Promise<NodeJS.ProcessEnv> {
  const url = new URL(part('MILLRACE_TEST_POSTGRES'));
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  try {
    await client.query(`create database ${name}`);
  } finally {
    await client.end();
  }
  return {
    MILLRACE_WAREHOUSE_HOST: url.hostname,
    MILLRACE_WAREHOUSE_PORT: url.port,
    MILLRACE_WAREHOUSE_USER: url.username,
    MILLRACE_WAREHOUSE_DATABASE: name,
  };
}
