/** What the tables alone tell of how fresh a page is. */
import { describe, expect, test } from '@jest/globals';
import { freshnessByTables, pageFiles } from '../../runtime/page.ts';

const AT = Date.UTC(2026, 10, 27, 3, 2, 5);
const MINUTE = 60_000;
const fresh = (asOf: number | null, settledAt: number | null) =>
  freshnessByTables('editorial-analytics', { at: AT, asOf, settledAt });

describe('freshness by the tables alone', () => {
  test('is OK while records of now are applied now', () => {
    expect(fresh(AT - 3_000, AT - 1_000)).toMatchObject({
      verdict: 'OK',
      old: null,
      lag: null,
      evidence: ['Records up to 2026-11-27 03:02:02Z are counted.'],
    });
  });

  test('is BEHIND while what is applied now is old, and says since when the numbers are', () => {
    const asOf = AT - 10 * MINUTE;
    expect(fresh(asOf, AT - 1_000)).toMatchObject({
      verdict: 'BEHIND',
      old: { since: asOf },
      evidence: ['editorial-analytics applies records that are 9 min old.'],
    });
  });

  test('is UNKNOWN where nothing was applied for minutes, since that may be a quiet night', () => {
    const asOf = AT - 5 * MINUTE;
    expect(fresh(asOf, AT - 4 * MINUTE)).toMatchObject({
      verdict: 'UNKNOWN',
      old: { since: asOf },
      evidence: [
        expect.stringMatching(/^Nothing has been applied since 2026-11-27 02:58:05Z: .*millrace status/),
      ],
    });
  });

  test('is UNKNOWN before the first record', () => {
    for (const settledAt of [null, AT])
      expect(fresh(null, settledAt)).toMatchObject({ verdict: 'UNKNOWN', old: { since: null } });
  });

  test('a producer whose clock is ahead makes nothing old', () => {
    expect(fresh(AT + 10 * MINUTE, AT)).toMatchObject({ verdict: 'OK', old: null });
  });

  test('names its consumer, the database’s time, and nothing of a pause', () => {
    expect(fresh(AT, AT)).toMatchObject({ at: AT, consumer: 'editorial-analytics', isPaused: false });
  });
});

test.each([
  ['demo/newsroom/newsroom.tsx', 'newsroom'],
  ['most-read.js', 'most-read'],
  ['./a.b/page.v2.mjs', 'page.v2'],
])('the files of %s are called after it', (script, name) => {
  expect(pageFiles({ script })).toEqual([`${name}.js`, `${name}.css`, 'icon.svg']);
});
