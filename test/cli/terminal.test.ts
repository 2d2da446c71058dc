import { expect, test } from '@jest/globals';
import { count, plural, printable, table } from '../../cli/terminal.ts';

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

test('printable replaces every control character and nothing else', () => {
  expect(printable('a\tb\nc\u001b[31m\u009bé€😀')).toBe('a�b�c�[31m�é€😀');
});
