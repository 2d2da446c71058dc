import type { Random } from '../../runtime/ports.ts';

/**
 * The same numbers for the same seed, on every machine: sfc32, the 32-bit "small fast counting" generator of Chris
 * Doty-Humphrey's PractRand (https://pracrand.sourceforge.net, public domain, 2026-11-24). Not for secrets.
 */
export function createSeededRandom(seed: number): Random {
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = 0;
  let counter = 1;
  const nextInt = () => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  };
  // Seeds that differ in one bit must not begin alike.
  for (let round = 0; round < 15; round++) nextInt();
  return { next: () => nextInt() / 2 ** 32 };
}
