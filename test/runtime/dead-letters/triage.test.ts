import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ScannedLetter, StoredLetter } from '../../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches, type Split, Triage } from '../../../runtime/dead-letters/triage.ts';
import { type ErrorCode, MillraceError } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';

let copies = 0;
function copyOf(
  of: Parameters<typeof deadLetter>[0] = {},
  { code = 'HANDLER_FAILED' as ErrorCode, at = 1_000, schemaId = 's1' as string | null } = {},
): ScannedLetter {
  const letter = deadLetter(of);
  return {
    ref: `copy-${copies++}`,
    storedAt: at,
    message: null,
    payload: null,
    letter: {
      ...letter,
      schemaId,
      failure: { ...letter.failure, code, firstFailedAt: at, lastFailedAt: at + 5 },
    },
  };
}
const unreadable: ScannedLetter = {
  ref: 'm1',
  storedAt: 7,
  message: { body: 'x' },
  error: new MillraceError('DEAD_LETTER_UNREADABLE', 'not read'),
};

describe('a filter', () => {
  const copy = copyOf({ partition: 3, offset: 42 }, { at: 1_000 });

  test.each<[LetterFilter, boolean]>([
    [{}, true],
    [{ error: 'HANDLER_FAILED' }, true],
    [{ error: 'HANDLER_REJECTED' }, false],
    [{ stage: 'handle' }, true],
    [{ stage: 'decode' }, false],
    [{ topic: 't' }, true],
    [{ topic: 'u' }, false],
    [{ partition: 3 }, true],
    [{ partition: 0 }, false],
    [{ schema: 's1' }, true],
    [{ schema: 's2' }, false],
    [{ offset: { from: 42, to: 42 } }, true],
    [{ offset: { from: 43, to: 50 } }, false],
    [{ offset: { from: 0, to: 41 } }, false],
    [{ since: 1_005 }, true],
    [{ since: 1_006 }, false],
    [{ until: 1_006 }, true],
    [{ until: 1_005 }, false],
    [{ id: 'c/t/3/42' }, true],
    [{ id: 'c/t/3/4' }, false],
    [{ error: 'HANDLER_FAILED', partition: 0 }, false],
    [{ overtaken: false }, true],
    [{ overtaken: true }, false],
  ])('%j matches: %s', (filter, expected) => {
    expect(matches(copy, filter)).toBe(expected);
  });

  test('tells overtaken letters from the others', () => {
    const overtaken = { ...copy, overtakenBy: 50 } as ScannedLetter;
    expect(matches(overtaken, { overtaken: true })).toBe(true);
    expect(matches(overtaken, { overtaken: false })).toBe(false);
    expect(matches(overtaken, { offset: { from: 42, to: 42 } })).toBe(true);
  });

  test('reaches what cannot be read by its error alone', () => {
    expect(matches(unreadable, {})).toBe(true);
    expect(matches(unreadable, { error: 'DEAD_LETTER_UNREADABLE' })).toBe(true);
    expect(matches(unreadable, { error: 'DEAD_LETTER_UNREADABLE', partition: 0 })).toBe(false);
    expect(matches(unreadable, { partition: 0 })).toBe(false);
  });
});

const text = (bytes: Buffer | null) => (bytes === null ? '-' : bytes.toString());
const WORDING = { key: text, header: text };

const groupsOf = (copies: readonly ScannedLetter[], by: readonly Split[] = []) => {
  const triage = new Triage('c', WORDING, by);
  for (const copy of copies) triage.add(copy);
  return triage.groups();
};

