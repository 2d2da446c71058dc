import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';

describe('the seeded random numbers', () => {
  const draw = (seed: number, count: number) => {
    const random = createSeededRandom(seed);
    return Array.from({ length: count }, () => random.next());
  };

  test('are the same for the same seed and others for another', () => {
    expect(draw(7, 20)).toEqual(draw(7, 20));
    expect(new Set([0, 1, 2, 2 ** 32, -1].map((seed) => draw(seed, 1)[0])).size).toBe(5);
  });

  test('are spread evenly over [0, 1)', () => {
    const buckets = Array.from({ length: 10 }, () => 0);
    for (const value of draw(42, 100_000)) buckets[Math.floor(value * 10)]!++;
    expect(buckets).toHaveLength(10);
    for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});
