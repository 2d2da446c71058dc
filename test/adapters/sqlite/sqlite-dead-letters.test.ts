import { join } from 'node:path';
import { openSqliteLog } from '../../../adapters/sqlite/sqlite-log.ts';
import { openSqliteObjects } from '../../../adapters/sqlite/sqlite-objects.ts';
import { openSqliteQueues } from '../../../adapters/sqlite/sqlite-queue.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { deadLetterSuite } from '../../ports/dead-letter-suite.ts';
import { embedded, lettersInQueue, lettersInTopic } from '../../ports/embedded-dead-letters.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

deadLetterSuite(
  'a queue on SQLite',
  async () => {
    const clock = createFakeClock();
    const folder = createTemporaryFolder();
    const queues = openSqliteQueues({ path: join(folder.path, 'queues.db'), clock });
    const objects = openSqliteObjects({ path: join(folder.path, 'objects.db'), clock });
    const rest = embedded(clock, () => {
      queues.close();
      objects.close();
      folder.remove();
    });
    return lettersInQueue({ queue: queues.queue('c-dead-letters'), objects: objects.objects('c') }, rest);
  },
  20_000,
);

deadLetterSuite(
  'a topic on SQLite',
  async () => {
    const clock = createFakeClock();
    const folder = createTemporaryFolder();
    const log = openSqliteLog({ path: join(folder.path, 'log.db'), clock });
    const rest = embedded(clock, () => {
      log.close();
      folder.remove();
    });
    return lettersInTopic(log, rest);
  },
  20_000,
);
