import { findContract, requireSoundContracts } from '../adapters/files/contract-files.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { startFeed } from '../local/publishing/feed.ts';
import { checkReadable } from '../local/publishing/input.ts';
import { fileSource } from '../local/publishing/sources.ts';
import { createValuePublisher } from '../local/publishing/value-publisher.ts';
import { openStateFolder } from '../local/state-folder.ts';
import { openStores } from '../local/stores.ts';
import { recordsIn, type TopicLog } from '../local/topic-log.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import { loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { type KafkaOptions, storesOptions } from './outside-options.ts';
import { openRegistry, type RegistryOptions } from './registry-option.ts';
import { notPublished, printComplaints } from './run-report.ts';
import { newSeed, runRandom } from './seeds.ts';
import { count, plural, printJson, printLine, printNote } from './terminal.ts';

export interface PublishOptions extends KafkaOptions, RegistryOptions {
  readonly input: readonly string[];
  readonly rate?: number;
  readonly poison: number;
  readonly seed?: number;
  readonly state: string;
  readonly json?: true;
}

const PROGRESS_MS = 1_000;

/** Publishes files to a topic and prints how many values were taken, and why others were not. */
export async function runPublish(topic: string, options: PublishOptions): Promise<void> {
  const app = await loadApp();
  const contract = findContract(app.contracts, topic);
  checkReadable(options.input);
  await requireSoundContracts(app);
  const registry = await openRegistry(options.registry, [contract]);
  const folder = openStateFolder(options.state);
  const stores = await openStores(folder, storesOptions(options));
  const startedAt = performance.now();
  try {
    await prepareTopic(stores.log, contract);
    const held = await recordsIn(stores.log, topic);
    if (held > 0) printNote(`${topic} already holds ${plural(held, 'record')}; these come on top.`);
    const feed = startFeed({
      source: fileSource(options.input, contract, app.demo, folder.salt),
      publisher: createValuePublisher(contract, {
        registry,
        producer: stores.log,
        poisonShare: options.poison,
        random: runRandom(options.seed ?? newSeed()).poison,
      }),
      ratePerSecond: options.rate ?? Number.POSITIVE_INFINITY,
      clock: systemClock,
    });
    const progress = process.stderr.isTTY
      ? setInterval(() => printNote(`published ${count(feed.counts().published)}`), PROGRESS_MS)
      : undefined;
    await feed.done.finally(() => clearInterval(progress));

    const counts = feed.counts();
    const report = {
      topic,
      ...counts,
      elapsedMs: Math.round(performance.now() - startedAt),
      complaints: feed.complaints(),
    };
    if (options.json) printJson(report);
    else {
      const rest = notPublished(counts, options.poison, feed.ignoredFor());
      printLine(`Published ${plural(counts.published, 'record')} to ${topic}${rest ? `; ${rest}` : ''}.`);
    }
    printComplaints(report);
    if (counts.refused + counts.malformed > 0) throw new CommandFailed();
  } finally {
    await stores.close();
  }
}

async function prepareTopic(log: TopicLog, contract: Contract<never>): Promise<void> {
  for (const difference of await log.prepareTopic(contract)) {
    printNote(`warning: ${contract.name} on ${log.at} is not as its contract says: ${difference}.`);
  }
}
