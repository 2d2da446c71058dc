/** `npm run bench`: each figure beside its floor and its peer, in one run. How to read them: docs/performance.md. */
import { parseArgs } from 'node:util';
import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { benchArchive } from './archive.ts';
import { benchBadRecords } from './bad-records.ts';
import { benchColdStart } from './cold-start.ts';
import { benchCommitCost } from './commit-cost.ts';
import { benchDecode } from './decode-avro.ts';
import { benchInvocation } from './invocation-10k.ts';
import { benchSmallInvocation } from './invocation-100.ts';
import { benchKafkaDrain } from './kafka-drain.ts';
import { benchKafkaToPostgres } from './kafka-to-postgres.ts';
import { benchLagSample } from './lag-sample.ts';
import { benchLedgerHoles } from './ledger-holes.ts';
import { benchLogToSink } from './log-to-sink.ts';
import type { Figures, Result } from './measure.ts';
import { benchOnce } from './once.ts';
import { benchParking } from './parking.ts';
import { withProcesses } from './real-parts.ts';
import { benchRebuild } from './rebuild.ts';

const { values: options, positionals: wanted } = readArguments();

const registry = createContractSchemaRegistry([pageviews]);
const [records, rounds] = options.smoke ? [500, 2] : [10_000, 15];
type Benchmark = () => Promise<Result | Figures | readonly (Result | Figures)[]>;
const benchmarks: Record<string, Benchmark> = {
  'decode-avro': () => benchDecode(records, options.smoke ? 2 : 25, registry),
  'invocation-10k': () => benchInvocation(records, rounds, registry),
  rebuild: () => benchRebuild(records * 10, options.smoke ? 1 : 3, registry),
  'log-to-sink': () => benchLogToSink(records * 5, options.smoke ? 1 : 5, registry),
};
const realBenchmarks: Record<string, Benchmark> = {
  'kafka-to-postgres': () =>
    withProcesses((processes) =>
      benchKafkaToPostgres(processes, records * 20, options.smoke ? 1 : 5, registry),
    ),
  'invocation-100': () =>
    withProcesses((processes) => benchSmallInvocation(processes, options.smoke ? 2 : 100, registry)),
  'kafka-drain': () => withProcesses((processes) => benchKafkaDrain(processes, records * 100, registry)),
  'bad-records': () =>
    withProcesses((processes) =>
      benchBadRecords(processes, options.smoke ? 500 : 5_000, options.smoke ? 1 : 3, registry),
    ),
  'ledger-holes': () =>
    withProcesses((processes) =>
      benchLedgerHoles(processes, options.smoke ? 2 : 40, options.smoke ? 10_000 : 1_000_000),
    ),
  parking: () =>
    withProcesses((processes) =>
      benchParking(processes, options.smoke ? 500 : 10_000, options.smoke ? 1 : 5, registry),
    ),
  'lag-sample': () =>
    withProcesses((processes) =>
      benchLagSample(
        processes,
        options.smoke
          ? { topics: 2, partitions: 50, samples: 3 }
          : { topics: 12, partitions: 1_000, samples: 12 },
      ),
    ),
  'commit-cost': () =>
    withProcesses((processes) => benchCommitCost(processes, options.smoke ? 100 : 200_000, registry)),
  once: () =>
    withProcesses((processes) =>
      benchOnce(processes, records, rounds, options.smoke ? 20_000 : 10_000_000, registry),
    ),
  archive: () => withProcesses((processes) => benchArchive(processes, records, rounds, registry)),
  'cold-start': () => withProcesses((processes) => benchColdStart(processes, options.smoke ? 1 : 20)),
};

const results: (Result | Figures)[] = [];
// One that is named runs wherever it belongs.
const known = { ...benchmarks, ...realBenchmarks };
const all = wanted.length > 0 ? known : options.real ? realBenchmarks : benchmarks;
const unknown = wanted.find((name) => !Object.hasOwn(known, name));
if (unknown !== undefined) {
  refuse(`There is no benchmark ${unknown}; there are ${Object.keys(known).join(', ')}.`);
}
for (const [name, run] of Object.entries(all)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  if (process.stderr.isTTY) process.stderr.write(`\r${name} …\u001b[K`);
  results.push(...[await run()].flat());
}
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');

if (options.json) {
  console.log(JSON.stringify({ results }));
} else {
  for (const result of results) console.log(`${result.name.padEnd(32)}${describe(result)}`);
}

function readArguments() {
  try {
    return parseArgs({
      /** Names of benchmarks: these alone. */
      allowPositionals: true,
      options: {
        /** Prints one JSON object instead of a table. */
        json: { type: 'boolean', default: false },
        /** Few and small rounds: shows that the benchmark works, not how fast anything is. */
        smoke: { type: 'boolean', default: false },
        /** Instead of the others, where none is named: those on real parts, which are started as for `npm run verify`. */
        real: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse(
      `${(error as Error).message.split('.')[0]}. It takes --json, --smoke, --real and names of benchmarks.`,
    );
  }
}

function refuse(problem: string): never {
  console.error(problem);
  process.exit(2);
}

function describe(result: Result | Figures): string {
  if ('figures' in result) {
    const figures = Object.entries(result.figures);
    return figures.map(([name, value]) => `${name} ${value.toLocaleString('en')}`).join(', ');
  }
  const { recordsPerSecond, floorRatio, peerRatio } = result;
  const rate = recordsPerSecond.toLocaleString('en').padStart(9);
  const beside = peerRatio === null ? '' : `, ${peerRatio.toFixed(1)} times the peer's rate`;
  return `${rate} records/s, ${floorRatio.toFixed(2)} times the floor's time${beside}`;
}
