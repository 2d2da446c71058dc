import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { type Figures, median } from './measure.ts';
import { residentMb, startFilledKafka } from './real-parts.ts';

const COMMAND = fileURLToPath(new URL('../bin/millrace.ts', import.meta.url));
const SAMPLE_MS = 200;

/** `millrace up` drains a backlog from Kafka into PostgreSQL: how long it takes, and how much memory meanwhile. */
export async function benchKafkaDrain(
  processes: Processes,
  count: number,
  registry: SchemaRegistry,
): Promise<Figures> {
  const address = await startFilledKafka(processes, count, registry);
  const server = await startPostgres(processes, { fsync: true });
  const where = ['--kafka', address, '--postgres', server.url, '--state', processes.makeFolder('state')];
  const up = spawn(
    process.execPath,
    [COMMAND, 'up', '--no-publish', '--exit-when-drained', '--json', ...where],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let output = '';
  up.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  const ended = once(up, 'close');
  const residents: number[] = [];
  while (up.exitCode === null) {
    const mb = residentMb(up.pid!);
    if (mb !== undefined) residents.push(mb);
    await Promise.race([ended, sleep(SAMPLE_MS)]);
  }
  const report = JSON.parse(output.trimEnd().split('\n').at(-1)!);
  if (report.applied !== count || report.lag !== 0)
    throw new Error(`applied ${report.applied} records of ${count}`);
  const quarter = Math.ceil(residents.length / 4);
  return {
    name: 'kafka-drain',
    figures: {
      records: count,
      seconds: report.elapsedMs / 1_000,
      recordsPerSecond: report.recordsPerSecond,
      secondQuarterMedianMb: Math.round(median(residents.slice(quarter, 2 * quarter))),
      lastQuarterMedianMb: Math.round(median(residents.slice(-quarter))),
      peakMb: Math.round(Math.max(...residents)),
    },
  };
}
