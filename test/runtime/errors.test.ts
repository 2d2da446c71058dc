import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
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
