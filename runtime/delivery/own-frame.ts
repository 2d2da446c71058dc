import type { Failure } from './dead-letter.ts';

/** This file, as it stands in a stack; undefined in a function's bundle, which is no module. */
const HERE: string | undefined = import.meta.url;

/**
 * The folders that may hold `runtime/`: the package's `dist/`, or a checkout of this repository. A function's source map names
 * its files from the checkout's folder, two folders above the bundle, and Lambda has the bundle in `/var/task`: the checkout is
 * then `/`.
 */
const OWN_ROOTS = [
  ...(HERE === undefined ? [] : [HERE.replace(/^file:\/\//, '').replace(/runtime\/delivery\/[^/]*$/, '')]),
  ...(HERE === undefined || HERE.endsWith('.ts') ? ['/'] : []),
];

/** The framework's own folders and files, in the package or in a checkout. A project can have folders of the same names. */
const OWN_PATH = new RegExp(
  `^(?:${[
    'runtime/(?:avro|contract|dead-letters|delivery|lambda|publish)/',
    String.raw`runtime/(?:errors|record|ports|topics)\.`,
    'adapters/(?:aws|confluent|files|kafka|lambda|memory|postgres|sqlite|system|threads)/',
    String.raw`local/(?:event-source/|(?:faults|function-worker|function-threads|sightings|sink-worker)\.)`,
  ].join('|')})`,
);

/** Packages, this one among them, and Node.js: also in a bundle with source maps. */
const OUTSIDE = /(?:^|\/)(?:node_modules\/|node:)/;

function isFramework(path: string): boolean {
  if (OUTSIDE.test(path)) return true;
  return OWN_ROOTS.some((root) => path.startsWith(root) && OWN_PATH.test(path.slice(root.length)));
}

/**
 * `    at async handle (file:///srv/app/lambdas/orders/consumer.ts:29:11)`, with or without the name. Names are narrow,
 * because a line of a message can look like a frame.
 */
const FRAME =
  /^ {4}at (?:(?:async |new |get |set )*([\p{ID_Continue}$.#<>-]+)(?: \[as [\p{ID_Continue}$.#<>-]+\])? \()?(?:file:\/\/)?([^\s():]+\.[cm]?[jt]sx?|node:[\w/]+):(\d{1,7}):\d{1,7}\)?$/u;

/** The file has the folder that it is in; a function without a name has null. */
interface Place {
  readonly file: string;
  readonly function: string | null;
  readonly line: number;
}

/**
 * Where in the project's own code an error was thrown, as `orders/consumer.ts:29`; null where its stack does not say. Holds
 * nothing of the error's message, which can quote what a record holds.
 */
export function ownFrameOf(failure: Pick<Failure, 'message' | 'stack'>): string | null {
  const place = firstOwn(framesOf(failure));
  return place && `${place.file}:${place.line}`;
}

/** What a stack begins with: the name of the error, and the code that Node.js puts behind it. */
const HEAD = /^[\p{ID_Continue}$.]+(?: \[\w+\])?$/u;

/**
 * As `ownFrameOf` in parts, of an error that was just thrown, with its whole text. Null also where the message was changed after the
 * stack was made: nothing tells then where the old one, which may quote a record, ends and the frames begin.
 */
export function placeOfThrow({
  name,
  message,
  stack,
}: Record<'name' | 'message' | 'stack', string>): Place | null {
  if (name.includes('\n')) return null;
  const [first = ''] = stack.split('\n', 1);
  // As V8 writes it: the name alone, or the name and the message.
  const head = message === '' ? first : first.slice(0, Math.max(0, first.indexOf(': ')));
  const header = message === '' ? head : `${head}: ${message}`;
  if (!HEAD.test(head) || !stack.startsWith(`${header}\n`)) return null;
  const lines = stack.slice(header.length + 1).split('\n');
  const end = lines.findIndex((line) => !line.startsWith('    at '));
  return firstOwn(end < 0 ? lines : lines.slice(0, end));
}

function firstOwn(frames: readonly string[]): Place | null {
  for (const frame of frames) {
    const [, name = null, path = '', at] = FRAME.exec(frame) ?? [];
    if (!path.includes('/') || isFramework(path)) continue;
    return { file: path.split('/').slice(-2).join('/'), function: name, line: Number(at) };
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
