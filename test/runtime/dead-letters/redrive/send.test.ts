import { describe, expect, test } from '@jest/globals';
import { withOvertaken } from '../../../../runtime/dead-letters/overtaken.ts';
import {
  createQueueLetters,
  REDRIVE_ATTRIBUTE,
  toMessage,
} from '../../../../runtime/dead-letters/queue-letters.ts';
import type { DeadLetterReader } from '../../../../runtime/dead-letters/reader.ts';
import { type ChosenLetters, chooseLetters } from '../../../../runtime/dead-letters/redrive/plan.ts';
import { type LetterResult, writeRedriveResults } from '../../../../runtime/dead-letters/redrive/results.ts';
import {
  type RedriveJournal,
  type RedriveOptions,
  type RedriveProgress,
  runRedrive,
} from '../../../../runtime/dead-letters/redrive/send.ts';
import type { LetterFilter } from '../../../../runtime/dead-letters/triage.ts';
import { type DeadLetter, letterKey } from '../../../../runtime/delivery/dead-letter.ts';
import { createFakeClock } from '../../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../../testing/memory-queue.ts';
import { deadLetter } from '../../../dead-letters.ts';

const OPTIONS: RedriveOptions = { ratePerSecond: 100, canary: 0, maxFailures: 5, patienceMs: 5_000 };

/** A reader, a redrive queue and a function that ends each letter as `resultOf` says. */
function open(resultOf: (id: string) => LetterResult | null = () => 'applied') {
  const clock = createFakeClock({ autoAdvance: true });
  const queues = createMemoryQueues({ clock });
  const objects = createMemoryObjects({ clock });
  const deadLetters = queues.queue('dead-letters');
  const reader = createQueueLetters({ queue: deadLetters, objects });
  const redrive = queues.queue('redrive');
  const consumed: { id: string; at: number }[] = [];
  let part = 0;

  /** One invocation of the function. */
  const consume = async () => {
    const messages = await redrive.receive({ maxMessages: 10, visibilityMs: 60_000 });
    for (const { body, attributes, receipt } of messages) {
      const letter = JSON.parse(body) as DeadLetter;
      const { id } = letter;
      const result = resultOf(id);
      if (result === null) continue;
      consumed.push({ id, at: clock.now() });
      await writeRedriveResults(
        objects,
        attributes[REDRIVE_ATTRIBUTE]!,
        `${part++}`,
        new Map([[letterKey(letter), result]]),
      );
      if (result === 'failed-again') await reader.put([failedAgain(id)]);
      await redrive.delete([receipt]);
    }
  };
  const failedAgain = (id: string) => {
    const [, , partition, offset] = id.split('/');
    return deadLetter({ partition: Number(partition), offset: Number(offset), attempts: 9 });
  };

  const choose = (filter: LetterFilter = {}, inOrder = false) =>
    chooseLetters({ reader, objects }, { filter, mayBeOvertaken: false, inOrder });
  const journalOf = (chosen: ChosenLetters, mayBeOvertaken = false): RedriveJournal => {
    const sent = new Set<string>();
    return {
      plan: { id: 'r-1', consumer: 'c', mayBeOvertaken, ...chosen },
      sent,
      noteSent: (ids) => {
        for (const id of ids) sent.add(id);
      },
    };
  };
  const run = async (
    options: Partial<RedriveOptions> = {},
    filter: LetterFilter = {},
    journal?: RedriveJournal,
    onProgress?: (progress: RedriveProgress) => void,
  ) => {
    let isOver = false;
    const consuming = (async () => {
      while (!isOver) {
        await consume();
        await clock.sleep(50);
      }
    })();
    try {
      const ofThis = journal ?? journalOf(await choose(filter));
      return await runRedrive(
        ofThis,
        { reader, redrive, objects, clock },
        { ...OPTIONS, ...options },
        onProgress,
      );
    } finally {
      isOver = true;
      await consuming;
    }
  };
  const left = async () => {
    const ids: string[] = [];
    for await (const copy of reader.scan()) if ('letter' in copy) ids.push(copy.letter.id);
    return ids;
  };
  return { clock, deadLetters, reader, redrive, objects, consumed, consume, choose, journalOf, run, left };
}

