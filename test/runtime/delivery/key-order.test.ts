/** A key's order around its dead letters, one case at a time: promise 3 of docs/delivery.md. */
import { describe, expect, test } from '@jest/globals';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import type { EnginePorts } from '../../../runtime/delivery/engine.ts';
import { MOST_LETTERS } from '../../../runtime/delivery/settle.ts';
import { type KeyChange, NO_CHANGE, parkedBytes } from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { eventRecord, events } from '../events.ts';
import { apply, batchOf, type Context, type Records, setUp } from './engine-fixture.ts';

const LEDGER = { consumer: 'tested', epoch: 1 };
const PARKING = { onDeadLetter: 'park-key' } as const;

/** Records of partition 0, one for each key, which is a letter; "-" is no key. */
const keyed = (keys: string, partition = 0, from = 0) =>
  Array.from(keys, (key, at) =>
    eventRecord(partition, from + at, { key: key === '-' ? null : Buffer.from(key) }),
  );

/** A consumer whose handler fails for some offsets until it is mended. */
function setUpFailing(
  bad: readonly number[],
  declaration: Partial<AnyConsumer> = PARKING,
  {
    by = 'throw',
    before = () => {},
    ...ports
  }: Partial<EnginePorts> & {
    readonly by?: 'throw' | 'fail' | 'hold';
    /** Called for each record that does not fail otherwise. */
    readonly before?: (record: { readonly offset: number }) => void;
  } = {},
) {
  const handler = { bad: new Set(bad) };
  const world = setUp(
    async (records, context) => {
      const sound = records.filter(({ offset }) => !handler.bad.has(offset));
      for (const record of records.filter((each) => !sound.includes(each))) {
        if (by === 'throw') throw new Error('bad');
        if (by === 'hold') throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'down');
        context.fail(record, new Error('bad'));
      }
      sound.forEach(before);
      await apply(sound, context);
    },
    ports,
    declaration,
  );
  const sink = (ports.sink as MemorySink | undefined) ?? world.sink;
  return {
    ...world,
    handler,
    applied: () =>
      ((sink.value('applied') as string[] | undefined) ?? []).map((id) => Number(id.split('/')[1])),
    letterOffsets: () => world.letters.map(({ record }) => record.offset),
    redrive: (offsets: readonly number[], options: { forMs?: number; permitted?: boolean } = {}) =>
      world.engine.redrive(
        offsets.map((at) => world.letters.findLast(({ record }) => record.offset === at)!),
        world.invocation(options),
        () => options.permitted ?? false,
      ),
    remembered: (partition = 0) => {
      const { letters, parked, isDraining } = sink.keys.of(LEDGER, { topic: events.name, partition });
      return { letters: [...letters.keys()], parked: [...parked.keys()], isDraining };
    },
    write: (change: Partial<KeyChange>, partition = 0) =>
      sink.transaction(async ({ lockLedgers, keys }) => {
        await lockLedgers(LEDGER, [{ topic: events.name, partition, from: 0, to: 1 }]);
        await keys!.write(LEDGER, { ...NO_CHANGE, ...change });
      }),
  };
}

const NOTHING = { letters: [], parked: [], isDraining: false };

