import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { beginJournal, findJournal } from '../../local/redrive-journal.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const REQUEST = { consumer: 'c', at: '.millrace', where: 'error=X' };
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

  const begin = (id = 'r-1') => beginJournal(folder, REQUEST, { id, consumer: 'c', letters: LETTERS });

  test('is found again by the same request, with its plan and what was sent', () => {
    const journal = begin();
    journal.noteSent(['c/t/0/1']);
    const found = findJournal(folder, REQUEST)!;
    expect(found.plan).toEqual({ id: 'r-1', consumer: 'c', letters: LETTERS });
    expect([...found.sent]).toEqual(['c/t/0/1']);
    found.noteSent(['c/t/0/2']);
    expect([...findJournal(folder, REQUEST)!.sent]).toEqual(['c/t/0/1', 'c/t/0/2']);
  });

  test.each([
    { ...REQUEST, consumer: 'd' },
    { ...REQUEST, at: 'prod on AWS' },
    { ...REQUEST, where: 'all' },
  ])('is not found by another request: %j', (request) => {
    begin();
    expect(findJournal(folder, request)).toBeUndefined();
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