const letters = (count: number, of: Parameters<typeof deadLetter>[0] = {}) =>
  Array.from({ length: count }, (_, offset) => deadLetter({ offset, ...of }));

describe('a redrive', () => {
  test('gives back the letters that match, and leaves the others where they are', async () => {
    const { reader, run, left, consumed } = open();
    await reader.put([...letters(25), ...letters(3, { partition: 1 })]);
    expect(await run({}, { partition: 0 })).toEqual({
      planned: 25,
      sent: 25,
      applied: 25,
      alreadyApplied: 0,
      failed: 0,
      overtaken: 0,
      remaining: 0,
      heldBack: 0,
    });
    expect(consumed.map(({ id }) => id)).toEqual(letters(25).map(({ id }) => id));
    expect(await left()).toEqual(letters(3, { partition: 1 }).map(({ id }) => id));
  });

  test('leaves other letters alone that a new store has at the places of the planned ones', async () => {
    const before = open();
    await before.reader.put(letters(3));
    const { reader, run, left, consumed, journalOf } = open();
    const others = letters(3, { partition: 5 });
    await reader.put(others);
    const journal = journalOf(await before.choose());
    expect(await run({}, {}, journal)).toMatchObject({ planned: 3, sent: 0, remaining: 3 });
    expect(consumed).toEqual([]);
    expect(await left()).toEqual(others.map(({ id }) => id));
  });

  test('goes on with a plan of an earlier version, which names copies by their refs alone', async () => {
    const { reader, run, left, choose, journalOf } = open();
    await reader.put(letters(3));
    const refs = (names: readonly string[]) => names.map((name) => name.split(' ')[0]!);
    const chosen = await choose();
    const old = new Map([...chosen.letters].map(([key, names]) => [key, refs(names)]));
    await reader.put([deadLetter({ offset: 9 })]);
    expect(await run({}, {}, journalOf({ ...chosen, letters: old }))).toMatchObject({ applied: 3 });
    expect(await left()).toEqual([deadLetter({ offset: 9 }).id]);
  });

  test('tells what was applied before from what was applied now, and counts refused ones as failed', async () => {
    const results: LetterResult[] = ['applied', 'already-applied', 'failed-again', 'refused'];
    const { reader, run } = open((id) => results[Number(id.at(-1))]!);
    await reader.put(letters(4));
    expect(await run()).toMatchObject({ applied: 1, alreadyApplied: 1, failed: 2, remaining: 0 });
  });

  test('sends a letter that is there twice once, and takes both copies away', async () => {
    const { reader, run, left, consumed } = open();
    await reader.put([deadLetter({ offset: 1 }), deadLetter({ offset: 2 }), deadLetter({ offset: 1 })]);
    expect(await run()).toMatchObject({ planned: 2, applied: 2 });
    expect(consumed).toHaveLength(2);
    expect(await left()).toEqual([]);
  });

  test('takes a copy away that failed otherwise: once its record is applied, it is of no use', async () => {
    const { reader, run, left } = open();
    const other = deadLetter({ offset: 1 });
    await reader.put([
      { ...other, failure: { ...other.failure, code: 'SINK_REJECTED' } },
      deadLetter({ offset: 1 }),
    ]);
    expect(await run({}, { error: 'HANDLER_FAILED' })).toMatchObject({ planned: 1, applied: 1 });
    expect(await left()).toEqual([]);
  });

  test('gives back both letters of an offset that two epochs have: they are different records', async () => {
    const { reader, run, left, consumed } = open();
    await reader.put([deadLetter(), { ...deadLetter({ value: Buffer.from('newer') }), epoch: 2 }]);
    expect(await run()).toMatchObject({ planned: 2, sent: 2, applied: 2, remaining: 0 });
    expect(consumed).toHaveLength(2);
    expect(await left()).toEqual([]);
  });

  test('keeps to its rate', async () => {
    const { reader, run, consumed } = open();
    await reader.put(letters(60));
    await run({ ratePerSecond: 20 });
    const first = consumed[0]!.at;
    for (const second of [1, 2, 3]) {
      const until = consumed.filter(({ at }) => at <= first + (second - 1) * 1_000).length;
      expect(until).toBeLessThanOrEqual(second * 20);
    }
    expect(consumed.at(-1)!.at - first).toBeGreaterThanOrEqual(2_000);
  });

  test('shows its progress', async () => {
    const { reader, run } = open();
    await reader.put(letters(25));
    const seen: RedriveProgress[] = [];
    await run({}, {}, undefined, (progress) => seen.push(progress));
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.at(-1)).toMatchObject({ sent: 25, applied: 25, remaining: 0 });
  });

  test('waits no longer than it has patience, and says how many have no result', async () => {
    const { reader, run, clock } = open((id) => (id.endsWith('/2') ? null : 'applied'));
    await reader.put(letters(3));
    const startedAt = clock.now();
    expect(await run({ patienceMs: 3_000 })).toMatchObject({ applied: 2, remaining: 1 });
    expect(clock.now() - startedAt).toBeLessThan(6_000);
  });

  test('waits on as long as results come, however slowly', async () => {
    const { reader, redrive, objects, clock, choose, journalOf } = open();
    await reader.put(letters(4));
    const journal = journalOf(await choose());
    const report = runRedrive(
      journal,
      { reader, redrive, objects, clock },
      { ...OPTIONS, patienceMs: 3_000 },
    );
    for (const [part, letter] of letters(4).entries()) {
      await clock.sleep(2_000);
      await writeRedriveResults(objects, 'r-1', `${part}`, new Map([[letterKey(letter), 'applied']]));
    }
    expect(await report).toMatchObject({ applied: 4, remaining: 0 });
  });

  test('of letters that somebody else took meanwhile says that they have no result', async () => {
    const { reader, run, choose, journalOf } = open();
    await reader.put(letters(2));
    const journal = journalOf(await choose());
    for await (const copy of reader.scan())
      if ('letter' in copy && copy.letter.record.offset === 1) await reader.remove([copy]);
    expect(await run({}, {}, journal)).toMatchObject({ planned: 2, sent: 1, applied: 1, remaining: 1 });
  });
});

