import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createFailures, type Failures } from '../../../cli/console/failures.ts';
import { parseWhere } from '../../../cli/dlq/options.ts';
import {
  type FailureGroup,
  GROUP_SORTS,
  type GroupQuery,
  type LetterRow,
  type Page,
} from '../../../console/operations.ts';
import { type Contract, defineTopic } from '../../../runtime/contract/contract.ts';
import type { ScannedLetter } from '../../../runtime/dead-letters/reader.ts';
import { alikeOf, factsOf, type LetterGroup, matches, Triage } from '../../../runtime/dead-letters/triage.ts';
import { letterKey } from '../../../runtime/delivery/dead-letter.ts';
import { type ErrorCode, MillraceError } from '../../../runtime/errors.ts';
import { CONTEXT, copyOf, lettersAtHand, thrownAt } from './letters-at-hand.ts';

const CODES = ['HANDLER_FAILED', 'AVRO_TRUNCATED', 'SINK_REJECTED'] as const;
const STAGES = ['decode', 'handle', 'write'] as const;

/** At a clock that stands still until a test moves it. */
function failuresOf(
  of: Parameters<typeof lettersAtHand>[0],
  overrides: Parameters<typeof lettersAtHand>[1] = {},
) {
  const atHand = lettersAtHand(of, overrides);
  const clock = { ms: 1_000_000, now: () => clock.ms };
  return { atHand, clock, failures: createFailures(CONTEXT, atHand.source, clock) };
}

const unreadable = (ref: string): ScannedLetter => ({
  ref,
  storedAt: 7,
  message: { body: 'x' },
  error: new MillraceError('DEAD_LETTER_UNREADABLE', 'A stored dead letter cannot be read.'),
});

/** Letters of few offsets, so that there are copies, and of few kinds, so that there are groups. */
const scanned: fc.Arbitrary<readonly ScannedLetter[]> = fc.array(
  fc
    .oneof(
      { arbitrary: fc.constant(null), weight: 1 },
      {
        weight: 9,
        arbitrary: fc.record({
          partition: fc.nat(1),
          offset: fc.nat(12),
          topic: fc.constantFrom('orders', 'old'),
          code: fc.constantFrom(...CODES),
          stage: fc.constantFrom(...STAGES),
          name: fc.constantFrom('Error', 'TypeError'),
          line: fc.option(fc.nat(2)),
          firstFailedAt: fc.nat(9),
          lastFailedAt: fc.integer({ min: 9, max: 50 }),
          storedAt: fc.nat(50),
          isOvertaken: fc.boolean(),
        }),
      },
    )
    .map((parts) => {
      if (!parts) return unreadable('unreadable');
      const { code, stage, name, line, firstFailedAt, lastFailedAt, isOvertaken, ...record } = parts;
      return copyOf({
        ...record,
        ...(isOvertaken && { overtakenBy: 99 }),
        failure: { code, stage, name, ...(line !== null && thrownAt(line)), firstFailedAt, lastFailedAt },
      });
    }),
  { maxLength: 40 },
);

/** With copies that failed as others did, at other times. */
const withMoreCopies: fc.Arbitrary<readonly ScannedLetter[]> = fc
  .tuple(scanned, fc.array(fc.tuple(fc.nat(), fc.nat(9), fc.integer({ min: 9, max: 50 }), fc.nat(50))))
  .map(([copies, more]) => [
    ...copies,
    ...more.flatMap(([at, firstFailedAt, lastFailedAt, storedAt], n) => {
      const copy = copies[at % copies.length];
      if (!copy || !('letter' in copy)) return [];
      const failure = { ...copy.letter.failure, firstFailedAt, lastFailedAt };
      return [{ ...copy, ref: `more-${n}`, storedAt, letter: { ...copy.letter, failure } }];
    }),
  ]);

