import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../adapters/system/system-clock.ts';

describe('the system clock', () => {
  test('sleeps and wakes', async () => {
    await expect(systemClock.sleep(1)).resolves.toBeUndefined();
  });

  test('wakes at once when its signal aborts, before or while it sleeps', async () => {
    const controller = new AbortController();
    const asleep = systemClock.sleep(1_000_000, controller.signal);
    controller.abort();
    await asleep;
    await systemClock.sleep(1_000_000, controller.signal);
  });
});
