import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openSqliteLog } from '../../../adapters/sqlite/sqlite-log.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { logSuite } from '../../ports/log-suite.ts';
import { codeOf } from '../../rejection.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

logSuite('the SQLite log', (clock) => {
  const folder = createTemporaryFolder();
  const log = openSqliteLog({ path: join(folder.path, 'state', 'log.db'), clock });
  return {
    log,
    dispose: () => {
      log.close();
      folder.remove();
    },
  };
});

describe('the SQLite log on disk', () => {
  let folder: ReturnType<typeof createTemporaryFolder>;
  let path: string;
  const open = () => openSqliteLog({ path, clock: createFakeClock() });

  beforeEach(() => {
    folder = createTemporaryFolder();
    path = join(folder.path, 'log.db');
  });
  afterEach(() => folder.remove());

  /** Runs appenders side by side until each has acknowledged `batches`, kills them and gives all they acknowledged. */
  const appendAndKill = async (senders: readonly string[], batches: number) => {
    const acknowledged = await Promise.all(
      senders.map(async (sender) => {
        const child = spawn(
          process.execPath,
          [
            '--disable-warning=ExperimentalWarning',
            join(import.meta.dirname, 'append-until-killed.ts'),
            path,
            sender,
            '4',
          ],
          { stdio: ['ignore', 'pipe', 'inherit'] },
        );
        const lines: string[] = [];
        for await (const line of createInterface({ input: child.stdout })) {
          lines.push(line);
          if (lines.length === batches) child.kill('SIGKILL');
        }
        return lines;
      }),
    );
    return acknowledged
      .flat()
      .flatMap((line) => JSON.parse(line) as [text: string, partition: number, offset: number][]);
  };

  const readAll = async () => {
    const log = open();
    const partitions = await Promise.all(
      [0, 1, 2, 3].map((partition) => log.read({ topic: 't', partition }, 0, 1_000_000)),
    );
    log.close();
    return partitions;
  };

  test.each([
    ['one process', ['a']],
    ['three processes at once', ['a', 'b', 'c']],
  ])(
    'keeps all that %s had acknowledged when SIGKILL came, with no gap in the offsets',
    async (_, senders) => {
      for (let round = 1; round <= 2; round++) {
        const acknowledged = await appendAndKill(
          senders.map((sender) => `${sender}${round}`),
          40 * round,
        );
        const partitions = await readAll();

        expect(acknowledged.length).toBeGreaterThan(0);
        for (const [text, partition, offset] of acknowledged) {
          expect(partitions[partition]![offset]!.value!.toString()).toBe(text);
        }
        for (const records of partitions) {
          expect(records.map(({ offset }) => offset)).toEqual(records.map((_, index) => index));
        }
      }
    },
  );

  test('shows one process what another has just sent and committed', async () => {
    const publisher = open();
    const consumer = open();
    await publisher.createTopic('t', 1);
    await publisher.send('t', [{ key: null, value: Buffer.from('x') }]);
    expect(await consumer.read({ topic: 't', partition: 0 }, 0, 10)).toHaveLength(1);
    await consumer.commit('group', [{ topic: 't', partition: 0, offset: 1 }]);
    expect(await publisher.committed('group', { topic: 't', partition: 0 })).toBe(1);
    publisher.close();
    consumer.close();
  }, 180_000);

  test('appends all records of a send or none', async () => {
    const log = open();
    await log.createTopic('t', 1);
    const records = [
      { key: null, value: null },
      { key: null, value: null, timestamp: Number.NaN },
    ];
    expect(await codeOf(log.send('t', records))).toBe('PUBLISH_FAILED');
    expect((await log.bounds({ topic: 't', partition: 0 })).end).toBe(0);
    log.close();
  });

  test('refuses a file that a newer version wrote, and leaves it as it is', () => {
    open().close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(open).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
    const after = new DatabaseSync(path);
    expect(after.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: 99 });
    after.close();
  });

  test('refuses a file that is no database, and a path that cannot be one', () => {
    writeFileSync(path, 'not a database '.repeat(1_000));
    expect(open).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
    path = join(path, 'below-a-file.db');
    expect(open).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
  });
});
