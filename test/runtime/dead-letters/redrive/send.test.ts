import { describe, expect, test } from '@jest/globals';
import { createQueueLetters, REDRIVE_ATTRIBUTE } from '../../../../runtime/dead-letters/queue-letters.ts';
import { type LetterResult, writeRedriveResults } from '../../../../runtime/dead-letters/redrive/results.ts';
import {
  findLetters,
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
  const reader = createQueueLetters({ queue: queues.queue('dead-letters'), objects });
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

  const journalOf = (letters: ReadonlyMap<string, readonly string[]>): RedriveJournal => {
    const sent = new Set<string>();
    return {
      plan: { id: 'r-1', consumer: 'c', letters },
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
      const ofThis = journal ?? journalOf(await findLetters(reader, filter));
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
  return { clock, reader, redrive, objects, consumed, consume, journalOf, run, left };
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
      remaining: 0,
    });
    expect(consumed.map(({ id }) => id)).toEqual(letters(25).map(({ id }) => id));
    expect(await left()).toEqual(letters(3, { partition: 1 }).map(({ id }) => id));
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
    const { reader, redrive, objects, clock, journalOf } = open();
    await reader.put(letters(4));
    const journal = journalOf(await findLetters(reader, {}));
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
    const { reader, run, journalOf } = open();
    await reader.put(letters(2));
    const journal = journalOf(await findLetters(reader, {}));
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

describe('a redrive that was killed', () => {
  class Killed extends Error {}

  test.each([
    ['before the queue took anything', { send: 0 }],
    ['when the queue had taken some', { sent: 0 }],
    ['when it was noted', { noted: 0 }],
    ['half-way', { sent: 1 }],
  ])('%s goes on, and loses nothing', async (_, at: { send?: number; sent?: number; noted?: number }) => {
    const { clock, reader, redrive, objects, run, journalOf, left } = open();
    await reader.put(letters(25));
    const journal = journalOf(await findLetters(reader, {}));
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
    const { reader, redrive, objects, clock, consume, journalOf, left } = open(() => 'failed-again');
    await reader.put(letters(2));
    const journal = journalOf(await findLetters(reader, {}));
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
    const { reader, redrive, objects, clock, journalOf } = open(() => null);
    await reader.put([deadLetter({ value: Buffer.alloc(900_000) })]);
    const [before] = await Array.fromAsync(reader.scan());
    await runRedrive(journalOf(await findLetters(reader, {})), { reader, redrive, objects, clock }, OPTIONS);
    const [message] = await Array.fromAsync(redrive.scan());
    expect(message!.body).toBe(before!.message!.body);
    expect(message!.attributes).toEqual({ ...before!.message!.attributes, redrive: 'r-1' });
  });
});