describe('the canary', () => {
  test('goes first, and the others only when it was applied', async () => {
    const { reader, run, consumed } = open();
    await reader.put(letters(20));
    await run({ canary: 3 });
    const gap = consumed[3]!.at - consumed[2]!.at;
    expect(gap).toBeGreaterThan(0);
    expect(consumed.slice(0, 3).every(({ at }) => at < consumed[3]!.at)).toBe(true);
    expect(consumed).toHaveLength(20);
  });

  test.each([
    ['fails again', () => 'failed-again' as const],
    ['is refused', () => 'refused' as const],
    ['has no result', () => null],
  ])('that %s stops the redrive, and the others stay where they are', async (_, result) => {
    const { reader, run, left } = open(result);
    await reader.put(letters(20));
    await expect(run({ canary: 3 })).rejects.toMatchObject({
      code: 'REDRIVE_STOPPED',
      details: { sent: 3 },
      message: expect.stringContaining('3 of 20 were sent'),
    });
    expect((await left()).filter((id) => Number(id.split('/').at(-1)) >= 3)).toHaveLength(17);
  });

  test('that was applied before is as good', async () => {
    const { reader, run } = open(() => 'already-applied');
    await reader.put(letters(20));
    expect(await run({ canary: 3 })).toMatchObject({ alreadyApplied: 20 });
  });
});

