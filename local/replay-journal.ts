/** Plans of replays, as files: on the disk before the first record is delivered, so that a killed one goes on with its own ends. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { OffsetRange } from '../runtime/delivery/offset-ranges.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';

export interface ReplayPlan {
  readonly id: string;
  readonly kind: 'gaps';
  /** The generation whose ledger it goes by. */
  readonly consumer: string;
  readonly epoch: number;
  /** Where the topics are. */
  readonly at: string;
  /** Where the ledger is. */
  readonly sink: string;
  readonly begunAt: string;
  readonly ranges: readonly { readonly partition: number; readonly ranges: readonly OffsetRange[] }[];
}

export interface ReplayJournal {
  readonly plan: ReplayPlan;
  /** The same replay with these ranges: what is left of it, and what is missing since. */
  withRanges(ranges: ReplayPlan['ranges']): ReplayJournal;
  /** No replay goes on with it any more. */
  end(): void;
}

/** Begins a replay, with its plan on the disk. */
export function beginReplay(folder: string, plan: Omit<ReplayPlan, 'id' | 'begunAt'>): ReplayJournal {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const whole: ReplayPlan = { id: randomUUID(), begunAt: new Date().toISOString(), ...plan };
  return written(join(folder, `${whole.id}.json`), whole);
}

function written(path: string, plan: ReplayPlan): ReplayJournal {
  writeJsonFile(path, plan);
  return journal(path, plan);
}

const UNREADABLE = 'It is the plan of a replay. Remove it; the next replay makes a plan of what is left.';

/** The newest replay of the same kind that did not end. @throws STATE_UNREADABLE where a plan cannot be read */
export function findReplay(
  folder: string,
  { kind, consumer, epoch, at, sink }: Pick<ReplayPlan, 'kind' | 'consumer' | 'epoch' | 'at' | 'sink'>,
): ReplayJournal | undefined {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.json')) : [];
  return names
    .map((name) => join(folder, name))
    .flatMap((path) => {
      const plan = readJsonFile<ReplayPlan>(path, UNREADABLE);
      return plan ? [{ path, plan }] : [];
    })
    .filter(
      ({ plan }) =>
        plan.kind === kind &&
        plan.consumer === consumer &&
        plan.epoch === epoch &&
        plan.at === at &&
        plan.sink === sink,
    )
    .sort((a, b) => b.plan.begunAt.localeCompare(a.plan.begunAt))
    .map(({ path, plan }) => journal(path, plan))[0];
}

function journal(path: string, plan: ReplayPlan): ReplayJournal {
  return {
    plan,
    withRanges: (ranges) => written(path, { ...plan, ranges }),
    end() {
      try {
        renameSync(path, `${path}.ended`);
      } catch (error) {
        // Somebody has ended it, or cleared the folder: there is nothing to go on with either way.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    },
  };
}
