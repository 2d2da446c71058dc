/** What the console can do, a kind each: planned and done by the code of the command that does the same. */
import {
  type ActionPlan,
  type ActionRequest,
  type ActionState,
  NO_REASON,
  type ParkedKeyName,
} from '../../console/operations.ts';
import type { RedriveProgress, Steering } from '../../runtime/dead-letters/redrive/send.ts';
import type { LetterFilter } from '../../runtime/dead-letters/triage.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord } from '../../runtime/record.ts';
import type { PlanWords } from '../dlq/confirmation.ts';
import { discardEndLines, discardWords, doDiscard, planDiscard } from '../dlq/discard-run.ts';
import type { View } from '../dlq/letter-view.ts';
import { noneMatch, parseWhere, whereText } from '../dlq/options.ts';
import type { FolderMark } from '../dlq/planned-folder.ts';
import {
  doRedrive,
  goingOnText,
  nothingLines,
  planRedrive,
  redriveEndLines,
  redriveWords,
  whyText,
} from '../dlq/redrive-run.ts';
import { type DlqSession, requireDeclared } from '../dlq/session.ts';
import { hint } from '../hints.ts';
import { keyWords, withWaitingKeys } from '../park/keys.ts';
import {
  discardsOf,
  doRelease,
  planRelease,
  releaseEndLines,
  releaseWords,
  type Verb,
} from '../park/release-run.ts';
import type { ConsoleOptions } from './context.ts';
import { asInput, problemText } from './errors.ts';
import type { LetterChoice } from './failures.ts';

export type Counts = Pick<
  ActionState,
  'planned' | 'sent' | 'applied' | 'alreadyApplied' | 'failed' | 'overtaken' | 'remaining'
>;

export const NOTHING_YET: Counts = {
  planned: 0,
  sent: 0,
  applied: 0,
  alreadyApplied: 0,
  failed: 0,
  overtaken: 0,
  remaining: 0,
};

/** What hears of an action while it runs, and steers it. */
export interface Hooks {
  readonly onProgress: (counts: Partial<Counts>, isCanary: boolean) => void;
  readonly steering: () => Steering;
}

export interface Outcome {
  readonly phase: 'done' | 'cancelled' | 'failed';
  readonly lines: readonly string[];
}

/** An action that was planned in one session, to be done in another. */
export interface PlannedAction extends Pick<ActionPlan, 'count' | 'parked' | 'leftOut' | 'overtaken'> {
  readonly lines: readonly string[];
  readonly refusal: string | null;
  /** As it begins. */
  readonly counts: Counts;
  /** The state folder that it was planned in. */
  readonly folder: FolderMark;
  /** Undefined where it chooses no letters. */
  readonly choice?: LetterChoice;
  /** About how much memory it holds. */
  readonly heldBytes: number;
  /** @param request the same, or with other numbers and another reason */
  run(session: DlqSession, request: ActionRequest, hooks: Hooks): Promise<Outcome>;
}

/** The default of the commands, in seconds. */
const WAIT = 60;
/** Of a letter's name and that of its copy. */
const LETTER_BYTES = 240;

const VERBS = {
  'park-release': 'release',
  'park-skip': 'skip',
  'park-discard': 'discard',
} as const satisfies Record<string, Verb>;

type LettersRequest = Extract<ActionRequest, { where: string }>;
type KeyRequest = Exclude<ActionRequest, LettersRequest>;

/** Plans the action. Changes nothing. @throws INPUT_INVALID where it cannot be done */
export async function planAction(
  request: ActionRequest,
  session: DlqSession,
  options: ConsoleOptions,
): Promise<PlannedAction> {
  if (request.kind === 'redrive') return planRedriving(request, session, options);
  if (request.kind === 'discard') return planDiscarding(request, session, options);
  return planReleasing(request, session, options);
}

