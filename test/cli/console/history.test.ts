import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createHistory } from '../../../cli/console/history.ts';
import { lookOf } from '../../../cli/console/status.ts';
import type { ConsumerLook } from '../../../console/operations.ts';
import { runs } from '../../runs.ts';
import { statusOf } from '../status-of.ts';

const HOUR_MS = 3_600_000;
const T = Date.UTC(2026, 0, 1);
const look = (given: Partial<ConsumerLook> = {}): ConsumerLook => ({
  ...lookOf(statusOf({ consumer: 'c' }), { state: '.millrace' }, null),
  ...given,
});

describe('the series of a consumer', () => {
  test('has an hour in a few hundred samples, the newest among them, in the order of time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 60_000 }),
        fc.integer({ min: 1, max: 3_000 }),
        (gapMs, count) => {
          const history = createHistory('started');
          for (let n = 0; n < count; n++) history.note(look({ lag: n }), T + n * gapMs);
          const { at, lag, ageMs, inPerSecond, outPerSecond } = history.series();
          const newest = T + (count - 1) * gapMs;
          expect(at.length).toBeLessThanOrEqual(500);
          for (const each of [lag, ageMs, inPerSecond, outPerSecond]) expect(each).toHaveLength(at.length);
          expect(at.at(-1)).toBe(newest);
          expect(lag.at(-1)).toBe(count - 1);
          expect(at[0]).toBeGreaterThanOrEqual(newest - HOUR_MS);
          expect(at).toEqual(at.toSorted((a, b) => a - b));
          // The oldest of the hour is not lost to thinning.
          expect(at[0]! - Math.max(T, newest - HOUR_MS)).toBeLessThanOrEqual(Math.max(gapMs, 80_000));
        },
      ),
      { numRuns: runs(50) },
    );
  });

  test('of a sparkline has 60 points at most, and the newest is the last', () => {
    const history = createHistory('started');
    for (let n = 0; n < 900; n++) {
      history.note(look({ lag: n }), T + n * 2_000);
      const { at, lag } = history.sparkline();
      expect(at.length).toBeLessThanOrEqual(60);
      expect(at.length).toBeGreaterThanOrEqual(Math.min(n + 1, 25));
      expect([at.at(-1), lag.at(-1)]).toEqual([T + n * 2_000, n]);
    }
    expect(history.sparkline().at[0]).toBeGreaterThan(T + 899 * 2_000 - 600_001);
  });

  test('keeps what is unknown unknown', () => {
    const history = createHistory('started');
    history.note(look({ lag: null, ageMs: null, inPerSecond: null }), T);
    expect(history.series()).toMatchObject({ lag: [null], ageMs: [null], inPerSecond: [null] });
  });

  test('goes on where the clock steps back', () => {
    const history = createHistory('started');
    history.note(look({ lag: 1 }), T + 60_000);
    history.note(look({ lag: 2 }), T);
    expect(history.series()).toMatchObject({ at: [T], lag: [2] });
  });
});

describe('the marks of a consumer', () => {
  const marksOf = (...looks: readonly Partial<ConsumerLook>[]) => {
    const history = createHistory('deployed');
    for (const [n, each] of looks.entries()) history.note(look(each), T + n * 2_000);
    return history.marks().map(({ at, kind, text }) => [(at - T) / 2_000, kind, text]);
  };

  test('say when it became bad, with what holds it, and when it was over', () => {
    const stalled = { verdict: 'STALLED', heldBy: 'SINK_UNAVAILABLE' } as const;
    expect(marksOf({}, stalled, stalled, { verdict: 'RECOVERING' }, { verdict: 'OK' })).toEqual([
      [1, 'incident', 'STALLED: SINK_UNAVAILABLE'],
      [3, 'recovery', 'RECOVERING'],
    ]);
  });

  test('call no recovery what nobody could look at', () => {
    expect(marksOf({}, { verdict: 'BLOCKED' }, { verdict: 'UNKNOWN' }, { verdict: 'BLOCKED' })).toEqual([
      [1, 'incident', 'BLOCKED'],
    ]);
  });

  test('have each deployment of the last hour once', () => {
    const [first, second] = [{ deployedAt: T - 2_000 }, { deployedAt: T + 4_000 }];
    expect(marksOf({ deployedAt: null }, first, first, second, second)).toEqual([
      [-1, 'deploy', 'deployed'],
      [2, 'deploy', 'deployed'],
    ]);
    expect(marksOf({ deployedAt: T - HOUR_MS - 1 })).toEqual([]);
  });

  test('are forgotten after an hour', () => {
    const history = createHistory('deployed');
    for (const [at, verdict] of [
      [T, 'OK'],
      [T + 1, 'LOST'],
    ] as const)
      history.note(look({ verdict }), at);
    history.note(look({ verdict: 'LOST' }), T + HOUR_MS + 2);
    expect(history.marks()).toEqual([]);
  });
});
