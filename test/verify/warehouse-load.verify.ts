/** The loader of DuckDB and PostgreSQL, on an archive of several days. */
import { rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { WarehouseClient } from '../../local/warehouse/client.ts';
import { loadArchive } from '../../local/warehouse/load.ts';
import { warehousePrograms } from '../../local/warehouse/python.ts';
import type { StoredObject } from '../../runtime/objects.ts';
import { Warehouse } from './warehouse-targets.ts';

const sources = [{ name: 'visits', topic: 'web.visits', epoch: 1, partitions: 2 }];
const SCHEMA = 'millrace_raw';

/** Says of each object that it is so large, and remembers what was listed. */
class Archive {
  readonly listed: string[] = [];
  readonly keys: string[] = [];
  fetched = 0;
  readonly #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  add(partition: number, date: string, name: number): void {
    this.keys.push(`topics/web.visits/1/p${partition}/${date}/${String(name).padStart(20, '0')}.jsonl.gz`);
    this.keys.sort();
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    this.listed.push(prefix);
    for (const key of this.keys) if (key.startsWith(prefix)) yield { key, storedAt: 0, bytes: this.#bytes };
  }

  async *folders(prefix: string): AsyncGenerator<string> {
    const below = this.keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    yield* new Set(below.map((key) => key.slice(0, key.indexOf('/'))));
  }

  async get(key: string): Promise<Buffer> {
    this.fetched++;
    return gzipSync(`{"key":"${key}"}\n`);
  }
}

// PostgreSQL is MILLRACE_TEST_POSTGRES.
describe.each(['duckdb', 'postgres'] as const)('the loader of %s', (target) => {
  const warehouse = new Warehouse(target, []);
  let options: ConstructorParameters<typeof WarehouseClient>[1];
  const load = (archive: Archive) => loadArchive(archive, sources, SCHEMA, options);

  beforeAll(async () => {
    await warehouse.prepare();
    const { python } = await warehousePrograms(process.cwd(), target);
    options = { python, target, env: warehouse.env, cwd: warehouse.folder };
  }, 300_000);
  afterAll(() => rmSync(warehouse.folder, { recursive: true }));

  test('loads a backlog in parts that fit on the disk, and then asks for the newest days alone', async () => {
    const archive = new Archive(100 * 2 ** 20);
    for (const date of ['2025-12-30', '2025-12-31', '2026-01-01']) {
      for (const name of [0, 7]) archive.add(0, date, name);
    }
    archive.add(1, '2025-12-31', 3);
    // Two of these objects are a load: four loads, each with a look at what is new.
    expect(await load(archive)).toEqual({ objects: 7, rows: 7 });
    expect(archive.fetched).toBe(7);
    const folder = (partition: number, date: string) => `topics/web.visits/1/p${partition}/${date}/`;
    expect(archive.listed.filter((prefix) => prefix === folder(1, '2025-12-31'))).toHaveLength(4);

    const client = new WarehouseClient('load', options);
    const { known } = await client.ask<{ known: { visits: string[] } }>({
      schema: SCHEMA,
      sources: ['visits'],
    });
    await client.close();
    expect(known.visits.sort()).toEqual(
      archive.keys.filter((key) => key.includes('2026-01-01') || key.includes('/p1/')),
    );

    archive.listed.length = 0;
    archive.add(0, '2026-01-01', 9);
    archive.add(1, '2026-01-02', 0);
    expect(await load(archive)).toEqual({ objects: 2, rows: 2 });
    expect(archive.listed).toEqual([
      folder(0, '2026-01-01'),
      folder(1, '2025-12-31'),
      folder(1, '2026-01-02'),
    ]);
    expect(await load(archive)).toEqual({ objects: 0, rows: 0 });
    expect(archive.fetched).toBe(9);
  }, 200_000);

  test('loads an object that is larger than a part', async () => {
    const archive = new Archive(2 ** 30);
    archive.add(0, '2026-01-03', 0);
    archive.add(0, '2026-01-03', 1);
    expect(await load(archive)).toEqual({ objects: 2, rows: 2 });
  }, 200_000);
});
