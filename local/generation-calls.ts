import type { ErrorCode } from '../runtime/errors.ts';
import type { Generation, Switched } from '../runtime/replay/generation.ts';
import type { RebuildPlan, RebuildProgress } from '../runtime/replay/rebuild.ts';
import type { TableDifference } from '../runtime/replay/shadow.ts';

/** What a process may have done to the generations of a consumer, by whoever runs it. */
export interface GenerationCalls {
  generations(of: { readonly consumer: string }): Promise<readonly Generation[]>;
  /**
   * Freezes what a rebuild would read. Changes nothing.
   * @param of.kept the plan of a rebuild that was not ended: given back if it is this sink's, and not dropped since
   */
  planRebuild(of: {
    readonly consumer: string;
    readonly fromMs: number | null;
    readonly kept: RebuildPlan | null;
  }): Promise<RebuildPlan>;
  /**
   * Makes the plan's candidate and runs it, or goes on with it.
   * @param of.recordsPerSecond at most; null for as many as go
   * @throws REBUILD_REFUSED where another rebuild is under way, or the code is another
   */
  rebuild(of: { readonly plan: RebuildPlan; readonly recordsPerSecond: number | null }): Promise<Generation>;
  /** @throws REBUILD_REFUSED where the generation has been dropped */
  rebuilding(of: { readonly plan: RebuildPlan; readonly number: number }): Promise<RebuildState>;
  /** Changes nothing where it is live already. @throws REBUILD_REFUSED */
  promote(of: {
    readonly consumer: string;
    readonly number: number;
    readonly mayLose: number;
  }): Promise<Switched>;
  /** @throws REBUILD_REFUSED */
  rollback(of: { readonly consumer: string; readonly mayLose: number }): Promise<Switched>;
  /**
   * Runs the consumer over the records of a time into tables of its own, which follow nothing. A shadow run that was left
   * behind is dropped first.
   */
  shadow(of: {
    readonly consumer: string;
    readonly fromMs: number;
    readonly toMs: number;
    readonly recordsPerSecond: number | null;
  }): Promise<{ readonly plan: RebuildPlan; readonly number: number }>;
  /** Compares a shadow run's tables with the live ones, as they are at one moment. */
  compare(of: { readonly plan: RebuildPlan; readonly number: number }): Promise<Comparison>;
  /** Drops a generation with its tables, its ledger and its dead letters. @throws REBUILD_REFUSED */
  drop(of: { readonly consumer: string; readonly number: number }): Promise<Record<string, never>>;
}

export interface Comparison {
  readonly tables: readonly TableDifference[];
  /** Whether the run read all that the live tables had been made of at that moment. */
  readonly isWhole: boolean;
}

export interface RebuildState extends RebuildProgress {
  /** Records in the candidate's tables, those that wait behind a dead letter of their key, and those that are dead letters. */
  readonly applied: number;
  readonly parked: number;
  readonly deadLettered: number;
  /** What only a person can fix, and what keeps the candidate from going on. */
  readonly halted: { readonly code: ErrorCode; readonly message: string } | null;
}

/** A rebuild that goes on, for who watches the run. */
export interface Rebuilding {
  readonly consumer: string;
  readonly number: number;
  /** Records that it has behind the live generation; null where that is unknown. */
  readonly lag: number | null;
  /** False where it was begun with other code than that of this process, which does not run it. */
  readonly isRunning: boolean;
}
