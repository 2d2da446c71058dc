import { expect, test } from '@jest/globals';
import { didYouMean } from '../../runtime/closest-name.ts';

const NAMES = ['long', 'string', 'HANDLER_FAILED', 'prod', 'dev'];

test.each([
  ['lnog', 'long'],
  ['strng', 'string'],
  ['handler_faild', 'HANDLER_FAILED'],
  ['prdo', 'prod'],
])('%s means %s', (word, name) => {
  expect(didYouMean(word, NAMES)).toBe(` Did you mean "${name}"?`);
});

test.each(['', 'xyz', 'production'])('%j means nothing that is there', (word) => {
  expect(didYouMean(word, NAMES)).toBe('');
});