/** What counts: of each letter's copies one with its newest failure. */
function newestOf(copies: readonly ScannedLetter[]): readonly ScannedLetter[] {
  const newest = new Map<string, ScannedLetter>();
  for (const copy of copies) {
    const key = 'letter' in copy ? letterKey(copy.letter) : copy.ref;
    const known = newest.get(key);
    const isOlder =
      known && 'letter' in known && 'letter' in copy
        ? known.letter.failure.lastFailedAt > copy.letter.failure.lastFailedAt
        : false;
    if (!isOlder) newest.set(key, copy);
  }
  return [...newest.values()];
}

/** Of the letters that failed so: each once, by its last failure. */
function histogramOf(copies: readonly ScannedLetter[], group: LetterGroup): readonly number[] {
  const lastFailedAt = new Map<string, number>();
  for (const facts of copies.map(factsOf)) {
    const { errorCode, stage, topic, errorName, location } = group;
    const wanted = [errorCode, stage, topic, errorName, location];
    const own = [facts.errorCode, facts.stage, facts.topic, facts.name, facts.location];
    if (wanted.join() !== own.join()) continue;
    const known = lastFailedAt.get(facts.letterKey) ?? Number.NEGATIVE_INFINITY;
    lastFailedAt.set(facts.letterKey, Math.max(known, facts.lastFailedAt));
  }
  const span = group.lastSeenAt - group.firstSeenAt;
  const histogram = new Array<number>(24).fill(0);
  for (const at of lastFailedAt.values())
    histogram[span === 0 ? 23 : Math.min(23, Math.floor(((at - group.firstSeenAt) / span) * 24))]!++;
  return histogram;
}

async function everyGroup(failures: Failures, query: GroupQuery = {}): Promise<readonly FailureGroup[]> {
  return everyPage((cursor) => failures.groups({ ...query, cursor, limit: 3 }));
}

async function everyPage<Item>(
  ask: (cursor: string | undefined) => Promise<Page<Item>>,
  between: () => void = () => {},
): Promise<readonly Item[]> {
  const items: Item[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await ask(cursor);
    items.push(...page.items);
    if (page.next === null) return items;
    cursor = page.next;
    between();
  }
}

