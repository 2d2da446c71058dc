import { describe, expect, test } from '@jest/globals';
import { measureLag } from '../../local/lag.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryLog } from '../../testing/memory-log.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';

const topic = editorialAnalytics.topic.name;
const consumer: AnyConsumer = { ...editorialAnalytics, lag: { warning: 3, incident: 5 } };

async function logWith(records: number) {
  const clock = createFakeClock({ startsAt: 1_000 });
  const log = createMemoryLog({ clock });
  await log.createTopic(topic, 1);
  for (let index = 0; index < records; index++) {
    await log.send(topic, [{ key: Buffer.from('k'), value: null }]);
    await clock.advance(100);
  }
  return log;
}

test('a topic that does not exist yet has no partitions and no lag', async () => {
  const log = createMemoryLog({ clock: createFakeClock() });
  expect(await measureLag(log, consumer)).toMatchObject({ lag: 0, level: 'ok', partitions: [] });
});

test('counts from the committed offset', async () => {
  const log = await logWith(7);
  await log.commit(consumer.name, [{ topic, partition: 0, offset: 4 }]);
  expect(await measureLag(log, consumer)).toEqual({
    consumer: 'editorial-analytics',
    group: 'editorial-analytics',
    topic,
    lag: 3,
    level: 'warning',
    warning: 3,
    incident: 5,
    partitions: [{ partition: 0, committed: 4, end: 7, lag: 3 }],
  });
});

test('is that of the group, which need not have the consumer’s name', async () => {
  const log = await logWith(7);
  await log.commit(consumer.name, [{ topic, partition: 0, offset: 7 }]);
  await log.commit('another', [{ topic, partition: 0, offset: 5 }]);
  expect(await measureLag(log, consumer, 'another')).toMatchObject({ group: 'another', lag: 2 });
});

describe('a group that never committed counts from where it will begin', () => {
  test.each([
    ['TRIM_HORIZON' as const, 7, 'incident'],
    ['LATEST' as const, 0, 'ok'],
    [{ atTimestampMs: 1_300 }, 4, 'warning'],
  ])('%j', async (startingPosition, lag, level) => {
    const found = await measureLag(await logWith(7), { ...consumer, startingPosition });
    expect(found).toMatchObject({ lag, level, partitions: [{ committed: null, end: 7, lag }] });
  });
});

test.each([
  [2, 'ok'],
  [3, 'warning'],
  [4, 'warning'],
  [5, 'incident'],
])('%d behind is %s', async (records, level) => {
  expect((await measureLag(await logWith(records), consumer)).level).toBe(level);
});
