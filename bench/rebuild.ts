import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '../adapters/system/system-random.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startStack } from '../local/stack.ts';
import { openStateFolder } from '../local/state-folder.ts';
import { openStores } from '../local/stores.ts';
import app from '../millrace.config.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { type Figures, median } from './measure.ts';
import { makeRecords } from './pageviews.ts';

const LOOK_MS = 20;
const { name } = editorialAnalytics;

/**
 * A rebuild as `millrace rebuild` runs it, with nothing else running, beside a plain drain of the same records as `millrace
 * up` runs it: both from a stack that is open to the last record settled.
 */
export async function benchRebuild(
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<Figures> {
  const ratios: number[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const path = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
    try {
      const folder = openStateFolder(path);
      const stores = await openStores(folder);
      await stores.log.createTopic(pageviews.name, pageviews.partitions);
      await stores.log.send(pageviews.name, await makeRecords(count, registry));
      const only = {
        ...app,
        consumers: app.consumers.filter((each) => each.name === name),
        module: new URL('../millrace.config.ts', import.meta.url),
      };
      const common = { app: only, folder, stores, registry, faults: {}, random: systemRandom, log: quiet };

      const up = await startStack({ ...common, consume: 'everything' });
      let startedAt = performance.now();
      await up.drained();
      const drainMs = performance.now() - startedAt;
      await up.close();

      const stack = await startStack({ ...common, consume: { rebuild: name } });
      const { generations } = stack;
      const plan = await generations.planRebuild({ consumer: name, fromMs: null, kept: null });
      startedAt = performance.now();
      const { number } = await generations.rebuild({ plan, recordsPerSecond: null });
      for (;;) {
        const { isCaughtUp, applied } = await generations.rebuilding({ plan, number });
        if (isCaughtUp && applied === count) break;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      const rebuildMs = performance.now() - startedAt;
      await stack.close();
      await stores.close();
      ratios.push(drainMs / rebuildMs);
      rates.push((count * 1_000) / rebuildMs);
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  }
  return {
    name: 'rebuild',
    figures: { recordsPerSecond: Math.round(median(rates)), drainRatio: Number(median(ratios).toFixed(2)) },
  };
}

function trouble(message: string, { code }: Readonly<Record<string, unknown>> = {}): void {
  throw new Error(`the benchmark met trouble: ${message} ${code ?? ''}`);
}

const quiet = { debug() {}, info() {}, warn: trouble, error: trouble };
