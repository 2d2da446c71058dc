import { InvalidArgumentError } from 'commander';
import { MillraceError } from '../../runtime/errors.ts';

/** What an option's parser makes of a text. @throws INPUT_INVALID in the parser's words */
export function asInput<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new MillraceError('INPUT_INVALID', error.message);
    throw error;
  }
}
