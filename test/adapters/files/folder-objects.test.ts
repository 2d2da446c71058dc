import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { folderObjects } from '../../../adapters/files/folder-objects.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

describe('folderObjects', () => {
  const { path: root, remove } = createTemporaryFolder();
  afterAll(remove);
  for (const key of [
    'topics/a/1/p0/2026-11-27/1.gz',
    'topics/a/1/p0/2026-11-26/2.gz',
    'topics/a/1/p10/x.gz',
  ]) {
    mkdirSync(dirname(join(root, key)), { recursive: true });
    writeFileSync(join(root, key), key);
  }
  const objects = folderObjects(root);
  const keysOf = async (prefix: string) => {
    const keys: string[] = [];
    for await (const { key } of objects.list(prefix)) keys.push(key);
    return keys;
  };

  test('objects are listed by their keys, in order', async () => {
    expect(await keysOf('topics/a/1/p0/')).toEqual([
      'topics/a/1/p0/2026-11-26/2.gz',
      'topics/a/1/p0/2026-11-27/1.gz',
    ]);
    expect(await keysOf('topics/none/')).toEqual([]);
  });

  test('folders are what stands between the prefix and the next slash', async () => {
    const names: string[] = [];
    for await (const name of objects.folders('topics/a/1/')) names.push(name);
    expect(names).toEqual(['p0', 'p10']);
  });

  test('an object has its bytes; one that is not there has none', async () => {
    expect(String(await objects.get('topics/a/1/p10/x.gz'))).toBe('topics/a/1/p10/x.gz');
    expect(await objects.get('topics/a/1/p10/y.gz')).toBeUndefined();
  });
});
