import type { ConsumerAnswer } from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsoleContext } from './context.ts';
import type { StatusWatch } from './status.ts';

export async function consumerDetail(
  _name: string,
  _context: ConsoleContext,
  _status: StatusWatch,
): Promise<ConsumerAnswer> {
  throw new MillraceError('INPUT_INVALID', 'Not built yet.');
}
