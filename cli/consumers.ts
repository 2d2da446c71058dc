/** Names of the app that a command is about. */
import { didYouMean } from '../runtime/closest-name.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import { either } from './terminal.ts';

/** @throws INPUT_INVALID where the app has no such consumer, with the closest name */
export function consumerNamed(name: string, consumers: readonly AnyConsumer[]): AnyConsumer {
  const found = consumers.find((each) => each.name === name);
  if (found) return found;
  const names = consumers.map((each) => each.name);
  const next = names.length === 0 ? ' Add one to millrace.config.ts.' : otherNames(name, names);
  throw new MillraceError('INPUT_INVALID', `There is no consumer ${JSON.stringify(name)}.${next}`, {
    details: { consumer: name },
  });
}

/** ` Did you mean "b"? Use a, b or c.`, and of a single name no more than one of the two. @param names one at least */
export function otherNames(name: string, names: readonly string[], flag = ''): string {
  const closest = didYouMean(name, names);
  return names.length === 1 && closest !== '' ? closest : `${closest} Use ${flag}${either(names)}.`;
}
