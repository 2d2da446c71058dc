/** Random histories of a world, and what must hold in them: promises 1 to 5 of docs/delivery.md. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import type { Outcome } from '../../../runtime/delivery/item.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import type { POLLING_MODES } from '../../polling-modes.ts';
import { anyTimestamp } from '../raw-record-arbitrary.ts';
import type { Nature, Trouble, World } from './delivery-world.ts';
import { Stopped } from './stopping.ts';

export const nature: fc.Arbitrary<Nature> = fc.oneof(
  { weight: 8, arbitrary: fc.constant({ kind: 'good' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'garbage' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'throws' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'rejected' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'refused' } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('odd' as const), timestamp: anyTimestamp }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('flaky' as const), failures: fc.integer({ min: 1, max: 2 }) }),
  },
);
export const partitions = fc.array(
  fc.record({
    natures: fc.array(nature, { minLength: 1, maxLength: 14 }),
    startsAt: fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
    ),
  }),
  { minLength: 1, maxLength: 3 },
);

export const trouble: fc.Arbitrary<Trouble> = fc.record({
  stopAt: fc.option(fc.integer({ min: 0, max: 40 }), { freq: 2 }),
  sinkRefusals: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
  ),
  letterRefusals: fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
  ),
  delayMs: fc.constantFrom(0, 0, 5),
  remainingMs: fc.constantFrom(60_000, 60_000, 60_000, 3_500, 1_000),
});
export const calm: Trouble = {
  stopAt: null,
  sinkRefusals: 0,
  letterRefusals: 0,
  delayMs: 0,
  remainingMs: 60_000,
};

/** A batch: of each partition some records before the cursor, delivered once more, and some from it on. */
export const batch = fc.record({
  back: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 3, maxLength: 3 }),
  size: fc.array(fc.integer({ min: 0, max: 10 }), { minLength: 3, maxLength: 3 }),
  trouble,
});
export type Batch = typeof batch extends fc.Arbitrary<infer T> ? T : never;
export type Mode = (typeof POLLING_MODES)[number];

export const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('deliver' as const), batches: fc.tuple(batch) }) },
  // Two instances at once: a batch delivered again while the first delivery still runs.
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('deliver' as const), batches: fc.tuple(batch, batch) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('discard' as const),
      partition: fc.nat(2),
      size: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('redrive' as const),
      of: fc.constantFrom('letters' as const, 'discarded' as const),
      picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
      trouble,
    }),
  },
);

/** @param endOf one past the last offset of a partition that is delivered */
export async function deliver(
  world: World,
  { back, size, trouble }: Batch,
  mode: Mode,
  endOf: (partition: number) => number = () => Number.POSITIVE_INFINITY,
): Promise<void> {
  const partialResponses = mode === 'provisioned';
  const stretches = world.partitions.map(({ records, cursor }, index) => {
    const from = Math.max(0, cursor - back[index]!);
    return records.slice(from, Math.max(from, Math.min(from + size[index]!, endOf(index))));
  });
  const records = stretches.flat();
  const answer = await world.deliver(records, trouble, partialResponses);
  if ('error' in answer) {
    acceptable(answer.error);
    return;
  }
  const failed = answer.result.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  if (!partialResponses) assert.deepEqual(failed, []);
  stretches.forEach((stretch, partition) => {
    const firstFailed = failed.find((item) => item.partition === `world.events-${partition}`)?.offset;
    const end = firstFailed ?? (stretch.at(-1)?.offset ?? -1) + 1;
    const of = world.partitions[partition]!;
    of.cursor = Math.max(of.cursor, end);
  });
}

export function discard(
  world: World,
  partition: number,
  size: number,
  endOf: (partition: number) => number = () => Number.POSITIVE_INFINITY,
): void {
  const index = partition % world.partitions.length;
  const of = world.partitions[index]!;
  const end = Math.min(of.records.length, endOf(index));
  for (let left = size; left > 0 && of.cursor < end; left--) {
    of.discarded.add(of.cursor);
    of.everDiscarded.add(of.cursor++);
  }
}

/** Letters as they would be made of a batch that the event source gave up on. */
export function discardedLetters(world: World): DeadLetter[] {
  return world.partitions.flatMap(({ records, discarded }) =>
    [...discarded].map((offset) => letterFor(records[offset]!)),
  );
}

function letterFor(record: RawRecord): DeadLetter {
  return {
    id: `world/${record.topic}/${record.partition}/${record.offset}`,
    consumer: 'world',
    epoch: 1,
    record,
    schemaId: null,
    failure: {
      stage: 'handle',
      code: 'HANDLER_FAILED',
      name: 'Error',
      message: '',
      stack: '',
      causes: [],
      attempts: 1,
      firstFailedAt: 0,
      lastFailedAt: 0,
      earlier: [],
    },
    functionName: 'world',
    functionVersion: '1',
    requestId: 'request',
  };
}

/** @returns the outcome of each letter; undefined where the function failed or stopped */
export async function redrive(
  world: World,
  letters: readonly DeadLetter[],
  trouble: Trouble,
  mayBeOvertaken = false,
): Promise<readonly Outcome[] | undefined> {
  const answer = await world.redrive(letters, trouble, mayBeOvertaken);
  if ('error' in answer) {
    acceptable(answer.error);
    return undefined;
  }
  answer.result.forEach((outcome, index) => {
    const letter = letters[index]!;
    if (!['applied', 'duplicate', 'repeated'].includes(outcome)) return;
    // Another letter of the record may have been stored meanwhile: what is acknowledged is this one.
    const isSettled = !world.letters.has(letter.id) || world.letters.get(letter.id) === letter;
    if (world.letters.get(letter.id) === letter) world.letters.delete(letter.id);
    if (isSettled) world.partitions[letter.record.partition]!.discarded.delete(letter.record.offset);
  });
  return answer.result;
}

