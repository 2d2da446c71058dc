import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { encodeDeadLetter } from '../../runtime/dead-letters/json-envelope.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import type { ScannedLetter } from '../../runtime/dead-letters/reader.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';

export interface ExportFile {
  /** Adds a line. */
  write(line: string): void;
  /** What was written is on the disk when this returns. */
  flush(): void;
  close(): void;
}

/** @throws INPUT_INVALID where there is such a file, or none can be made */
export function openExport(path: string): ExportFile {
  let file: number;
  try {
    // Records can hold what is nobody else's business.
    file = openSync(path, 'wx', 0o600);
  } catch (cause) {
    throw new MillraceError(
      'INPUT_INVALID',
      `${path} cannot be created: ${(cause as Error).message}. Name a new file in a folder that exists.`,
      { cause, details: { path } },
    );
  }
  return {
    // All of it: writeSync may stop short, as on a disk that is full.
    write: (line) => writeFileSync(file, `${line}\n`),
    flush: () => fsyncSync(file),
    close: () => closeSync(file),
  };
}

/** A whole letter, its bytes included; what cannot be read, or has lost its bytes, as it stands, in {"unreadable": …}. */
export async function lineOf(copy: ScannedLetter, objects: ObjectStore): Promise<string> {
  const letter = 'letter' in copy && (await fetchIfKept(copy, objects));
  if (letter) return encodeDeadLetter(letter);
  return JSON.stringify({ unreadable: copy.message?.body ?? null, copy: copy.ref });
}
