import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../../adapters/memory/fake-clock.ts';
import { createQueueDeadLetters } from '../../../adapters/queue-dead-letters.ts';
import { openSqliteQueues } from '../../../adapters/sqlite/sqlite-queue.ts';
import type { Clock } from '../../../runtime/ports.ts';
import { deadLetterStoreSuite } from '../../ports/dead-letter-store-suite.ts';
import { queueSuite } from '../../ports/queue-suite.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const openTemporary = (clock: Clock) => {
  const folder = createTemporaryFolder();
  const queues = openSqliteQueues({ path: join(folder.path, 'queues.db'), clock });
  const dispose = () => {
    queues.close();
    folder.remove();
  };
  return { queues, dispose };
};

queueSuite('the SQLite queue', (clock) => {
  const { queues, dispose } = openTemporary(clock);
  return { queue: queues.queue('q'), dispose };
});

deadLetterStoreSuite('dead letters on SQLite', () => {
  const { queues, dispose } = openTemporary(createFakeClock());
  return { letters: createQueueDeadLetters({ queueOf: queues.queue }), dispose };
});

describe('the SQLite queues on disk', () => {
  let folder: ReturnType<typeof createTemporaryFolder>;
  beforeEach(() => {
    folder = createTemporaryFolder();
  });
  afterEach(() => folder.remove());

  const open = () => openSqliteQueues({ path: join(folder.path, 'queues.db'), clock: createFakeClock() });

  test('keep messages, and who has received them, when opened again', async () => {
    const before = open();
    await before.queue('q').send(['a', 'b']);
    await before.queue('q').receive({ maxMessages: 1, visibilityMs: 1_000 });
    before.close();

    const after = open();
    expect(await after.queue('q').browse({ limit: 10 })).toMatchObject([
      { body: 'a', receiveCount: 1 },
      { body: 'b', receiveCount: 0 },
    ]);
    expect(await after.queue('q').receive({ maxMessages: 10, visibilityMs: 0 })).toMatchObject([
      { body: 'b' },
    ]);
    after.close();
  });

  test('are apart by name, receipts included', async () => {
    const queues = open();
    await queues.queue('a').send(['x']);
    await queues.queue('b').send(['y']);
    const [received] = await queues.queue('a').receive({ maxMessages: 10, visibilityMs: 1_000 });
    expect(received!.body).toBe('x');
    await queues.queue('b').delete([received!.receipt]);
    expect(await queues.queue('a').depth()).toBe(1);
    expect(await queues.queue('b').depth()).toBe(1);
    queues.close();
  });
});
