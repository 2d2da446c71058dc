import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openDatabase, openReadOnly } from '../../../adapters/sqlite/open-database.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const MIGRATIONS = ['CREATE TABLE a (x INTEGER) STRICT'];

describe('a database that may only be read', () => {
  let folder: ReturnType<typeof createTemporaryFolder>;
  let path: string;
  beforeEach(() => {
    folder = createTemporaryFolder();
    path = join(folder.path, 'a.sqlite');
  });
  afterEach(() => folder.remove());

  test('is read without a file made beside it, and is not written', () => {
    const writing = openDatabase(path, MIGRATIONS);
    writing.exec('INSERT INTO a VALUES (7)');
    writing.close();
    const reading = openReadOnly(path, MIGRATIONS);
    expect(reading.prepare('SELECT x FROM a').all()).toEqual([{ x: 7 }]);
    expect(() => reading.exec('INSERT INTO a VALUES (8)')).toThrow('readonly');
    reading.close();
    expect(existsSync(`${path}-wal`)).toBe(false);
  });

  test('is read as it is while another process writes to it', () => {
    const writing = openDatabase(path, MIGRATIONS);
    const reading = openReadOnly(path, MIGRATIONS);
    writing.exec('INSERT INTO a VALUES (7)');
    expect(reading.prepare('SELECT x FROM a').all()).toEqual([{ x: 7 }]);
    reading.close();
    writing.close();
  });

  test('is refused where it would have to be brought up to date first', () => {
    openDatabase(path, MIGRATIONS).close();
    expect(() => openReadOnly(path, [...MIGRATIONS, 'CREATE TABLE b (x INTEGER) STRICT'])).toThrow(
      /has format 1; .* reads up to 2\. Make the folder writable/,
    );
  });
});

/** A console beside a run has the run's files open in the run's own process, time and again. */
test('a file that this process opens twice is not let go of by the second', () => {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'a.sqlite');
  const first = openDatabase(path, MIGRATIONS);
  first.exec('INSERT INTO a VALUES (7)');
  openDatabase(path, MIGRATIONS).close();
  // Whoever believes to be the last one takes the file's log of changes away.
  const other = `new (require('node:sqlite').DatabaseSync)(process.argv[1]).exec('INSERT INTO a VALUES (8)')`;
  expect(spawnSync(process.execPath, ['-e', other, path]).status).toBe(0);
  first.exec('INSERT INTO a VALUES (9)');
  const reading = openReadOnly(path, MIGRATIONS);
  expect(reading.prepare('SELECT x FROM a ORDER BY x').all()).toEqual([{ x: 7 }, { x: 8 }, { x: 9 }]);
  for (const each of [reading, first]) each.close();
  folder.remove();
});
