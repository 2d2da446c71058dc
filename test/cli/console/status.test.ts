import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { LoadedApp } from '../../../cli/app.ts';
import { type ConsoleOptions, placeOf } from '../../../cli/console/context.ts';
import { createStatus, lookOf, type StatusWatch } from '../../../cli/console/status.ts';
import type { LagSession } from '../../../cli/lag-session.ts';
import { openStateFolder, tryLockStateFolder } from '../../../local/state-folder.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { ConsumerStatus } from '../../../runtime/lag/status.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../../newsdesk.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';
import { partitionOf, statusOf } from '../status-of.ts';

const app: LoadedApp = {
  ...newsdesk,
  root: NEWSDESK,
  module: new URL(`file://${NEWSDESK}/millrace.config.ts`),
};
const contextOf = (options: ConsoleOptions) => ({ app, options, place: placeOf(app, options) });

describe('one watch for all pages', () => {
  let watch: StatusWatch | undefined;
  let temporary: ReturnType<typeof createTemporaryFolder>;
  beforeEach(() => {
    temporary = createTemporaryFolder();
  });
  afterEach(async () => {
    await watch?.close();
    temporary.remove();
  });

  /** A session whose looks are given, and what was asked of it. */
  const watchOn = async (
    looks: () => Promise<readonly ConsumerStatus[]>,
    options: Partial<ConsoleOptions> = {},
  ) => {
    const asked = { opened: 0, closed: 0, looks: 0, atOnce: 0, most: 0 };
    const clock = createFakeClock();
    const open = async (): Promise<LagSession> => {
      asked.opened++;
      return {
        async look() {
          asked.looks++;
          asked.most = Math.max(asked.most, ++asked.atOnce);
          try {
            return await looks();
          } finally {
            asked.atOnce--;
          }
        },
        async close() {
          asked.closed++;
        },
      };
    };
    watch = await createStatus(contextOf({ state: join(temporary.path, 'state'), ...options }), {
      open,
      clock,
      deployedAt: async () => () => null,
    });
    return { watch, asked, clock };
  };

  test('never looks twice at once, however many ask', async () => {
    const gate = Promise.withResolvers<readonly ConsumerStatus[]>();
    const { watch, asked, clock } = await watchOn(() => gate.promise);
    const answers = [watch.look(), watch.look()];
    await clock.advance(10_000);
    answers.push(watch.look());
    gate.resolve([statusOf({ consumer: 'c' })]);
    for (const answer of await Promise.all(answers)) expect(answer.consumers).toHaveLength(1);
    expect(asked).toMatchObject({ opened: 1, looks: 1, most: 1 });
  });

  test('gives what it has while a look goes on', async () => {
    const gate = Promise.withResolvers<readonly ConsumerStatus[]>();
    const results = [Promise.resolve([statusOf({ consumer: 'c', lag: 7 })]), gate.promise];
    const { watch, asked, clock } = await watchOn(() => results.shift()!);
    const before = await watch.look();
    await clock.advance(60_000);
    expect(await watch.look()).toEqual(before);
    expect(asked.looks).toBe(2);
    gate.resolve([]);
  });

  test('says of an error that nobody foresaw its kind alone: its text may quote a record', async () => {
    const { watch } = await watchOn(() => Promise.reject(new RangeError('bad value "ada@example.org"')));
    expect((await watch.look()).problem).toBe('An unexpected error, RangeError.');
  });

  test('keeps its last looks where it cannot look, says why, and opens its session anew', async () => {
    const broken = new MillraceError('STATE_UNREADABLE', 'The folder is gone.');
    const results = [
      async () => [statusOf({ consumer: 'c', lag: 7 })],
      () => Promise.reject(broken),
      async () => [statusOf({ consumer: 'c', lag: 8 })],
    ];
    const { watch, asked, clock } = await watchOn(() => results.shift()!());
    const first = await watch.look();
    await clock.advance(2_000);
    expect(await watch.look()).toEqual({ ...first, problem: 'The folder is gone. [STATE_UNREADABLE]' });
    expect(asked).toMatchObject({ opened: 1, closed: 1 });
    await clock.advance(2_000);
    expect(await watch.look()).toMatchObject({ consumers: [{ lag: 8 }], problem: null });
    expect(asked.opened).toBe(2);
  });

  test('looks at an environment every 30 seconds, because each look costs calls', async () => {
    const { watch, asked, clock } = await watchOn(async () => [statusOf({ consumer: 'c' })], { env: 'prod' });
    for (let seconds = 0; seconds < 120; seconds += 2) {
      await watch.look();
      await clock.advance(2_000);
    }
    expect(asked.looks).toBeLessThanOrEqual(6);
    expect(asked.looks).toBeGreaterThanOrEqual(4);
  });

  test('opens its session anew where the folder was made or cleared meanwhile', async () => {
    const { watch, asked, clock } = await watchOn(async () => []);
    await watch.look();
    mkdirSync(join(temporary.path, 'state'));
    openStateFolder(join(temporary.path, 'state'));
    await clock.advance(2_000);
    await watch.look();
    await clock.advance(2_000);
    await watch.look();
    expect(asked).toMatchObject({ opened: 2, closed: 1 });
  });

  test('remembers what it has seen, and forgets nothing of a consumer that is gone for a look', async () => {
    let lag = 0;
    const { watch, clock } = await watchOn(async () =>
      ++lag === 2 ? [] : [statusOf({ consumer: 'c', lag })],
    );
    for (let n = 0; n < 3; n++) {
      await watch.look();
      await clock.advance(2_000);
    }
    expect(watch.history('c').series.lag).toEqual([1, 3]);
    expect(watch.newest('c')).toMatchObject({ lag: 3 });
    expect(watch.newest('another')).toBeUndefined();
  });

  test('starts on a folder in which nothing has run, says so, and makes none', async () => {
    const state = join(temporary.path, 'nothing');
    watch = await createStatus(contextOf({ state }));
    expect(await watch.look()).toMatchObject({
      consumers: [],
      problem: expect.stringContaining(`Nothing has run in ${state} yet`),
    });
  });

  test('says since when the process has run that has the folder', async () => {
    const state = join(temporary.path, 'state');
    const lock = tryLockStateFolder(openStateFolder(state), 'run')!;
    const earliest = Date.now() - 60_000;
    watch = await createStatus(contextOf({ state }));
    const { consumers } = await watch.look();
    lock.release();
    expect(consumers[0]?.deployedAt).toBeGreaterThan(earliest);
  });
});

