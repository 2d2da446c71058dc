/** `npm run bench`: each figure beside its floor and its peer, in one run. How to read them: docs/performance.md. */
import { parseArgs } from 'node:util';
import { createMemorySchemaRegistry } from '../adapters/memory/memory-schema-registry.ts';
import { contracts } from '../contracts/index.ts';
import { benchDecode } from './decode-avro.ts';
import { benchInvocation } from './invocation-10k.ts';
import { benchLogToSink } from './log-to-sink.ts';
import type { Result } from './measure.ts';

const { values: options } = parseArgs({
  options: {
    /** Prints one JSON object instead of a table. */
    json: { type: 'boolean', default: false },
    /** Few and small rounds: shows that the benchmark works, not how fast anything is. */
    smoke: { type: 'boolean', default: false },
  },
});

const registry = createMemorySchemaRegistry(contracts);
const [records, rounds] = options.smoke ? [500, 2] : [10_000, 15];
const benchmarks: Record<string, () => Promise<Result>> = {
  'decode-avro': () => benchDecode(records, options.smoke ? 2 : 25, registry),
  'invocation-10k': () => benchInvocation(records, rounds, registry),
  'log-to-sink': () => benchLogToSink(records * 5, options.smoke ? 1 : 5, registry),
};

const results: Result[] = [];
for (const [name, run] of Object.entries(benchmarks)) {
  if (process.stderr.isTTY) process.stderr.write(`\r${name} …\u001b[K`);
  results.push(await run());
}
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');

if (options.json) {
  console.log(JSON.stringify({ results }));
} else {
  for (const { name, recordsPerSecond, floorRatio, peerRatio } of results) {
    const rate = recordsPerSecond.toLocaleString('en').padStart(12);
    const peer = peerRatio === null ? '' : `, ${peerRatio.toFixed(1)} times the rate of Powertools`;
    console.log(
      `${name.padEnd(15)}${rate} records/s, ${floorRatio.toFixed(2)} times the floor's time${peer}`,
    );
  }
}
