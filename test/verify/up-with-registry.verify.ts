/** The command line with an outside registry, on a real Kafka: nothing is registered but by `contracts register`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { type Framing, schemaIdOf } from '../../runtime/contract/framing.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './newsroom.ts';
import { part } from './part.ts';
import { copyProject, ROOT } from './project-copy.ts';

jest.setTimeout(180_000);
const TOPIC = 'news.pageviews';
const RECORDS = 500;
const traffic = createTraffic(createSeededRandom(7));
const views = Array.from({ length: RECORDS }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));

/** The steps build on one another, on a broker of their own: a contract's topic and a consumer's group have one name. */
describe.each<{
  name: string;
  framing: Framing;
  open: (project: string) => Promise<{ registry: string; from: string }>;
}>([
  { name: 'Glue', framing: 'glue', open: openGlue },
  { name: 'a registry with Confluent’s API', framing: 'confluent', open: openConfluent },
])('with $name', ({ framing, open }) => {
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  let brokers: string;
  let where: string[];
  let registry: string[];
  let publish: string[];
  let from: string;
  let ids: string[];

  beforeAll(async () => {
    const [node] = await startKafka(processes, { nodes: 1 });
    brokers = node!.address;
    const opened = await open(join(temporary.path, 'project'));
    from = opened.from;
    registry = ['--registry', opened.registry];
    where = ['--kafka', brokers, ...registry, '--state', join(temporary.path, 'state')];
    const file = join(temporary.path, 'pageviews.jsonl');
    writeFileSync(file, views.map((view) => JSON.stringify(view)).join('\n'));
    publish = ['publish', TOPIC, '--input', file, '--poison', '0.02', '--seed', '3', ...where];
  });
  afterAll(async () => {
    await processes.endAll();
    temporary.remove();
  });

  const run = (args: readonly string[]) => millrace(args, '', from);
  const runJson = (args: readonly string[]) => millraceJson(args, '', from);

  async function schemaIds(): Promise<readonly (string | null)[]> {
    const log = openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
    try {
      const partitions = Array.from({ length: await log.partitions(TOPIC) }, (_, partition) => partition);
      const records = await Promise.all(
        partitions.map((partition) => log.read({ topic: TOPIC, partition }, 0, RECORDS)),
      );
      return records.flat().map(({ value }) => schemaIdOf(framing, value));
    } finally {
      await log.close();
    }
  }

  test('publishes nothing by a version that is not registered, and does not register it', async () => {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, stderr } = await run(publish);
      expect(stderr).toMatch(/is not registered.*contracts register.*\[SCHEMA_UNKNOWN\]/);
      expect(code).toBe(1);
    }
    expect(await schemaIds()).toEqual([]);
  });

  test('registers every version of the contracts when it is told to, once', async () => {
    const register = ['contracts', 'register', ...registry];
    const registered = await runJson(register);
    ids = registered.map(({ id }: { id: string }) => id);
    expect(ids.length).toBeGreaterThan(0);
    expect(await runJson(register)).toEqual(registered);
    expect(registered.map(({ topic }: { topic: string }) => topic)).toEqual(ids.map(() => TOPIC));
  });

  let poisoned: number;
  test('publishes with the id that the registry has for the newest version', async () => {
    const report = await runJson(publish);
    expect(report).toMatchObject({ published: RECORDS, refused: 0 });
    poisoned = report.poisoned;
    const found = await schemaIds();
    expect(found).toHaveLength(RECORDS + poisoned);
    expect(found.filter((id) => id === ids.at(-1)).length).toBeGreaterThanOrEqual(RECORDS);
  });

  test('consumes what it has published, and reads the dead letters by it', async () => {
    const { contentId } = views[0]!;
    const failing = views.filter((view) => view.contentId === contentId);
    const up = ['up', '--no-publish', '--exit-when-drained', '--fail', `contentId=${contentId}`, ...where];
    expect(await runJson(up)).toMatchObject({
      applied: RECORDS - failing.length,
      deadLettered: poisoned + failing.length,
      lag: 0,
    });
    const letters = await runJson(['dlq', 'list', '--where', 'error=HANDLER_FAILED', ...where]);
    expect(letters.map(({ decoded }: { decoded: Pageview }) => decoded?.contentId)).toEqual(
      failing.map(() => contentId),
    );
  });
});

async function openGlue() {
  const RegistryName = `up-${process.pid}`;
  const endpoint = part('MILLRACE_TEST_AWS');
  // For the command line, which goes by the SDK's own settings.
  process.env.AWS_ENDPOINT_URL_GLUE = endpoint;
  const glue = new GlueClient({ endpoint });
  await glue.send(new CreateRegistryCommand({ RegistryName }));
  glue.destroy();
  return { registry: `glue:${RegistryName}`, from: ROOT };
}

/** In a copy of the project, whose topic has Confluent's framing. */
async function openConfluent(project: string) {
  const file = `contracts/${TOPIC}/topic.ts`;
  return {
    registry: part('MILLRACE_TEST_REGISTRY'),
    from: copyProject(project, file, '  versions,', "  framing: 'confluent',\n  versions,"),
  };
}
