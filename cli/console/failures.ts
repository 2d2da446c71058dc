import type { FailureGroup, LetterQuery, LetterRow, Page, PageQuery } from '../../console/operations.ts';
import type { ConsoleContext } from './context.ts';

export interface Failures {
  groups(query: PageQuery): Promise<Page<FailureGroup>>;
  letters(query: LetterQuery): Promise<Page<LetterRow>>;
  /** Has the next question read the store again: something was done to the consumer's letters. */
  forget(consumer: string): void;
}

export function createFailures(_context: ConsoleContext): Failures {
  const none = { items: [], total: 0, next: null, asOf: Date.now(), problem: null };
  return { groups: async () => none, letters: async () => none, forget() {} };
}
