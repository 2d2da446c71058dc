import { describe, expect, test } from '@jest/globals';
import { lookTwice, totalLag, watchLag } from '../../local/lag.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { readLogOffsets } from '../../runtime/lag/offsets.ts';
import { type Runner, unknownSample } from '../../runtime/lag/sample.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryLog } from '../../testing/memory-log.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';

const topic = editorialAnalytics.topic.name;
const running: Runner = { isRunning: true, who: 'a test' };

async function logWith(records: number) {
  const clock = createFakeClock({ startsAt: 1_000 });
  const log = createMemoryLog({ clock });
  await log.createTopic(topic, 1);
  for (let index = 0; index < records; index++) {
    await log.send(topic, [{ key: Buffer.from('k'), value: null }]);
    await clock.advance(100);
  }
  return { clock, log };
}

type World = Awaited<ReturnType<typeof logWith>>;

function watchOf(
  { clock, log }: World,
  change: Partial<AnyConsumer> = {},
  runner = running,
  group = 'g',
  commitsBeginning = true,
) {
  const consumer: AnyConsumer = { ...editorialAnalytics, lag: { warning: 3, incident: 5 }, ...change };
  return watchLag({
    log: {
      standing: {
        ...readLogOffsets(log, clock),
        retention: async (topics) => new Map(topics.map((name) => [name, 10_000])),
        runners: async () => () => running,
      },
    },
    clock,
    consumers: () => [{ declared: consumer, runs: consumer }],
    groupOf: () => group,
    deadLetters: async () => 2,
    parked: async () => null,
    runner: () => runner,
    commitsBeginning,
  });
}

const lookAt = async (world: World, change: Partial<AnyConsumer> = {}, runner = running) =>
  (await watchOf(world, change, runner).look())[0]!;

test('of a topic that does not exist nothing is known, and that is said', async () => {
  const clock = createFakeClock();
  const world = { clock, log: createMemoryLog({ clock }) };
  expect(await lookAt(world)).toMatchObject({
    lag: null,
    verdict: 'UNKNOWN',
    partitions: [],
    evidence: expect.arrayContaining([expect.stringContaining(`"${topic}" does not exist`)]),
  });
});

test('a topic that is there and holds nothing is idle', async () => {
  const world = await logWith(0);
  expect(await lookAt(world)).toMatchObject({ lag: 0, verdict: 'IDLE', partitions: [{ end: 0 }] });
});

test('counts from the committed offset of the group, with the age of the next record and its headroom', async () => {
  const world = await logWith(7);
  await world.log.commit('g', [{ topic, partition: 0, offset: 4 }]);
  await world.log.commit('another', [{ topic, partition: 0, offset: 7 }]);
  // The next record came at 1,400, and it is 1,700.
  expect(await lookAt(world)).toMatchObject({
    consumer: 'editorial-analytics',
    group: 'g',
    lag: 3,
    ageMs: 300,
    headroomMs: 9_700,
    deadLetters: 2,
    verdict: 'BEHIND',
    partitions: [{ partition: 0, committed: 4, start: 0, end: 7, lag: 3 }],
  });
});

test('a consumer that nobody runs is stalled with the first record', async () => {
  const nobody = { isRunning: false, who: 'nobody runs it' };
  expect(await lookAt(await logWith(1), {}, nobody)).toMatchObject({ lag: 1, verdict: 'STALLED' });
});

