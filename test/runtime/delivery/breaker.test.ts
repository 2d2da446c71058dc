/** The breaker's arithmetic. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type BreakerState,
  type Fingerprint,
  fingerprintId,
  fingerprintText,
  isSpent,
  judgeFailures,
  recovered,
  review,
} from '../../../runtime/delivery/breaker.ts';

const HOLD_MS = 900_000;
const FINGERPRINT: Fingerprint = {
  name: 'TypeError',
  file: 'orders/consumer.ts',
  function: 'settle',
  line: 29,
};
const ID = fingerprintId(FINGERPRINT);
const seen = (now: number, settled: number, code = 'code-1') => ({ code, now, holdMs: HOLD_MS, settled });
const failures = (failed: number, handled: number, fields = {}) => ({
  fingerprint: FINGERPRINT,
  failed,
  handled,
  handledBefore: 0,
  advanced: handled,
  ...fields,
});

describe('a window', () => {
  test.each([
    [9, 9, false],
    [10, 10, true],
    [10, 20, true],
    [10, 21, false],
    [5_000, 10_000, true],
    [5_000, 10_001, false],
  ])('%d failures of %d records in one transaction: held %s', (failed, handled, isHeld) => {
    expect(judgeFailures([], seen(1, 0), failures(failed, handled)).heldUntil !== null).toBe(isHeld);
  });

  test('counts across batches, and what others settled meanwhile', () => {
    const first = judgeFailures([], seen(1, 100), failures(9, 9));
    expect(first.heldUntil).toBeNull();
    expect(judgeFailures(first.state, seen(2, 109), failures(1, 1)).heldUntil).toBe(2 + HOLD_MS);
    expect(judgeFailures(first.state, seen(2, 119), failures(1, 1)).heldUntil).toBe(2 + HOLD_MS);
    expect(judgeFailures(first.state, seen(2, 120), failures(1, 1)).heldUntil).toBeNull();
  });

  test('begins anew when less than half fail, so that an old failure hides no new one', () => {
    const old = judgeFailures([], seen(1, 0), failures(1, 1)).state;
    const late = judgeFailures(old, seen(2, 1_000_001), failures(9, 9));
    expect(late.heldUntil).toBeNull();
    expect(judgeFailures(late.state, seen(3, 1_000_010), failures(1, 1)).heldUntil).not.toBeNull();
  });

  test('that is held while others go through closes, and is not opened by the same records', () => {
    const open = judgeFailures([], seen(1, 0), failures(250, 250)).state;
    expect(review(open, seen(1_001, 250), ID)!.heldUntil).toBe(1 + HOLD_MS);
    const closed = review(open, seen(2_001, 251), ID)!;
    expect(closed.heldUntil).toBeNull();
    const letters = judgeFailures(closed.state, seen(2_002, 251), failures(250, 250));
    expect(letters.heldUntil).toBeNull();
    expect(judgeFailures(letters.state, seen(2_003, 800), failures(250, 250)).heldUntil).toBeNull();
  });

  test('is another for another version of the code, and for another place, but not for another line', () => {
    const { state } = judgeFailures([], seen(1, 0), failures(9, 9));
    const next = (fields: object, code?: string) =>
      judgeFailures(state, seen(2, 9, code), failures(1, 1, { fingerprint: { ...FINGERPRINT, ...fields } }))
        .heldUntil !== null;
    expect(next({})).toBe(true);
    expect(next({ line: 30 })).toBe(true);
    expect(next({}, 'code-2')).toBe(false);
    expect(next({ name: 'RangeError' })).toBe(false);
    expect(next({ function: 'other' })).toBe(false);
    expect(next({ file: 'orders/other.ts' })).toBe(false);
  });

  test('that recovered begins anew, and has spent what it was held', () => {
    const open = judgeFailures([], seen(1_000, 0), failures(10, 10)).state;
    const state = recovered(open, seen(61_000, 10), ID);
    expect(state).toMatchObject([{ openedAt: null, failed: 0, handled: 0, waiting: 0, heldMs: 60_000 }]);
    const again = judgeFailures(state, seen(100_000, 20), failures(10, 10));
    expect(again.heldUntil).toBe(100_000 + HOLD_MS - 60_000);
  });
});

describe('one version of the code', () => {
  const of = (name: string) => ({ fingerprint: { ...FINGERPRINT, name } });
  const idOf = (name: string) => fingerprintId(of(name).fingerprint);

  test('is held for holdMs in all, whatever fails one after the other', () => {
    let state = judgeFailures([], seen(1_000, 0), failures(10, 10, of('A'))).state;
    state = review(state, seen(1_000 + HOLD_MS, 0), idOf('A'))!.state;
    expect(isSpent(state, seen(2_000_000, 0))).toBe(true);
    expect(isSpent(state, seen(2_000_000, 0, 'code-2'))).toBe(false);
    expect(judgeFailures(state, seen(2_000_000, 0), failures(10, 10, of('B'))).heldUntil).toBeNull();
    expect(judgeFailures(state, seen(2_000_000, 0, 'code-2'), failures(10, 10, of('B'))).heldUntil).toBe(
      2_000_000 + HOLD_MS,
    );
  });

  test('is held for holdMs by places that fail at once, not for a share of it', () => {
    let state = judgeFailures([], seen(1_000, 0), failures(10, 10, of('A'))).state;
    const second = judgeFailures(state, seen(31_000, 0), failures(10, 10, of('B')));
    expect(second.heldUntil).toBe(1_000 + HOLD_MS);
    state = recovered(second.state, seen(61_000, 0), idOf('A'));
    expect(review(state, seen(71_000, 0), idOf('B'))!.heldUntil).toBe(1_000 + HOLD_MS);
    state = recovered(state, seen(91_000, 0), idOf('B'));
    expect(state.reduce((sum, { heldMs }) => sum + heldMs, 0)).toBe(90_000);
  });

  test('has used up what it was held under fingerprints that are forgotten', () => {
    let state = judgeFailures([], seen(1_000, 0), failures(10, 10, of('A'))).state;
    state = recovered(state, seen(61_000, 0), idOf('A'));
    for (let index = 0; index < 40; index++)
      state = judgeFailures(state, seen(61_001 + index, 0), failures(1, 9, of(`B${index}`))).state;
    expect(state).toHaveLength(16);
    expect(judgeFailures(state, seen(100_000, 0), failures(10, 10)).heldUntil).toBe(
      100_000 + HOLD_MS - 60_000,
    );
  });

  test('holds no longer for a fingerprint that nobody looks at any more', () => {
    const state = judgeFailures([], seen(1_000, 0), failures(10, 10, of('A'))).state;
    const late = judgeFailures(state, seen(100_000_000, 0), failures(10, 10, of('B')));
    expect(late.heldUntil).toBe(100_000_000 + HOLD_MS - 60_000);
  });

  test('has no more than 16 fingerprints, and what more is held shares one', () => {
    let state: BreakerState = [];
    for (let index = 0; index < 100; index++)
      state = judgeFailures(state, seen(index + 1, 0), failures(20, 20, of(`Error${index}`))).state;
    expect(state).toHaveLength(17);
    expect(state.at(-1)).toMatchObject({ name: 'More errors', file: null });
    expect(review(state, seen(200, 0), idOf('Error40'))!.heldUntil).toBe(1 + HOLD_MS);
    expect(recovered(state, seen(200, 0), idOf('Error40')).at(-1)!.openedAt).toBeNull();
  });
});

test('whatever happens, one version of the code holds for holdMs at most in all', () => {
  const step = fc.record({
    // What is held is looked at more often than once a minute.
    waitMs: fc.integer({ min: -2_000, max: 59_000 }),
    settled: fc.integer({ min: 0, max: 200 }),
    failed: fc.integer({ min: 0, max: 40 }),
    good: fc.integer({ min: 0, max: 40 }),
    recovers: fc.boolean(),
    of: fc.integer({ min: 0, max: 19 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let state: BreakerState = [];
      let now = 1_000_000;
      let latest = now;
      let settled = 0;
      let heldMs = 0;
      const held = new Map<string, { fingerprint: Fingerprint; until: number }>();
      const look = (id: string) => {
        const judged = review(state, seen(now, settled), id);
        if (judged) ({ state } = judged);
        if (judged?.heldUntil) held.set(id, { ...held.get(id)!, until: judged.heldUntil });
        else held.delete(id);
      };
      for (const { waitMs, settled: more, failed, good, recovers, of } of steps) {
        now = Math.max(1, now + waitMs);
        const until = Math.max(latest, ...[...held.values()].map((each) => each.until));
        if (now > latest) heldMs += Math.min(now, until) - latest;
        latest = Math.max(latest, now);
        settled += more;
        const fingerprint = { ...FINGERPRINT, name: `Error${of}` };
        const id = fingerprintId(fingerprint);
        if (failed > 0) {
          const judged = judgeFailures(
            state,
            seen(now, settled),
            failures(failed, failed + good, { fingerprint }),
          );
          ({ state } = judged);
          if (judged.heldUntil === null) settled += failed + good;
          if (judged.heldUntil === null) held.delete(id);
          else held.set(id, { fingerprint, until: judged.heldUntil });
        } else if (recovers) {
          state = recovered(state, seen(now, settled), id);
          held.delete(id);
        }
        for (const each of [...held.keys()]) look(each);
      }
      // A clock that steps back adds what it stepped back by.
      const backMs = steps.reduce((sum, { waitMs }) => sum + Math.max(0, -waitMs), 0);
      expect(heldMs).toBeLessThanOrEqual(HOLD_MS + backMs);
    }),
    { numRuns: 500 },
  );
});

test('the versions of the code that were used longest ago are forgotten', () => {
  let state: BreakerState = [];
  for (let index = 0; index < 20; index++) {
    state = judgeFailures(state, seen(index + 1, 0, `code-${index}`), failures(20, 20)).state;
  }
  expect(state.map(({ code }) => code)).toEqual(['code-16', 'code-17', 'code-18', 'code-19']);
});

test.each([
  [FINGERPRINT, 'TypeError in settle (orders/consumer.ts:29)'],
  [{ ...FINGERPRINT, function: null }, 'TypeError in orders/consumer.ts:29'],
  [{ ...FINGERPRINT, file: null }, 'TypeError, at a place that its stack does not name'],
])('%j reads %s', (fingerprint, text) => expect(fingerprintText(fingerprint)).toBe(text));
