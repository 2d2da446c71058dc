import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { buildSync } from 'esbuild';
import { ERRORS, MillraceError } from '../../runtime/errors.ts';

test('docs/errors.md lists the table, row by row', () => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const rows = Array.from(
    page.matchAll(/^\| `(\w+)` \| ([\w-]+) \| (.+?) \| (.+) \|$/gm),
    ([, code, action, summary]) => [code, { action, summary }],
  );
  expect(rows).toEqual(Object.entries(ERRORS));
});

test('an error acts as its code says, and keeps its cause', () => {
  const cause = new Error('inner');
  const error = new MillraceError('SINK_UNAVAILABLE', 'The sink is down.', {
    cause,
    details: { sink: 'postgres' },
  });
  expect(error).toMatchObject({
    name: 'MillraceError',
    action: 'hold',
    cause,
    details: { sink: 'postgres' },
  });
});

test('an error of another copy of this file is one, and no other error is', () => {
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL('../../runtime/errors.ts', import.meta.url))],
    format: 'cjs',
    write: false,
  });
  const copy: { exports: { MillraceError?: typeof MillraceError } } = { exports: {} };
  new Function('module', outputFiles[0]!.text)(copy);
  const Other = copy.exports.MillraceError!;
  expect(Other).not.toBe(MillraceError);
  expect(new Other('UNEXPECTED', '')).toBeInstanceOf(MillraceError);
  for (const other of [new Error('UNEXPECTED'), { code: 'UNEXPECTED' }, 'UNEXPECTED', null]) {
    expect(other instanceof MillraceError).toBe(false);
  }
});
