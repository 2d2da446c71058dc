import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  clearStateFolder,
  existingStateFolder,
  lockLetters,
  lockStateFolder,
  openStateFolder,
  tryLockStateFolder,
  upIn,
} from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
let path: string;
beforeEach(() => {
  temporary = createTemporaryFolder();
  path = join(temporary.path, 'state');
});
afterEach(() => temporary.remove());

test('keeps its salt, and another folder has another', () => {
  const { salt } = openStateFolder(path);
  expect(salt).toHaveLength(16);
  expect(openStateFolder(path).salt).toEqual(salt);
  expect(existingStateFolder(path).salt).toEqual(salt);
  expect(openStateFolder(join(temporary.path, 'other')).salt).not.toEqual(salt);
});

describe('what is in it is for its owner alone', () => {
  const modeOf = (name: string) => statSync(join(path, name)).mode & 0o777;
  // Whatever the process that makes it would give others.
  let umask: number;
  beforeEach(() => {
    umask = process.umask(0);
  });
  afterEach(() => void process.umask(umask));

  test('folder and files, whoever makes them', async () => {
    const folder = openStateFolder(path);
    const lock = await lockStateFolder(folder);
    const stores = await openStores(folder);
    await stores.log.id();
    const files = readdirSync(path).map((name) => [name, modeOf(name).toString(8)]);
    await stores.close();
    lock.release();
    expect(modeOf('.')).toBe(0o700);
    expect(files.map(([name]) => name)).toEqual(
      expect.arrayContaining([
        'millrace.json',
        'owner.json',
        'lock.sqlite',
        'log-id',
        'log.sqlite',
        'log.sqlite-wal',
      ]),
    );
    expect(files.filter(([, mode]) => mode !== '600')).toEqual([]);
  });

  test.each([
    ['was there empty', () => mkdirSync(path, { mode: 0o755 })],
    [
      'an earlier version made',
      () => {
        openStateFolder(path);
        chmodSync(path, 0o755);
      },
    ],
  ])('a folder that %s too', (_, make) => {
    make();
    openStateFolder(path);
    expect(modeOf('.')).toBe(0o700);
    chmodSync(path, 0o711);
    existingStateFolder(path);
    expect(modeOf('.')).toBe(0o700);
  });

  test('the folders that it is made in are left as they are', () => {
    openStateFolder(join(path, 'within'));
    expect(modeOf('.')).toBe(0o777);
  });
});

describe('a folder of somebody else', () => {
  beforeEach(() => {
    mkdirSync(path);
    writeFileSync(join(path, 'thesis.txt'), 'precious');
  });

  test('is refused and left as it is', () => {
    const before = statSync(path).mode & 0o777;
    expect(() => openStateFolder(path)).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
    expect(readdirSync(path)).toEqual(['thesis.txt']);
    expect(statSync(path).mode & 0o777).toBe(before);
  });
});

test.each([
  ['a file in its place', () => writeFileSync(path, '')],
  ['a damaged marker', () => writeMarker('{"form')],
  ['a newer format', () => writeMarker('{"format":2}')],
])('%s is STATE_UNREADABLE', (_, make) => {
  make();
  expect(() => openStateFolder(path)).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
});

function writeMarker(text: string): void {
  mkdirSync(path);
  writeFileSync(join(path, 'millrace.json'), text);
}

test('looking into a folder that is not there makes none', () => {
  expect(() => existingStateFolder(path)).toThrow(
    expect.objectContaining({
      code: 'STATE_UNREADABLE',
      message: expect.stringContaining(`npx millrace up --state ${path}`),
    }),
  );
  expect(upIn('.millrace')).toBe('npx millrace up');
  expect(upIn("it's here")).toBe(`npx millrace up --state 'it'\\''s here'`);
  expect(readdirSync(temporary.path)).toEqual([]);
});

test('clearing deletes what was kept, and keeps the salt and the lock', async () => {
  const folder = openStateFolder(path);
  const lock = await lockStateFolder(folder);
  writeFileSync(folder.files.log, 'records');
  mkdirSync(folder.files.sink);
  writeFileSync(folder.files.sinkReady, '');
  clearStateFolder(folder);
  const kept = readdirSync(path).filter((name) => !name.startsWith('lock.sqlite'));
  expect(kept.sort()).toEqual(['millrace.json', 'owner.json']);
  expect(openStateFolder(path).salt).toEqual(folder.salt);
  expect(tryLockStateFolder(folder, 'look')).toBeUndefined();
  lock.release();
});

describe('the lock of letters', () => {
  const refusal = expect.objectContaining({
    code: 'STATE_IN_USE',
    message: expect.stringContaining("c's dead letters is running"),
  });

  test('lets any number give back, and nobody take away beside them', () => {
    const folder = openStateFolder(path);
    const givingBack = [1, 2].map(() => lockLetters(folder, 'c', 'give-back'));
    for (const lock of givingBack) {
      expect(() => lockLetters(folder, 'c', 'take-away')).toThrow(refusal);
      lock.release();
    }
    lockLetters(folder, 'c', 'take-away').release();
  });

  test('lets one take away, and nobody do anything beside it; another consumer is not held up', () => {
    const folder = openStateFolder(path);
    const lock = lockLetters(folder, 'c', 'take-away');
    for (const to of ['give-back', 'take-away'] as const) {
      expect(() => lockLetters(folder, 'c', to)).toThrow(refusal);
      lockLetters(folder, 'd', to).release();
    }
    lock.release();
    lockLetters(folder, 'c', 'give-back').release();
  });

  test('stays when the folder is cleared under it', () => {
    const folder = openStateFolder(path);
    const lock = lockLetters(folder, 'c', 'take-away');
    clearStateFolder(folder);
    expect(() => lockLetters(folder, 'c', 'give-back')).toThrow(refusal);
    lock.release();
  });
});

describe('the lock', () => {
  test('is one at a time, and can be taken again', async () => {
    const folder = openStateFolder(path);
    const lock = await lockStateFolder(folder);
    expect(tryLockStateFolder(folder, 'look')).toBeUndefined();
    await expect(lockStateFolder(folder)).rejects.toMatchObject({
      code: 'STATE_IN_USE',
      message: expect.stringContaining(`Process ${process.pid}`),
    });
    lock.release();
    (await lockStateFolder(folder)).release();
  });

  test('stays its owner’s where another thread of the owner tries to take it', async () => {
    const folder = openStateFolder(path);
    const lock = await lockStateFolder(folder);
    expect(tryLockStateFolder(folder, 'look')).toBeUndefined();
    const other = `new (require('node:sqlite').DatabaseSync)(process.argv[1]).exec('BEGIN EXCLUSIVE')`;
    const { stderr } = spawnSync(process.execPath, ['-e', other, join(path, 'lock.sqlite')]);
    expect(stderr.toString()).toContain('database is locked');
    lock.release();
  });

  test('is waited for while its owner only looks', async () => {
    const folder = openStateFolder(path);
    const look = tryLockStateFolder(folder, 'look')!;
    const run = lockStateFolder(folder);
    look.release();
    (await run).release();
  });

  test('of a killed process is free', async () => {
    const folder = openStateFolder(path);
    const module = new URL('../../local/state-folder.ts', import.meta.url).href;
    const script = `
      const { lockStateFolder, openStateFolder } = await import(${JSON.stringify(module)});
      globalThis.lock = await lockStateFolder(openStateFolder(${JSON.stringify(path)}));
      console.log('locked');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    expect(tryLockStateFolder(folder, 'look')).toBeUndefined();
    child.kill('SIGKILL');
    await once(child, 'exit');
    (await lockStateFolder(folder)).release();
  });
});