async function planRedriving(
  request: Extract<ActionRequest, { kind: 'redrive' }>,
  session: DlqSession,
  options: ConsoleOptions,
): Promise<PlannedAction> {
  const declared = await requireDeclared(session.consumer, session.place);
  const filter = filterOf(request.where);
  const ask = (of: typeof request) => ({
    ...options,
    where: filter,
    rate: of.rate,
    canary: of.canary,
    maxFailures: of.maxFailures,
    wait: WAIT,
    ...(of.allowOvertaken && { allowOvertaken: true as const }),
  });
  const planned = await planRedrive(session, declared, ask(request));
  const { letters, leftOut, overtaken } = planned.chosen;
  const words = redriveWords(planned);
  const { killed } = planned;
  return {
    count: letters.size,
    leftOut,
    overtaken,
    lines: [...(killed ? [goingOnText(killed)] : []), ...linesOf(words)],
    refusal: killed?.isTaken()
      ? `Redrive ${killed.plan.id} of ${killed.begunAt} is the same, and is running in another process. Wait for its end, or cancel it there.`
      : letters.size === 0
        ? nothingLines(planned, session).join('\n')
        : null,
    counts: {
      ...NOTHING_YET,
      planned: letters.size + leftOut,
      sent: killed?.sent.size ?? 0,
      overtaken: leftOut,
      remaining: letters.size,
    },
    folder: planned.folder,
    choice: { filter, has: (key) => letters.has(key) },
    heldBytes: letters.size * LETTER_BYTES,
    async run(at, asked, { onProgress, steering }) {
      const { rate, canary, maxFailures } = asked as typeof request;
      const settings = { ...planned.settings, ratePerSecond: rate, canary, maxFailures };
      const doing = { ...planned, settings };
      try {
        const end = await doRedrive(at, doing, options, {
          onProgress: (progress, isCanary) => onProgress(countsOf(progress), isCanary),
          steering,
        });
        return { phase: end.cancelled ? 'cancelled' : 'done', lines: redriveEndLines(end, doing, at) };
      } catch (error) {
        if (!(error instanceof MillraceError) || error.code !== 'REDRIVE_STOPPED') throw error;
        onProgress(countsOf(error.details as unknown as RedriveProgress), false);
        return { phase: 'failed', lines: [problemText(error), whyText(at)] };
      }
    },
  };
}

async function planDiscarding(
  request: Extract<ActionRequest, { kind: 'discard' }>,
  session: DlqSession,
  options: ConsoleOptions,
): Promise<PlannedAction> {
  const filter = filterOf(request.where);
  const planned = await planDiscard(session, { ...options, where: filter });
  const { size } = planned.copies;
  return {
    count: size,
    leftOut: 0,
    overtaken: 0,
    lines: [
      ...linesOf(discardWords(planned, session)),
      'Each is written to a file first, from which it can be imported again.',
    ],
    refusal: size === 0 ? noneMatch(session.named, filter) : null,
    counts: { ...NOTHING_YET, planned: size, remaining: size },
    folder: planned.folder,
    // What it has was there before it began, so nothing of it counts as arrived.
    choice: { filter, has: () => false },
    heldBytes: size * LETTER_BYTES,
    async run(at, asked, { onProgress, steering }) {
      const { reason } = asked as typeof request;
      const notes: string[] = [];
      const done = (discarded: number) =>
        onProgress({ sent: discarded, applied: discarded, remaining: size - discarded }, false);
      const end = await doDiscard(
        at,
        planned,
        { ...options, reason, wait: WAIT },
        {
          onProgress: done,
          onNote: (text) => notes.push(text),
          isCancelled: () => steering() === 'cancel',
        },
      );
      if (!end.cancelled) onProgress({ remaining: 0 }, false);
      return {
        phase: end.cancelled ? 'cancelled' : 'done',
        lines: [...discardEndLines(end, planned, at), ...notes],
      };
    },
  };
}

