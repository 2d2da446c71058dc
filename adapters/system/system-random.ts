import type { Random } from '../../runtime/ports.ts';

/** The engine's own randomness; not for secrets. */
export const systemRandom: Random = { next: () => Math.random() };
