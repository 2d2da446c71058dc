/** Keeps the tables of docs/delivery.md true: which promise is tested where, and in which polling modes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { ROOT } from './newsdesk.ts';

const page = readFileSync(join(ROOT, 'docs/delivery.md'), 'utf8');
const promises = [...page.matchAll(/^\| (\d) \| \*\*/gm)].map(([, number]) => number!);
const tests = [...page.matchAll(/^\| `(test\/\S+)`: .* \| ([\d, ]+) \| (.*) \|$/gm)].map(
  ([, file, of, polling]) => ({ file: file!, promises: of!.split(', '), polling: polling! }),
);

test('every promise is tested in both polling modes', () => {
  expect(promises).toEqual(['1', '2', '3', '4', '5']);
  const inBoth = tests.filter(({ polling }) => polling === 'both');
  expect([...new Set(inBoth.flatMap((each) => each.promises))].sort()).toEqual(promises);
});

test.each(tests)('$file says the same of itself', (row) => {
  const source = readFileSync(join(ROOT, row.file), 'utf8');
  const said = /promises? ([^.]+?) of docs\/delivery\.md/i.exec(source)?.[1] ?? '';
  expect(said.match(/\d/g)).toEqual(row.promises);
  expect(/\.each\(POLLING_MODES\)/.test(source)).toBe(row.polling === 'both');
});
