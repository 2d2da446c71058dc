/** Whether the state folder is still the one that a plan was made in: once it was cleared, its letters and keys are others. */
import { readFileSync, statSync } from 'node:fs';
import { existingStateFolder } from '../../local/state-folder.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Place } from '../hints.ts';

type Where = Pick<Place, 'env' | 'state'>;

/** What tells a folder's queues and its log from those that come after them. Null for an environment, which nobody clears. */
export type FolderMark = readonly (string | undefined)[] | null;

/** @throws STATE_UNREADABLE where there is no such folder */
export function folderMark({ env, state }: Where): FolderMark {
  if (env !== undefined) return null;
  const { files } = existingStateFolder(state!);
  const queues = statSync(files.queues, { throwIfNoEntry: false });
  // A file that is made anew may get the number of the one before: the ids tell more, where a run has written them.
  return [queues && String(queues.ino), textOf(files.logId), runIn(files.ledger)];
}

/**
 * @param planned the mark when the plan was made
 * @throws INPUT_INVALID where the folder, or the log that its runs have, is another one by now
 */
export function requireSameFolder(planned: FolderMark, where: Where): void {
  if (planned === null) return;
  const now = folderMark(where)!;
  // A run writes them down only once it has begun.
  if (planned.every((each, at) => each === undefined || each === now[at])) return;
  throw new MillraceError(
    'INPUT_INVALID',
    `The state folder ${where.state} was cleared, or has another log, since this was planned: other letters are there by now. Nothing was done. Plan it again.`,
    { details: { state: where.state } },
  );
}

/** The log and the ledger that the folder's last run had, wherever they are. */
function runIn(file: string): string | undefined {
  try {
    const { log, ledger } = JSON.parse(textOf(file) ?? '{}') as Readonly<Record<string, unknown>>;
    return log === undefined ? undefined : `${log} ${ledger}`;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
