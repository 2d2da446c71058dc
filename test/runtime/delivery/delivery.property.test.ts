/** Promises 1, 2, 3, 4 and 5 of docs/delivery.md, held over random histories. */
import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { POLLING_MODES } from '../../polling-modes.ts';
import { runs } from '../../runs.ts';
import { archiveWorldSink } from '../archive/archive-world.ts';
import {
  deliver,
  discard,
  discardedLetters,
  holdsAfterEachStep,
  holdsAtTheEnd,
  operation,
  partitions,
  redrive,
  windUp,
} from './delivery-histories.ts';
import { memoryWorldSink, World } from './delivery-world.ts';

describe.each(POLLING_MODES)('delivery promises over random histories, %s', (mode) => {
  test.each([
    { name: 'a sink with transactions', open: memoryWorldSink },
    { name: 'an archive', open: archiveWorldSink },
  ])(
    '$name: nothing lost, effects once, in order, never stuck, nothing skipped in silence',
    async ({ open }) => {
      await fc.assert(
        fc.asyncProperty(
          partitions,
          fc.array(operation, { maxLength: 12 }),
          fc.nat(),
          async (shape, operations, seed) => {
            const world = new World(shape, seed, undefined, open());
            for (const operation of operations) {
              if (operation.op === 'deliver') {
                await Promise.all(operation.batches.map((each) => deliver(world, each, mode)));
              } else if (operation.op === 'discard') {
                discard(world, operation.partition, operation.size);
              } else {
                const pool =
                  operation.of === 'letters' ? [...world.letters.values()] : discardedLetters(world);
                await redrive(
                  world,
                  operation.picks.flatMap((pick) => pool[pick % pool.length] ?? []),
                  operation.trouble,
                );
              }
              holdsAfterEachStep(world);
            }
            await windUp(world, mode);
            holdsAtTheEnd(world);
          },
        ),
        { numRuns: runs(1_250) },
      );
    },
    600_000,
  );
});
