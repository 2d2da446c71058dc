/** A run of the whole way, as `millrace capture demo` makes it, from PostgreSQL to DuckDB. */
import { afterAll, beforeAll } from '@jest/globals';
import {
  type Demo,
  type DemoOptions,
  type DemoState,
  startCaptureDemo,
} from '../../local/capture-demo/capture-demo.ts';
import type { Query } from '../../local/capture-demo/compare.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

interface CaptureRun {
  state(): DemoState;
  readonly positions: ReturnType<typeof watchPositions>;
}

/** Runs it before the tests of a describe(), until the mart equals the source. */
export function captureRun(
  options: Pick<DemoOptions, 'changes' | 'perSecond' | 'seed' | 'faults'>,
): CaptureRun {
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const stop = new AbortController();
  const positions = watchPositions(['articles', 'authors', 'corrections']);
  let demo: Demo | undefined;
  beforeAll(async () => {
    demo = await startCaptureDemo({
      ...options,
      processes,
      root: process.cwd(),
      stop: stop.signal,
      onBuilt: positions.look,
    });
    await demo.equal;
  });
  afterAll(async () => {
    stop.abort();
    await demo?.close();
    await processes.endAll();
    temporary.remove();
  });
  return { state: () => demo!.state(), positions };
}

/** Follows the LSN of each key from one run of the warehouse to the next. */
function watchPositions(tables: readonly string[]) {
  const seen = new Map<string, bigint>();
  const fallen: string[] = [];
  let runs = 0;
  return {
    async look(query: Query): Promise<void> {
      runs++;
      for (const table of tables) {
        const rows = await query(
          `select _cdc_key, cast(_cdc_lsn as varchar) from analytics_staging.${table}_rows where _cdc_key not like '!%'`,
        );
        for (const [key, lsn] of rows) {
          if (isOlder(seen, `${table} ${key}`, lsn)) fallen.push(`${table} ${key}`);
        }
      }
    },
    runs: () => runs,
    /** Keys whose row went back in time. */
    fallen: () => fallen,
  };
}

function isOlder(seen: Map<string, bigint>, key: string, lsn: string | null | undefined): boolean {
  if (lsn === null || lsn === undefined) return false;
  const before = seen.get(key);
  const now = BigInt(lsn);
  if (before === undefined || now >= before) seen.set(key, now);
  return before !== undefined && now < before;
}
