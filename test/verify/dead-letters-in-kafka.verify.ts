/** Dead letters in a topic of a real Kafka, by the command line: there, looked at, given back, applied, and gone. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { editorialAnalytics } from '../../lambdas/editorial-analytics/consumer.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millraceJson, TABLES } from './newsroom.ts';
import { copyProject } from './project-copy.ts';

jest.setTimeout(180_000);

const RECORDS = 500;
const { deadLetterTopic } = editorialAnalytics;

/** Each step is a command of its own; they build on one another. */
describe('a consumer whose dead letters are in Kafka', () => {
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const state = ['--state', join(temporary.path, 'state')];
  const clean = ['--state', join(temporary.path, 'clean')];
  const traffic = createTraffic(createSeededRandom(7));
  const views = Array.from({ length: RECORDS }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
  const article = views[0]!.contentId;
  const failing = views.filter(({ contentId }) => contentId === article).length;
  const feed = ['--input', join(temporary.path, 'views.jsonl'), '--poison', '0.02', '--seed', '3'];
  let project: string;
  let brokers: string;
  let where: string[];

  beforeAll(async () => {
    const [node] = await startKafka(processes, { nodes: 1 });
    brokers = node!.address;
    where = ['--kafka', brokers, ...state];
    project = copyProject(
      join(temporary.path, 'project'),
      'lambdas/editorial-analytics/consumer.ts',
      "  sink: 'postgres',",
      "  sink: 'postgres',\n  deadLetter: 'kafka',",
    );
    writeFileSync(join(temporary.path, 'views.jsonl'), views.map((view) => JSON.stringify(view)).join('\n'));
  });
  afterAll(async () => {
    await processes.endAll();
    temporary.remove();
  });

  const run = (args: readonly string[]) => millraceJson(args, '', project);
  const tables = (of: readonly string[]) => run(['sql', TABLES, ...of]);
  const countOf = async (condition: string) =>
    (await run(['dlq', 'list', '--where', condition, ...where])).length;

  let poisoned: number;
  test('writes them there: records the handler fails on, and what is no record', async () => {
    const fail = ['--fail', `contentId=${article}`];
    const report = await run(['up', ...feed, ...fail, '--exit-when-drained', ...where]);
    poisoned = report.poisoned;
    expect(poisoned).toBeGreaterThan(3);
    expect(report).toMatchObject({ published: RECORDS, deadLettered: poisoned + failing, lag: 0 });
    expect(await written()).toBe(poisoned + failing);
  });

  test('they are listed, with their values by the schema of who wrote them', async () => {
    const listed = await run(['dlq', 'list', '--where', 'error=HANDLER_FAILED', ...where]);
    expect(listed.map(({ decoded }: { decoded: { contentId: string } }) => decoded.contentId)).toEqual(
      new Array(failing).fill(article),
    );
  });

  test('a redrive applies what the handler failed on: the tables are as if it never had', async () => {
    const redrive = ['dlq', 'redrive', '--where', 'error=HANDLER_FAILED', '--yes', ...where];
    expect(await run(redrive)).toMatchObject({ planned: failing, applied: failing, failed: 0, remaining: 0 });
    await run(['up', ...feed, '--exit-when-drained', ...clean]);
    expect(await tables(state)).toEqual(await tables(clean));
    expect(await run(redrive)).toMatchObject({ planned: 0 });
    expect(await countOf('stage=decode')).toBe(poisoned);
    // Nothing can be deleted from a topic: a record behind it closes each.
    expect(await written()).toBe(poisoned + 2 * failing);
  });

  test('a discard takes the rest off', async () => {
    const discard = ['dlq', 'discard', '--where', 'stage=decode', '--reason', 'no records', '--yes'];
    expect(await run([...discard, ...where])).toMatchObject({ discarded: poisoned });
    expect(await countOf('topic=news.pageviews')).toBe(0);
  });

  /** How many records the topic of dead letters holds. */
  async function written(): Promise<number> {
    const log = openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
    const partitions = Array.from({ length: await log.partitions(deadLetterTopic) }, (_, each) => each);
    const bounds = await Promise.all(
      partitions.map((partition) => log.bounds({ topic: deadLetterTopic, partition })),
    );
    await log.close();
    return bounds.reduce((sum, { start, end }) => sum + end - start, 0);
  }
});