test('too many failures stop the redrive before the end', async () => {
  const { reader, run, left } = open((id) =>
    Number(id.split('/').at(-1)) % 2 === 0 ? 'failed-again' : 'applied',
  );
  await reader.put(letters(200));
  await expect(run({ maxFailures: 10 })).rejects.toMatchObject({ code: 'REDRIVE_STOPPED' });
  expect((await left()).length).toBeGreaterThan(100);
});

describe('letters of a key', () => {
  const keyed = (offset: number, key: string, value?: Buffer) =>
    deadLetter({ offset, key: Buffer.from(key), ...(value && { value }) });

  test('go in order, each once the one before it is applied, wherever they stand in the queue', async () => {
    const { reader, run, consumed, choose, journalOf } = open();
    const large = keyed(7, 'a', Buffer.alloc(900_000));
    await reader.put([keyed(9, 'a'), large, keyed(5, 'b'), keyed(4, 'a'), keyed(6, 'b')]);
    const plan = await choose({}, true);
    expect(await run({}, {}, journalOf(plan))).toMatchObject({ planned: 5, applied: 5, remaining: 0 });
    const offsets = consumed.map(({ id }) => Number(id.split('/').at(-1)));
    expect(offsets.filter((offset) => [4, 7, 9].includes(offset))).toEqual([4, 7, 9]);
    expect(offsets.filter((offset) => [5, 6].includes(offset))).toEqual([5, 6]);
  });

  test('go all at once where their order does not matter', async () => {
    const { reader, choose } = open();
    await reader.put([keyed(9, 'a'), keyed(4, 'a')]);
    expect((await choose({}, false)).behind.size).toBe(0);
  });

  test('are counted where they come after one that is not chosen', async () => {
    const { reader, choose } = open();
    const code = (letter: ReturnType<typeof keyed>, errorCode: 'HANDLER_REJECTED') => ({
      ...letter,
      failure: { ...letter.failure, code: errorCode },
    });
    await reader.put([
      keyed(1, 'a'),
      code(keyed(2, 'a'), 'HANDLER_REJECTED'),
      keyed(3, 'a'),
      keyed(4, 'b'),
      { ...code(keyed(1, 'b'), 'HANDLER_REJECTED'), epoch: 2 },
      code(deadLetter({ offset: 1, key: null }), 'HANDLER_REJECTED'),
    ]);
    const filter = { error: keyed(1, 'a').failure.code };
    expect((await choose(filter, true)).passing).toBe(1);
    expect((await choose({ error: 'HANDLER_REJECTED' }, true)).passing).toBe(1);
    expect((await choose({}, true)).passing).toBe(0);
    // Where order does not matter, nothing passes anything.
    expect((await choose(filter, false)).passing).toBe(0);
  });

  test('of other partitions, epochs and keys, or of none, wait for nothing', async () => {
    const { reader, choose } = open();
    await reader.put([
      keyed(1, 'a'),
      { ...keyed(2, 'a'), epoch: 2 },
      deadLetter({ offset: 3, partition: 1, key: Buffer.from('a') }),
      deadLetter({ offset: 4, key: null }),
      deadLetter({ offset: 5, key: null }),
    ]);
    expect((await choose({}, true)).behind.size).toBe(0);
  });

  test.each(['failed-again', 'refused'] as const)('are held back behind one that is %s', async (result) => {
    const { reader, run, left, choose, journalOf } = open((id) => (id.endsWith('/4') ? result : 'applied'));
    await reader.put([keyed(9, 'a'), keyed(7, 'a'), keyed(4, 'a'), keyed(5, 'b')]);
    const progress = await run({}, {}, journalOf(await choose({}, true)));
    expect(progress).toMatchObject({ planned: 4, sent: 2, applied: 1, failed: 1, remaining: 2, heldBack: 2 });
    expect(await left()).toEqual(expect.arrayContaining(['c/t/0/7', 'c/t/0/9']));
  });

  test('are held back behind one without a result, for as long as there is patience and no longer', async () => {
    const { reader, run, clock, choose, journalOf } = open((id) => (id.endsWith('/4') ? null : 'applied'));
    await reader.put([keyed(9, 'a'), keyed(4, 'a'), keyed(5, 'b')]);
    const startedAt = clock.now();
    const progress = await run({ patienceMs: 3_000 }, {}, journalOf(await choose({}, true)));
    expect(progress).toMatchObject({ sent: 2, applied: 1, remaining: 2, heldBack: 1 });
    expect(clock.now() - startedAt).toBeLessThan(6_000);
  });

  test('go on behind one that somebody else took', async () => {
    const { reader, run, choose, journalOf } = open();
    await reader.put([keyed(9, 'a'), keyed(4, 'a')]);
    const journal = journalOf(await choose({}, true));
    for await (const copy of reader.scan())
      if ('letter' in copy && copy.letter.record.offset === 4) await reader.remove([copy]);
    expect(await run({}, {}, journal)).toMatchObject({ planned: 2, sent: 1, applied: 1, remaining: 1 });
  });

  test('go on behind one that was overtaken', async () => {
    const { reader, run, choose, journalOf } = open((id) => (id.endsWith('/4') ? 'overtaken' : 'applied'));
    await reader.put([keyed(9, 'a'), keyed(4, 'a')]);
    const progress = await run({}, {}, journalOf(await choose({}, true)));
    expect(progress).toMatchObject({ planned: 2, applied: 1, overtaken: 1, remaining: 0, failed: 0 });
  });
});

