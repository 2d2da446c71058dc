import { createMemoryQueue } from '../../../adapters/memory/memory-queue.ts';
import { queueSuite } from '../../ports/queue-suite.ts';

queueSuite('the memory queue', (clock) => ({ queue: createMemoryQueue({ clock }), dispose: () => {} }));
