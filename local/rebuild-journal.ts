/** The plan of a rebuild that is not over, as a file of the state folder: the same command goes on with it after a kill. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../runtime/errors.ts';
import type { RebuildPlan } from '../runtime/replay/rebuild.ts';
import type { StateFolder } from './state-folder.ts';

/** The plan that was not ended; undefined where there is none. */
export function readPlan(folder: StateFolder, consumer: string): RebuildPlan | undefined {
  const path = pathOf(folder, consumer);
  return existsSync(path) ? parse(path) : undefined;
}

/** On the disk when it returns. */
export function writePlan(folder: StateFolder, plan: RebuildPlan): void {
  mkdirSync(folder.files.rebuilds, { recursive: true, mode: 0o700 });
  const path = pathOf(folder, plan.consumer);
  const half = `${path}.${process.pid}`;
  const file = openSync(half, 'w', 0o600);
  try {
    writeFileSync(file, `${JSON.stringify(plan)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(half, path);
}

/** The rebuild was promoted or dropped. */
export function endPlan(folder: StateFolder, consumer: string): void {
  rmSync(pathOf(folder, consumer), { force: true });
}

function pathOf({ files }: StateFolder, consumer: string): string {
  return join(files.rebuilds, `${consumer}.json`);
}

function parse(path: string): RebuildPlan {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `${path} is not JSON. Remove it, and run the command again: it goes on with the tables that are there.`,
      { cause, details: { path } },
    );
  }
}