describe('groups', () => {
  test('hold each letter once, by its newest failure, and conditions that choose exactly theirs', async () => {
    await fc.assert(
      fc.asyncProperty(scanned, fc.constantFrom(...GROUP_SORTS), async (copies, sort) => {
        const { failures } = failuresOf({ c: copies });
        const newest = newestOf(copies);
        const groups = await everyGroup(failures, { sort });
        expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(newest.length);
        expect(new Set(groups.map(({ fingerprint }) => fingerprint)).size).toBe(groups.length);
        for (const group of groups) {
          const { fingerprint, where, count, histogram } = group;
          const rows = await everyPage((cursor) =>
            failures.letters({ consumer: 'c', fingerprint, cursor, limit: 4 }),
          );
          expect(rows).toHaveLength(count);
          expect(histogram).toHaveLength(24);
          expect(histogram.reduce((sum, each) => sum + each, 0)).toBe(count);
          expect(rows.filter(({ overtakenBy }) => overtakenBy !== null)).toHaveLength(group.overtaken);
          if (where === null) continue;
          const chosen = newest.filter((copy) => matches(copy, parseWhere(where)));
          expect(chosen.map((copy) => 'letter' in copy && copy.letter.id).sort()).toEqual(
            rows.map(({ id }) => id).sort(),
          );
        }
      }),
    );
  });

  test('tell of letters what triage tells of them', async () => {
    await fc.assert(
      fc.asyncProperty(withMoreCopies, async (copies) => {
        const { failures } = failuresOf({ c: copies }, { retentionMs: 1_000 });
        const last = new Map(
          newestOf(copies).map((copy) => [factsOf(copy).letterKey, alikeOf(factsOf(copy))]),
        );
        const counted = copies.filter((copy) => last.get(factsOf(copy).letterKey) === alikeOf(factsOf(copy)));
        const triage = new Triage('c', { key: () => '', header: () => '' });
        for (const copy of copies) triage.add(copy);
        const name = (of: Pick<FailureGroup, 'stage' | 'topic' | 'errorName' | 'location'>, code: string) =>
          JSON.stringify([code, of.stage, of.topic, of.errorName, of.location]);
        const facts = (of: Pick<FailureGroup, 'count' | 'overtaken' | 'firstSeenAt' | 'lastSeenAt'>) => {
          const { count, overtaken, firstSeenAt, lastSeenAt } = of;
          return { count, overtaken, firstSeenAt, lastSeenAt };
        };
        const own = (await everyGroup(failures)).map((group) => [
          name(group, group.code),
          { ...facts(group), expiresAt: group.expiresAt, histogram: group.histogram },
        ]);
        const theirs = triage.groups().map((group) => [
          name(group, group.errorCode),
          {
            ...facts(group),
            expiresAt: group.oldestStoredAt + 1_000,
            histogram: histogramOf(counted, group),
          },
        ]);
        expect(Object.fromEntries(own)).toEqual(Object.fromEntries(theirs));
      }),
    );
  });

  test('tell when letters failed by those whose times a date can hold', async () => {
    const copies = [10, 9_007_199_254_740_991, 30].map((at, offset) =>
      copyOf({ offset, failure: { firstFailedAt: at, lastFailedAt: at } }),
    );
    const [group] = await everyGroup(failuresOf({ c: copies }).failures);
    expect(group).toMatchObject({ count: 3, firstSeenAt: 10, lastSeenAt: 30 });
    expect(group!.histogram).toEqual([1, ...Array.from({ length: 22 }, () => 0), 1]);
    const [unknown] = await everyGroup(failuresOf({ c: copies.slice(1, 2) }).failures);
    expect(unknown!.histogram).toEqual(Array.from({ length: 24 }, () => 0));
  });

  test('are found by the version that their first letter failed in', async () => {
    const copies = ['Release-41', 'Release-42'].map((functionVersion, offset) =>
      copyOf({ offset, failure: thrownAt(offset) }, { functionVersion }),
    );
    const { failures } = failuresOf({ c: copies });
    const found = await everyGroup(failures, { search: 'release-42' });
    expect(found.map(({ introducedBy }) => introducedBy)).toEqual(['Release-42']);
  });

  test('tell the same conditions as a look at all groups does', async () => {
    const copies = Array.from({ length: 9 }, (_, offset) =>
      copyOf({ offset, failure: thrownAt(offset % 3) }),
    );
    const { failures } = failuresOf({ c: copies });
    expect((await everyGroup(failures)).map(({ where }) => where).sort()).toEqual(
      [0, 1, 2].map((line) => `error=HANDLER_FAILED,at=orders/consumer.ts:${line}`),
    );
    const alone = failuresOf({ c: copies.slice(0, 1) });
    expect(await everyGroup(alone.failures)).toMatchObject([{ where: 'error=HANDLER_FAILED' }]);
  });

  test('name when they expire, the version that brought them in, and the command that helps', async () => {
    const { failures } = failuresOf(
      {
        c: [
          copyOf({ offset: 1, storedAt: 500, failure: { firstFailedAt: 20 } }, { functionVersion: '8' }),
          copyOf({ offset: 2, storedAt: 900, failure: { firstFailedAt: 10 } }, { functionVersion: '7' }),
        ],
      },
      { retentionMs: 1_000 },
    );
    expect((await failures.groups({})).items).toMatchObject([
      {
        expiresAt: 1_500,
        introducedBy: '7',
        summary: 'handle() threw an error.',
        command: 'npx millrace dlq redrive --consumer c --where error=HANDLER_FAILED',
      },
    ]);
  });

  test.each([
    ['count', ['HANDLER_FAILED', 'SINK_REJECTED', 'AVRO_TRUNCATED']],
    ['newest', ['AVRO_TRUNCATED', 'SINK_REJECTED', 'HANDLER_FAILED']],
    ['introduced', ['SINK_REJECTED', 'AVRO_TRUNCATED', 'HANDLER_FAILED']],
    ['expiry', ['AVRO_TRUNCATED', 'HANDLER_FAILED', 'SINK_REJECTED']],
  ] as const)('come by %s', async (sort, codes) => {
    const failing = (code: ErrorCode, storedAt: number, firstFailedAt: number, lastFailedAt: number) => ({
      storedAt,
      failure: { code, firstFailedAt, lastFailedAt },
    });
    const { failures } = failuresOf(
      {
        c: [
          copyOf({ offset: 1, ...failing('HANDLER_FAILED', 20, 1, 5) }),
          copyOf({ offset: 2, ...failing('HANDLER_FAILED', 20, 1, 5) }),
          copyOf({ offset: 3, ...failing('SINK_REJECTED', 30, 3, 6) }),
          copyOf({ offset: 4, ...failing('AVRO_TRUNCATED', 10, 2, 7) }),
        ],
      },
      { retentionMs: 100 },
    );
    const groups = await everyGroup(failures, { sort });
    const order = groups.map(({ code }) => code);
    expect(sort === 'count' ? order[0] : order).toEqual(sort === 'count' ? codes[0] : codes);
    const { fingerprint } = groups[1]!;
    expect((await failures.groups({ fingerprint })).items).toEqual([groups[1]]);
  });

  test('a letter that was redriven does not say which version it first failed in', async () => {
    const earlier = [
      {
        stage: 'handle' as const,
        code: 'HANDLER_FAILED' as const,
        name: 'Error',
        message: 'no',
        failedAt: 1,
      },
    ];
    const { failures } = failuresOf({ c: [copyOf({ failure: { earlier } }, { functionVersion: '9' })] });
    expect((await failures.groups({})).items).toMatchObject([{ introducedBy: null }]);
  });

  test('a message that cannot be read is a group with a row, and nothing redrives it', async () => {
    const { failures } = failuresOf({ c: [unreadable('queue:1')] });
    const { items } = await failures.groups({});
    expect(items).toMatchObject([
      { code: 'DEAD_LETTER_UNREADABLE', stage: 'unreadable', count: 1, where: null },
    ]);
    expect(items[0]!.command).toBe('npx millrace dlq triage --consumer c');
    const rows = await failures.letters({ consumer: 'c', fingerprint: items[0]!.fingerprint });
    expect(rows.items).toMatchObject([{ id: 'queue:1', key: '-' }]);
  });
});

