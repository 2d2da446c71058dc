/** A handler bug that doubled one article, rebuilt away on a real Kafka and PostgreSQL while traffic and readers go on and processes die. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { millraceJson, start } from '../cli/millrace.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

const CONSUMER = 'editorial-analytics';
const SOUND = 'row.views++;';
const BAD = "row.views += contentId === '/about' ? 2 : 1;";
const READER_MS = 50;
/** What both tables count, in one statement: of one generation they differ by what the bug has added, or not at all. */
const SEEN = `
  SELECT (SELECT coalesce(sum(views), 0) FROM "${CONSUMER}-reader".article_minute)::int AS views,
    (SELECT coalesce(sum(pageviews), 0) FROM "${CONSUMER}-reader".session_engagement)::int AS pageviews`;
const WHOLE = `
  SELECT md5(string_agg(r, '|' ORDER BY r)) AS digest, count(*)::int AS rows FROM (
    SELECT to_jsonb(t)::text AS r FROM "${CONSUMER}-reader".article_minute t
    UNION ALL SELECT to_jsonb(t)::text FROM "${CONSUMER}-reader".session_engagement t
  ) x`;

export interface RebuildRun {
  readonly kills: number;
  /** How often readers looked, and the looks at which they saw neither the one nor the other set of tables. */
  readonly looks: number;
  readonly mixtures: readonly object[];
  /** Looks that saw the old tables after one that saw the new. */
  readonly wentBack: number;
  /** How many views the bug had added. */
  readonly doubled: number;
  readonly published: number;
  readonly views: number;
  /** Whether the tables are those of a run that never had the bug. */
  readonly isSame: boolean;
}

export async function rebuildPageviews(records: number, kills: number, seed: number): Promise<RebuildRun> {
  const random = createSeededRandom(seed);
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const project = join(temporary.path, 'project');
  copyNewsdesk(project);
  const handler = join(project, `lambdas/${CONSUMER}/consumer.ts`);
  const edit = (from: string, to: string) =>
    writeFileSync(handler, readFileSync(handler, 'utf8').replace(from, to));
  const admin = new pg.Client({ connectionString: part('MILLRACE_TEST_POSTGRES') });
  await admin.connect();
  const names = ['rebuild_verify', 'rebuild_verify_sound'];
  const urls = names.map(
    (name) => Object.assign(new URL(part('MILLRACE_TEST_POSTGRES')), { pathname: name }).href,
  );
  for (const name of names) await admin.query(`CREATE DATABASE ${name}`);
  const reader = new pg.Client({ connectionString: urls[0] });
  let up: ChildProcess | undefined;
  let watched: ReturnType<typeof watchReaders> | undefined;
  try {
    const [node] = await startKafka(processes, { nodes: 1 });
    const cluster = ['--kafka', node!.address];
    const state = ['--state', join(temporary.path, 'state'), ...cluster];
    const sink = ['--postgres', urls[0]!];
    const run = (...args: string[]) => millraceJson(args, '', project);

    const file = join(temporary.path, 'pageviews.jsonl');
    await writeTraffic(file, records, seed);
    await run('publish', 'news.pageviews', '--input', file, ...state);
    edit(SOUND, BAD);
    await run('up', '--no-publish', '--exit-when-drained', ...state, ...sink);
    edit(BAD, SOUND);

    await reader.connect();
    const { rows } = await reader.query<{ views: number; pageviews: number }>(SEEN);
    const doubled = rows[0]!.views - rows[0]!.pageviews;
    watched = watchReaders(reader, doubled);

    const startUp = () =>
      start(
        ['up', '--rate', '200', '--poison', '0', '--collector-port', '0', '--json', ...state, ...sink],
        project,
      );
    const startRebuild = () =>
      start(['rebuild', CONSUMER, '--yes', '--promote', '--json', ...state, ...sink], project);
    let killed = 0;
    while (killed < kills) {
      up ??= startUp();
      const rebuild = startRebuild();
      const over = once(rebuild, 'exit');
      await Promise.race([over, sleep(500 + random.next() * 9_500)]);
      // Sometimes who asks, sometimes who does it, sometimes both.
      const chance = random.next();
      if (chance < 0.7) {
        up.kill('SIGKILL');
        await once(up, 'exit');
        up = undefined;
        killed++;
        // Now the rebuild takes the folder over.
        if (chance < 0.35) await Promise.race([over, sleep(random.next() * 6_000)]);
      }
      if (rebuild.exitCode === null) killed++;
      rebuild.kill('SIGKILL');
      await over;
    }
    up ??= startUp();
    const last = startRebuild();
    const [code] = await once(last, 'exit');
    if (code !== 0) throw new Error(`the last rebuild ended with ${code}`);
    up.kill('SIGINT');
    await once(up, 'exit');
    up = undefined;
    await run('up', '--no-publish', '--exit-when-drained', ...state, ...sink);
    const seen = await watched.stop();

    const other = ['--state', join(temporary.path, 'sound'), ...cluster, '--postgres', urls[1]!];
    const { applied } = await run('up', '--no-publish', '--exit-when-drained', ...other);
    const sound = new pg.Client({ connectionString: urls[1] });
    await sound.connect();
    const [ours, theirs] = [await reader.query(WHOLE), await sound.query(WHOLE)];
    await sound.end();
    const [end] = (await reader.query<{ views: number }>(SEEN)).rows;
    return {
      ...seen,
      kills: killed,
      doubled,
      published: applied,
      views: end!.views,
      isSame: JSON.stringify(ours.rows) === JSON.stringify(theirs.rows),
    };
  } finally {
    up?.kill('SIGKILL');
    await watched?.stop().catch(() => {});
    await reader.end().catch(() => {});
    for (const name of names) await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
    await processes.endAll();
    temporary.remove();
  }
}

async function writeTraffic(path: string, records: number, seed: number): Promise<void> {
  const traffic = createTraffic(createSeededRandom(seed));
  const file = createWriteStream(path);
  for (let at = 0; at < records; at++) {
    const view = traffic.next(Date.UTC(2026, 10, 20) + at * 40);
    const contentId = at % 10 === 0 ? '/about' : view.contentId;
    if (!file.write(`${JSON.stringify({ ...view, contentId })}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

/** Looks every 50 ms at what readers see. */
function watchReaders(client: pg.Client, doubled: number) {
  const mixtures: object[] = [];
  let [looks, wentBack, isNew, isOver] = [0, 0, false, false];
  const watching = (async () => {
    while (!isOver) {
      const { views, pageviews } = (await client.query<{ views: number; pageviews: number }>(SEEN)).rows[0]!;
      looks++;
      if (views === pageviews) isNew = true;
      else if (views - pageviews !== doubled) mixtures.push({ views, pageviews });
      else if (isNew) wentBack++;
      await sleep(READER_MS);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await watching;
      return { looks, mixtures, wentBack };
    },
  };
}
