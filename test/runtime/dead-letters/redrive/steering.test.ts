/** A person who pauses, resumes and cancels a redrive that is under way. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createQueueLetters, REDRIVE_ATTRIBUTE } from '../../../../runtime/dead-letters/queue-letters.ts';
import { chooseLetters } from '../../../../runtime/dead-letters/redrive/plan.ts';
import { type LetterResult, writeRedriveResults } from '../../../../runtime/dead-letters/redrive/results.ts';
import {
  type RedriveEnd,
  type RedriveOptions,
  type RedriveProgress,
  runRedrive,
  type Steering,
} from '../../../../runtime/dead-letters/redrive/send.ts';
import { type DeadLetter, letterKey } from '../../../../runtime/delivery/dead-letter.ts';
import { createFakeClock } from '../../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../../testing/memory-queue.ts';
import { deadLetter } from '../../../dead-letters.ts';
import { runs } from '../../../runs.ts';

const OPTIONS: RedriveOptions = { ratePerSecond: 20, canary: 0, maxFailures: 5, patienceMs: 2_000 };

/** What the person wants from a moment on, in milliseconds from the start; `go` before. */
type Script = readonly (readonly [fromMs: number, wanted: Steering])[];

/** Letters in a queue, and a function that ends each as `resultOf` says; null for one that it never gets to. */
function open(resultOf: (offset: number) => LetterResult | null = () => 'applied') {
  const clock = createFakeClock({ autoAdvance: true });
  const queues = createMemoryQueues({ clock });
  const objects = createMemoryObjects({ clock });
  const reader = createQueueLetters({ queue: queues.queue('dead-letters'), objects });
  const redrive = queues.queue('redrive');
  const startsAt = clock.now();
  const sends: { readonly offset: number; readonly atMs: number }[] = [];
  const applied: number[] = [];
  let [redrives, part] = [0, 0];

  const consume = async () => {
    for (const { body, attributes, receipt } of await redrive.receive({
      maxMessages: 10,
      visibilityMs: 60_000,
    })) {
      const letter = JSON.parse(body) as DeadLetter;
      const { offset } = letter.record;
      const result = applied.includes(offset) ? 'already-applied' : resultOf(offset);
      if (result === null) continue;
      if (result === 'applied') applied.push(offset);
      if (result === 'failed-again' || result === 'overtaken') await reader.put([letterAt(offset)]);
      const results = new Map([[letterKey(letter), result]]);
      await writeRedriveResults(objects, attributes[REDRIVE_ATTRIBUTE]!, `${part++}`, results);
      await redrive.delete([receipt]);
    }
  };

  const run = async (
    options: Partial<RedriveOptions>,
    steering: () => Steering,
    onProgress?: (progress: RedriveProgress, isCanary: boolean) => void,
  ) => {
    let isOver = false;
    const consuming = (async () => {
      while (!isOver) {
        await consume();
        await clock.sleep(50);
      }
    })();
    const sent = new Set<string>();
    const chosen = await chooseLetters(
      { reader, objects },
      { filter: {}, mayBeOvertaken: false, inOrder: true },
    );
    const plan = { id: `r-${redrives++}`, consumer: 'c', mayBeOvertaken: false, ...chosen };
    const noteSent = (ids: readonly string[]) => {
      for (const id of ids) sent.add(id);
    };
    const watched: typeof redrive = {
      ...redrive,
      async send(messages) {
        for (const { body } of messages)
          sends.push({
            offset: (JSON.parse(body) as DeadLetter).record.offset,
            atMs: clock.now() - startsAt,
          });
        await redrive.send(messages);
      },
    };
    try {
      const end = await runRedrive(
        { plan, sent, noteSent },
        { reader, redrive: watched, objects, clock, steering },
        { ...OPTIONS, ...options },
        onProgress,
      );
      return { end, plan };
    } finally {
      isOver = true;
      await consuming;
    }
  };
  const onReader = async () => {
    const copies = new Map<string, number>();
    for await (const copy of reader.scan())
      if ('letter' in copy) copies.set(copy.ref, copy.letter.record.offset);
    return copies;
  };
  const elapsedMs = () => clock.now() - startsAt;
  const wantedAt = (script: Script, atMs: number): Steering =>
    script.findLast(([fromMs]) => fromMs <= atMs)?.[1] ?? 'go';
  return { clock, reader, redrive, sends, applied, run, onReader, elapsedMs, wantedAt };
}

