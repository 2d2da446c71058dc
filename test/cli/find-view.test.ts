import { stripVTControlCharacters } from 'node:util';
import { expect, test } from '@jest/globals';
import { foundLines } from '../../cli/find-view.ts';
import type { FoundOutcome } from '../../runtime/replay/audit.ts';
import type { FoundRecord } from '../../runtime/replay/find.ts';
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

test('a generation is called as its consumer, and its letters by their own name', () => {
  const raw = { topic: 't', partition: 0, offset: 7, timestamp: 0 } as FoundRecord['raw'];
  const declaredNames = new Map([['orders-g7', 'orders']]);
  const lines = foundLines([{ raw, value: undefined }], [{ 'orders-g7': 'dead-lettered' }], {
    declaredNames,
  });
  expect(lines[1]).toBe('  orders  dead-lettered  orders-g7/t/0/7');
  expect(lines.at(-1)).toBe('  npx millrace dlq show orders-g7/t/0/7');
});

test('a search by key says that partitions may have been added, unless it looked in all', () => {
  const found = [{ raw: eventRecord(0, 7), value: undefined }];
  const told = (view: object) => foundLines(found, [{ orders: 'applied' }], { key: 'k', ...view }).join(' ');
  expect(told({})).toContain('--every-partition');
  expect(told({ everyPartition: true })).not.toContain('--every-partition');
});
