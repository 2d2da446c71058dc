import { createMemoryQueues } from '../../../adapters/memory/memory-queue.ts';
import type { Clock } from '../../../runtime/ports.ts';
import { embeddedQueues } from '../../ports/embedded-queues.ts';
import { exactQueueSuite, queueSuite } from '../../ports/queue-suite.ts';

const open = (clock: Clock) => ({ queues: createMemoryQueues({ clock }), dispose: () => {} });

queueSuite('the memory queue', () => embeddedQueues(open));
exactQueueSuite('the memory queue', () => embeddedQueues(open));