/** Only what the table of errors has; a stopped function leaves no error at all. */
export function acceptable(error: unknown): void {
  if (error instanceof Stopped) return;
  if (!(error instanceof MillraceError)) throw error;
  assert.equal(error.code, 'BATCH_INCOMPLETE');
}

export function holdsAfterEachStep(world: World): void {
  world.partitions.forEach(({ cursor, natures, discarded, everDiscarded }, partition) => {
    const effects = world.effects(partition);
    const applied = new Set(effects);
    const { parked } = world.remembered(partition);
    const isOneOf = (ids: ReadonlySet<string>, offset: number) => ids.has(world.letterId(partition, offset));

    // Promise 2, effects once.
    assert.equal(effects.length, applied.size);

    // Promise 1, nothing lost: what the event source let go of is applied, a letter, parked, or known to be given up.
    for (let offset = 0; offset < cursor; offset++) {
      const isAccounted =
        applied.has(offset) ||
        world.letters.has(world.letterId(partition, offset)) ||
        parked.has(offset) ||
        discarded.has(offset) ||
        world.isRepeated(partition, offset, applied) ||
        isOneOf(world.mayBeDropped, offset);
      if (!isAccounted) throw new Error(`${partition}/${offset} is lost`);
    }

    // Promise 3, order: but for what was dead-lettered, parked or skipped, effects stand in offset order.
    const inOrder = effects.filter(
      (offset) =>
        !isOneOf(world.everDeadLettered, offset) &&
        !isOneOf(world.everParked, offset) &&
        !everDiscarded.has(offset),
    );
    assert.deepEqual(
      inOrder,
      [...inOrder].sort((a, b) => a - b),
    );

    // Promise 5, no silent skip: inside the ledger's interval an offset is applied, parked, or a hole.
    const ledger = world.ledger(partition);
    for (let offset = ledger?.first ?? 0; offset < (ledger?.next ?? 0); offset++) {
      const isHole = ledger!.holes.some(({ from, to }) => offset >= from && offset < to);
      const states = { isHole, isApplied: applied.has(offset), isParked: parked.has(offset) };
      const is = Object.values(states).filter(Boolean).length;
      const mayBeNone = isOneOf(world.mayBeDropped, offset) || world.isRepeated(partition, offset, applied);
      if (is !== 1 && (is > 1 || !mayBeNone))
        throw new Error(`${partition}/${offset}: ${JSON.stringify(states)}`);
    }

    // And what counts as skipped, the event source did skip: no false alarm.
    for (const { from, to } of ledger?.skipped ?? []) {
      for (let offset = from; offset < to; offset++) assert.ok(everDiscarded.has(offset));
    }

    // Promise 4, an outage is not a bad record: only bad records were ever dead-lettered.
    natures.forEach(({ kind }, offset) => {
      const isGood = kind === 'good' || kind === 'odd' || kind === 'flaky';
      if (isGood && !isOneOf(world.everOverflowed, offset))
        assert.equal(isOneOf(world.everDeadLettered, offset), false);
    });
  });
}

/** Calm returns: all is delivered, the handler is fixed, and what was given up is redriven. */
export async function windUp(world: World, mode: Mode): Promise<void> {
  // One more record each, so that even a batch discarded at the very end is followed by a delivery.
  world.partitions.forEach((of, partition) => {
    world.append(of, partition, { kind: 'good' });
  });
  const rest = world.partitions.flatMap(({ records, cursor }) => records.slice(cursor));
  const answer = await world.deliver(rest, calm, mode === 'provisioned');
  // Promise 4, never stuck: without trouble one invocation settles everything, bad records and all.
  assert.deepEqual(answer, { result: { batchItemFailures: [] } });
  for (const of of world.partitions) of.cursor = of.records.length;
  holdsAfterEachStep(world);

  world.isMended = true;
  await redrive(world, [...world.letters.values(), ...discardedLetters(world)], calm);
  await redrive(world, [...world.letters.values(), ...discardedLetters(world)], calm);
}

export function holdsAtTheEnd(world: World): void {
  world.partitions.forEach(({ natures }, partition) => {
    const offsets = natures.map((_, offset) => offset);
    const isGarbage = (offset: number) => natures[offset]!.kind === 'garbage';
    assert.deepEqual(
      [...world.effects(partition)].sort((a, b) => a - b),
      offsets.filter((offset) => !isGarbage(offset)),
    );

    // Promise 5, no silent skip: what is not applied is a letter and a hole.
    for (const offset of offsets.filter(isGarbage)) {
      assert.ok(world.letters.has(world.letterId(partition, offset)));
    }
    const ledger = world.ledger(partition)!;
    const holes = ledger.holes.flatMap(({ from, to }) =>
      Array.from({ length: to - from }, (_, n) => from + n),
    );
    assert.deepEqual(
      holes,
      offsets.filter(isGarbage).filter((offset) => offset >= ledger.first!),
    );
    assert.equal(ledger.next, natures.length);
  });
}