describe('a consumer’s look', () => {
  test('has the words of status, and the command that says more, at the same place', () => {
    const status = statusOf({
      consumer: 'c',
      lag: 5,
      drain: { lowMs: 40_000, highMs: 50_000 },
      drainMs: 50_000,
      headroomMs: null,
      retentionMs: 'forever',
      parked: { keys: 1, records: 2, oldestAgeMs: 3 },
    });
    expect(lookOf(status, { state: 'a b', kafka: ['k:9092'], kafkaAuth: 'tls' }, 9)).toMatchObject({
      drain: '40 s to 50 s',
      headroom: '-',
      parked: { keys: 1, records: 2, oldestAgeMs: 3 },
      deployedAt: 9,
      command: "npx millrace lag explain c --state 'a b' --kafka k:9092 --kafka-auth tls",
    });
  });

  test('says why of the partitions that are not well', () => {
    const well = { ...partitionOf(0, 3), evidence: ['fine'] };
    const stuck = { ...partitionOf(1, 9), verdict: 'BLOCKED', evidence: ['held', 'more'] } as const;
    const { partitions } = lookOf(
      statusOf({ consumer: 'c', verdict: 'BLOCKED', lag: 500_000, partitions: [well, stuck] }),
      { state: '.millrace' },
      null,
    );
    expect(partitions).toEqual([
      { partition: 0, verdict: 'OK', lag: 3, ageMs: 0, committed: 7, start: 0, end: 10, why: null },
      { partition: 1, verdict: 'BLOCKED', lag: 9, ageMs: 0, committed: 7, start: 0, end: 16, why: 'held' },
    ]);
  });
});
