import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chainsPrefix } from '../../runtime/archive/names.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { WarehouseSource } from '../../runtime/warehouse/project.ts';
import { type ClientOptions, WarehouseClient } from './client.ts';

type Archive = Pick<ObjectStore, 'list' | 'folders' | 'get'>;

/** Objects that are fetched at once. */
const FETCHES = 16;
/** One load: a longer backlog takes several transactions, and no more room than this on the disk. */
const OBJECTS_PER_LOAD = 5_000;
const BYTES_PER_LOAD = 256 * 2 ** 20;

export interface Loaded {
  readonly objects: number;
  readonly rows: number;
}

/**
 * Loads what the archive has new into DuckDB or PostgreSQL. Rows, and the note that their object is loaded, are one
 * transaction, so that an object is loaded once however a run ends.
 */
export async function loadArchive(
  archive: Archive,
  sources: readonly WarehouseSource[],
  schema: string,
  options: ClientOptions,
): Promise<Loaded> {
  const total = { objects: 0, rows: 0 };
  for (;;) {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-load-'));
    try {
      const { objects, rows, isAll } = await loadOnce(archive, sources, schema, options, folder);
      total.objects += objects;
      total.rows += rows;
      if (isAll) return total;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

async function loadOnce(
  archive: Archive,
  sources: readonly WarehouseSource[],
  schema: string,
  options: ClientOptions,
  folder: string,
): Promise<Loaded & { readonly isAll: boolean }> {
  const client = new WarehouseClient('load', options);
  try {
    const { known } = await client.ask<{ readonly known: Readonly<Record<string, readonly string[]>> }>({
      schema,
      sources: sources.map(({ name }) => name),
    });
    const fresh = await newObjects(archive, sources, known);
    const batch = firstOf(fresh);
    const isAll = batch.length === fresh.length;
    if (batch.length === 0) return { objects: 0, rows: 0, isAll };
    const paths = await fetchTo(folder, archive, batch);
    const files = batch.map(({ source, key }, at) => ({ source, key, path: paths[at]! }));
    const { rows } = await client.ask<{ readonly rows: number }>({
      sources: sources.map(({ name }) => ({
        name,
        objects: files.filter(({ source }) => source === name).map(({ key, path }) => ({ key, path })),
      })),
    });
    return { objects: batch.length, rows, isAll };
  } finally {
    await client.close();
  }
}

interface NewObject {
  readonly source: string;
  readonly key: string;
  readonly bytes: number;
}

/** What one load takes, in order: one object at least. */
function firstOf(objects: readonly NewObject[]): readonly NewObject[] {
  let bytes = 0;
  const end = objects.findIndex((object, at) => {
    bytes += object.bytes;
    return at === OBJECTS_PER_LOAD || (at > 0 && bytes > BYTES_PER_LOAD);
  });
  return end < 0 ? objects : objects.slice(0, end);
}

/**
 * An archive's objects stand below a partition and a date. A partition's days before the newest that was loaded are
 * complete, so that the days from there on are listed alone.
 * @param known the objects that are loaded, of each partition's newest day
 */
async function newObjects(
  archive: Archive,
  sources: readonly WarehouseSource[],
  known: Readonly<Record<string, readonly string[]>>,
): Promise<readonly NewObject[]> {
  const found: NewObject[] = [];
  for (const { name, topic, epoch } of sources) {
    const loaded = new Set(known[name] ?? []);
    const newest = new Map<string, string>();
    for (const key of loaded) {
      const [, chain = '', date = ''] = /^(topics\/.*\/)([^/]+)\/[^/]+$/.exec(key) ?? [];
      if (date > (newest.get(chain) ?? '')) newest.set(chain, date);
    }
    const prefixes: string[] = [];
    const chains = chainsPrefix(topic, epoch);
    for await (const partition of archive.folders(chains)) {
      const chain = `${chains}${partition}/`;
      for await (const date of archive.folders(chain)) {
        if (date >= (newest.get(chain) ?? '')) prefixes.push(`${chain}${date}/`);
      }
    }
    for (const prefix of prefixes) {
      for await (const { key, bytes } of archive.list(prefix)) {
        if (!loaded.has(key)) found.push({ source: name, key, bytes });
      }
    }
  }
  return found;
}

async function fetchTo(
  folder: string,
  archive: Archive,
  objects: readonly NewObject[],
): Promise<readonly string[]> {
  const paths = objects.map((_, at) => join(folder, `${at}.jsonl.gz`));
  let next = 0;
  const fetchSome = async () => {
    for (let at = next++; at < objects.length; at = next++) {
      const body = await archive.get(objects[at]!.key);
      // It was deleted after the list, so there is nothing to load.
      await writeFile(paths[at]!, body ?? EMPTY);
    }
  };
  await Promise.all(Array.from({ length: FETCHES }, fetchSome));
  return paths;
}

/** No bytes, as gzip writes them. */
const EMPTY = Buffer.from('H4sIAAAAAAAAAwMAAAAAAAAAAAA=', 'base64');
