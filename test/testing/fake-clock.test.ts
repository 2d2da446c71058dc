import { describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../testing/fake-clock.ts';

describe('the fake clock', () => {
  test('wakes sleeps in time order, equal ones in the order they began, each at its own moment', async () => {
    const clock = createFakeClock({ startsAt: 0 });
    const woken: [string, number][] = [];
    const sleep = async (name: string, ms: number) => {
      await clock.sleep(ms);
      woken.push([name, clock.now()]);
    };
    void sleep('b', 20);
    void sleep('a', 10).then(() => sleep('a again', 5));
    void sleep('c', 20);
    void sleep('late', 31);
    await clock.advance(30);
    expect(woken).toEqual([
      ['a', 10],
      ['a again', 15],
      ['b', 20],
      ['c', 20],
    ]);
    expect(clock.now()).toBe(30);
  });

  test('keeps to whole milliseconds, and never wakes early', async () => {
    const clock = createFakeClock({ startsAt: 0, autoAdvance: true });
    await clock.sleep(0.1);
    expect(clock.now()).toBe(1);
  });

  test('advances by itself only when asked to', async () => {
    const clock = createFakeClock({ startsAt: 0, autoAdvance: true });
    await Promise.all([clock.sleep(1_000_000), clock.sleep(5).then(() => clock.sleep(5))]);
    expect(clock.now()).toBe(1_000_000);
    await clock.sleep(1);
    expect(clock.now()).toBe(1_000_001);
  });

  test('ends a sleep when its signal aborts, before or while it sleeps, and forgets it', async () => {
    const clock = createFakeClock({ startsAt: 0 });
    const controller = new AbortController();
    const asleep = clock.sleep(10, controller.signal);
    controller.abort();
    await asleep;
    await clock.sleep(10, controller.signal);
    expect(clock.now()).toBe(0);
    await clock.advance(10);
    expect(clock.now()).toBe(10);
  });
});