function letterAt(offset: number): DeadLetter {
  // Every third letter has a key of others: those go one after the other.
  return deadLetter({
    offset,
    key: Buffer.from(offset % 3 === 0 ? `shared-${offset % 2}` : `own-${offset}`),
  });
}
const letters = (count: number) => Array.from({ length: count }, (_, offset) => letterAt(offset));

describe('a pause', () => {
  test('sends nothing until it is resumed, and results still come in', async () => {
    const { reader, run, sends, elapsedMs, wantedAt } = open();
    await reader.put(letters(30));
    const script: Script = [
      [600, 'pause'],
      [30_000, 'go'],
    ];
    const paused: RedriveProgress[] = [];
    const { end } = await run(
      {},
      () => wantedAt(script, elapsedMs()),
      (progress) => {
        if (wantedAt(script, elapsedMs()) === 'pause') paused.push(progress);
      },
    );
    expect(sends.filter(({ atMs }) => atMs >= 600 && atMs < 30_000)).toEqual([]);
    expect(sends.filter(({ atMs }) => atMs < 600).length).toBeGreaterThan(0);
    expect(paused.at(-1)).toMatchObject({ sent: paused[0]!.sent, applied: paused[0]!.sent });
    expect(end).toMatchObject({ planned: 30, applied: 30, remaining: 0 });
    expect(end).not.toHaveProperty('cancelled');
  });

  test('keeps the canary on trial for longer than there is patience', async () => {
    let isUp = false;
    const { reader, run, sends, elapsedMs } = open(() => (isUp ? 'applied' : null));
    await reader.put([1, 2, 3].map((offset) => deadLetter({ offset, key: null })));
    const { end } = await run({ canary: 2, patienceMs: 1_000 }, () => {
      isUp = elapsedMs() > 50_000;
      return sends.length === 2 && elapsedMs() < 100_000 ? 'pause' : 'go';
    });
    expect(end).toMatchObject({ applied: 3, remaining: 0 });
  });

  test('before anything was sent, and a cancel after it, leave everything where it is', async () => {
    const { reader, run, sends, onReader, elapsedMs } = open();
    await reader.put(letters(5));
    const { end } = await run({}, () => (elapsedMs() < 5_000 ? 'pause' : 'cancel'));
    expect(end).toMatchObject({ planned: 5, sent: 0, remaining: 5, cancelled: true });
    expect(sends).toEqual([]);
    expect((await onReader()).size).toBe(5);
  });
});

describe('a cancel', () => {
  test('sends no more, waits for what was sent, and leaves the others where they are', async () => {
    const { reader, run, onReader, sends, elapsedMs } = open();
    await reader.put(letters(60).map((letter) => ({ ...letter, record: { ...letter.record, key: null } })));
    const { end } = await run({}, () => (elapsedMs() < 1_000 ? 'go' : 'cancel'));
    expect(end.sent).toBeGreaterThan(0);
    expect(end.sent).toBeLessThan(60);
    expect(end).toMatchObject({ applied: end.sent, remaining: 60 - end.sent, cancelled: true });
    expect([...(await onReader()).values()]).toHaveLength(60 - sends.length);
  });

  test('holds, whatever is said later', async () => {
    const { reader, run, sends } = open();
    await reader.put(letters(30));
    let asked = 0;
    const { end } = await run({}, () => (asked++ === 1 ? 'cancel' : 'go'));
    expect(end).toMatchObject({ cancelled: true });
    expect(sends.length).toBeLessThan(30);
  });

  test('of a canary that then fails is a cancel, and no stop', async () => {
    const { reader, run, sends } = open(() => 'failed-again');
    await reader.put(letters(20));
    const { end } = await run({ canary: 2 }, () => (sends.length === 0 ? 'go' : 'cancel'));
    expect(end).toMatchObject({ sent: 2, failed: 2, remaining: 18, cancelled: true });
  });

  test('beside too many failures is a cancel, and no stop', async () => {
    const { reader, run, sends } = open(() => 'failed-again');
    await reader.put(Array.from({ length: 40 }, (_, offset) => deadLetter({ offset, key: null })));
    const { end } = await run({ maxFailures: 5 }, () => (sends.length < 20 ? 'go' : 'cancel'));
    expect(end).toMatchObject({ sent: 20, failed: 20, remaining: 20, cancelled: true });
  });

  test('after everything was sent changes nothing, and the end does not claim it', async () => {
    const { reader, run, sends } = open();
    await reader.put(letters(2));
    const { end } = await run({}, () => (sends.length < 2 ? 'go' : 'cancel'));
    expect(end).toMatchObject({ sent: 2, applied: 2, remaining: 0 });
    expect(end).not.toHaveProperty('cancelled');
  });

  test('waits no longer than there is patience', async () => {
    const { reader, run, sends, elapsedMs } = open(() => null);
    await reader.put(letters(40));
    const { end } = await run({ patienceMs: 1_000 }, () => (sends.length === 0 ? 'go' : 'cancel'));
    expect(end).toMatchObject({ sent: sends.length, applied: 0, remaining: 40, cancelled: true });
    expect(elapsedMs()).toBeLessThan(5_000);
  });
});

