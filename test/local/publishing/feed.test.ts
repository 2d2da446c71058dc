import { describe, expect, test } from '@jest/globals';
import { type FeedOptions, type Source, startFeed } from '../../../local/publishing/feed.ts';
import type { ValuePublisher } from '../../../local/publishing/value-publisher.ts';
import type { InputItem } from '../../../runtime/app.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';

/** Refuses odd numbers. */
function evenPublisher(): ValuePublisher<number> & { readonly sent: number[] } {
  const sent: number[] = [];
  return {
    sent,
    async send(values) {
      sent.push(...values.filter((value) => value % 2 === 0));
      const refused = values.flatMap((value, index) =>
        value % 2 ? [{ index, reason: `${value} is odd` }] : [],
      );
      return { refused, poisoned: values.length > 0 ? 1 : 0 };
    },
  };
}

function listSource(items: readonly InputItem<number>[]): Source<number> {
  const left = [...items];
  return { take: async (max) => left.splice(0, max) };
}

const endless: Source<number> = {
  take: async (max) => Array.from({ length: max }, (_, index) => ({ kind: 'value', line: index, value: 0 })),
};

function feed(options: Partial<FeedOptions<number>>) {
  return startFeed({
    source: endless,
    publisher: evenPublisher(),
    ratePerSecond: Number.POSITIVE_INFINITY,
    clock: createFakeClock({ autoAdvance: true }),
    ...options,
  });
}

test('counts every item once, by what became of it, and sends values in order', async () => {
  const publisher = evenPublisher();
  const items: InputItem<number>[] = [
    { kind: 'value', line: 1, value: 2 },
    { kind: 'ignored', line: 2 },
    { kind: 'value', line: 3, value: 3 },
    { kind: 'malformed', line: 4, reason: 'no number' },
    { kind: 'value', line: 5, value: 4 },
  ];
  const running = feed({ source: listSource(items), publisher });
  await running.done;
  expect(publisher.sent).toEqual([2, 4]);
  expect(running.counts()).toEqual({ published: 2, refused: 1, ignored: 1, malformed: 1, poisoned: 1 });
  expect(running.complaints()).toEqual([
    { kind: 'refused', line: 3, reason: '3 is odd' },
    { kind: 'malformed', line: 4, reason: 'no number' },
  ]);
});

test('keeps only the first complaints, and counts them all', async () => {
  const items = Array.from(
    { length: 25 },
    (_, line): InputItem<number> => ({ kind: 'malformed', line, reason: '' }),
  );
  const running = feed({ source: listSource(items) });
  await running.done;
  expect(running.complaints().map(({ line }) => line)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(running.counts().malformed).toBe(25);
});

describe('the rate', () => {
  test.each([0.5, 3, 200, 12_345])('of %d a second comes about', async (ratePerSecond) => {
    const clock = createFakeClock();
    const running = feed({ ratePerSecond, clock });
    await clock.advance(20_000);
    running.stop();
    await running.done;
    const expected = ratePerSecond * 20;
    expect(Math.abs(running.counts().published - expected)).toBeLessThanOrEqual(Math.max(1, expected * 0.01));
  });

  test('follows busy and quiet hours', async () => {
    const clock = createFakeClock();
    const running = feed({ source: { ...endless, load: () => 2 }, ratePerSecond: 100, clock });
    await clock.advance(10_000);
    running.stop();
    expect(running.counts().published).toBeGreaterThan(1_980);
  });
});

test('stops when told to, and says so', async () => {
  const running = feed({ ratePerSecond: 1 });
  running.stop();
  await running.done;
  expect(running.counts().published).toBe(0);
});

test('a source or a publisher that fails ends it with that error', async () => {
  const broken = new Error('broken');
  const fail = () => Promise.reject(broken);
  await expect(feed({ source: { take: fail } }).done).rejects.toBe(broken);
  await expect(feed({ publisher: { send: fail } }).done).rejects.toBe(broken);
});