describe('overtaken letters', () => {
  const marked = (reader: DeadLetterReader, ...offsets: number[]) =>
    withOvertaken(
      reader,
      async () =>
        new Map(
          letters(10)
            .map((each) => [letterKey(each), 99] as const)
            .filter((_, at) => offsets.includes(at)),
        ),
    );

  test('are left out of the plan, and count as planned and overtaken', async () => {
    const { reader, objects, run, left, consumed, journalOf } = open();
    await reader.put(letters(5));
    const chosen = await chooseLetters(
      { reader: marked(reader, 1, 3), objects },
      { filter: {}, mayBeOvertaken: false, inOrder: false },
    );
    const progress = await run({}, {}, journalOf(chosen));
    expect(progress).toMatchObject({ planned: 5, sent: 3, applied: 3, overtaken: 2, remaining: 0 });
    expect(consumed).toHaveLength(3);
    expect(await left()).toEqual(['c/t/0/1', 'c/t/0/3']);
  });

  test('are in the plan where they are permitted', async () => {
    const { reader, objects } = open();
    await reader.put(letters(5));
    const chosen = await chooseLetters(
      { reader: marked(reader, 1, 3), objects },
      { filter: {}, mayBeOvertaken: true, inOrder: false },
    );
    expect(chosen).toMatchObject({ leftOut: 0 });
    expect(chosen.letters.size).toBe(5);
  });

  test('that the consumer refuses meanwhile count as overtaken, and are no failures', async () => {
    const { reader, run } = open((id) => (Number(id.at(-1)) < 3 ? 'overtaken' : 'applied'));
    await reader.put(letters(5));
    expect(await run({ maxFailures: 1 })).toMatchObject({
      applied: 2,
      overtaken: 3,
      failed: 0,
      remaining: 0,
    });
  });

  test('try nothing as a canary: others go in their place', async () => {
    const { reader, run, consumed } = open((id) =>
      Number(id.split('/').at(-1)) < 3 ? 'overtaken' : 'applied',
    );
    await reader.put(letters(20));
    expect(await run({ canary: 2 })).toMatchObject({ applied: 17, overtaken: 3 });
    const gaps = consumed.slice(1).map(({ at }, index) => at - consumed[index]!.at);
    // Two that were overtaken, then one that was and one that was applied, and one more: only then the others.
    expect(gaps.filter((gap) => gap > 0).length).toBeGreaterThanOrEqual(3);
    expect(consumed.findIndex((_, at) => at >= 5 && gaps[at - 1]! > 0)).toBe(5);
  });
});

