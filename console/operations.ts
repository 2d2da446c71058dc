/**
 * What the console asks of a pipeline, and the shapes of its answers: one port, which `cli/console/` fills from the sessions of
 * the commands. The shapes travel as JSON, so the browser's side has them from here too. Unknown is null, never 0.
 */
import type { ConsumerStatus, LagVerdict, PartitionStatus } from '../runtime/lag/status.ts';

/** Where the console looks, and what it may do there. */
export interface Place {
  readonly app: string;
  readonly kind: 'laptop' | 'kafka' | 'aws';
  /** In words: `.millrace`, `prod on AWS`. */
  readonly at: string;
  /** The options that lead there, shell-quoted, as commands have them behind their words; empty for the default folder. */
  readonly flags: string;
  readonly consumers: readonly string[];
  readonly topics: readonly string[];
  /** `--allow-actions` was given. */
  readonly allowsActions: boolean;
  /** `--show-values` was given: fields tagged as personal data may be revealed, too. */
  readonly showsValues: boolean;
}

/** How a consumer is at one time, as `status` has it. */
export interface ConsumerLook
  extends Pick<
    ConsumerStatus,
    | 'consumer'
    | 'group'
    | 'topic'
    | 'verdict'
    | 'lag'
    | 'ageMs'
    | 'drainMs'
    | 'headroomMs'
    | 'inPerSecond'
    | 'outPerSecond'
    | 'deadLetters'
    | 'parked'
    | 'heldBy'
    | 'isPaused'
    | 'warning'
    | 'incident'
    | 'evidence'
  > {
  /** In words, as `status` has it: `40 s to 50 s`, `never`, `?`. */
  readonly drain: string;
  readonly headroom: string;
  /** When its code last changed, in epoch milliseconds. */
  readonly deployedAt: number | null;
  readonly partitions: readonly PartitionLook[];
  /** The command that says more. */
  readonly command: string;
}

export type Verdict = LagVerdict;

export interface PartitionLook
  extends Pick<PartitionStatus, 'partition' | 'verdict' | 'lag' | 'ageMs' | 'committed' | 'start' | 'end'> {
  /** The first sentence of its evidence, where it is not well. */
  readonly why: string | null;
}

/** Samples since the console began to look, an hour at most; the lists are as long as `at`. */
export interface Series {
  readonly at: readonly number[];
  readonly lag: readonly (number | null)[];
  readonly ageMs: readonly (number | null)[];
  readonly inPerSecond: readonly (number | null)[];
  readonly outPerSecond: readonly (number | null)[];
}

/** What happened to a consumer at a time: drawn on its time axis. */
export interface Mark {
  readonly at: number;
  readonly kind: 'deploy' | 'incident' | 'recovery' | 'action';
  /** Such as `STALLED: SINK_UNAVAILABLE`, or `redrive by ada`. */
  readonly text: string;
}

/** The worst consumer first. */
export interface StatusAnswer {
  readonly at: number;
  readonly place: Place;
  readonly consumers: readonly ConsumerLook[];
  /** By the consumer's name: the last of its series, for a sparkline. */
  readonly series: Readonly<Record<string, Series>>;
  /** Why nothing could be looked at; null where it could. */
  readonly problem: string | null;
}

export interface ConsumerAnswer {
  /** When the look was taken, in epoch milliseconds. */
  readonly at: number;
  readonly look: ConsumerLook;
  /** Why the look is an earlier one: it cannot be taken now. Null where it can. */
  readonly problem: string | null;
  readonly series: Series;
  readonly marks: readonly Mark[];
  /** Null where the ledger cannot be read from here, with why in `ledgerProblem`. */
  readonly ledger: readonly LedgerBar[] | null;
  readonly ledgerProblem: string | null;
  /** None where nobody can tell which there are, with why in `generationsProblem`. An archive has none either. */
  readonly generations: readonly GenerationRow[];
  readonly generationsProblem: string | null;
}