describe('park-key', () => {
  test.each(['throw', 'fail'] as const)(
    'later records of a letter are parked, others go on, and a redrive applies them in order: %s',
    async (by) => {
      const { deliver, redrive, handler, applied, letterOffsets, remembered, ledger, reports } = setUpFailing(
        [2],
        PARKING,
        { by },
      );
      await deliver(keyed('abab-a-b'));
      expect([applied(), letterOffsets()]).toEqual([[0, 1, 3, 4, 6, 7], [2]]);
      expect(remembered()).toEqual({ letters: [2], parked: [5], isDraining: false });
      // Parked is settled: it is no hole.
      expect(ledger()).toMatchObject({ next: 8, holes: [{ from: 2, to: 3 }] });
      expect(reports.at(-1)).toMatchObject({ applied: 6, deadLettered: 1, parked: 1, returned: 0 });

      await deliver(keyed('aba', 0, 8));
      expect(remembered()).toEqual({ letters: [2], parked: [5, 8, 10], isDraining: false });

      handler.bad.clear();
      expect(await redrive([2])).toEqual(['applied']);
      expect(applied()).toEqual([0, 1, 3, 4, 6, 7, 9, 2, 5, 8, 10]);
      expect([remembered(), ledger()!.holes]).toEqual([NOTHING, []]);
      // The key is open: nothing waits any more.
      await deliver(keyed('a', 0, 11));
      expect(applied().at(-1)).toBe(11);
    },
  );

  test('a record that cannot be read holds its key as well, by the bytes of the key', async () => {
    const { deliver, applied, remembered } = setUpFailing([]);
    const [first, ...rest] = [0xff, 0xff, 0xfe].map((byte, offset) =>
      eventRecord(0, offset, { key: Buffer.from([byte]) }),
    );
    await deliver([{ ...first!, value: Buffer.from('garbage') }, ...rest]);
    expect(applied()).toEqual([2]);
    expect(remembered()).toMatchObject({ letters: [0], parked: [1] });
  });

  test('a batch that is delivered again applies nothing, parks nothing twice, and opens no key', async () => {
    const { deliver, handler, applied, letterOffsets, remembered, reports } = setUpFailing([0]);
    await deliver(keyed('aab'));
    handler.bad.clear();
    await deliver(keyed('aab'));
    expect([applied(), letterOffsets()]).toEqual([[2], [0]]);
    expect(remembered()).toEqual({ letters: [0], parked: [1], isDraining: false });
    expect(reports.at(-1)).toMatchObject({ applied: 0, duplicates: 3, parked: 0 });
  });

  test('a letter that fails again stays its key’s only one', async () => {
    const { deliver, redrive, applied, letterOffsets, remembered } = setUpFailing([0, 1]);
    await deliver(keyed('aaa'));
    expect(await redrive([0])).toEqual(['deadLettered']);
    expect([applied(), letterOffsets()]).toEqual([[], [0, 0]]);
    expect(remembered()).toEqual({ letters: [0], parked: [1, 2], isDraining: false });
  });

  test('a parked record that fails becomes the letter, and those behind it stay parked', async () => {
    const { deliver, redrive, handler, applied, letterOffsets, remembered, ledger } = setUpFailing([0, 2]);
    await deliver(keyed('aaaab'));
    handler.bad.delete(0);
    expect(await redrive([0])).toEqual(['applied']);
    expect([applied(), letterOffsets()]).toEqual([
      [4, 0, 1],
      [0, 2],
    ]);
    expect(remembered()).toEqual({ letters: [2], parked: [3], isDraining: false });
    expect(ledger()!.holes).toEqual([{ from: 2, to: 3 }]);
    handler.bad.clear();
    expect(await redrive([2])).toEqual(['applied']);
    expect([applied(), remembered()]).toEqual([[4, 0, 1, 2, 3], NOTHING]);
  });

  test('of two drains at once, the second applies nothing behind a record that failed in the first', async () => {
    const first = setUpFailing([0, 1]);
    await first.deliver(keyed('aaa'));
    let isBetween = false;
    // The other instance of the function drains between the second's look and its transaction.
    const sink: EnginePorts['sink'] = {
      async transaction(work, signal) {
        let looked = false;
        const result = await first.sink.transaction(({ keys, ...opened }) => {
          const nextParked: NonNullable<typeof keys>['nextParked'] = (...values) => {
            looked = true;
            return keys!.nextParked(...values);
          };
          return work({ ...opened, keys: { ...keys!, nextParked } });
        }, signal);
        if (looked && !isBetween) {
          isBetween = true;
          await first.deliver(keyed('b', 0, 3));
        }
        return result;
      },
    };
    const second = setUpFailing([], PARKING, { sink });
    await second.engine.redrive(first.letters, second.invocation());
    expect([first.applied(), first.letterOffsets()]).toEqual([
      [0, 3],
      [0, 1],
    ]);
    expect(first.remembered()).toEqual({ letters: [1], parked: [2], isDraining: false });
  });

  test('where no time is left to drain, a delivery does, and the letter is delivered again until then', async () => {
    const { deliver, redrive, handler, applied, remembered } = setUpFailing([0]);
    await deliver(keyed('aa'));
    handler.bad.clear();
    // A twentieth of the function's time is left: enough to settle the letter only.
    expect(await redrive([0], { forMs: 3_000 })).toEqual(['returned']);
    expect([applied(), remembered()]).toEqual([[0], { letters: [], parked: [1], isDraining: true }]);
    await deliver(keyed('ba', 0, 2));
    expect([applied(), remembered()]).toEqual([[0, 2, 1, 3], NOTHING]);
    expect(await redrive([0])).toEqual(['duplicate']);
  });

  test('a letter that failed again is not handed back as well, though its partition is not drained', async () => {
    const { deliver, redrive, handler, letterOffsets } = setUpFailing([0, 1]);
    await deliver(keyed('abab'));
    handler.bad.delete(0);
    expect(await redrive([0, 1], { forMs: 3_050 })).toEqual(['returned', 'deadLettered']);
    expect(letterOffsets()).toEqual([0, 1, 1]);
  });

  test('a parked record that the sink halts for is found out alone, and neither deliveries nor letters fail for it', async () => {
    const { world, logged } = setUpHeld(
      () => new MillraceError('SINK_MISCONFIGURED', 'no such cast', { isUnclear: true }),
    );
    await world.deliver(keyed('aab'));
    world.handler.bad.clear();
    expect(await world.redrive([0])).toEqual(['returned']);
    expect(logged()).toContainEqual(['error', expect.objectContaining({ code: 'SINK_MISCONFIGURED' })]);
    // Nothing went through since it failed: as yet, the sink may be to blame.
    expect([world.letterOffsets(), world.remembered().isDraining]).toEqual([[0], true]);
    // Others go through, and it fails again.
    await world.deliver(keyed('cad', 0, 3));
    expect(world.letterOffsets()).toEqual([0, 1]);
    expect([world.applied(), world.remembered()]).toEqual([
      [2, 0, 3, 5],
      { letters: [1], parked: [4], isDraining: false },
    ]);
  });

  test('a sink that takes nothing makes no letter of a parked record', async () => {
    let [isDown, isAboutToFail] = [false, false];
    const { world } = setUpHeld(
      () => new MillraceError('SINK_MISCONFIGURED', 'no such table', { isUnclear: true }),
      ({ offset }) => {
        isDown ||= isAboutToFail && offset === 1;
        return isDown;
      },
    );
    await world.deliver(keyed('aab'));
    world.handler.bad.clear();
    isAboutToFail = true;
    expect(await world.redrive([0])).toEqual(['returned']);
    for (let n = 0; n < 3; n++) {
      await expect(world.deliver(keyed('c', 0, 3))).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      expect(await world.redrive([0])).toEqual(['returned']);
    }
    expect([world.letterOffsets(), world.remembered()]).toEqual([
      [0],
      { letters: [], parked: [1], isDraining: true },
    ]);
    [isDown, isAboutToFail] = [false, false];
    expect(await world.redrive([0])).toEqual(['duplicate']);
    expect([world.applied(), world.remembered()]).toEqual([[2, 0, 1], NOTHING]);
  });

  test('no delivery waits for a parked record that is held, and other keys are drained', async () => {
    let isDown = true;
    const { world, logged } = setUpHeld(
      () => new MillraceError('DEPENDENCY_UNAVAILABLE', 'down for this one'),
      ({ offset }) => isDown && offset === 1,
    );
    await world.deliver(keyed('aab'));
    world.handler.bad.add(3);
    await world.deliver(keyed('bb', 0, 3));
    world.handler.bad.clear();
    const startedAt = world.clock.now();
    expect(await world.redrive([0, 3])).toEqual(['returned', 'returned']);
    await world.deliver(keyed('cd', 0, 5));
    expect(world.clock.now() - startedAt).toBe(0);
    expect(logged()).toContainEqual(['warn', expect.objectContaining({ code: 'DEPENDENCY_UNAVAILABLE' })]);
    expect([world.applied(), world.remembered()]).toEqual([
      [2, 0, 3, 4, 5, 6],
      { letters: [], parked: [1], isDraining: true },
    ]);
    isDown = false;
    await world.deliver(keyed('e', 0, 7));
    expect([world.applied().slice(-2), world.remembered()]).toEqual([[7, 1], NOTHING]);
  });

  test('a record behind a slow one is not parked before the slow one is settled', async () => {
    const { deliver, write, ledger, remembered, letters } = setUp2Slow();
    await deliver(keyed('b'));
    await write({
      opened: [
        {
          topic: events.name,
          partition: 0,
          offset: 0,
          key: Buffer.from('b'),
          isWaitedFor: true,
          overtakenBy: null,
        },
      ],
    });
    await expect(deliver(keyed('sbbb', 0, 1), { forMs: 20_000 })).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
    });
    expect(letters).toEqual([]);
    expect([ledger()!.next, remembered()]).toEqual([1, { letters: [0], parked: [], isDraining: false }]);
  });
});

