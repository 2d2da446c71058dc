import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openPauses, setPause } from '../../local/pauses.ts';
import { openStateFolder, type StateFolder } from '../../local/state-folder.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
let folder: StateFolder;
beforeEach(() => {
  temporary = createTemporaryFolder();
  folder = openStateFolder(temporary.path);
});
afterEach(() => temporary.remove());

test('another process sees a pause, and whoever pauses again changes nothing', () => {
  const pauses = openPauses(folder);
  expect(setPause(pauses, 'orders', { by: 'kim', at: 1, isPaused: true })).toBeNull();
  expect(setPause(pauses, 'orders', { by: 'lee', at: 2, isPaused: true })).toEqual({ by: 'kim', at: 1 });
  expect(openPauses(folder).of('orders')).toEqual({ by: 'kim', at: 1 });
  expect(openPauses(folder).of('stock')).toBeUndefined();
});

test('only what changes is told', () => {
  const pauses = openPauses(folder);
  const heard: string[] = [];
  pauses.onChange((consumer) => heard.push(consumer));
  for (const isPaused of [true, true, false, false])
    setPause(pauses, 'orders', { by: 'kim', at: 1, isPaused });
  expect(heard).toEqual(['orders', 'orders']);
  expect(pauses.of('orders')).toBeUndefined();
});

test('a note that is no JSON is refused, with what to do', () => {
  writeFileSync(folder.files.pauses, '{');
  expect(() => openPauses(folder).of('orders')).toThrow(/is not JSON\. Remove it/);
});
