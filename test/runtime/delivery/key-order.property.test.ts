/** Promise 3 of docs/delivery.md for keys: their order around dead letters, held over random histories. */
import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { POLLING_MODES } from '../../polling-modes.ts';
import { runs } from '../../runs.ts';
import { memoryWorldSink, World, type WorldDeclaration } from './delivery-world.ts';
import {
  breaking,
  continuing,
  KeyedWorld,
  keyedOperation,
  keyedPartitions,
  ONCE,
  parking,
  sentTwice,
} from './key-order-histories.ts';

const CASES: readonly {
  readonly name: string;
  readonly declaration: fc.Arbitrary<WorldDeclaration>;
  readonly parksAlways: boolean;
  readonly isBroken?: boolean;
  readonly isSentTwice?: boolean;
}[] = [
  { name: 'with park-key', declaration: parking, parksAlways: true },
  {
    name: 'with park-key and once',
    declaration: parking.map((each) => ({ ...each, ...ONCE })),
    parksAlways: true,
    isSentTwice: true,
  },
  {
    name: 'with continue and once',
    declaration: continuing.map((each) => ({ ...each, ...ONCE })),
    parksAlways: false,
    isSentTwice: true,
  },
  { name: 'with continue', declaration: continuing, parksAlways: false },
  { name: 'with a breaker', declaration: breaking, parksAlways: false, isBroken: true },
  {
    name: 'with deploys from one to the other',
    declaration: fc.oneof(parking, continuing),
    parksAlways: false,
  },
];

describe.each(POLLING_MODES)('a key in order around its dead letters, %s', (mode) => {
  test.each(CASES)(
    '$name',
    async ({ declaration, parksAlways, isBroken = false, isSentTwice = false }) => {
      // A limit, once declared, stays: records that wait beyond a lower one would be no fault.
      const history = declaration.chain((first) =>
        fc.record({
          first: fc.constant(first),
          shape: isSentTwice ? sentTwice(keyedPartitions(isBroken)) : keyedPartitions(isBroken),
          operations: fc.array(keyedOperation(parksAlways ? fc.constant(first) : declaration), {
            maxLength: 14,
          }),
          seed: fc.nat(),
        }),
      );
      await fc.assert(
        fc.asyncProperty(history, async ({ first, shape, operations, seed }) => {
          const world = new KeyedWorld(new World(shape, seed, undefined, memoryWorldSink(), first), first);
          for (const operation of operations) {
            await world.run(operation, mode);
            world.holds();
            if (parksAlways) world.holdsWhileParking();
          }
          await world.windUp(mode);
          if (parksAlways) world.holdsWhileParking();
          await world.holdsAtTheEnd();
        }),
        { numRuns: runs(1_000) },
      );
    },
    600_000,
  );
});
