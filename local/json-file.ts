/** Small JSON files of a state folder: whole or not at all, and on the disk once they are written. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { MillraceError } from '../runtime/errors.ts';

/** Others may read it meanwhile: they see what was there before, or all of it. */
export function writeJsonFile(path: string, value: unknown): void {
  const half = `${path}.${process.pid}`;
  writeFileSync(half, `${JSON.stringify(value)}\n`, { mode: 0o600, flush: true });
  renameSync(half, path);
}

/**
 * What the file has; undefined where there is none.
 * @param next what to do where it cannot be read: a sentence or two
 * @throws STATE_UNREADABLE
 */
export function readJsonFile<Value>(path: string, next: string): Value | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new MillraceError('STATE_UNREADABLE', `${path} is not JSON. ${next}`, { cause, details: { path } });
  }
}
