import type { Clock } from '../ports.ts';

/**
 * Which letters deliveries have left behind lately. A batch may be delivered many times while one of its partitions waits: its
 * bad records then fail again, and have their letters already.
 */
export interface RecentLetters {
  has(key: string): boolean;
  add(keys: readonly string[]): void;
}

const FOR_MS = 15 * 60_000;
const MOST = 50_000;

export function createRecentLetters(clock: Pick<Clock, 'now'>): RecentLetters {
  /** Each with the time until which it counts, oldest first. */
  const letters = new Map<string, number>();
  return {
    has: (key) => (letters.get(key) ?? 0) > clock.now(),
    add(keys) {
      const until = clock.now() + FOR_MS;
      for (const key of keys) {
        // What is known already keeps its time, so that a letter is stored again now and then.
        if ((letters.get(key) ?? 0) > clock.now()) continue;
        letters.delete(key);
        letters.set(key, until);
        if (letters.size > MOST) letters.delete(letters.keys().next().value!);
      }
    },
  };
}
