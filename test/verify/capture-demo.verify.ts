/** The whole way, as `millrace capture demo` runs it: from PostgreSQL to DuckDB, under every fault. */
import { describe, expect, jest, test } from '@jest/globals';
import { captureRun } from './capture-run.ts';
import { part } from './part.ts';

jest.setTimeout(900_000);
// Fetched before, one after another; the demo starts its own.
for (const variable of ['MILLRACE_TEST_KAFKA', 'MILLRACE_TEST_CONNECT', 'MILLRACE_TEST_AWS']) part(variable);

describe('4,000 changes with two kills of Connect, redelivered batches, a wider topic and a new column', () => {
  const { state, positions } = captureRun({
    changes: 4_000,
    perSecond: 100,
    seed: 7,
    faults: { killConnect: true, redeliver: true, widen: true, alter: true },
  });

  test('end with a mart that equals the source in every row and column', () => {
    const { changes, martRows, compared } = state();
    expect(changes).toBe(4_000);
    expect(martRows).toBeGreaterThan(500);
    expect(compared).toMatchObject({ missing: 0, extra: 0, different: 0, unsettled: 0, examples: [] });
  });

  test('really came more than once, and are archived once', () => {
    const { duplicatesInTopics, inTopics, archived } = state();
    // Else the kills have shown nothing.
    expect(duplicatesInTopics).toBeGreaterThan(0);
    // Heartbeats go on.
    expect(archived).toBeGreaterThan(inTopics - 100);
  });

  test('are in the mart within five minutes, on a machine that runs other suites as well', () => {
    expect(state().freshnessP95Ms).toBeLessThan(300_000);
  });

  test('never show an older row than a run of the warehouse before did', () => {
    expect(positions.runs()).toBeGreaterThan(2);
    expect(positions.fallen()).toEqual([]);
  });
});
