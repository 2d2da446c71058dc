import { stripVTControlCharacters } from 'node:util';
import { expect, test } from '@jest/globals';
import { foundLines } from '../../cli/find-view.ts';
import type { FoundOutcome } from '../../runtime/replay/audit.ts';
import { eventRecord } from '../runtime/events.ts';

const shown = (outcome: FoundOutcome) =>
  foundLines([{ raw: eventRecord(0, 7), value: undefined }], [{ orders: outcome }], {}).map((line) =>
    stripVTControlCharacters(line),
  );

test('a skipped record comes with the replay that brings it', () => {
  expect(shown('skipped').slice(1)).toEqual([
    '  orders  skipped',
    'Next:',
    expect.stringContaining('replay orders --gaps'),
  ]);
});

test('one from before the consumer’s beginning does not: no replay of gaps brings it', () => {
  const lines = shown('before');
  expect(lines[1]).toBe('  orders  skipped: it began later');
  expect(lines.join(' ')).toContain('An earlier epoch may have applied it.');
  expect(lines).not.toContain('Next:');
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
});
