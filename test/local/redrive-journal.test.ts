import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { beginJournal, findJournal } from '../../local/redrive-journal.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const REQUEST = { consumer: 'c', at: '.millrace', where: 'error=X', mayBeOvertaken: false };
const LETTERS = new Map([
  ['c/t/0/1', ['1', '2']],
  ['c/t/0/2', ['3']],
]);

describe('the journal of a redrive', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let folder: string;
  beforeEach(() => {
    temporary = createTemporaryFolder();
    folder = join(temporary.path, 'redrives');
  });
  afterEach(() => temporary.remove());

  const plan = {
    id: 'r-1',
    consumer: 'c',
    letters: LETTERS,
    behind: new Map([['c/t/0/2', 'c/t/0/1']]),
    leftOut: 3,
    overtaken: 1,
    passing: 2,
    mayBeOvertaken: false,
  };
  const begin = () => beginJournal(folder, REQUEST, plan);

  test('is found again by the same request, with its plan and what was sent', () => {
    const journal = begin();
    journal.noteSent(['c/t/0/1']);
    const found = findJournal(folder, REQUEST)!;
    expect(found.plan).toEqual(plan);
    expect([...found.sent]).toEqual(['c/t/0/1']);
    found.noteSent(['c/t/0/2']);
    expect([...findJournal(folder, REQUEST)!.sent]).toEqual(['c/t/0/1', 'c/t/0/2']);
  });

  test('is taken by one redrive at a time, which a look keeps nobody from', () => {
    const journal = begin();
    const [one, other] = [findJournal(folder, REQUEST)!, findJournal(folder, REQUEST)!];
    expect(one.isTaken()).toBe(false);
    const lock = journal.take();
    expect(one.isTaken()).toBe(true);
    expect(() => one.take()).toThrow(expect.objectContaining({ code: 'STATE_IN_USE' }));
    journal.noteSent(['c/t/0/1']);
    lock.release();
    expect(one.isTaken()).toBe(false);
    const again = other.take();
    expect([...other.sent]).toEqual(['c/t/0/1']);
    other.end();
    again.release();
    expect(() => one.take()).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    expect(readdirSync(folder)).toEqual(['r-1.jsonl']);
  });

  test.each([
    { ...REQUEST, consumer: 'd' },
    { ...REQUEST, at: 'prod on AWS' },
    { ...REQUEST, where: 'all' },
    { ...REQUEST, mayBeOvertaken: true },
  ])('is not found by another request: %j', (request) => {
    begin();
    expect(findJournal(folder, request)).toBeUndefined();
  });

  test('that an earlier version began is gone on with: it kept no order, and left nothing out', () => {
    const { id, consumer, letters } = plan;
    const { mayBeOvertaken: _, ...request } = REQUEST;
    const entry = { type: 'plan', begunAt: '2026-11-01T00:00:00.000Z', ...request, id, consumer };
    mkdirSync(folder);
    writeFileSync(join(folder, 'r-1.jsonl'), JSON.stringify({ ...entry, letters: [...letters] }));
    expect(findJournal(folder, REQUEST)!.plan).toEqual({
      ...plan,
      behind: new Map(),
      leftOut: 0,
      overtaken: 0,
      passing: 0,
    });
  });

  test('is not found once it has ended, nor where there is none', () => {
    expect(findJournal(folder, REQUEST)).toBeUndefined();
    begin().end();
    expect(findJournal(folder, REQUEST)).toBeUndefined();
  });

  test('is read up to where a kill cut it short', () => {
    const journal = begin();
    journal.noteSent(['c/t/0/1']);
    appendFileSync(join(folder, readdirSync(folder)[0]!), '{"type":"sent","ids":["c/t');
    const found = findJournal(folder, REQUEST)!;
    expect([...found.sent]).toEqual(['c/t/0/1']);
    found.noteSent(['c/t/0/2']);
    expect([...findJournal(folder, REQUEST)!.sent]).toEqual(['c/t/0/1', 'c/t/0/2']);
  });
});
