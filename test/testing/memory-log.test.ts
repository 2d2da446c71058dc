import { createMemoryLog } from '../../testing/memory-log.ts';
import { logSuite } from '../ports/log-suite.ts';

logSuite('the memory log', (clock) => ({ log: createMemoryLog({ clock }), dispose: () => {} }));