/** One partition's ledger beside its log. Offsets; ends are exclusive. */
export interface LedgerBar {
  readonly partition: number;
  /** The oldest offset that the topic keeps, and the offset that the next record gets. */
  readonly start: number;
  readonly end: number;
  /** What the ledger covers: `[first, next)`. */
  readonly first: number;
  readonly next: number;
  readonly counts: {
    readonly settled: number;
    readonly deadLetters: number;
    readonly parked: number;
    readonly skipped: number;
    readonly pending: number;
  };
  /** What is not settled, in order, neighbours of a kind as one; at most 500, the rest merged. */
  readonly segments: readonly {
    readonly kind: 'dead-letter' | 'parked' | 'skipped' | 'discarded';
    readonly from: number;
    readonly to: number;
  }[];
}

export interface GenerationRow {
  readonly name: string;
  readonly number: number;
  readonly isLive: boolean;
  readonly lag: number | null;
  readonly state: string;
  /** Commands to copy. */
  readonly commands: readonly string[];
}

/** A page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** How many there are in all. */
  readonly total: number;
  /** Of the next page; null on the last. */
  readonly next: string | null;
  /** When the store was read, in epoch milliseconds: lists are some seconds old at most. */
  readonly asOf: number;
  /** What could not be read, and why. */
  readonly problem: string | null;
}

export interface PageQuery {
  readonly consumer?: string | undefined;
  /** A word that a row has to hold, in any case. */
  readonly search?: string | undefined;
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}

/** In which order groups come: that with the most letters, the newest failure, the latest to appear, or the next to expire first. */
export const GROUP_SORTS = ['count', 'newest', 'introduced', 'expiry'] as const;
export type GroupSort = (typeof GROUP_SORTS)[number];

export interface GroupQuery extends PageQuery {
  /** That group alone. */
  readonly fingerprint?: string | undefined;
  /** @default count */
  readonly sort?: GroupSort | undefined;
}

/** Letters that failed alike. */
export interface FailureGroup {
  readonly consumer: string;
  /** Names the group in URLs: a hash of what its letters have in common. */
  readonly fingerprint: string;
  readonly code: string;
  /** The code's summary, as docs/errors.md has it. */
  readonly summary: string;
  readonly stage: string;
  readonly topic: string;
  readonly errorName: string;
  /** As `orders/consumer.ts:29`; null where no file of the project is to blame. */
  readonly location: string | null;
  readonly count: number;
  readonly overtaken: number;
  readonly partitions: readonly number[];
  /** Those with the most letters; masked as `triage` does. */
  readonly keys: readonly { readonly key: string; readonly count: number }[];
  readonly keyCount: number;
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  /** When the store deletes its oldest letter; null for never. */
  readonly expiresAt: number | null;
  /** The version of the code that its first letter failed in; null where no letter says. */
  readonly introducedBy: string | null;
  /** Letters by when they last failed: 24 buckets of equal length from `firstSeenAt` to `lastSeenAt`. */
  readonly histogram: readonly number[];
  /** Whether no change lets its records through: what the CLI discards instead of redriving. */
  readonly isBeyondRedrive: boolean;
  /** What has to change before a redrive of it can succeed; empty where the code does not tell. */
  readonly before: readonly string[];
  /** The conditions that choose exactly these letters, as `--where` takes them; null where none do. */
  readonly where: string | null;
  /** One letter's id. */
  readonly sample: string;
  readonly command: string;
}

export interface LetterQuery extends PageQuery {
  readonly consumer: string;
  readonly fingerprint?: string | undefined;
  /** As `--where` takes it. */
  readonly where?: string | undefined;
}

export interface LetterRow {
  readonly id: string;
  readonly key: string;
  readonly code: string;
  readonly stage: string;
  /** -1 where the message cannot be read; so is the offset. */
  readonly partition: number;
  readonly offset: number;
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** The offset that overtook it; null where none did, or nobody knows. */
  readonly overtakenBy: number | null;
  /** The error's name and text; the text is hidden where it can quote the record, until the letter is revealed. */
  readonly reason: string;
}

