import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { probes } from '../runtime/probe/pipeline.ts';
import { type ProbeReport, runProbe } from '../runtime/probe/probe.ts';
import app from './probe-app.ts';
import { startStack } from './stack.ts';
import { openStateFolder } from './state-folder.ts';
import { openStores, type StoresOptions } from './stores.ts';

const NO_FAULTS = { redeliver: 0, crash: 0, sinkOutageMs: 0, deadLetterOutageMs: 0 };
const silent = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Runs the probe's own pipeline on this machine, in a folder that is gone afterwards, and sends a record through it: the event
 * source, a function in threads, PostgreSQL. With a cluster, the topic is there, and stays.
 */
export async function probeHere(stores: StoresOptions, patienceMs: number): Promise<ProbeReport> {
  const path = mkdtempSync(join(tmpdir(), 'millrace-probe-'));
  try {
    const folder = openStateFolder(path);
    const opened = await openStores(folder, stores);
    try {
      const registry = createContractSchemaRegistry([probes]);
      const stack = await startStack({
        app: { ...app, module: new URL(`./probe-app${extname(import.meta.url)}`, import.meta.url) },
        folder,
        stores: opened,
        registry,
        faults: NO_FAULTS,
        random: systemRandom,
        log: silent,
        consume: 'everything',
      });
      const ending = new AbortController();
      try {
        const arriving = runProbe({
          registry,
          producer: opened.log,
          clock: systemClock,
          probeId: randomUUID(),
          read: async (sql) => (await stack.query(sql)).rows[0] ?? [],
          patienceMs,
          signal: ending.signal,
        });
        return await Promise.race([arriving, stack.halted]);
      } finally {
        ending.abort();
        await stack.close();
      }
    } finally {
      await opened.close();
    }
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}
