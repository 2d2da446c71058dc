import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import type { Random } from '../runtime/ports.ts';

/** All that is random in a run, each use with a stream of its own, so that none disturbs another. */
export interface RunRandom {
  readonly poison: Random;
  readonly traffic: Random;
  readonly faults: Random;
}

/** A seed for a run that was given none. */
export function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/** The same seed gives the same streams. */
export function runRandom(seed: number): RunRandom {
  const root = createSeededRandom(seed);
  const fork = () => createSeededRandom(Math.floor(root.next() * 2 ** 32));
  return { poison: fork(), traffic: fork(), faults: fork() };
}
