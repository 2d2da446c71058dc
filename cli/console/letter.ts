import type { LetterAnswer } from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsoleContext } from './context.ts';

export async function showLetter(
  _id: string,
  _reveal: boolean,
  _context: ConsoleContext,
): Promise<LetterAnswer> {
  throw new MillraceError('INPUT_INVALID', 'Not built yet.');
}