export interface LetterAnswer extends LetterRow {
  readonly consumer: string;
  readonly topic: string;
  readonly timestamp: string;
  readonly schemaId: string | null;
  /** The contract's version that wrote it; null where the contract has no such version. */
  readonly schemaVersion: number | null;
  readonly readerVersion: number | null;
  /** How the writer's schema differs from the reader's, a sentence each. */
  readonly schemaDifferences: readonly string[];
  /** Whether any value is hidden: all until it is revealed, and then what is personal data, with what can quote it. */
  readonly isMasked: boolean;
  readonly isRevealed: boolean;
  /** Whether a reveal shows more than this. False where it was revealed, or all of it is tagged and `--show-values` was not given. */
  readonly isRevealable: boolean;
  /** The value as indented JSON; null where it cannot be decoded, with why in `decodeProblem`. */
  readonly decoded: string | null;
  readonly decodeProblem: string | null;
  readonly bytes: readonly BytesView[];
  readonly error: { readonly name: string; readonly message: string; readonly stack: readonly string[] };
  readonly causes: readonly { readonly name: string; readonly message: string }[];
  readonly earlier: readonly {
    readonly at: string;
    readonly stage: string;
    readonly code: string;
    readonly message: string;
  }[];
  readonly function: string;
  /** Decoded and validated by today's contract; the handler is not run. */
  readonly wouldPass: { readonly isPassing: boolean; readonly text: string };
  /** As of its group: whether no change lets it through, and what has to change before a redrive of it can succeed. */
  readonly isBeyondRedrive: boolean;
  readonly before: readonly string[];
  /** What has been done to it, newest first. */
  readonly history: readonly AuditRow[];
  readonly where: string;
  readonly command: string;
}

/** Of a key, the value or a header. */
export interface BytesView {
  readonly name: string;
  /** Null for null. */
  readonly size: number | null;
  /** Rows of 16 bytes, the first 4,096 of them; empty where hidden. */
  readonly rows: readonly { readonly at: number; readonly hex: string; readonly text: string }[];
  readonly isCut: boolean;
}

/** By its bytes, or, where those are hidden, by the id of the letter that it waits for. */
export type ParkedKeyName =
  | { readonly base64: string; readonly partition: number }
  | { readonly letter: string };

export interface ParkedKey {
  readonly consumer: string;
  readonly topic: string;
  readonly partition: number;
  /** Masked where it is personal data. */
  readonly key: string;
  /** For an action; null where it is hidden and waits for no letter. */
  readonly name: ParkedKeyName | null;
  readonly records: number;
  readonly oldestAgeMs: number | null;
  /** The letter it waits for; null where that is gone. */
  readonly blockedBy: string | null;
  readonly command: string;
}

export interface FindQuery {
  readonly topic: string;
  readonly key?: string | undefined;
  /** `field=value`. */
  readonly where?: readonly string[] | undefined;
  /** As `--since` takes it: `2h`, or a time. */
  readonly since?: string | undefined;
}

export interface FindAnswer {
  /** The newest first. */
  readonly records: readonly {
    readonly partition: number;
    readonly offset: number;
    readonly timestamp: string;
    readonly key: string;
    /** What became of it, by consumer: `applied`, `dead-lettered`, `parked`, … */
    readonly outcomes: Readonly<Record<string, { readonly outcome: string; readonly letter: string | null }>>;
  }[];
  readonly looked: number;
  readonly unreadable: number;
  /** Whether all records were looked at. False where the answer is full: older records may match, too. */
  readonly isWhole: boolean;
  readonly command: string;
}

export interface AuditRow {
  readonly id: string;
  readonly action: string;
  readonly consumer: string;
  readonly who: string;
  readonly begunAt: string;
  readonly endedAt: string | null;
  /** What was asked for and what came of it, in words, as `dlq audit` has them. */
  readonly plan: string;
  readonly result: string;
}

