/** Situations of whoever is on call, each staged on the newsdesk and solved with a few commands, as printed. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { existingStateFolder, openStateFolder } from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { type Finished, millrace, millraceJson } from './millrace.ts';

jest.setTimeout(120_000);

const TOPIC = 'news.pageviews';
const MOST_COMMANDS = 5;

let temporary: ReturnType<typeof createTemporaryFolder>;
let state: string[];
/** The commands of whoever is on call; staging has its own. */
let commands: string[][];
beforeEach(() => {
  temporary = createTemporaryFolder();
  state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  commands = [];
});
afterEach(() => {
  temporary.remove();
  expect(commands.length).toBeLessThanOrEqual(MOST_COMMANDS);
});

const onCall = (...args: string[]): Promise<Finished> => {
  commands.push(args);
  return millrace([...args, ...state]);
};

/** Runs a command that was printed, as a shell would. */
const asPrinted = (line: string): Promise<Finished> => {
  const words = line.trim().split(/\s+/).slice(2);
  commands.push(words);
  return millrace([...words, '--yes']);
};

function pageviews(count: number): Pageview[] {
  const traffic = createTraffic(createSeededRandom(5));
  return Array.from({ length: count }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
}

const lines = (views: readonly Pageview[]) => views.map((view) => JSON.stringify(view)).join('\n');
const drain = (views: readonly Pageview[], ...more: string[]) =>
  millraceJson(['up', '--input', '-', '--exit-when-drained', ...more, ...state], lines(views));
const totalViews = async () => {
  const [{ n }] = await millraceJson(['sql', 'select sum(views)::int as n from article_minute', ...state]);
  return n;
};

describe('a handler has a bug that one article meets', () => {
  test('triage names the article, its line and the command that gives the records back', async () => {
    const views = pageviews(60);
    const article = views[0]!.contentId;
    const failing = views.filter(({ contentId }) => contentId === article).length;
    await drain(views, '--fail', `contentId=${article}`);

    const triage = await onCall('dlq', 'triage', '--by', 'key');
    expect(triage.stdout).toContain('HANDLER_FAILED');
    expect(triage.stdout).toContain(article);
    const redrive = triage.stdout.split('\n').find((line) => line.includes('npx millrace dlq redrive'))!;
    const redriven = await asPrinted(redrive.slice(redrive.indexOf('npx')));
    expect(redriven.stdout + redriven.stderr).toContain(`${failing} applied`);
    expect(await totalViews()).toBe(views.length);
  });
});

describe('one producer sends what is no Avro', () => {
  test('its name is in a header, by which triage groups', async () => {
    await drain(pageviews(20));
    const stores = await openStores(existingStateFolder(state[1]!));
    const from = (producer: string) => [{ name: 'producer', value: Buffer.from(producer) }];
    const poison = Array.from({ length: 4 }, (_, n) => ({
      key: Buffer.from(`k${n}`),
      value: Buffer.from('{"contentId":"/"}'),
      headers: from(n === 0 ? 'cms' : 'old-app'),
    }));
    await stores.log.send(TOPIC, poison);
    await stores.close();
    await millraceJson(['up', '--no-publish', '--exit-when-drained', ...state]);

    const { groups } = JSON.parse(
      (await onCall('dlq', 'triage', '--by', 'header:producer', '--json')).stdout,
    );
    const counts = groups.map(({ count, errorCode }: { count: number; errorCode: string }) => [
      errorCode,
      count,
    ]);
    expect(counts).toEqual([
      ['FRAME_UNKNOWN', 3],
      ['FRAME_UNKNOWN', 1],
    ]);
    expect(JSON.stringify(groups[0])).toContain('old-app');
  });
});

describe('dead letters are about to expire', () => {
  test('triage says how old they are, an export keeps them, and an import brings them back', async () => {
    const views = pageviews(40);
    const article = views[0]!.contentId;
    await drain(views, '--fail', `contentId=${article}`);
    const file = join(temporary.path, 'letters.jsonl');

    expect((await onCall('dlq', 'triage')).stdout).toMatch(/oldest \d+ s/);
    await onCall('dlq', 'export', '--output', file);
    const letters = readFileSync(file, 'utf8').trim().split('\n').length;
    await onCall('dlq', 'discard', '--reason', 'about to expire', '--yes');
    await onCall('dlq', 'import', '--input', file);
    const redriven = await onCall('dlq', 'redrive', '--yes');
    expect(redriven.stdout + redriven.stderr).toContain(`${letters} applied`);
    expect(await totalViews()).toBe(views.length);
  });
});

describe('a topic was deleted and created again', () => {
  test('nothing is applied or dropped, and the message names the cure', async () => {
    const views = pageviews(30);
    await drain(views);
    const { files } = openStateFolder(state[1]!);
    const log = new DatabaseSync(files.log);
    log.exec('DELETE FROM records');
    log.close();

    const up = await onCall('up', '--input', writtenTo('again.jsonl', views), '--exit-when-drained');
    expect(up.code).toBe(1);
    expect(up.stderr).toContain('TOPIC_RECREATED');
    expect(up.stderr).toContain('Raise the consumer');
    expect(await totalViews()).toBe(views.length);
  });
});

describe('a producer has a version of the schema that no contract knows', () => {
  test('triage names the code and the id of the schema', async () => {
    await drain(pageviews(20));
    const stores = await openStores(existingStateFolder(state[1]!));
    const unknown = Buffer.concat([Buffer.from([3, 0]), Buffer.alloc(16, 7), Buffer.from([0])]);
    await stores.log.send(TOPIC, [{ key: Buffer.from('k'), value: unknown }]);
    await stores.close();
    await millraceJson(['up', '--no-publish', '--exit-when-drained', ...state]);

    const triage = await onCall('dlq', 'triage', '--by', 'schema');
    expect(triage.stdout).toContain('SCHEMA_UNKNOWN');
    expect(triage.stdout).toContain('07070707-0707-0707-0707-070707070707');
  });
});

function writtenTo(name: string, views: readonly Pageview[]): string {
  const path = join(temporary.path, name);
  if (!existsSync(path)) writeFileSync(path, lines(views));
  return path;
}
