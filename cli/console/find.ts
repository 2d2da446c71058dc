import type { FindAnswer, FindQuery } from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsoleContext } from './context.ts';

export async function findInTopic(
  _query: FindQuery,
  _context: ConsoleContext,
  _signal: AbortSignal,
): Promise<FindAnswer> {
  throw new MillraceError('INPUT_INVALID', 'Not built yet.');
}