/** What a person wants done. */
export type ActionRequest =
  | {
      readonly kind: 'redrive';
      readonly consumer: string;
      readonly where: string;
      readonly allowOvertaken: boolean;
      readonly canary: number;
      readonly rate: number;
      readonly maxFailures: number;
    }
  | {
      readonly kind: 'discard';
      readonly consumer: string;
      readonly where: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'park-release' | 'park-skip' | 'park-discard';
      readonly consumer: string;
      readonly key: ParkedKeyName;
      readonly reason: string;
    };

/** What a request chooses, as one text. Its numbers and its reason may change between a plan and its start. */
export function selectionOf(request: ActionRequest): string {
  const { kind, consumer } = request;
  if (kind === 'redrive') return JSON.stringify([kind, consumer, request.where, request.allowOvertaken]);
  if (kind === 'discard') return JSON.stringify([kind, consumer, request.where]);
  return JSON.stringify([kind, consumer, request.key]);
}

/** Stands in a command for a reason that nobody has given yet. */
export const NO_REASON = '<why>';

/** What would happen, before anything does. */
export interface ActionPlan {
  /** Names the plan to `start`, which acts on what it saw and on nothing else. It is forgotten behind newer plans. */
  readonly id: string;
  readonly request: ActionRequest;
  /** What it acts on: dead letters, and parked records. */
  readonly count: number;
  /** Of those, the parked records, where it acts on both. */
  readonly parked?: number;
  /** Letters that match and are left out, because newer records of their keys were applied. */
  readonly leftOut: number;
  /** Of those that it acts on: overtaken, and let in by `allowOvertaken`. */
  readonly overtaken: number;
  /** In words, a fact each. */
  readonly lines: readonly string[];
  /** Why it would be refused; null where it would not. */
  readonly refusal: string | null;
  /** What a person types to go on. */
  readonly confirmation: string;
  /** The command that does the same. */
  readonly command: string;
}

/** What is under way or over; kept until the console ends. */
export interface ActionState {
  readonly id: string;
  readonly request: ActionRequest;
  readonly command: string;
  readonly phase: 'running' | 'paused' | 'done' | 'cancelled' | 'failed';
  /** Of a redrive: whether the first letters are still on trial. */
  readonly isCanary: boolean;
  readonly startedAt: number;
  readonly endedAt: number | null;
  readonly planned: number;
  readonly sent: number;
  readonly applied: number;
  readonly alreadyApplied: number;
  readonly failed: number;
  readonly overtaken: number;
  readonly remaining: number;
  /** Letters that match and became dead letters since it began: none of the plan. */
  readonly arrived: number;
  /** What it ended with, in words. */
  readonly text: string;
}

export interface Operations {
  place(): Promise<Place>;
  /** Takes a sample; the watch behind it remembers the earlier ones. */
  status(): Promise<StatusAnswer>;
  consumer(name: string): Promise<ConsumerAnswer>;
  groups(query: GroupQuery): Promise<Page<FailureGroup>>;
  letters(query: LetterQuery): Promise<Page<LetterRow>>;
  /** @param reveal notes it in the audit log before it shows anything */
  letter(id: string, reveal: boolean): Promise<LetterAnswer>;
  parked(query: PageQuery): Promise<Page<ParkedKey>>;
  find(query: FindQuery, signal: AbortSignal): Promise<FindAnswer>;
  auditLog(query: PageQuery): Promise<Page<AuditRow>>;
  plan(request: ActionRequest): Promise<ActionPlan>;
  /**
   * Does what the plan says, with the request's canary, rate, limit and reason.
   * @throws INPUT_INVALID where actions are not allowed, the confirmation is another word, a reason is missing, or there is no such
   * plan any more; STATE_IN_USE while another action of the consumer runs
   */
  start(planId: string, request: ActionRequest, confirmation: string): Promise<ActionState>;
  actions(): Promise<readonly ActionState[]>;
  /** Of what is under way: a pause sends nothing more until it is resumed; a cancel ends it. What was sent cannot be taken back. */
  steer(id: string, to: 'pause' | 'resume' | 'cancel'): Promise<ActionState>;
  close(): Promise<void>;
}
