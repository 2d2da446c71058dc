import { describe, expect, test } from '@jest/globals';
import { exitCodeOf, statusJson, statusLines } from '../../cli/status-view.ts';
import { LAG_VERDICTS, type LagVerdict } from '../../runtime/lag/status.ts';
import { statusOf } from './status-of.ts';

const CODES: Readonly<Record<number, readonly LagVerdict[]>> = {
  0: ['OK', 'IDLE', 'RECOVERING'],
  1: ['RISING', 'BEHIND', 'SILENT'],
  2: ['LOST', 'AT_RISK', 'BLOCKED', 'STALLED'],
  3: ['UNKNOWN'],
};
const of = (verdict: LagVerdict, lag = 0) => statusOf({ consumer: verdict, verdict, lag });

describe('the exit code', () => {
  test.each(Object.entries(CODES))('is %s for %j', (code, verdicts) => {
    for (const verdict of verdicts) expect(exitCodeOf([of('OK'), of(verdict)])).toBe(Number(code));
  });

  test('says something of every verdict', () => {
    expect(Object.values(CODES).flat().toSorted()).toEqual([...LAG_VERDICTS].toSorted());
  });

  test('is 2 over the incident threshold, whatever the verdict', () => {
    expect(exitCodeOf([of('RECOVERING', 99_999)])).toBe(0);
    expect(exitCodeOf([of('RECOVERING', 100_000)])).toBe(2);
  });

  test('is the worst: what is known to be bad, then what is unknown, then a warning', () => {
    expect(exitCodeOf([of('UNKNOWN'), of('RISING'), of('LOST')])).toBe(2);
    expect(exitCodeOf([of('UNKNOWN'), of('RISING'), of('OK')])).toBe(3);
    expect(exitCodeOf([])).toBe(0);
  });
});

test('a row a consumer in 80 columns, and why one is not well', () => {
  const stalled = statusOf({
    consumer: 'editorial-analytics',
    verdict: 'STALLED',
    lag: 142_423,
    ageMs: 133_000,
    drain: 'never',
    deadLetters: 4,
    evidence: [
      '142,423 unread and held by SINK_UNAVAILABLE since 2026-11-27 03:02:05Z, 22 tries: the sink does not answer.',
      'More.',
    ],
  });
  expect(statusLines([stalled, statusOf({ consumer: 'orders' })], 80)).toEqual([
    'verdict  consumer                 lag    age  drain  headroom  letters',
    'STALLED  editorial-analytics  142,423  2 min  never         -        4',
    '  142,423 unread and held by SINK_UNAVAILABLE since 2026-11-27 03:02:05Z, 22',
    '  tries: the sink does not answer.',
    'OK       orders                     0    0 s    0 s         -        0',
  ]);
});

test('what is parked has a column where there is any, and a number for scripts', () => {
  const parked = { keys: 2, records: 1_234, oldestAgeMs: 60_000 };
  const lines = statusLines([statusOf({ consumer: 'orders', parked }), statusOf({ consumer: 'other' })], 80);
  expect(lines[0]).toMatch(/letters {2}parked$/);
  expect(lines[1]).toMatch(/1,234$/);
  expect(lines[2]).toMatch(/\?$/);
  expect(statusJson(statusOf({ consumer: 'orders', parked })).parked).toBe(1_234);
  const wide = statusLines([statusOf({ consumer: 'n'.repeat(57), lag: 1e12, ageMs: 9e11, parked })], 80);
  expect(Math.max(...wide.map((line) => line.length))).toBeLessThanOrEqual(80);
});

test('the longest name leaves every line within 80 columns', () => {
  const lines = statusLines([statusOf({ consumer: 'n'.repeat(57), lag: 1e12, ageMs: 9e11 })], 80);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(lines.join()).toContain('n'.repeat(57));
});

test('scripts get these fields, and unknown is null', () => {
  const unknown = statusOf({
    consumer: 'c',
    lag: null,
    ageMs: null,
    drain: null,
    drainMs: null,
    deadLetters: null,
  });
  expect(statusJson(unknown)).toEqual({
    consumer: 'c',
    topic: 't',
    verdict: 'OK',
    lag: null,
    ageMs: null,
    drainMs: null,
    headroomMs: null,
    deadLetters: null,
    parked: null,
    heldBy: null,
    evidence: [],
  });
});
