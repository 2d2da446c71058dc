import type { Failure } from '../delivery/dead-letter.ts';

/** The framework's own files, as they stand in a stack here, in a package and in a bundle with source maps. */
const FRAMEWORK = new RegExp(
  `(?:^|/)(?:node_modules/|node:|${[
    'runtime/(?:avro|contract|dead-letters|delivery|lambda|publish)/',
    String.raw`runtime/(?:errors|record|ports|topics)\.`,
    'adapters/(?:aws|confluent|files|kafka|lambda|memory|postgres|sqlite|system|threads)/',
    String.raw`local/(?:event-source/|(?:faults|function-worker|function-threads|sightings|sink-worker)\.)`,
  ].join('|')})`,
);

/**
 * `    at async handle (file:///srv/app/lambdas/orders/consumer.ts:29:11)`, with or without the name. Names are narrow,
 * because a line of a message can look like a frame.
 */
const FRAME =
  /^ {4}at (?:(?:async |new |get |set )*[\p{ID_Continue}$.#<>-]+(?: \[as [\p{ID_Continue}$.#<>-]+\])? \()?(?:file:\/\/)?([^\s():]+\.[cm]?[jt]sx?|node:[\w/]+):(\d{1,7}):\d{1,7}\)?$/u;

/**
 * Where in the project's own code an error was thrown, as `orders/consumer.ts:29`; null where its stack does not say. Holds
 * nothing of the error's message, which can quote what a record holds.
 */
export function ownFrameOf({ message, stack }: Pick<Failure, 'message' | 'stack'>): string | null {
  for (const line of framesOf({ message, stack })) {
    const [, path = '', at] = FRAME.exec(line) ?? [];
    if (path.includes('/') && !FRAMEWORK.test(path)) return `${path.split('/').slice(-2).join('/')}:${at}`;
  }
  return null;
}

/**
 * The lines of a stack that name a place, and none of its message, which can look like one.
 * @param isGuarded whether a message that was changed after the stack was made must not show: keeps only real frames
 */
export function framesOf(
  { message, stack }: Pick<Failure, 'message' | 'stack'>,
  isGuarded = false,
): readonly string[] {
  const quoted = message === '' ? -1 : stack.indexOf(message);
  const behind = quoted < 0 ? stack : stack.slice(quoted + message.length);
  const lines = behind.split('\n').slice(1);
  const last = lines.findLastIndex((line) => !line.startsWith('    at '));
  const frames = lines.slice(last + 1);
  return isGuarded ? frames.filter((line) => FRAME.test(line)) : frames;
}
