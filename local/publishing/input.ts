import { accessSync, constants, createReadStream, statSync } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { InputItem, LineParser } from '../../runtime/app.ts';
import { MillraceError } from '../../runtime/errors.ts';

// Longer than any log line or record can be: a line beyond it is not held in memory.
const MAX_LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Reads an input line by line, without its blank lines, in memory of one line: a file, gzipped or not (its first bytes tell), or stdin for `-`.
 * @param parserFor picks the parser by the first line that is not blank
 * @throws INPUT_INVALID when the file cannot be read or its compression is broken, naming the file
 */
export async function* readInput<Value>(
  path: string,
  parserFor: (firstLine: string) => LineParser<Value>,
): AsyncGenerator<InputItem<Value>> {
  let parse: LineParser<Value> | undefined;
  let number = 0;
  try {
    for await (const line of lines(await gunzipped(path === '-' ? process.stdin : createReadStream(path)))) {
      number++;
      if (line === undefined) {
        yield { kind: 'malformed', line: number, reason: `longer than ${MAX_LINE_BYTES} bytes` };
        continue;
      }
      if (line.trim() === '') continue;
      parse ??= parserFor(line);
      yield parse(line, number);
    }
  } catch (error) {
    throw error instanceof MillraceError ? error : unreadable(path, error, number);
  }
}

/**
 * Checks that the inputs are there, before anything is begun.
 * @throws INPUT_INVALID naming the first that cannot be read
 */
export function checkReadable(paths: readonly string[]): void {
  for (const path of paths) {
    if (path === '-') continue;
    try {
      // Not opened: a named pipe would take that for its reader.
      accessSync(path, constants.R_OK);
      if (statSync(path).isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    } catch (error) {
      throw unreadable(path, error, 0);
    }
  }
}

/** Reads one JSON object a line. */
export const parseJsonLine: LineParser = (text, line) => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'malformed', line, reason: 'not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { kind: 'malformed', line, reason: 'not a JSON object' };
  }
  return { kind: 'value', line, value };
};

async function gunzipped(source: Readable): Promise<AsyncIterable<Buffer>> {
  const iterator = source[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>;
  const first = await iterator.next();
  if (first.done) return (async function* () {})();
  const whole = (async function* () {
    try {
      yield first.value;
      yield* iterator;
    } finally {
      source.destroy();
    }
  })();
  const isGzip = first.value[0] === 0x1f && first.value[1] === 0x8b;
  return isGzip ? pipeline(whole, createGunzip(), () => {}) : whole;
}

/** Each line without its newline, and without the byte order mark that tools on Windows write; undefined for one that is too long to hold. */
async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string | undefined> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const take = () => {
    const line = heldBytes > MAX_LINE_BYTES ? undefined : Buffer.concat(held).toString('utf8');
    held = [];
    heldBytes = 0;
    // Not the first line's alone: files are joined.
    return line?.replace(/^\ufeff/, '').replace(/\r$/, '');
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
      hold(chunk.subarray(from, to));
      yield take();
      from = to + 1;
    }
    hold(chunk.subarray(from));
  }
  if (heldBytes > 0) yield take();

  function hold(part: Buffer) {
    heldBytes += part.length;
    if (heldBytes <= MAX_LINE_BYTES) held.push(part);
    else held = [];
  }
}

function unreadable(path: string, cause: unknown, line: number): MillraceError {
  const what = path === '-' ? 'Standard input' : path;
  const where = line > 0 ? ` beyond line ${line}` : '';
  return new MillraceError(
    'INPUT_INVALID',
    `${what} cannot be read${where}: ${reasonOf(cause)}. ${
      line > 0
        ? 'What comes before may have been published. Correct the file, and publish the rest.'
        : 'Give a file that exists, as text or gzipped, or "-" for standard input.'
    }`,
    { cause, details: { path, line } },
  );
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EISDIR') return 'it is a folder';
  if (code === 'EACCES') return 'reading it is not permitted';
  if (code === 'Z_BUF_ERROR') return 'the gzip data ends too early';
  if (code?.startsWith('Z_')) return 'the gzip data is damaged';
  return message;
}
