import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { count, plural, printable, printableJson, table } from '../../cli/terminal.ts';

test('a table has columns as wide as their widest cell', () => {
  const columns = [{ title: 'name' }, { title: 'n', align: 'right' as const }];
  expect(
    table(columns, [
      ['a', '1'],
      ['longer than', '1,000'],
    ]).split('\n'),
  ).toEqual(['name             n', 'a                1', 'longer than  1,000']);
  expect(table(columns, [])).toBe('name  n');
});

test('numbers and nouns', () => {
  expect(count(1_234_567)).toBe('1,234,567');
  expect(plural(1, 'row')).toBe('1 row');
  expect(plural(0, 'row')).toBe('0 rows');
});

describe('printable', () => {
  test('replaces every control character and nothing that can be seen', () => {
    expect(printable('a\tb\nc\u001b[31m\u009bé€😀')).toBe('a�b�c�[31m�é€😀');
    for (const seen of ['❤️', 'عربي ٣', 'हिन्दी', '漢字', 'naïve', 'e\u0301', '🇨🇭'])
      expect(printable(seen)).toBe(seen);
  });

  test.each([
    ['a right-to-left override', '\u202e', '<U+202E>'],
    ['an isolate', '\u2066', '<U+2066>'],
    ['a mark of direction', '\u200f', '<U+200F>'],
    ['a zero-width space', '\u200b', '<U+200B>'],
    ['a joiner', '\u200d', '<U+200D>'],
    ['a byte order mark', '\ufeff', '<U+FEFF>'],
    ['a soft hyphen', '\u00ad', '<U+00AD>'],
    ['a filler', '\u3164', '<U+3164>'],
    ['a line separator', '\u2028', '<U+2028>'],
    ['a tag', '\u{e0041}', '<U+E0041>'],
    ['a variation selector that no font knows', '\u{e0100}', '<U+E0100>'],
  ])('shows %s', (_, unseen, shown) => {
    expect(printable(`a${unseen}b`)).toBe(`a${shown}b`);
  });

  test('JSON stays the same JSON', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\u202e', '\u009b', '\u{e0041}')),
        (text) => {
          const json = printableJson(JSON.stringify(text));
          expect(JSON.parse(json)).toBe(text);
          expect(printable(json)).toBe(json);
        },
      ),
    );
  });
});