async function planReleasing(
  request: KeyRequest,
  session: DlqSession,
  options: ConsoleOptions,
): Promise<PlannedAction> {
  await requireDeclared(session.consumer, session.place);
  const verb = VERBS[request.kind];
  const { key } = request;
  const planned = await withWaitingKeys(session, options, (keys) =>
    'letter' in key
      ? planRelease(verb, key, session, keys, {})
      : planRelease(verb, Buffer.from(key.base64, 'base64'), session, keys, key),
  );
  const { waiting, letters, parked } = planned;
  const count = verb === 'discard' ? discardsOf(planned) : waiting.records;
  return {
    count,
    ...(verb === 'discard' && { parked: parked.length }),
    leftOut: 0,
    overtaken: 0,
    lines: linesOf(releaseWords(planned, session)),
    refusal: null,
    counts: { ...NOTHING_YET, planned: count, remaining: count },
    folder: planned.folder,
    heldBytes: letters.length * LETTER_BYTES + bytesOf(parked),
    async run(at, asked, { onProgress }) {
      const { reason } = asked as KeyRequest;
      const end = await doRelease(at, planned, { ...options, reason, wait: WAIT }, () => {});
      const { blockedAt, result } = end;
      const failed = blockedAt !== null && blockedAt > (waiting.lastLetter ?? -1) ? 1 : 0;
      const left = verb === 'discard' ? count - result.discarded : result.parked;
      const remaining = Math.min(count - failed, Math.max(0, left));
      const settled = count - remaining;
      onProgress({ sent: settled, applied: settled - failed, failed, remaining }, false);
      return { phase: 'done', lines: releaseEndLines(end, planned, at) };
    },
  };
}

function countsOf({
  planned,
  sent,
  applied,
  alreadyApplied,
  failed,
  overtaken,
  remaining,
}: RedriveProgress): Counts {
  return { planned, sent, applied, alreadyApplied, failed, overtaken, remaining };
}

function bytesOf(records: readonly RawRecord[]): number {
  const sizes = records.map(
    ({ key, value, headers }) =>
      LETTER_BYTES +
      (key?.length ?? 0) +
      (value?.length ?? 0) +
      headers.reduce((sum, header) => sum + (header.value?.length ?? 0), 0),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The same request, with times that no longer move: what was planned is what is done. */
export function fixed(request: ActionRequest): ActionRequest {
  if (!('where' in request)) return request;
  const filter = filterOf(request.where);
  const isAll = Object.keys(filter).length === 0;
  return { ...request, where: isAll ? '' : (whereText(filter) ?? request.where) };
}

function filterOf(where: string): LetterFilter {
  return where === '' || where === 'all' ? {} : asInput(() => parseWhere(where));
}

/** A fact a line, for a page that lays them out itself. How a redrive goes about it may yet change: the page has it from the request. */
function linesOf({ head, facts }: PlanWords): readonly string[] {
  const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
  const how = facts.findIndex(([name]) => name === 'how');
  const chosen = how < 0 ? facts : facts.slice(0, how);
  return [head, ...chosen.map(([name, text]) => (name === '' ? capital(text) : `${capital(name)}: ${text}`))];
}

/** The command that does the same: it asks for the consumer's name, too. */
export function commandOf(request: ActionRequest, options: ConsoleOptions): string {
  const place = ['--consumer', request.consumer, ...postgresWords(options)];
  if (request.kind === 'redrive' || request.kind === 'discard') {
    const where = request.where === '' ? [] : ['--where', request.where];
    const how =
      request.kind === 'discard'
        ? ['--reason', request.reason.trim() || NO_REASON]
        : [
            ...(request.allowOvertaken ? ['--allow-overtaken'] : []),
            ...['--canary', String(request.canary)],
            ...['--rate', String(request.rate)],
            ...['--max-failures', String(request.maxFailures)],
          ];
    return hint(['dlq', request.kind, ...where, ...how, ...place], options);
  }
  const { key, reason } = request;
  const verb = VERBS[request.kind];
  const why = verb === 'release' ? [] : ['--reason', reason.trim() || NO_REASON];
  return hint(['park', verb, ...wordsOf(key), ...why, ...place], options);
}

function wordsOf(name: ParkedKeyName): readonly string[] {
  if ('letter' in name) return ['--letter', name.letter];
  const { base64, partition } = name;
  // Whoever asked for it by its bytes has seen them.
  const seen: View = { topic: { versions: [], key: '' }, showsValues: true };
  return (
    keyWords({ key: Buffer.from(base64, 'base64'), partition }, seen) ?? [
      ...['--key-base64', base64],
      ...['--partition', String(partition)],
    ]
  );
}

/** Without its password, which PGPASSWORD may have. */
function postgresWords({ postgres }: ConsoleOptions): readonly string[] {
  if (postgres === undefined) return [];
  const url = new URL(postgres);
  url.password = '';
  return ['--postgres', url.href];
}
