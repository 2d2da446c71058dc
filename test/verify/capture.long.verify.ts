/** The long lane: 100,000 changes with two kills of Connect. `npm run verify -- --long` runs it. */
import { describe, expect, jest, test } from '@jest/globals';
import { captureRun } from './capture-run.ts';
import { part } from './part.ts';

jest.setTimeout(3_600_000);
// Fetched before, one after another; the demo starts its own.
for (const variable of ['MILLRACE_TEST_KAFKA', 'MILLRACE_TEST_CONNECT', 'MILLRACE_TEST_AWS']) part(variable);

describe('100,000 changes with two kills of Connect', () => {
  const { state, positions } = captureRun({
    changes: 100_000,
    perSecond: 500,
    seed: 11,
    faults: { killConnect: true, redeliver: false, widen: false, alter: false },
  });

  test('end equal, row by row and column by column', () => {
    const { changes, compared, duplicatesInTopics } = state();
    expect(changes).toBe(100_000);
    expect(duplicatesInTopics).toBeGreaterThan(0);
    expect(compared).toMatchObject({ missing: 0, extra: 0, different: 0, unsettled: 0 });
  });

  // Whether a run falls into the middle of a replay is chance here; warehouse.verify.ts has one that does, with its control.
  test('never go back in time between runs of the warehouse', () => {
    expect(positions.fallen()).toEqual([]);
  });

  test('are in the mart within five minutes, on a machine that runs all of it', () => {
    expect(state().freshnessP95Ms).toBeLessThan(300_000);
  });
});