describe('a redrive that was killed', () => {
  class Killed extends Error {}

  test.each([
    ['before the queue took anything', { send: 0 }],
    ['when the queue had taken some', { sent: 0 }],
    ['when it was noted', { noted: 0 }],
    ['half-way', { sent: 1 }],
  ])('%s goes on, and loses nothing', async (_, at: { send?: number; sent?: number; noted?: number }) => {
    const { clock, reader, redrive, objects, run, choose, journalOf, left } = open();
    await reader.put(letters(25));
    const journal = journalOf(await choose());
    const calls = { send: 0, sent: 0, noted: 0 };
    const step = (name: keyof typeof calls) => {
      if (calls[name]++ === at[name]) throw new Killed();
    };
    const killed = runRedrive(
      {
        ...journal,
        noteSent: (ids) => {
          journal.noteSent(ids);
          step('noted');
        },
      },
      {
        reader,
        objects,
        clock,
        redrive: {
          ...redrive,
          async send(messages) {
            step('send');
            await redrive.send(messages);
            step('sent');
          },
        },
      },
      OPTIONS,
    );
    await expect(killed).rejects.toThrow(Killed);
    const report = await run({}, {}, journal);
    expect(report).toMatchObject({ planned: 25, sent: 25, remaining: 0, failed: 0 });
    expect(await left()).toEqual([]);
  });

  test('leaves a letter alone that failed again meanwhile: it is another copy, and none of the plan', async () => {
    const { reader, redrive, objects, clock, consume, choose, journalOf, left } = open(() => 'failed-again');
    await reader.put(letters(2));
    const journal = journalOf(await choose());
    const removing = { ...reader, scan: () => reader.scan(), remove: () => Promise.reject(new Killed()) };
    await expect(runRedrive(journal, { reader: removing, redrive, objects, clock }, OPTIONS)).rejects.toThrow(
      Killed,
    );
    await consume();
    expect(await left()).toHaveLength(4);
    expect(await runRedrive(journal, { reader, redrive, objects, clock }, OPTIONS)).toMatchObject({
      failed: 2,
      remaining: 0,
    });
    expect(await left()).toEqual(letters(2).map(({ id }) => id));
  });
});

describe('what is sent', () => {
  test('is the message as it stands, with the redrive’s name beside its attributes', async () => {
    const { reader, redrive, objects, clock, choose, journalOf } = open(() => null);
    await reader.put([deadLetter({ value: Buffer.alloc(900_000) })]);
    const [before] = await Array.fromAsync(reader.scan());
    await runRedrive(journalOf(await choose()), { reader, redrive, objects, clock }, OPTIONS);
    const [message] = await Array.fromAsync(redrive.scan());
    expect(message!.body).toBe(before!.message!.body);
    expect(message!.attributes).toEqual({ ...before!.message!.attributes, redrive: 'r-1' });
  });

  test('carries a permission only where this redrive gives it, and never more than the ten attributes of SQS', async () => {
    const sent = async (mayBeOvertaken: boolean) => {
      const { deadLetters, reader, redrive, objects, clock, choose, journalOf } = open(() => null);
      const { body, attributes } = await toMessage(deadLetter(), objects);
      // As SQS moves a message that was redriven in vain.
      await deadLetters.send([
        { body, attributes: { ...attributes, redrive: 'r-0', allowOvertaken: 'true' } },
      ]);
      await runRedrive(
        journalOf(await choose(), mayBeOvertaken),
        { reader, redrive, objects, clock },
        OPTIONS,
      );
      const [message] = await Array.fromAsync(redrive.scan());
      return message!.attributes;
    };
    expect(await sent(false)).toMatchObject({ redrive: 'r-1', failedAt: expect.any(String) });
    expect(await sent(false)).not.toHaveProperty('allowOvertaken');
    expect(await sent(true)).toMatchObject({ redrive: 'r-1', allowOvertaken: 'true' });
    expect(Object.keys(await sent(true))).toHaveLength(10);
  });
});
