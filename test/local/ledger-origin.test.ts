import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../../adapters/postgres/pglite-driver.ts';
import { bindLedger, bindTopic, notedLedger, noteLedger } from '../../local/ledger-origin.ts';
import { openStateFolder } from '../../local/state-folder.ts';
import type { TopicLog } from '../../local/topic-log.ts';
import { createPglite } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const logOf = (id: string) => ({ id: async () => id, at: `the topics of ${id}` }) as TopicLog;
const pglite = createPglite();
const driver = pgliteDriver(pglite);
const bind = (id: string) => bindLedger(driver, logOf(id), 'a database');

beforeAll(() => migrate(driver, 'millrace', ledgerMigrations), 30_000);
afterAll(() => pglite.close());

describe('a ledger', () => {
  beforeEach(async () => {
    await bind('kafka A').catch(() => {});
    await pglite.exec('DELETE FROM millrace_ledger_origin');
  });

  test('is bound to the first log, has one name for good, and refuses every other log', async () => {
    const ledger = await bind('kafka A');
    expect(ledger).toMatch(/^[0-9a-f]{8}$/);
    expect(await bind('kafka A')).toBe(ledger);
    await expect(bind('kafka B')).rejects.toMatchObject({ code: 'STATE_UNREADABLE' });
  });

  test('that two bind at once is bound to one of them', async () => {
    const bound = await Promise.allSettled(['kafka A', 'kafka B', 'kafka A', 'kafka B'].map(bind));
    expect(bound.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected']);
    expect((await pglite.query('SELECT FROM millrace_ledger_origin')).rows).toHaveLength(1);
  });
});

test('a folder remembers its ledger for one log, and for no other', async () => {
  const temporary = createTemporaryFolder();
  const folder = openStateFolder(temporary.path);
  expect(await notedLedger(folder, logOf('kafka A'))).toBeUndefined();
  await noteLedger(folder, logOf('kafka A'), 'abc');
  expect(await notedLedger(folder, logOf('kafka A'))).toBe('abc');
  expect(await notedLedger(folder, logOf('kafka B'))).toBeUndefined();
  writeFileSync(folder.files.ledger, '');
  await expect(notedLedger(folder, logOf('kafka A'))).rejects.toMatchObject({ code: 'STATE_UNREADABLE' });
  temporary.remove();
});

describe('a consumer’s ledger', () => {
  const OLD = '00000000-0000-0000-0000-00000000000a';
  const NEW = '00000000-0000-0000-0000-00000000000b';
  const bindTo = (id: string | undefined, epoch = 1) =>
    bindTopic(
      driver,
      { topicId: async () => id, partitions: async () => 3 },
      { name: 'bound', epoch, topic: { name: 't' } as never },
    );
  const ids = async () =>
    (
      await pglite.query<{ id: string | null }>(
        `SELECT topic_id::text AS id FROM millrace_ledger WHERE consumer = 'bound' AND epoch = 1 ORDER BY partition`,
      )
    ).rows.map(({ id }) => id);

  beforeEach(() => pglite.exec(`DELETE FROM millrace_ledger WHERE consumer = 'bound'`));

  test('is bound to its topic before anything is settled, and refuses another of that name', async () => {
    await bindTo(OLD);
    await bindTo(OLD);
    expect(await ids()).toEqual([OLD, OLD, OLD]);
    await expect(bindTo(NEW)).rejects.toMatchObject({
      code: 'TOPIC_RECREATED',
      details: { consumer: 'bound', topicId: NEW, ledgerTopicId: OLD },
    });
    expect(await ids()).toEqual([OLD, OLD, OLD]);
    await bindTo(NEW, 2);
  });

  test('of an older version is bound to the topic that there is', async () => {
    await pglite.exec(
      `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next) VALUES ('bound', 1, 't', 1, 0, 9)`,
    );
    await bindTo(OLD);
    expect(await ids()).toEqual([OLD, OLD, OLD]);
  });

  test('is bound to nothing where topics have no ids', async () => {
    await bindTo(undefined);
    expect(await ids()).toEqual([]);
  });
});