/** As `setUpFailing([0])`, and the handler throws something else for a record that is parked. */
function setUpHeld(
  error: () => MillraceError,
  isHeld: (record: { readonly offset: number }) => boolean = ({ offset }) => offset === 1,
) {
  const lines: (readonly [level: string, facts: unknown])[] = [];
  const log = (level: string) => (_: string, facts?: unknown) => void lines.push([level, facts]);
  const world = setUpFailing([0], PARKING, {
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    before(record) {
      if (isHeld(record)) throw error();
    },
  });
  return { world, logged: () => lines };
}

/** A consumer whose handler never returns for the record at offset 1. */
function setUp2Slow() {
  const world = setUpFailing([]);
  const slow = setUp(
    async (records, context) => {
      if (records.some(({ offset }) => offset === 1)) await new Promise(() => {});
      await apply(records, context);
    },
    { sink: world.sink },
    PARKING,
  );
  return { ...world, deliver: slow.deliver, letters: slow.letters };
}

describe('parkLimit', () => {
  const limit = (perKey: number, total: number, end: 'dead-letter' | 'hold') => ({
    ...PARKING,
    // biome-ignore lint/suspicious/noThenProperty: a word of the declaration.
    parkLimit: { perKey, total, totalBytes: 2 ** 30, then: end },
  });

  test('beyond it records become letters, each once, and redriven together they are applied in order', async () => {
    const { deliver, redrive, handler, applied, letters, remembered, ledger } = setUpFailing(
      [0],
      limit(3, 3, 'dead-letter'),
    );
    const count = 2 * MOST_LETTERS + 100;
    await deliver(keyed('a'.repeat(count)));
    const expected = [0, ...Array.from({ length: count - 4 }, (_, at) => at + 4)];
    expect(letters.map(({ record }) => record.offset)).toEqual(expected);
    expect(letters.slice(1).every(({ failure }) => failure.code === 'PARK_LIMIT')).toBe(true);
    expect([remembered().parked, ledger()!.next]).toEqual([[1, 2, 3], count]);

    handler.bad.clear();
    expect(new Set(await redrive([0, 4, 5, 6, 7]))).toEqual(new Set(['applied']));
    expect([applied(), remembered().parked]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], []]);
    expect(await redrive([9])).toEqual(['early']);
  });

  test('letters of one key that are redriven together are each settled in two tries at most', async () => {
    const { deliver, engine, handler, applied, letters, remembered, reports, invocation } = setUpFailing(
      [0],
      limit(1, 9, 'dead-letter'),
    );
    await deliver([...keyed('a'.repeat(60)), ...keyed('b'.repeat(60), 1)]);
    expect(letters).toHaveLength(59 + 59);
    handler.bad.clear();
    const before = reports.length;
    const outcomes = await engine.redrive(letters, invocation());
    expect(new Set(outcomes)).toEqual(new Set(['applied']));
    expect(applied()).toHaveLength(120);
    expect([remembered(0), remembered(1)]).toEqual([NOTHING, NOTHING]);
    const asked = reports.slice(before).reduce((all, { records }) => all + records, 0);
    expect(asked).toBeLessThanOrEqual(2 * letters.length);
  });

  test('counts the bytes of all that is parked, of every partition', async () => {
    const bytes = parkedBytes(keyed('a')[0]!);
    const { deliver, letterOffsets, remembered } = setUpFailing([0], {
      ...PARKING,
      // biome-ignore lint/suspicious/noThenProperty: a word of the declaration.
      parkLimit: { perKey: 9, total: 9, totalBytes: 3 * bytes, then: 'dead-letter' },
    });
    await deliver(keyed('aaa'));
    await deliver(keyed('aaa', 0, 3));
    expect([letterOffsets(), remembered().parked]).toEqual([
      [0, 4, 5],
      [1, 2, 3],
    ]);
  });

  test('what could not be stored the first time is stored once', async () => {
    let refusals = 1;
    const inner = new MemorySink();
    // The transaction that made the letters is lost at its commit.
    const sink: EnginePorts['sink'] = {
      transaction: (work, signal) =>
        inner.transaction(async (opened) => {
          const result = await work(opened);
          if (applied().length === 0 && stored.length > 0 && refusals-- > 0) {
            throw new MillraceError('SINK_UNAVAILABLE', 'gone');
          }
          return result;
        }, signal),
    };
    const stored: number[] = [];
    const applied = () => (inner.value('applied') as string[] | undefined) ?? [];
    const { deliver } = setUpFailing([0], limit(1, 1, 'dead-letter'), {
      sink,
      deadLetters: { put: async (put) => void stored.push(...put.map(({ record }) => record.offset)) },
    });
    await deliver(keyed('aaaab'));
    expect([stored, applied()]).toEqual([[0, 2, 3], ['0/4']]);
    expect(refusals).toBe(-1);
  });

  test('holds a partition from the record on that it has no room for, and others go on', async () => {
    const { deliver, applied, letterOffsets, remembered, ledger } = setUpFailing([0], limit(1, 9, 'hold'));
    const answer = await deliver([...keyed('abaab'), ...keyed('cd', 1, 7)], { partialResponses: true });
    expect(answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier.offset)).toEqual([3, 4]);
    expect([applied().toSorted(), new Set(letterOffsets())]).toEqual([[1, 7, 8], new Set([0])]);
    expect([remembered(), ledger()!.next]).toEqual([{ letters: [0], parked: [2], isDraining: false }, 3]);
  });

  test('a partition that is held for room makes it where its keys wait no longer', async () => {
    const { deliver, redrive, handler, applied, remembered } = setUpFailing([0], limit(1, 9, 'hold'));
    await deliver(keyed('aa'));
    handler.bad.clear();
    // The function dies between the redrive and the drain.
    expect(await redrive([0], { forMs: 3_000 })).toEqual(['returned']);
    expect(remembered()).toMatchObject({ parked: [1], isDraining: true });
    expect(await deliver(keyed('aaa', 0, 2))).toEqual({ batchItemFailures: [] });
    expect([applied(), remembered()]).toEqual([[0, 1, 2, 3, 4], NOTHING]);
  });

  test('a record for which there was no room is handled where the one before it goes through after all', async () => {
    let brokenUntil = Number.POSITIVE_INFINITY;
    const { deliver, letters, sink, clock } = setUp(
      async (records, context) => {
        const isBroken = clock.now() < brokenUntil;
        for (const { offset } of records) if (isBroken && offset < 10) throw new TypeError('broken');
        await apply(records, context);
      },
      {},
      { ...limit(1, 10, 'dead-letter'), breaker: { holdMs: 60_000 } },
    );
    // Ten first records of keys fail with one fingerprint and are held; there is no room for those behind them.
    const records = keyed('abcdefghij'.repeat(3));
    brokenUntil = clock.now() + 10_000;
    await deliver(records);
    expect([letters.length, sink.value('applied')]).toEqual([0, records.map(({ offset }) => `0/${offset}`)]);
  });

  test('counts what other partitions have parked', async () => {
    const { deliver, remembered } = setUpFailing([0], limit(2, 2, 'dead-letter'));
    await deliver(keyed('aaa'));
    await deliver(keyed('aaa', 1));
    expect(remembered(0)).toMatchObject({ letters: [0], parked: [1, 2] });
    expect(remembered(1).letters.toSorted()).toEqual([0, 1, 2]);
    expect(remembered(1).parked).toEqual([]);
  });
});

