import { createQueueDeadLetters } from '../adapters/queue-dead-letters.ts';
import { openSqliteLog, type SqliteLog } from '../adapters/sqlite/sqlite-log.ts';
import { openSqliteQueues } from '../adapters/sqlite/sqlite-queue.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import type { DeadLetterReader, DeadLetterStore } from '../runtime/ports.ts';
import type { StateFolder } from './state-folder.ts';

/** What a state folder keeps that any number of processes may use at once: all but the sink. */
export interface Stores {
  readonly log: SqliteLog;
  readonly deadLetters: DeadLetterStore & DeadLetterReader;
  close(): void;
}

/** @throws STATE_UNREADABLE, STATE_IN_USE when a file cannot be used */
export function openStores({ files }: StateFolder): Stores {
  const log = openSqliteLog({ path: files.log, clock: systemClock });
  const queues = openSqliteQueues({ path: files.queues, clock: systemClock });
  return {
    log,
    deadLetters: createQueueDeadLetters({ queueOf: (consumer) => queues.queue(`${consumer}-dead-letters`) }),
    close() {
      log.close();
      queues.close();
    },
  };
}
