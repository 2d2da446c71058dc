/**
 * Promises 1, 2, 3, 4 and 5 of docs/delivery.md, for each of two generations, while readers are moved from one to the other;
 * and effects outside the database once over both.
 */
import assert from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { POLLING_MODES } from '../../polling-modes.ts';
import { runs } from '../../runs.ts';
import {
  batch,
  calm,
  deliver,
  discard,
  discardedLetters,
  holdsAfterEachStep,
  type Mode,
  partitions,
  redrive,
  trouble,
} from './delivery-histories.ts';
import { Generations } from './generations-world.ts';

const generation = fc.nat(1);
const step = fc.oneof(
  // Batches of either, or of both at once, and a switch in the middle of them.
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('deliver' as const),
      batches: fc.array(fc.record({ generation, batch }), { minLength: 1, maxLength: 3 }),
      isSwitched: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('switch' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('discard' as const),
      generation,
      partition: fc.nat(2),
      size: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('redrive' as const),
      generation,
      of: fc.constantFrom('letters' as const, 'discarded' as const),
      picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
      trouble,
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Where the rebuild begins: mostly at the oldest record, else where readers would lose what is older. */
const rebuildStartsAt = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
  ),
  { minLength: 3, maxLength: 3 },
);

describe.each(POLLING_MODES)('rebuild, promote and rollback over random histories, %s', (mode) => {
  test('readers lose nothing and see nothing twice, and one generation alone is not replayed', async () => {
    let switches = 0;
    await fc.assert(
      fc.asyncProperty(
        partitions,
        rebuildStartsAt,
        fc.array(step, { maxLength: 12 }),
        fc.nat(),
        async (shape, startsAt, steps, seed) => {
          const generations = new Generations(shape, startsAt, seed);
          for (const each of steps) {
            await take(generations, each, mode);
            for (const world of generations.worlds) holdsAfterEachStep(world);
          }
          await windUp(generations, mode);
          // Once all is settled, readers may be moved either way, and see what a run without a rebuild has.
          for (let moves = 0; moves < 2; moves++) {
            assert.equal(await generations.switch(), true);
            readersSeeEverything(generations);
          }
          effectsOutsideOnce(generations);
          switches += generations.switches - 2;
        },
      ),
      { numRuns: runs(1_000) },
    );
    // Else nothing was tried but refusals.
    expect(switches).toBeGreaterThan(runs(1_000) / 10);
  }, 600_000);
});

async function take(generations: Generations, step: Step, mode: Mode): Promise<void> {
  if (step.op === 'switch') {
    await generations.switch();
    return;
  }
  if (step.op === 'deliver') {
    const { live } = generations;
    const deliveries = step.batches.map(({ generation, batch }) => ({
      generation,
      over: deliver(generations.worlds[generation]!, batch, mode, generations.endOf(generation)),
    }));
    // The live generation's batches in flight end first; nothing read before the switch is delivered after it.
    const ofLive = deliveries.flatMap(({ generation, over }) => (generation === live ? [over] : []));
    const switching = step.isSwitched ? Promise.all(ofLive).then(() => generations.switch()) : undefined;
    await Promise.all([...deliveries.map(({ over }) => over), switching]);
    return;
  }
  const world = generations.worlds[step.generation]!;
  if (step.op === 'discard')
    return discard(world, step.partition, step.size, generations.endOf(step.generation));
  const pool = step.of === 'letters' ? [...world.letters.values()] : discardedLetters(world);
  await redrive(
    world,
    step.picks.flatMap((pick) => pool[pick % pool.length] ?? []),
    step.trouble,
  );
}

/** Calm returns to both: all is delivered, the handler is fixed, and what was given up is redriven. */
async function windUp({ worlds, live }: Generations, mode: Mode): Promise<void> {
  const [first] = worlds;
  first!.partitions.forEach((of, partition) => {
    first!.append(of, partition, { kind: 'good' });
  });
  for (const world of [worlds[live]!, worlds[1 - live]!]) {
    const rest = world.partitions.flatMap(({ records, cursor }) => records.slice(cursor));
    const answer = await world.deliver(rest, calm, mode === 'provisioned');
    assert.deepEqual(answer, { result: { batchItemFailures: [] } });
    for (const of of world.partitions) of.cursor = of.records.length;
    world.isMended = true;
    for (let times = 0; times < 2; times++) {
      await redrive(world, [...world.letters.values(), ...discardedLetters(world)], calm);
    }
    holdsAfterEachStep(world);
  }
}

function readersSeeEverything({ worlds, live }: Generations): void {
  const world = worlds[live]!;
  world.partitions.forEach(({ natures }, partition) => {
    const applicable = natures.flatMap(({ kind }, offset) => (kind === 'garbage' ? [] : [offset]));
    assert.deepEqual(
      [...world.effects(partition)].sort((a, b) => a - b),
      applicable,
    );
  });
}

/** What failed or was given up in either is had when it is redriven, by a live generation or not. */
function effectsOutsideOnce(generations: Generations): void {
  const { worlds } = generations;
  worlds[0]!.partitions.forEach(({ natures }, partition) => {
    const isAside = (offset: number) =>
      worlds.some(
        (world) =>
          world.everDeadLettered.has(world.letterId(partition, offset)) ||
          world.partitions[partition]!.everDiscarded.has(offset),
      );
    const had = generations.outside(partition).filter((offset) => !isAside(offset));
    assert.deepEqual(
      had.toSorted((a, b) => a - b),
      natures.flatMap(({ kind }, offset) => (kind === 'garbage' || isAside(offset) ? [] : [offset])),
    );
  });
}