describe('an overtaken letter', () => {
  const CONTINUE = { onDeadLetter: 'continue' } as const;

  test('is refused, and stored again as it was; with permission it is applied', async () => {
    const { deliver, redrive, handler, letters, letterOffsets, applied, remembered } = setUpFailing(
      [0, 2],
      CONTINUE,
    );
    await deliver(keyed('abba'));
    handler.bad.clear();
    // Nothing came after the second.
    expect(await redrive([0, 2])).toEqual(['overtaken', 'applied']);
    expect([applied(), letterOffsets()]).toEqual([
      [1, 3, 2],
      [0, 2, 0],
    ]);
    expect(letters[2]).toBe(letters[0]);
    expect(await redrive([0], { permitted: true })).toEqual(['applied']);
    expect([applied(), remembered()]).toEqual([[1, 3, 2, 0], NOTHING]);
  });

  test('tells the handler, and onOvertaken: apply takes it without permission', async () => {
    const seen: unknown[] = [];
    const handler = { isMended: false };
    const { deliver, engine, letters, invocation } = setUp(
      async (records: Records, context: Context) => {
        for (const { offset, arrival, overtaken } of records) seen.push([offset, arrival, overtaken]);
        if (!handler.isMended && records.some(({ offset }) => offset === 0)) throw new Error('bad');
        await apply(records, context);
      },
      {},
      { onOvertaken: 'apply' },
    );
    await deliver(keyed('aa'));
    handler.isMended = true;
    expect(await engine.redrive(letters, invocation())).toEqual(['applied']);
    expect(seen).toContainEqual([1, 'delivery', false]);
    expect(seen.at(-1)).toEqual([0, 'redrive', true]);
  });

  test('is dropped where the event source delivers it again: its letter is kept', async () => {
    const { deliver, handler, applied, letterOffsets, reports } = setUpFailing([0], CONTINUE);
    await deliver(keyed('aa'));
    handler.bad.clear();
    await deliver(keyed('aab'));
    expect([applied(), letterOffsets()]).toEqual([[1, 2], [0]]);
    expect(reports.at(-1)).toMatchObject({ applied: 1, duplicates: 2 });
  });

  test('goes through where one of its copies may', async () => {
    const { deliver, engine, invocation, handler, letters } = setUpFailing([0], CONTINUE);
    await deliver(keyed('aa'));
    handler.bad.clear();
    const [letter] = letters;
    const copy = { ...letter! };
    const outcomes = await engine.redrive([letter!, copy], invocation(), (each) => each === copy);
    expect(outcomes).toEqual(['applied', 'duplicate']);
  });

  test('is kept though another letter halts afterwards', async () => {
    let fail = (): Error | undefined => new Error('bad');
    const { deliver, engine, invocation, letters } = setUp(async (records, context) => {
      const failure = records.some(({ offset }) => offset === 0) && fail();
      if (failure) throw failure;
      await apply(records, context);
    });
    await deliver([...keyed('aa'), ...keyed('a', 1)]);
    expect(letters).toHaveLength(2);
    // The second letter is tried, is to be tried again, and then halts, when the first one is settled.
    let isFirst = true;
    fail = () => {
      const error = isFirst ? new Error('bad') : new MillraceError('SINK_MISCONFIGURED', 'no such table');
      isFirst = false;
      return error;
    };
    const overtaken = letters.find(({ record }) => record.partition === 0)!;
    const halting = letters.find(({ record }) => record.partition === 1)!;
    expect(await engine.redrive([overtaken, halting], invocation())).toEqual(['overtaken', 'returned']);
    expect(letters.at(-1)).toBe(overtaken);
  });

  test('the same letter in one redrive is overtaken by a later one', async () => {
    const { deliver, redrive, handler, applied, remembered } = setUpFailing([0, 1], CONTINUE);
    await deliver(keyed('aa'));
    handler.bad.delete(1);
    expect(await redrive([0, 1])).toEqual(['deadLettered', 'applied']);
    handler.bad.clear();
    expect(await redrive([0])).toEqual(['overtaken']);
    expect([applied(), remembered().letters]).toEqual([[1], [0]]);
  });
});