describe('paging', () => {
  test('visits each row once, whatever comes and goes meanwhile', async () => {
    const at = fc.nat(20);
    await fc.assert(
      fc.asyncProperty(
        fc.array(at, { minLength: 1, maxLength: 30 }),
        fc.array(at, { maxLength: 30 }),
        fc.integer({ min: 1, max: 7 }),
        async (stay, come, limit) => {
          const copy = (offset: number, lastFailedAt: number) =>
            copyOf({ offset, failure: { lastFailedAt } });
          const staying = stay.map((each, n) => copy(n, each));
          const { failures, atHand } = failuresOf({ c: [...staying, copy(900, 10)] });
          let more = 0;
          const rows = await everyPage<LetterRow>(
            (cursor) => failures.letters({ consumer: 'c', cursor, limit }),
            () => {
              more++;
              // What was there for the first page goes.
              atHand.letters.set('c', [
                ...staying,
                ...come.slice(0, more).map((each, n) => copy(100 + n, each)),
              ]);
              failures.forget('c');
            },
          );
          const ids = rows.map(({ id }) => id);
          expect(new Set(ids).size).toBe(ids.length);
          expect(ids).toEqual(expect.arrayContaining(staying.map(({ letter }) => letter.id)));
        },
      ),
    );
  });

  test.each([
    'x',
    Buffer.from('[1]').toString('base64url'),
    Buffer.from('["a",1,"b"]').toString('base64url'),
  ])('refuses the cursor %j of another list', async (cursor) => {
    const { failures } = failuresOf({ c: [copyOf()] });
    await expect(failures.groups({ cursor })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  test('refuses conditions in the words of the command', async () => {
    const { failures } = failuresOf({ c: [copyOf()] });
    await expect(failures.letters({ consumer: 'c', where: 'eror=X' })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('Did you mean'),
    });
    await expect(failures.letters({ consumer: 'nobody' })).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

describe('search', () => {
  const failing = failuresOf({
    c: [
      copyOf({ offset: 1, key: Buffer.from('Ada-1'), failure: { ...thrownAt(29), name: 'RangeError' } }),
      copyOf({ offset: 2, key: Buffer.from('bob-2'), failure: { code: 'SINK_REJECTED', stage: 'write' } }),
    ],
  });

  test.each([
    ['handler_f', [1]],
    ['rangeerror', [1]],
    ['CONSUMER.ts:29', [1]],
    ['orders', [1, 2]],
    ['ada-', [1]],
    ['c/orders/0/2', [2]],
    ['nothing', []],
    ['', [1, 2]],
  ])('finds letters by %j', async (search, offsets) => {
    const { items, total } = await failing.failures.letters({ consumer: 'c', search });
    expect(items.map(({ offset }) => offset).sort()).toEqual(offsets);
    expect(total).toBe(offsets.length);
  });

  test('finds groups by their keys', async () => {
    const { items } = await failing.failures.groups({ search: 'BOB' });
    expect(items.map(({ code }) => code)).toEqual(['SINK_REJECTED']);
  });

  test('a key that is personal data is neither shown nor found', async () => {
    const people = defineTopic<{ readonly email: string }>({
      name: 'orders',
      owner: 'shop',
      key: 'email',
      versions: [
        {
          version: 1,
          schema: { type: 'record', name: 'P', fields: [{ name: 'email', type: 'string', pii: true }] },
        },
      ],
    }) as Contract<never>;
    const message = 'no such person: secret@example';
    const { failures } = failuresOf(
      {
        c: [copyOf({ key: Buffer.from('secret@example'), failure: { message, stack: `Error: ${message}` } })],
      },
      { contracts: [people] },
    );
    for (const search of ['secret', 'example', undefined]) {
      const answers = [await failures.groups({ search }), await failures.letters({ consumer: 'c', search })];
      expect(JSON.stringify(answers)).not.toContain('secret');
      expect(answers.map(({ total }) => total)).toEqual(search === undefined ? [1, 1] : [0, 0]);
    }
    expect((await failures.letters({ consumer: 'c' })).items[0]!.key).toBe('<key of 14 bytes>');
  });
});

describe('the snapshot', () => {
  test('is one scan, however many ask at once, and yields to others', async () => {
    const letters = {
      *[Symbol.iterator]() {
        for (let offset = 0; offset < 100_000; offset++) {
          yield copyOf({
            offset,
            key: Buffer.from(`k${offset % 5_000}`),
            failure: thrownAt(offset % 15_000),
          });
        }
      },
    };
    const { failures, atHand } = failuresOf({ c: letters });
    let turns = 0;
    let isScanning = true;
    const others = (async () => {
      while (isScanning) {
        turns++;
        await nextTurn();
      }
    })();
    const pages = await Promise.all([1, 2, 3].map(() => failures.groups({ limit: 200 })));
    isScanning = false;
    await others;
    expect(turns).toBeGreaterThan(100);
    expect(pages.map(({ total }) => total)).toEqual([15_000, 15_000, 15_000]);
    const found = await failures.letters({ consumer: 'c', search: 'k4242' });
    expect(found.total).toBe(20);
    expect(
      await failures.groups({
        sort: 'newest',
        limit: 200,
        cursor: (await failures.groups({ sort: 'newest' })).next!,
      }),
    ).toMatchObject({ total: 15_000 });
    expect(atHand.scans).toMatchObject({ begun: 1, read: 100_000 });
  });

  test('is given at once when it is old, and read again behind the answer', async () => {
    const { failures, atHand, clock } = failuresOf({ c: [copyOf({ offset: 1 })] });
    const { asOf } = await failures.letters({ consumer: 'c' });
    atHand.letters.set('c', []);
    clock.ms += 4_000;
    expect(await failures.letters({ consumer: 'c' })).toMatchObject({ total: 1, asOf });
    expect(atHand.scans.begun).toBe(1);
    clock.ms += 2_000;
    expect(await failures.letters({ consumer: 'c' })).toMatchObject({ total: 1, asOf });
    await failures.close();
    expect(await failures.letters({ consumer: 'c' })).toMatchObject({ total: 0, asOf: clock.ms });
    expect(atHand.scans.begun).toBe(2);
  });

  test('is not given once it is forgotten, even where it was being read then', async () => {
    const { failures, atHand } = failuresOf({ c: [copyOf({ offset: 1 })] });
    atHand.onScan = async () => {
      atHand.onScan = async () => {};
      atHand.letters.set('c', []);
      failures.forget('c');
    };
    expect(await failures.letters({ consumer: 'c' })).toMatchObject({ total: 0 });
    expect(atHand.scans).toMatchObject({ begun: 2, mostAtOnce: 1 });
  });

  test('is not read while somebody works with the letters alone', async () => {
    const { failures, atHand } = failuresOf({ c: [copyOf()] });
    await failures.letters({ consumer: 'c' });
    failures.forget('c');
    let asked: Promise<unknown> | undefined;
    await failures.alone('c', async () => {
      asked = failures.letters({ consumer: 'c' });
      await nextTurn();
      expect(atHand.scans.begun).toBe(1);
    });
    await asked;
    expect(atHand.scans.begun).toBe(2);
  });

  test('is not read for the first time while somebody works with the letters alone', async () => {
    const { failures, atHand } = failuresOf({ c: [copyOf()] });
    let asked: Promise<unknown> | undefined;
    await failures.alone('c', async () => {
      asked = failures.letters({ consumer: 'c' });
      for (let turn = 0; turn < 5; turn++) await nextTurn();
      expect(atHand.scans.begun).toBe(0);
    });
    await asked;
    expect(atHand.scans.begun).toBe(1);
  });

  test('of a consumer that cannot be reached says why, and does not hide the others', async () => {
    const down = new MillraceError('QUEUE_UNAVAILABLE', 'The queue did not answer.');
    const { failures, atHand } = failuresOf({ c: [copyOf()], other: down });
    expect(await failures.groups({})).toMatchObject({
      total: 1,
      problem: 'other: The queue did not answer. [QUEUE_UNAVAILABLE]',
    });
    atHand.letters.set('c', down);
    failures.forget('c');
    // What was known is shown still.
    expect(await failures.groups({ consumer: 'c' })).toMatchObject({
      total: 1,
      problem: expect.stringMatching(/^c: /),
    });
  });

  test('counts what matches and first failed since, but for what was planned', async () => {
    const failedAt = (firstFailedAt: number) => ({ storedAt: 900, failure: { firstFailedAt } });
    const planned = copyOf({ offset: 1, ...failedAt(600) });
    const { failures } = failuresOf({
      c: [
        planned,
        copyOf({ offset: 2, ...failedAt(500) }),
        // Failed before, and again since.
        copyOf({ offset: 3, ...failedAt(499) }),
        copyOf({ offset: 4, partition: 5, ...failedAt(600) }),
      ],
    });
    const choice = {
      filter: { partition: 0 },
      has: (key: string) => key === letterKey(planned.letter),
    };
    expect(await failures.arrived('c', choice, 500)).toBe(1);
  });
});
