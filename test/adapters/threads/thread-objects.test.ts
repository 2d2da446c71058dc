import { MessageChannel } from 'node:worker_threads';
import { connect } from '../../../adapters/threads/calls.ts';
import { type ObjectCalls, serveObjects, threadObjects } from '../../../adapters/threads/thread-objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { objectStoreSuite } from '../../ports/object-store-suite.ts';

objectStoreSuite('another thread', async () => {
  const clock = createFakeClock();
  const channels: MessageChannel[] = [];
  return {
    async openStore() {
      const channel = new MessageChannel();
      channels.push(channel);
      connect(channel.port1, serveObjects(createMemoryObjects({ clock })));
      return threadObjects(connect<ObjectCalls>(channel.port2));
    },
    now: () => clock.now(),
    wait: (ms) => clock.advance(ms),
    clockToleranceMs: 0,
    manyObjects: 2_500,
    runs: 20,
    async dispose() {
      for (const { port1, port2 } of channels) {
        port1.close();
        port2.close();
      }
    },
  };
});