test('the canary is told from the rest', async () => {
  const { reader, run } = open();
  await reader.put(letters(20));
  const seen: { sent: number; isCanary: boolean }[] = [];
  await run(
    { canary: 3 },
    () => 'go',
    ({ sent }, isCanary) => seen.push({ sent, isCanary }),
  );
  expect(seen.filter(({ isCanary }) => isCanary).every(({ sent }) => sent <= 3)).toBe(true);
  expect(seen[0]!.isCanary).toBe(true);
  expect(seen.filter(({ sent }) => sent > 3).length).toBeGreaterThan(0);
});

const script: fc.Arbitrary<Script> = fc
  .record({
    waits: fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), fc.constantFrom<Steering>('pause', 'go')), {
      maxLength: 6,
    }),
    last: fc.tuple(fc.integer({ min: 0, max: 2_000 }), fc.constantFrom<Steering>('go', 'cancel', 'cancel')),
  })
  .map(({ waits, last }) => {
    let atMs = 0;
    return [...waits, last].map(([afterMs, wanted]) => {
      atMs += afterMs;
      return [atMs, wanted] as const;
    });
  });

test('however it is paused and cancelled, each letter is in exactly one place, and nothing is sent against the word', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.constantFrom<LetterResult | null>(
          'applied',
          'applied',
          'already-applied',
          'failed-again',
          'overtaken',
          null,
        ),
        { minLength: 1, maxLength: 30 },
      ),
      fc.integer({ min: 0, max: 4 }),
      fc.integer({ min: 3, max: 40 }),
      fc.integer({ min: 1, max: 6 }),
      script,
      async (results, canary, ratePerSecond, maxFailures, steps) => {
        let isMended = false;
        const world = open((offset) => (isMended ? 'applied' : results[offset]!));
        const { reader, redrive, sends, applied, run, onReader, elapsedMs, wantedAt } = world;
        await reader.put(letters(results.length));
        const before = await onReader();

        let end: RedriveEnd | undefined;
        let last: RedriveProgress | undefined;
        await run(
          { canary, ratePerSecond, maxFailures },
          () => wantedAt(steps, elapsedMs()),
          (progress) => {
            last = progress;
          },
        ).then(
          (ran) => {
            end = ran.end;
          },
          (error) => {
            if (error.code !== 'REDRIVE_STOPPED') throw error;
          },
        );
        const { planned, sent, applied: now, alreadyApplied, failed, overtaken, remaining } = end ?? last!;
        expect(now + alreadyApplied + failed + overtaken + remaining).toBe(planned);
        expect(planned).toBe(results.length);
        expect(sent).toBe(sends.length);

        for (const { atMs } of sends) expect(wantedAt(steps, atMs)).toBe('go');
        // Once each: what was sent is off the reader, unless it came back as another copy; what was not sent is as it was.
        expect(new Set(sends.map(({ offset }) => offset)).size).toBe(sends.length);
        const after = await onReader();
        for (const [ref, offset] of before)
          expect(after.has(ref)).toBe(!sends.some((each) => each.offset === offset));
        const waiting = (await Array.fromAsync(redrive.scan())).map(
          ({ body }) => (JSON.parse(body) as DeadLetter).record.offset,
        );
        for (const [offset, result] of results.entries()) {
          const isOnReader = [...after.values()].includes(offset);
          const isSettled = applied.includes(offset) || (result === 'already-applied' && !isOnReader);
          const places = [isOnReader, waiting.includes(offset), isSettled && !waiting.includes(offset)];
          expect(places.filter(Boolean)).toHaveLength(1);
        }
        if (end?.cancelled) expect(sent).toBeLessThan(results.length);

        // A new redrive is a new plan, and gives back all that is left.
        isMended = true;
        const left = new Set(after.values()).size;
        const again = await run({}, () => 'go');
        expect(again.end).toMatchObject({ planned: left, applied: left, remaining: 0 });
      },
    ),
    { numRuns: runs(500) },
  );
}, 120_000);
