/** Which of the app's consumers a command is about. */
import { didYouMean } from '../runtime/closest-name.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import { either } from './terminal.ts';

/** @throws INPUT_INVALID where the app has no such consumer, with the closest name */
export function consumerNamed(name: string, consumers: readonly AnyConsumer[]): AnyConsumer {
  const found = consumers.find((each) => each.name === name);
  if (found) return found;
  const names = consumers.map((each) => each.name);
  const next = names.length === 0 ? 'Add one to millrace.config.ts.' : `Use ${either(names)}.`;
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no consumer ${JSON.stringify(name)}.${didYouMean(name, names)} ${next}`,
    { details: { consumer: name } },
  );
}
