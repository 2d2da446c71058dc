/** Short texts about letters, their keys and what was done to them. */
import { expect, test } from '@jest/globals';
import { planText, resultText } from '../../../cli/dlq/audit-words.ts';
import { keyText } from '../../../cli/dlq/letter-view.ts';
import { widthOf } from '../../../cli/terminal.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';

test('a key is cut by the columns that it takes, not by its characters', () => {
  const view = { topic: pageviews, showsValues: true };
  const text = keyText(Buffer.from('記'.repeat(60)), view);
  expect(text).toBe(`${'記'.repeat(19)}…`);
  expect(widthOf(text)).toBe(39);
  expect(keyText(Buffer.from('a'.repeat(40)), view)).toBe('a'.repeat(40));
  expect(keyText(Buffer.from('a'.repeat(41)), view)).toBe(`${'a'.repeat(39)}…`);
});

test('an audit entry names the export once, and nothing that there is not', () => {
  const plan = { command: 'park discard', letters: 1, reason: 'load', export: 'f.jsonl' };
  const result = { released: 0, discarded: 3, parked: 0, blockedBy: null, export: 'f.jsonl' };
  expect(planText({ action: 'discard', consumer: 'orders', plan })).toBe(
    'discard of 1 letter of orders, because: load; command park discard, export f.jsonl',
  );
  expect(resultText({ action: 'discard', plan, result })).toBe('released 0, discarded 3, parked 0');
});
