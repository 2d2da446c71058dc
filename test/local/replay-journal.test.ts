import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { beginReplay, findReplay } from '../../local/replay-journal.ts';
import { lockReplay, openStateFolder } from '../../local/state-folder.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

const of = { kind: 'gaps', consumer: 'orders', epoch: 1, at: 'here', sink: 'db' } as const;
const ranges = [{ partition: 3, ranges: [{ from: 5, to: 9 }] }];

test('a replay that did not end is found with its ends, by what it is of', () => {
  const { plan } = beginReplay(temporary.path, { ...of, ranges });
  expect(findReplay(temporary.path, of)?.plan).toEqual(plan);
  expect(plan.ranges).toEqual(ranges);
  for (const other of [
    { consumer: 'others' },
    { consumer: 'orders-g2' },
    { epoch: 2 },
    { at: 'elsewhere' },
    { sink: 'other' },
  ]) {
    expect(findReplay(temporary.path, { ...of, ...other })).toBeUndefined();
  }
});

test('one that ended is not gone on with', () => {
  beginReplay(temporary.path, { ...of, ranges }).end();
  expect(findReplay(temporary.path, of)).toBeUndefined();
  expect(readdirSync(temporary.path)).toHaveLength(1);
});

test('one that goes on with more keeps its name, and has all of its ranges on the disk', () => {
  const begun = beginReplay(temporary.path, { ...of, ranges });
  const more = [...ranges, { partition: 4, ranges: [{ from: 0, to: 2 }] }];
  const { plan } = begun.withRanges(more);
  expect(plan).toEqual({ ...begun.plan, ranges: more });
  expect(findReplay(temporary.path, of)?.plan).toEqual(plan);
});

test('one that somebody else has ended may end', () => {
  const replay = beginReplay(temporary.path, { ...of, ranges });
  replay.end();
  expect(() => replay.end()).not.toThrow();
});

test('a consumer has one replay at a time in a folder', () => {
  const folder = openStateFolder(temporary.path);
  const lock = lockReplay(folder, 'orders');
  expect(() => lockReplay(folder, 'orders')).toThrow(expect.objectContaining({ code: 'STATE_IN_USE' }));
  lockReplay(folder, 'orders-g2').release();
  lock.release();
  lockReplay(folder, 'orders').release();
});

test('a plan that cannot be read is named', () => {
  writeFileSync(join(temporary.path, 'x.json'), '{');
  expect(() => findReplay(temporary.path, of)).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }));
});

test('there is none before the first', () => {
  expect(findReplay(join(temporary.path, 'none'), of)).toBeUndefined();
});
