import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openSqliteObjects } from '../../../adapters/sqlite/sqlite-objects.ts';
import type { ObjectStore } from '../../../runtime/objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { objectStoreSuite } from '../../ports/object-store-suite.ts';
import { codeOf } from '../../rejection.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

objectStoreSuite(
  'SQLite',
  async () => {
    const clock = createFakeClock();
    const folder = createTemporaryFolder();
    const file = openSqliteObjects({ path: join(folder.path, 'objects.db'), clock });
    let stores = 0;
    return {
      async openStore() {
        return file.objects(`store-${stores++}`);
      },
      now: () => clock.now(),
      wait: (ms) => clock.advance(ms),
      clockToleranceMs: 0,
      manyObjects: 2_500,
      runs: 50,
      async dispose() {
        file.close();
        folder.remove();
      },
    };
  },
  20_000,
);

describe('the SQLite object stores on disk', () => {
  let folder: ReturnType<typeof createTemporaryFolder>;
  beforeEach(() => {
    folder = createTemporaryFolder();
  });
  afterEach(() => folder.remove());

  const open = () => openSqliteObjects({ path: join(folder.path, 'objects.db'), clock: createFakeClock() });
  const keysOf = async (store: ObjectStore) => (await Array.fromAsync(store.list(''))).map(({ key }) => key);

  test('are one store to all that have the file open, and to who opens it later', async () => {
    const [writer, reader] = [open(), open()];
    await writer.objects('s').put('k', Buffer.from([0, 255]));
    expect(await reader.objects('s').get('k')).toEqual(Buffer.from([0, 255]));
    await reader.objects('s').put('l', Buffer.alloc(0));
    await reader.objects('s').delete(['k']);
    expect(await keysOf(writer.objects('s'))).toEqual(['l']);
    writer.close();
    reader.close();

    const later = open();
    expect(await keysOf(later.objects('s'))).toEqual(['l']);
    expect(await keysOf(later.objects('t'))).toEqual([]);
    later.close();
  });

  test('are unavailable, by that code, when the file does not answer', async () => {
    const file = open();
    const store = file.objects('s');
    file.close();
    const requests = [
      () => store.put('k', Buffer.from('x')),
      () => store.get('k'),
      () => keysOf(store),
      () => store.delete(['k']),
    ];
    for (const request of requests) expect(await codeOf(request())).toBe('OBJECT_STORE_UNAVAILABLE');
  });
});
