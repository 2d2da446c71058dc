import { describe, expect, test } from '@jest/globals';
import { type ActionPlan, selectionOf } from '../../console/operations.ts';
import { commandNow, keyQuery, requestOf, wrongSetting } from '../../console/ui/pages/request.ts';
import { commandOf } from './sample-actions.ts';

const of = (query: string, reason = '') => requestOf(new URLSearchParams(query), reason)!;
const planOf = (query: string): ActionPlan => {
  const request = of(query);
  const plan = { id: 'a', count: 1, leftOut: 0, overtaken: 0, lines: [], refusal: null, confirmation: 'a' };
  return { ...plan, request, command: commandOf(request) };
};

const REDRIVE = 'consumer=a&where=error%3DX';
const DISCARD = `${REDRIVE}&kind=discard`;
const KEY = 'consumer=a&partition=3&key=YQ%3D%3D&kind=';

const HIDDEN_KEY = 'consumer=a&kind=park-skip&letter=a%2Ft%2F3%2F1';

test.each([{ base64: 'YQ==', partition: 3 }, { letter: 'a/t/3/1' }])(
  'a URL names a parked key: %j',
  (key) => {
    const query = new URLSearchParams({ consumer: 'a', kind: 'park-release' });
    for (const [name, value] of Object.entries(keyQuery(key))) query.set(name, String(value));
    expect(requestOf(query, '')).toEqual({ kind: 'park-release', consumer: 'a', key, reason: '' });
  },
);

describe('what a plan depends on', () => {
  test.each([
    [REDRIVE, `${REDRIVE}&canary=7&rate=9&failures=2`],
    [DISCARD, DISCARD],
    [`${KEY}park-skip`, `${KEY}park-skip`],
    [`${KEY}park-discard`, `${KEY}park-discard`],
  ])('is neither the numbers nor the reason: %s', (before, after) => {
    expect(selectionOf(of(after, 'a reason'))).toBe(selectionOf(of(before)));
  });

  test('is all that chooses letters or a key', () => {
    const queries = [
      REDRIVE,
      `${REDRIVE}&overtaken=yes`,
      'consumer=b&where=error%3DX',
      'consumer=a&where=error%3DY',
      DISCARD,
      `${KEY}park-skip`,
      `${KEY}park-release`,
      `${KEY}park-discard`,
      'consumer=a&partition=4&key=YQ%3D%3D&kind=park-skip',
      'consumer=a&partition=3&key=Yg%3D%3D&kind=park-skip',
      'consumer=a&letter=a/t/3/1&kind=park-skip',
      'consumer=a&letter=a/t/3/2&kind=park-skip',
    ];
    expect(new Set(queries.map((query) => selectionOf(of(query)))).size).toBe(queries.length);
  });
});

describe('the command', () => {
  test.each([
    [REDRIVE, `${REDRIVE}&canary=7&rate=9&failures=2`, ''],
    // Conditions that look like options are none.
    [
      'consumer=a&where=reason%3D--canary 5 --rate 100 --max-failures 20 ',
      'consumer=a&where=reason%3D--canary 5 --rate 100 --max-failures 20 &canary=0',
      '',
    ],
    [DISCARD, DISCARD, "it's a test order"],
    [`${KEY}park-skip`, `${KEY}park-skip`, 'test'],
    [`${KEY}park-discard`, `${KEY}park-discard`, '$(rm -rf ~)'],
    [`${KEY}park-release`, `${KEY}park-release`, ''],
    [HIDDEN_KEY, HIDDEN_KEY, 'test'],
  ])('has the numbers and the reason of now: %s', (planned, now, reason) => {
    const request = of(now, reason);
    expect(commandNow(planOf(planned), request)).toBe(commandOf(request));
  });

  test('keeps the place of a reason that nobody has given', () => {
    expect(commandNow(planOf(DISCARD), of(DISCARD, ' '))).toContain(" --reason '<why>' ");
  });
});

test.each(['foo', '', 'Redrive', 'park'])('an unknown kind of action plans no redrive: %p', (kind) => {
  expect(requestOf(new URLSearchParams({ consumer: 'a', kind }), '')).toBeNull();
});

test('a setting that is no number is named, with what it may be', () => {
  expect(wrongSetting(new URLSearchParams('canary=0&rate=1'))).toBeNull();
  expect(wrongSetting(new URLSearchParams('canary=-1'))).toMatch(/^Letters to try first: .* from 0\./);
  expect(wrongSetting(new URLSearchParams('rate=0'))).toMatch(/^Letters a second, at most: .* from 1\./);
});
