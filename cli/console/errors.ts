/** What pages say of errors. */
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

/** Why something could not be read, for a page. What nobody foresaw may quote a record: of that it says the kind alone. */
export function problemText(error: unknown): string {
  if (error instanceof MillraceError) return `${error.message} [${error.code}]`;
  return `An unexpected error, ${error instanceof Error ? error.name : typeof error}.`;
}
