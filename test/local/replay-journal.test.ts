import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { beginReplay, findReplay } from '../../local/replay-journal.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

const of = { kind: 'gaps', consumer: 'orders', epoch: 1, at: 'here' } as const;
const ranges = [{ partition: 3, ranges: [{ from: 5, to: 9 }] }];

test('a replay that did not end is found with its ends, by what it is of', () => {
  const { plan } = beginReplay(temporary.path, { ...of, ranges });
  expect(findReplay(temporary.path, of)?.plan).toEqual(plan);
  expect(plan.ranges).toEqual(ranges);
  for (const other of [{ consumer: 'others' }, { epoch: 2 }, { at: 'elsewhere' }]) {
    expect(findReplay(temporary.path, { ...of, ...other })).toBeUndefined();
  }
});

test('one that ended is not gone on with', () => {
  beginReplay(temporary.path, { ...of, ranges }).end();
  expect(findReplay(temporary.path, of)).toBeUndefined();
  expect(readdirSync(temporary.path)).toHaveLength(1);
});

test('a plan that cannot be read is named', () => {
  writeFileSync(join(temporary.path, 'x.json'), '{');
  expect(() => findReplay(temporary.path, of)).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
});

test('there is none before the first', () => {
  expect(findReplay(join(temporary.path, 'none'), of)).toBeUndefined();
});
