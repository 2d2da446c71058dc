import { setTimeout as sleep } from 'node:timers/promises';
import { Admin, Producer } from '@platformatic/kafka';
import { BulkOffsets } from '../adapters/kafka/bulk-offsets.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { serveExporter } from '../local/exporter.ts';
import { startKafka } from '../local/parts/kafka.ts';
import type { Processes } from '../local/parts/processes.ts';
import { watchGroups } from '../local/watched-groups.ts';
import { createLagWatch } from '../runtime/lag/watch.ts';
import { type Figures, median } from './measure.ts';

const PATIENCE_MS = 300_000;
const RECORDS = 5;

/** Samples as `millrace exporter` takes them, of groups on one broker, half of which are behind; and scrapes of one. */
export async function benchLagSample(
  processes: Processes,
  { topics, partitions, samples }: { topics: number; partitions: number; samples: number },
): Promise<Figures> {
  const [node] = await startKafka(processes, { nodes: 1, java: ['-Xmx2g'] });
  const brokers = [node!.address];
  const groups = Array.from({ length: topics }, (_, index) => ({ group: `g${index}`, topic: `t${index}` }));
  await fill(brokers, groups, partitions);

  const standing = new BulkOffsets({ connection: { brokers }, clock: systemClock });
  const limits = { warning: 10_000, incident: 100_000 };
  const watched = watchGroups({ standing, clock: systemClock, declared: [], others: /^g/, limits });
  const watch = createLagWatch({ ...watched, clock: systemClock });
  const times: number[] = [];
  const cpuTimes: number[] = [];
  let aged = 0;
  for (let sample = 0; sample < samples; sample++) {
    const [began, cpu] = [performance.now(), process.cpuUsage()];
    const statuses = await watch.look();
    times.push(performance.now() - began);
    const { user, system } = process.cpuUsage(cpu);
    cpuTimes.push((user + system) / 1_000);
    const all = statuses.flatMap((status) => status.partitions);
    if (all.length !== topics * partitions || all.some(({ lag }) => lag === null))
      throw new Error(`sampled ${all.filter(({ lag }) => lag !== null).length} partitions`);
    aged = all.filter(({ ageMs }) => ageMs !== null).length;
    // As far apart as samples of a watch count for.
    await sleep(2_000);
  }
  const scrapes = await scrapeTimes(watched, samples);
  await standing.close();
  return {
    name: 'lag-sample',
    figures: {
      partitions: topics * partitions,
      firstMs: times[0]!,
      medianMs: median(times.slice(1)),
      worstMs: Math.max(...times.slice(1)),
      // What a busy machine does not change much.
      cpuMs: median(cpuTimes.slice(1)),
      withAge: aged,
      scrapeMs: median(scrapes),
    },
  };
}

async function fill(
  brokers: string[],
  groups: readonly { readonly group: string; readonly topic: string }[],
  partitions: number,
): Promise<void> {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: brokers, requestTimeout: PATIENCE_MS });
  const producer = new Producer({
    clientId: 'bench',
    bootstrapBrokers: brokers,
    requestTimeout: PATIENCE_MS,
  });
  for (const { topic } of groups) await admin.createTopics({ topics: [{ topic, partitions, replicas: 1 }] });
  for (const [index, { group, topic }] of groups.entries()) {
    const messages = Array.from({ length: partitions * RECORDS }, (_, record) => ({
      topic,
      partition: record % partitions,
      value: Buffer.alloc(200, record),
    }));
    // A broker takes a while to lead a thousand partitions; what it has taken of a batch that fails, it keeps.
    await patiently(() => producer.send({ acks: 1, messages }));
    const offset = BigInt(index % 2 === 0 ? RECORDS : 2);
    const partitionOffsets = Array.from({ length: partitions }, (_, partition) => ({ partition, offset }));
    await patiently(() =>
      admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] }),
    );
  }
  await Promise.all([admin.close(), producer.close()]);
}

async function patiently(work: () => Promise<unknown>): Promise<void> {
  for (const until = performance.now() + PATIENCE_MS; ; ) {
    try {
      await work();
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await sleep(1_000);
    }
  }
}

async function scrapeTimes(
  watched: Pick<Parameters<typeof serveExporter>[0], 'source' | 'consumers'>,
  count: number,
): Promise<readonly number[]> {
  const sampled = Promise.withResolvers<void>();
  const exporter = await serveExporter({
    ...watched,
    clock: systemClock,
    host: '127.0.0.1',
    port: 0,
    intervalMs: 60_000,
    cluster: () => 'bench',
    partitions: true,
    version: '0',
    onChange: () => sampled.resolve(),
  });
  await sampled.promise;
  const times: number[] = [];
  for (let scrape = 0; scrape < count; scrape++) {
    const began = performance.now();
    await (await fetch(`${exporter.url}/metrics`)).text();
    times.push(performance.now() - began);
  }
  await exporter.close();
  return times;
}