describe('triage', () => {
  test('words keys and headers by the topic that their record is from', () => {
    const word = (bytes: Buffer | null, topic: string) => `${topic}: ${bytes}`;
    const triage = new Triage('c', { key: word, header: word }, ['header:user']);
    for (const topic of ['users', 'orders']) {
      const headers = [{ name: 'user', value: Buffer.from('joe') }];
      triage.add(copyOf({ topic, key: Buffer.from('k1'), headers }));
    }
    expect(triage.groups().map(({ keys, split }) => [keys, split])).toEqual([
      [[{ key: 'users: k1', count: 1 }], { 'header:user': 'users: joe' }],
      [[{ key: 'orders: k1', count: 1 }], { 'header:user': 'orders: joe' }],
    ]);
  });

  test('groups by error, stage and topic, the largest first, with the times of all', () => {
    const groups = groupsOf([
      copyOf({ offset: 1 }, { code: 'AVRO_TRUNCATED', at: 500 }),
      copyOf({ offset: 2 }, { at: 3_000 }),
      { ...copyOf({ offset: 3 }, { at: 1_000 }), overtakenBy: 9 } as ScannedLetter,
      { ...copyOf({ offset: 3 }, { at: 1_000 }), overtakenBy: 9 } as ScannedLetter,
    ]);
    expect(groups).toEqual([
      {
        consumer: 'c',
        errorCode: 'HANDLER_FAILED',
        stage: 'handle',
        topic: 't',
        errorName: 'TypeError',
        location: null,
        partition: 0,
        schemaId: 's1',
        partitions: [0],
        keys: [{ key: 'key', count: 2 }],
        keyCount: 1,
        split: {},
        count: 2,
        overtaken: 1,
        firstSeenAt: 1_000,
        lastSeenAt: 3_005,
        oldestStoredAt: 1_000,
        sample: { id: 'c/t/0/2', name: 'TypeError', message: 'cannot read this' },
      },
      expect.objectContaining({ errorCode: 'AVRO_TRUNCATED', count: 1, firstSeenAt: 500 }),
    ]);
  });

  test('names partition and schema where all of a group agree, and splits by them when asked', () => {
    const mixed = [
      copyOf({ partition: 1, offset: 1 }, { schemaId: 's1' }),
      copyOf({ partition: 2, offset: 1 }, { schemaId: 's1' }),
      copyOf({ partition: 2, offset: 2 }, { schemaId: null }),
    ];
    const [whole, ...none] = groupsOf(mixed);
    expect(none).toEqual([]);
    expect(whole).not.toHaveProperty('partition');
    expect(whole).not.toHaveProperty('schemaId');
    expect(groupsOf(mixed, ['partition']).map(({ partition, count }) => [partition, count])).toEqual([
      [2, 2],
      [1, 1],
    ]);
    expect(groupsOf(mixed, ['partition', 'schema'])).toHaveLength(3);
  });

  const thrown = (name: string, frame: string, of: Parameters<typeof deadLetter>[0]) => {
    const copy = copyOf(of) as StoredLetter;
    const failure = { ...copy.letter.failure, name, stack: `${name}: cannot read this\n    at f (${frame})` };
    return { ...copy, letter: { ...copy.letter, failure } };
  };

  test('keeps two bugs of one handler apart, by the error’s name and the line that threw it', () => {
    const bugs = [
      thrown('Error', 'file:///srv/orders/consumer.ts:29:1', { offset: 1 }),
      thrown('Error', 'file:///srv/orders/consumer.ts:31:1', { offset: 2 }),
      thrown('TypeError', 'file:///srv/orders/consumer.ts:31:1', { offset: 3 }),
      thrown('TypeError', 'file:///srv/orders/consumer.ts:31:9', { offset: 4 }),
    ];
    expect(groupsOf(bugs).map(({ errorName, location, count }) => [errorName, location, count])).toEqual([
      ['TypeError', 'orders/consumer.ts:31', 2],
      ['Error', 'orders/consumer.ts:29', 1],
      ['Error', 'orders/consumer.ts:31', 1],
    ]);
    expect(bugs.filter((copy) => matches(copy, { at: 'orders/consumer.ts:31' }))).toHaveLength(3);
  });

  test('names the keys with the most letters', () => {
    const keys = ['a', 'b', 'b', 'c', 'c', 'c', 'd'].map((key) => Buffer.from(key));
    const [group] = groupsOf([
      ...keys.map((key, offset) => copyOf({ key, offset })),
      // A copy of a letter counts once.
      copyOf({ key: Buffer.from('a'), offset: 0 }),
    ]);
    expect(group).toMatchObject({
      keyCount: 4,
      keys: [
        { key: 'c', count: 3 },
        { key: 'b', count: 2 },
        { key: 'a', count: 1 },
      ],
    });
  });

  test.each<[Split, readonly object[]]>([
    ['key', [{ split: { key: '-' } }, { split: { key: 'k' } }]],
    ['header:producer', [{ split: { 'header:producer': '-' } }, { split: { 'header:producer': 'app' } }]],
  ])('splits by %s', (by, groups) => {
    const headers = [{ name: 'producer', value: Buffer.from('app') }];
    const copies = [copyOf({ key: null, offset: 1 }), copyOf({ key: Buffer.from('k'), offset: 2, headers })];
    expect(groupsOf(copies, [by])).toMatchObject(groups);
  });

  test('splits by message, but for its numbers and what it quotes', () => {
    const withMessage = (message: string, offset: number) => {
      const copy = copyOf({ offset }) as StoredLetter;
      return { ...copy, letter: { ...copy.letter, failure: { ...copy.letter.failure, message } } };
    };
    const copies = ['order 17 of "joe"', 'order 2 of "ann"', 'no currency'].map(withMessage);
    expect(groupsOf(copies, ['message']).map(({ count }) => count)).toEqual([2, 1]);
  });

  test('counts the copies of a letter once', () => {
    const copy = copyOf({ offset: 1 }) as StoredLetter;
    expect(groupsOf([copy, copyOf({ offset: 1 })])).toMatchObject([{ count: 1 }]);
    const ofNextEpoch = { ...copy, letter: { ...copy.letter, epoch: 2 } };
    expect(groupsOf([copy, ofNextEpoch])).toMatchObject([{ count: 2 }]);
  });

  test('has a letter in the group of its newest failure alone, whichever copy comes first', () => {
    const older = copyOf({ offset: 1 }, { at: 1_000 });
    const newer = copyOf({ offset: 1 }, { code: 'SINK_REJECTED', at: 2_000 });
    const other = copyOf({ offset: 2 }, { at: 1_500 });
    for (const copies of [
      [older, newer, other],
      [newer, other, older],
    ]) {
      const groups = groupsOf(copies);
      expect(groups.map(({ errorCode, count }) => [errorCode, count]).toSorted()).toEqual([
        ['HANDLER_FAILED', 1],
        ['SINK_REJECTED', 1],
      ]);
      // Never a letter that is in another group.
      expect(groups.map(({ sample }) => sample.id).toSorted()).toEqual(['c/t/0/1', 'c/t/0/2']);
      expect(groups.find(({ errorCode }) => errorCode === 'HANDLER_FAILED')).toMatchObject({
        firstSeenAt: 1_500,
      });
    }
    // It failed as before, once more.
    const again = copyOf({ offset: 1 }, { at: 3_000 });
    expect(groupsOf([older, newer, again])).toMatchObject([
      { errorCode: 'HANDLER_FAILED', count: 1, firstSeenAt: 1_000, lastSeenAt: 3_005 },
    ]);
  });

  test('has a group for what cannot be read', () => {
    expect(groupsOf([unreadable])).toMatchObject([
      { errorCode: 'DEAD_LETTER_UNREADABLE', stage: 'unreadable', count: 1, sample: { id: 'm1' } },
    ]);
  });

  test('tells which copy is the sample of its group', () => {
    const triage = new Triage('c', WORDING);
    expect([1, 2, 3].map((offset) => triage.add(copyOf({ offset })))).toEqual([true, false, false]);
  });

  test('puts every letter in one group', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ partition: fc.nat(3), offset: fc.nat(9), isBad: fc.boolean() })),
        (all) => {
          const groups = groupsOf(
            all.map(({ isBad, ...of }) => copyOf(of, { code: isBad ? 'SINK_REJECTED' : 'HANDLER_FAILED' })),
            ['partition'],
          );
          const distinct = new Set(all.map(({ partition, offset }) => `${partition}/${offset}`));
          expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(distinct.size);
        },
      ),
    );
  });
});