describe('a group that never committed counts from where it will begin', () => {
  test.each([
    ['TRIM_HORIZON' as const, 7],
    ['LATEST' as const, 0],
    [{ atTimestampMs: 1_300 }, 4],
  ])('%j', async (startingPosition, lag) => {
    const found = await lookAt(await logWith(7), { startingPosition });
    expect(found).toMatchObject({ lag, partitions: [{ committed: null, end: 7, lag }] });
  });

  test('a partition that came later begins at its start', async () => {
    const clock = createFakeClock({ startsAt: 1_000 });
    const log = createMemoryLog({ clock });
    await log.createTopic(topic, 2);
    for (let index = 0; index < 20; index++)
      await log.send(topic, [{ key: Buffer.from(String(index)), value: null }]);
    const { end } = await log.bounds({ topic, partition: 0 });
    await log.commit('g', [{ topic, partition: 0, offset: end }]);
    const found = await lookAt({ clock, log }, { startingPosition: 'LATEST' });
    expect(found.lag).toBe(20 - end);
    expect(found.lag).toBeGreaterThan(0);
  });
});

describe('where nobody commits beginnings, a partition without a commit', () => {
  async function halfCommitted(startingPosition: AnyConsumer['startingPosition'], isCommitted = true) {
    const clock = createFakeClock({ startsAt: 1_000 });
    const log = createMemoryLog({ clock });
    await log.createTopic(topic, 2);
    for (let index = 0; index < 20; index++) {
      await log.send(topic, [{ key: Buffer.from(String(index)), value: null }]);
      await clock.advance(100);
    }
    const [one, two] = await Promise.all([0, 1].map((partition) => log.bounds({ topic, partition })));
    if (isCommitted) await log.commit('g', [{ topic, partition: 0, offset: one!.end }]);
    const [status] = await watchOf({ clock, log }, { startingPosition }, running, 'g', false).look();
    return { status: status!, unread: two!.end };
  }

  test.each([true, false])('is unknown from LATEST on; has begun: %s', async (isCommitted) => {
    const { status, unread } = await halfCommitted('LATEST', isCommitted);
    expect(status).toMatchObject({ verdict: 'UNKNOWN', lag: null });
    expect(status.partitions[1]).toMatchObject({ verdict: 'UNKNOWN', lag: null });
    expect(status.partitions[1]!.evidence.join()).toContain(
      `of ${unread} records it may have read none or all`,
    );
  });

  test('begins at its time, wherever others stand', async () => {
    const { status } = await halfCommitted({ atTimestampMs: 10_000 });
    expect(status).toMatchObject({ lag: 0, partitions: [{ lag: 0 }, { lag: 0 }] });
  });

  test('begins at its start from TRIM_HORIZON on', async () => {
    const { status, unread } = await halfCommitted('TRIM_HORIZON');
    expect(status.lag).toBe(unread);
  });

  test('is known where it is empty', async () => {
    const world = await logWith(0);
    const [status] = await watchOf(world, { startingPosition: 'LATEST' }, running, 'g', false).look();
    expect(status).toMatchObject({ lag: 0, verdict: 'IDLE' });
  });
});

test('two looks of one command know rates', async () => {
  const world = await logWith(7);
  const samples: number[] = [];
  const source = lookTwice(
    {
      async sample() {
        samples.push(world.clock.now());
        return [];
      },
    },
    world.clock,
    1_500,
  );
  const sampled = source.sample([]);
  await world.clock.advance(1_500);
  await sampled;
  expect(samples).toEqual([1_700, 3_200]);
});

test.each([
  [2, 3],
  [20, 6],
])(
  'a command looks on while something is unknown, but not for ever: %d looks fail',
  async (failing, looks) => {
    const { clock } = await logWith(0);
    let looked = 0;
    const sample = async () => [
      looked++ < failing
        ? unknownSample('c', clock.now(), 'No.')
        : { ...unknownSample('c', clock.now(), ''), partitions: [] },
    ];
    const sampled = lookTwice({ sample }, clock, 1_500).sample([]);
    for (let second = 0; second < 12; second++) await clock.advance(1_500);
    expect(await sampled).toHaveLength(looks);
  },
);

test('a sum with something unknown in it is unknown', () => {
  expect(totalLag([{ lag: 1 }, { lag: 2 }])).toBe(3);
  expect(totalLag([{ lag: 1 }, { lag: null }])).toBeNull();
});
