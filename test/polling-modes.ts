import type { Polling } from '../runtime/lambda/mapping.ts';

/** What the promises of docs/delivery.md hold in: `describe.each(POLLING_MODES)`. */
export const POLLING_MODES: readonly Polling['mode'][] = ['on-demand', 'provisioned'];
