import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../testing/memory-objects.ts';
import { objectStoreSuite } from '../ports/object-store-suite.ts';

objectStoreSuite('memory', async () => {
  const clock = createFakeClock();
  return {
    async openStore() {
      return createMemoryObjects({ clock });
    },
    now: () => clock.now(),
    wait: (ms) => clock.advance(ms),
    clockToleranceMs: 0,
    manyObjects: 2_500,
    runs: 100,
    async dispose() {},
  };
});
