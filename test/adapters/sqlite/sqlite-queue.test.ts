import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openSqliteQueues } from '../../../adapters/sqlite/sqlite-queue.ts';
import type { Queue } from '../../../runtime/dead-letters/queue.ts';
import type { Clock } from '../../../runtime/ports.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { embeddedQueues } from '../../ports/embedded-queues.ts';
import { exactQueueSuite, queueSuite } from '../../ports/queue-suite.ts';
import { codeOf } from '../../rejection.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const open = (clock: Clock) => {
  const folder = createTemporaryFolder();
  const queues = openSqliteQueues({ path: join(folder.path, 'queues.db'), clock });
  const dispose = () => {
    queues.close();
    folder.remove();
  };
  return { queues, dispose };
};

queueSuite('the SQLite queue', () => embeddedQueues(open), 20_000);
exactQueueSuite('the SQLite queue', () => embeddedQueues(open));

const look = (queue: Queue) => Array.fromAsync(queue.scan());

describe('the SQLite queues on disk', () => {
  let folder: ReturnType<typeof createTemporaryFolder>;
  const clock = createFakeClock();
  beforeEach(() => {
    folder = createTemporaryFolder();
  });
  afterEach(() => folder.remove());

  const path = () => join(folder.path, 'queues.db');
  const open = () => openSqliteQueues({ path: path(), clock });

  test('keep messages, and who has received them, when opened again', async () => {
    const before = open();
    await before.queue('q').send([{ body: 'a', attributes: { topic: 't' } }, { body: 'b' }]);
    await before.queue('q').receive({ maxMessages: 1, visibilityMs: 1_000 });
    before.close();

    const after = open();
    expect(await look(after.queue('q'))).toMatchObject([
      { body: 'a', attributes: { topic: 't' }, receiveCount: 1 },
      { body: 'b', attributes: {}, receiveCount: 0 },
    ]);
    expect(await after.queue('q').receive({ maxMessages: 10, visibilityMs: 1_000 })).toMatchObject([
      { body: 'b' },
    ]);
    after.close();
  });

  test('are apart by name, receipts included', async () => {
    const queues = open();
    await queues.queue('a').send([{ body: 'x' }]);
    await queues.queue('b').send([{ body: 'y' }]);
    const [received] = await queues.queue('a').receive({ maxMessages: 10, visibilityMs: 1_000 });
    expect(received!.body).toBe('x');
    await queues.queue('b').delete([received!.receipt]);
    await queues.queue('b').release([received!.receipt]);
    expect(await queues.queue('a').receive({ maxMessages: 10, visibilityMs: 1_000 })).toEqual([]);
    expect(await queues.queue('a').depth()).toBe(1);
    expect(await queues.queue('b').depth()).toBe(1);
    queues.close();
  });

  test('make hidden messages of one queue visible for who knows that their holder is dead', async () => {
    const queues = open();
    for (const name of ['a', 'b']) {
      await queues.queue(name).send([{ body: name }]);
      await queues.queue(name).receive({ maxMessages: 1, visibilityMs: 60_000 });
    }
    queues.releaseAll('a');
    expect(await queues.queue('a').receive({ maxMessages: 1, visibilityMs: 1 })).toMatchObject([
      { body: 'a', receiveCount: 2 },
    ]);
    expect(await queues.queue('b').receive({ maxMessages: 1, visibilityMs: 1 })).toEqual([]);
    queues.close();
  });

  test('let one of several handles move at a time, and another one when that has died', async () => {
    const policy = { deadLetterQueue: 'dead', maxReceiveCount: 2 };
    const [dying, other] = [open(), open()];
    for (const queues of [dying, other]) queues.queue('alive', policy);
    await dying.queue('dead').send([{ body: 'a' }, { body: 'b' }]);
    // Slower than its lease lasts: it never wakes, as if its process had been killed.
    const abandoned = dying.mover('dead', 'alive').move({ maxPerSecond: 1 / 3_600 });
    expect(await codeOf(other.mover('dead', 'alive').move({ maxPerSecond: 1_000 }))).toBe('INPUT_INVALID');
    await clock.advance(10_000);
    const move = other.mover('dead', 'alive').move({ maxPerSecond: 1_000 });
    await clock.advance(10);
    expect(await move).toEqual({ moved: 1 });
    expect(await other.queue('alive').depth()).toBe(2);
    await clock.advance(3_600_000);
    await abandoned;
    dying.close();
    other.close();
  });

  test('are unavailable, by that code, when the file does not answer', async () => {
    const queues = open();
    const queue = queues.queue('q', { deadLetterQueue: 'dead', maxReceiveCount: 1 });
    const mover = queues.mover('dead', 'q');
    queues.close();
    const requests = [
      () => queue.send([{ body: 'a' }]),
      () => queue.receive({ maxMessages: 1, visibilityMs: 1 }),
      () => queue.delete(['1:1']),
      () => queue.release(['1:1']),
      () => look(queue),
      () => queue.depth(),
      () => mover.move({ maxPerSecond: 1 }),
    ];
    for (const request of requests) expect(await codeOf(request())).toBe('QUEUE_UNAVAILABLE');
  });

  /** The lines that a child of this test prints until it has ended, or until it is killed after some. */
  const linesOf = async (mode: 'send' | 'receive', killAfter = Number.POSITIVE_INFINITY) => {
    const script = join(import.meta.dirname, 'queue-process.ts');
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, path(), mode], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (lines.length === killAfter) child.kill('SIGKILL');
    }
    return lines;
  };

  test('hand each message to one of several processes', async () => {
    const queues = open();
    const sent = Array.from({ length: 300 }, (_, index) => `${index}`);
    await queues.queue('q').send(sent.map((body) => ({ body })));
    const received = await Promise.all([linesOf('receive'), linesOf('receive'), linesOf('receive')]);
    expect(received.flat().toSorted()).toEqual(sent.toSorted());
    queues.close();
  }, 180_000);

  test('keep all that a process had sent when SIGKILL came', async () => {
    const acknowledged = await linesOf('send', 40);
    const queues = open();
    const kept = new Set((await look(queues.queue('q'))).map(({ body }) => body));
    expect(acknowledged.length).toBeGreaterThanOrEqual(40);
    expect(acknowledged.filter((body) => !kept.has(body))).toEqual([]);
    queues.close();
  }, 180_000);
});
