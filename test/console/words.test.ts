import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Verdict } from '../../console/operations.ts';
import {
  brief,
  duration,
  headline,
  isoTime,
  moment,
  needsYou,
  printable,
  rate,
  sum,
  TONES,
} from '../../console/ui/words.ts';
import { HOSTILE } from './sample-operations.ts';

describe('the headline', () => {
  test('counts the consumers that need somebody', () => {
    expect(headline(['STALLED', 'UNKNOWN', 'OK', 'IDLE', 'RECOVERING'])).toBe('2 of 5 consumers need you');
    expect(headline(['STALLED', 'OK'])).toBe('1 of 2 consumers needs you');
  });

  test('says that all is well, however many there are', () => {
    expect(headline(Array.from({ length: 7 }, (): Verdict => 'OK'))).toBe('All 7 consumers keep up');
    expect(headline(['OK', 'IDLE'])).toBe('Both consumers keep up');
    expect(headline(['OK'])).toBe('The consumer keeps up');
    expect(headline(['LOST'])).toBe('The consumer needs you');
    expect(headline([])).toBe('No consumers yet');
  });

  test('a verdict needs somebody unless it is good', () => {
    const verdicts = Object.keys(TONES) as Verdict[];
    expect(verdicts.filter((verdict) => !needsYou(verdict))).toEqual(['RECOVERING', 'OK', 'IDLE']);
  });
});

test('each verdict has a sign of its own', () => {
  const signs = Object.values(TONES).map(({ sign }) => sign);
  expect(new Set(signs).size).toBe(signs.length);
});

test.each([
  [0, '0 s'],
  [45_000, '45 s'],
  [200_000, '3 min'],
  [3_600_000, '1 h'],
  [7_500_000, '2 h 5 min'],
  [273_600_000, '3 d 4 h'],
  [-5, '0 s'],
])('%p ms is %p', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test.each([
  [7, '7'],
  [842, '842'],
  [1_204, '1.2k'],
  [15_000, '15k'],
  [100_275, '100k'],
  [2_500_000, '3m'],
])('%p is %p where there is little room', (value, text) => {
  expect(brief(value)).toBe(text);
});

test.each([
  [null, '?'],
  [0, '0/s'],
  [0.34, '0.3/s'],
  [1_240.5, '1,241/s'],
])('a rate of %p is %p', (perSecond, text) => {
  expect(rate(perSecond)).toBe(text);
});

test('a moment of today has no date, one of another day has', () => {
  const now = new Date(2026, 10, 27, 12, 4, 31);
  expect(moment(now.getTime(), now.getTime())).toBe('12:04:31');
  expect(moment(new Date(2026, 10, 25, 9, 5).getTime(), now.getTime())).toBe('25 Nov, 09:05');
});

test.each([9_007_199_254_740_991, 8.64e15 + 1, Number.NaN, Number.POSITIVE_INFINITY])(
  'a time that no date holds is unknown: %d',
  (ms) => {
    expect(isoTime(ms)).toBeUndefined();
    expect(moment(ms)).toBe('unknown');
  },
);

test('a sum of which nothing is known is unknown', () => {
  expect(sum([null, undefined])).toBeNull();
  expect(sum([])).toBeNull();
  expect(sum([null, 0, 3])).toBe(3);
});

describe('text that somebody else wrote', () => {
  test('loses nothing that can be seen, and keeps line breaks', () => {
    for (const text of ['naïve 読者 🎉', 'a\n\tb', '<b>&amp;', '✈︎ ✈️']) expect(printable(text)).toBe(text);
  });

  test('shows by its number what cannot be seen', () => {
    expect(printable('zero\u200bwidth')).toBe('zero<U+200B>width');
    expect(printable('\u202eevil\u202c')).toBe('<U+202E>evil<U+202C>');
  });

  test('holds nothing that turns text around or drives a terminal, whatever it was', () => {
    const harmful = /[\p{Bidi_Control}\p{Zl}\p{Zp}\u200b\u2060\ufeff]|[^\P{Cc}\n\t]/u;
    for (const text of HOSTILE) expect(printable(text)).not.toMatch(harmful);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(harmful);
      }),
    );
  });
});
