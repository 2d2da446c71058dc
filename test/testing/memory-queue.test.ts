import type { Clock } from '../../runtime/ports.ts';
import { createMemoryQueues } from '../../testing/memory-queue.ts';
import { embeddedQueues } from '../ports/embedded-queues.ts';
import { exactQueueSuite, queueSuite } from '../ports/queue-suite.ts';

const open = (clock: Clock) => ({ queues: createMemoryQueues({ clock }), dispose: () => {} });

queueSuite('the memory queue', () => embeddedQueues(open));
exactQueueSuite('the memory queue', () => embeddedQueues(open));