describe('deploys', () => {
  test('a released letter that is delivered again and fails parks nothing behind it', async () => {
    const { deliver, write, applied, remembered } = setUpFailing([0]);
    await deliver(keyed('a'));
    await write({ released: [{ topic: events.name, partition: 0, offset: 0, key: Buffer.from('a') }] });
    await deliver(keyed('aa'));
    expect([applied(), remembered()]).toEqual([[1], { letters: [0], parked: [], isDraining: false }]);
  });

  test('what was parked is drained though parking is turned off, and what comes meanwhile waits', async () => {
    const parking = setUpFailing([0]);
    await parking.deliver(keyed('aa'));
    const { deliver, engine, invocation, applied, remembered } = setUpFailing([], {}, { sink: parking.sink });
    await deliver(keyed('ab', 0, 2));
    expect([applied(), remembered().parked]).toEqual([[3], [1, 2]]);
    expect(await engine.redrive(parking.letters, invocation())).toEqual(['applied']);
    expect([applied(), remembered()]).toEqual([[3, 0, 1, 2], NOTHING]);
  });

  test('letters from before parking hold nobody, and are refused once they are overtaken', async () => {
    const before = setUpFailing([0], {});
    await before.deliver(keyed('a'));
    const { deliver, engine, invocation, applied } = setUpFailing([], PARKING, { sink: before.sink });
    await deliver(keyed('a', 0, 1));
    expect(applied()).toEqual([1]);
    expect(await engine.redrive(before.letters, invocation())).toEqual(['overtaken']);
  });

  test('a letter that a version before has applied opens its key when it is redriven once more', async () => {
    const { sink, deliver, redrive, handler, applied, remembered } = setUpFailing([0, 3]);
    await deliver(keyed('aabb'));
    await deliver(keyed('bab', 0, 4));
    // It settles a letter, and leaves the keys alone.
    const applyAsBefore = (offset: number) =>
      sink.transaction(async ({ lockLedgers, writeLedgers }) => {
        const of = { topic: events.name, partition: 0 };
        const range = { from: offset, to: offset + 1 };
        const [view] = await lockLedgers(LEDGER, [{ ...of, ...range }]);
        const { first, next, maxTimestamp } = view!;
        const patch = { ...of, first: first!, next: next!, maxTimestamp, closed: [range] };
        await writeLedgers(LEDGER, [{ ...patch, deadLettered: [], skipped: [] }]);
      });
    await applyAsBefore(0);
    expect(remembered()).toMatchObject({ letters: expect.arrayContaining([0, 3]), parked: [1, 4, 5, 6] });
    handler.bad.clear();
    expect(await redrive([0])).toEqual(['duplicate']);
    expect([applied(), remembered()]).toEqual([
      [2, 1, 5],
      { letters: [3], parked: [4, 6], isDraining: false },
    ]);
    await applyAsBefore(3);
    expect(await redrive([0, 3])).toEqual(['duplicate', 'duplicate']);
    expect([applied(), remembered()]).toEqual([[2, 1, 5, 4, 6], NOTHING]);
  });

  test('while parking is off, an overtaken letter is waited for no longer', async () => {
    const sink = new MemorySink();
    const parking = setUpFailing([0], PARKING, { sink });
    await parking.deliver(keyed('a'));
    const continuing = setUpFailing([], {}, { sink });
    await continuing.deliver(keyed('a', 0, 1));
    parking.handler.bad.clear();
    await parking.deliver(keyed('aa', 0, 2));
    expect([parking.applied(), parking.remembered()]).toEqual([
      [1, 2, 3],
      { letters: [0], parked: [], isDraining: false },
    ]);
    expect(await parking.redrive([0])).toEqual(['overtaken']);
  });

  test('what is parked behind a letter that is overtaken while parking is off is drained', async () => {
    const sink = new MemorySink();
    const parking = setUpFailing([0], PARKING, { sink });
    const [first, second, third] = keyed('aaa');
    // The event source skips one, and delivers it late.
    await parking.deliver([first!]);
    await parking.deliver([third!]);
    expect(parking.remembered()).toMatchObject({ letters: [0], parked: [2] });
    await setUpFailing([], {}, { sink }).deliver([second!]);
    expect([parking.applied(), parking.remembered()]).toEqual([
      [1, 2],
      { letters: [0], parked: [], isDraining: false },
    ]);
  });

  test('what is delivered below all that waits does not wait', async () => {
    const { deliver, redrive, handler, applied, remembered } = setUpFailing([5]);
    await deliver(keyed('aa', 0, 5));
    // The group was set back to records from before the ledger.
    await deliver(keyed('aa', 0, 3));
    expect(applied()).toEqual([3, 4]);
    handler.bad.clear();
    expect(await redrive([5])).toEqual(['applied']);
    expect([applied(), remembered()]).toEqual([[3, 4, 5, 6], NOTHING]);
  });

  test('letters of an epoch that is over are redriven and drained in their own', async () => {
    const old = setUpFailing([0]);
    await old.deliver(keyed('aa'));
    const { deliver, engine, invocation, applied } = setUpFailing(
      [],
      { ...PARKING, epoch: 2 },
      { sink: old.sink },
    );
    await deliver(keyed('a'));
    expect(await engine.redrive(old.letters, invocation())).toEqual(['applied']);
    expect(applied()).toEqual([0, 0, 1]);
    expect(old.remembered()).toEqual(NOTHING);
  });
});

test('a batch without letters or parked records asks nothing about keys', async () => {
  const asked: string[] = [];
  const inner = new MemorySink();
  const { deliver } = setUpFailing([], PARKING, {
    sink: {
      transaction: (work, signal) =>
        inner.transaction(({ keys, ...opened }) => {
          const noting = Object.fromEntries(
            Object.entries(keys!).map(([name, call]) => [
              name,
              (...values: never[]) => {
                asked.push(name);
                return (call as (...values: never[]) => unknown)(...values);
              },
            ]),
          );
          return work({ ...opened, keys: noting as unknown as NonNullable<typeof keys> });
        }, signal),
    },
  });
  await deliver(batchOf(100));
  expect(asked).toEqual([]);
});
