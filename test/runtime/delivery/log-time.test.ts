import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LogClock, NO_LOG_TIME } from '../../../runtime/delivery/log-time.ts';
import { runs } from '../../runs.ts';

const WINDOW_MS = 3_600_000;
const START = 1_700_000_000_000;

function timesOf(timestamps: readonly number[], clock = new LogClock(NO_LOG_TIME, WINDOW_MS)): number[] {
  return timestamps.map((timestamp) => clock.take(timestamp));
}

/** A record each second. */
const seconds = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) => START + (from + at) * 1_000);

describe('the time of a log', () => {
  test('follows its records', () => {
    const times = timesOf(seconds(0, 100));
    expect(times.at(-1)).toBeGreaterThanOrEqual(START + 95_000);
    expect(times.at(-1)).toBeLessThanOrEqual(START + 99_000);
  });

  test('is not moved far by any single timestamp, wherever it stands', () => {
    const honest = seconds(0, 60);
    for (let at = 0; at < honest.length; at++) {
      for (const odd of [0, 1, START * 1_000, 2 ** 63, Number.MAX_SAFE_INTEGER]) {
        const times = timesOf(honest.with(at, odd));
        const last = times.at(-1)!;
        expect(Math.abs(last - timesOf(honest).at(-1)!)).toBeLessThanOrEqual(1_000);
      }
    }
  });

  test('ignores records without a timestamp', () => {
    const clock = new LogClock(NO_LOG_TIME, WINDOW_MS);
    expect(timesOf([-1, -1, Number.NaN], clock)).toEqual([-1, -1, -1]);
    timesOf(seconds(0, 20), clock);
    const before = clock.time;
    expect(timesOf(new Array(50).fill(-1), clock)).toEqual(new Array(50).fill(before));
  });

  test('does not go back while records that are old come between', () => {
    const mixed = seconds(0, 400).map((time, at) => (at % 20 < 9 ? time - 30 * WINDOW_MS : time));
    const times = timesOf(mixed).slice(20);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  test('goes back once ten thousand records say that it is years ahead', () => {
    const clock = new LogClock(NO_LOG_TIME, WINDOW_MS);
    timesOf([...seconds(0, 20), ...new Array(9).fill(START * 1_000)], clock);
    expect(clock.time).toBe(START * 1_000);
    timesOf(seconds(20, 9_000), clock);
    expect(clock.time).toBe(START * 1_000);
    timesOf(seconds(9_020, 1_100), clock);
    expect(clock.time).toBeGreaterThan(START + 10_000_000);
    expect(clock.time).toBeLessThan(START + 10_200_000);
  });

  test('is the same however the records are cut into batches', () => {
    const timestamp = fc.oneof(
      fc.integer({ min: START, max: START + 10 * WINDOW_MS }),
      fc.constantFrom(-1, 0, 2 ** 63, START * 1_000),
    );
    fc.assert(
      fc.property(
        fc.array(timestamp, { maxLength: 60 }),
        fc.array(fc.nat(60), { maxLength: 8 }),
        (timestamps, cuts) => {
          const whole = timesOf(timestamps);
          let kept = NO_LOG_TIME;
          const inParts: number[] = [];
          const ends = [...cuts.toSorted((a, b) => a - b), timestamps.length];
          for (const [at, end] of ends.entries()) {
            const clock = new LogClock(kept, WINDOW_MS);
            inParts.push(...timesOf(timestamps.slice(ends[at - 1] ?? 0, end), clock));
            kept = JSON.parse(JSON.stringify(clock.state));
          }
          expect(inParts).toEqual(whole);
        },
      ),
      { numRuns: runs(200) },
    );
  });
});
