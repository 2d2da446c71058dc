/** The plan of a rebuild that is not over, as a file of the state folder: the same command goes on with it after a kill. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RebuildPlan } from '../runtime/replay/rebuild.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { StateFolder } from './state-folder.ts';

/** The plan that was not ended; undefined where there is none. */
export function readPlan(folder: StateFolder, consumer: string): RebuildPlan | undefined {
  return readJsonFile(
    pathOf(folder, consumer),
    'Remove it, and run the command again: it goes on with the tables that are there.',
  );
}

/** On the disk when it returns. */
export function writePlan(folder: StateFolder, plan: RebuildPlan): void {
  mkdirSync(folder.files.rebuilds, { recursive: true, mode: 0o700 });
  writeJsonFile(pathOf(folder, plan.consumer), plan);
}

/** The rebuild was promoted or dropped. */
export function endPlan(folder: StateFolder, consumer: string): void {
  rmSync(pathOf(folder, consumer), { force: true });
}

function pathOf({ files }: StateFolder, consumer: string): string {
  return join(files.rebuilds, `${consumer}.json`);
}
