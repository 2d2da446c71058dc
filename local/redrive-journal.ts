/** Journals of redrives, as files: one a redrive, a JSON line an entry, each on the disk before work goes on. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RedrivePlan } from '../runtime/dead-letters/redrive/plan.ts';
import type { RedriveJournal } from '../runtime/dead-letters/redrive/send.ts';
import { MillraceError } from '../runtime/errors.ts';
import { openLock, SQLITE_BUSY, type StateLock } from './state-folder.ts';

/** What a redrive was asked for. The same asked again goes on with it, if it was killed. */
export interface RedriveRequest {
  readonly consumer: string;
  /** Where the letters are. */
  readonly at: string;
  readonly where: string;
  readonly mayBeOvertaken: boolean;
}

interface PlanEntry extends Omit<RedriveRequest, 'mayBeOvertaken'> {
  readonly type: 'plan';
  readonly id: string;
  readonly begunAt: string;
  readonly letters: readonly (readonly [id: string, copies: readonly string[]])[];
  // Absent where an earlier version began the redrive.
  readonly behind?: readonly (readonly [id: string, before: string])[];
  readonly leftOut?: number;
  readonly overtaken?: number;
  readonly passing?: number;
  readonly mayBeOvertaken?: boolean;
}
type Entry =
  | PlanEntry
  | { readonly type: 'sent'; readonly ids: readonly string[] }
  | { readonly type: 'ended' };

export interface OpenJournal extends RedriveJournal {
  readonly begunAt: string;
  /** Whether a process works with it now. Looking keeps nobody from it. */
  isTaken(): boolean;
  /**
   * Takes the journal for the redrive that works with it, with what others have noted since it was read.
   * @throws STATE_IN_USE while another redrive works with it; INPUT_INVALID if it was ended since
   */
  take(): StateLock;
  /** No redrive goes on with it any more. Again it does nothing. */
  end(): void;
}

/** Begins a journal, with the plan on the disk. */
export function beginJournal(folder: string, request: RedriveRequest, plan: RedrivePlan): OpenJournal {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const entry: PlanEntry = {
    type: 'plan',
    id: plan.id,
    begunAt: new Date().toISOString(),
    ...request,
    letters: [...plan.letters],
    behind: [...plan.behind],
    leftOut: plan.leftOut,
    overtaken: plan.overtaken,
    passing: plan.passing,
  };
  const path = join(folder, `${plan.id}.jsonl`);
  append(path, entry);
  return journal(path, entry, []);
}

/** The newest journal of the same request that was not ended; undefined where there is none. */
export function findJournal(
  folder: string,
  { consumer, at, where, mayBeOvertaken }: RedriveRequest,
): OpenJournal | undefined {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.jsonl')) : [];
  const found = names.flatMap((name) => {
    const path = join(folder, name);
    const [plan, ...entries] = readEntries(path);
    if (plan?.type !== 'plan' || entries.some(({ type }) => type === 'ended')) return [];
    const isSame =
      plan.consumer === consumer &&
      plan.at === at &&
      plan.where === where &&
      (plan.mayBeOvertaken ?? false) === mayBeOvertaken;
    return isSame ? [{ path, plan, entries }] : [];
  });
  const newest = found.sort((a, b) => (a.plan.begunAt < b.plan.begunAt ? 1 : -1))[0];
  return newest && journal(newest.path, newest.plan, newest.entries);
}

function journal(path: string, plan: PlanEntry, entries: readonly Entry[]): OpenJournal {
  const sent = new Set(entries.flatMap((entry) => (entry.type === 'sent' ? entry.ids : [])));
  const lockFile = path.replace(/\.jsonl$/, '.lock');
  let isEnded = false;
  return {
    plan: {
      id: plan.id,
      consumer: plan.consumer,
      letters: new Map(plan.letters),
      behind: new Map(plan.behind),
      leftOut: plan.leftOut ?? 0,
      overtaken: plan.overtaken ?? 0,
      passing: plan.passing ?? 0,
      mayBeOvertaken: plan.mayBeOvertaken ?? false,
    },
    begunAt: plan.begunAt,
    sent,
    isTaken: () => existsSync(lockFile) && tryLock(lockFile, 'look') === undefined,
    take() {
      const lock = tryLock(lockFile, 'take');
      if (!lock)
        throw new MillraceError(
          'STATE_IN_USE',
          `Redrive ${plan.id} of ${plan.consumer} is running in another process. Nothing was done. Wait for its end, or cancel it there.`,
          { details: { redrive: plan.id } },
        );
      const release = () => {
        // Nobody goes on with it, so nobody needs its lock.
        if (isEnded) rmSync(lockFile, { force: true });
        lock.release();
      };
      for (const entry of readEntries(path)) {
        isEnded ||= entry.type === 'ended';
        if (entry.type === 'sent') for (const id of entry.ids) sent.add(id);
      }
      if (isEnded) {
        release();
        throw new MillraceError(
          'INPUT_INVALID',
          `Redrive ${plan.id} of ${plan.consumer} has ended since this was planned. Nothing was done. Plan it again.`,
          { details: { redrive: plan.id } },
        );
      }
      return { release };
    },
    noteSent(ids) {
      append(path, { type: 'sent', ids });
      for (const id of ids) sent.add(id);
    },
    end() {
      if (!isEnded) append(path, { type: 'ended' });
      isEnded = true;
    },
  };
}

/** Longer than a look, which would else keep a redrive from its own journal. */
const LOCK_PATIENCE_MS = 500;

/** Undefined where a redrive has it. */
function tryLock(file: string, to: 'look' | 'take'): StateLock | undefined {
  const database = openLock(file, to === 'take' ? LOCK_PATIENCE_MS : 0);
  try {
    database.exec(to === 'take' ? 'BEGIN EXCLUSIVE' : 'SELECT count(*) FROM sqlite_schema');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
  const lock = { release: () => database.close() };
  if (to === 'look') lock.release();
  return lock;
}

function append(path: string, entry: Entry): void {
  const file = openSync(path, 'a', 0o600);
  try {
    // Begins on a line of its own, also behind one that a kill cut short.
    writeFileSync(file, `\n${JSON.stringify(entry)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A line that a kill cut short was not followed by any work. */
function readEntries(path: string): Entry[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Entry];
      } catch {
        return [];
      }
    });
}
