/** What the console can do, a kind each: planned and done by the code of the command that does the same. */
import { InvalidArgumentError } from 'commander';
import type { ActionRequest, ActionState } from '../../console/operations.ts';
import { lockLetters } from '../../local/state-folder.ts';
import type { RedriveProgress, Steering } from '../../runtime/dead-letters/redrive/send.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import { letterKey } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { PlanWords } from '../dlq/confirmation.ts';
import { discardEndLines, discardWords, doDiscard, planDiscard } from '../dlq/discard-run.ts';
import { noneMatch, parseWhere, whereText } from '../dlq/options.ts';
import { chosenReader } from '../dlq/overtaken.ts';
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
import { doRelease, planRelease, releaseEndLines, releaseWords, type Verb } from '../park/release-run.ts';
import type { ConsoleOptions } from './context.ts';

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
export interface PlannedAction {
  readonly count: number;
  readonly overtaken: number;
  readonly lines: readonly string[];
  readonly refusal: string | null;
  /** As it begins. */
  readonly counts: Counts;
  /** The letters that it chooses, and which of those it has; undefined where it chooses none. */
  readonly choice?: { readonly filter: LetterFilter; has(key: string): boolean };
  /** @param request the same, or with other numbers and another reason */
  run(session: DlqSession, request: ActionRequest, hooks: Hooks): Promise<Outcome>;
}

/** As the commands have it where nobody says otherwise, in seconds. */
const WAIT = 60;

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
  const { letters, leftOut } = planned.chosen;
  const words = redriveWords(planned);
  const { killed } = planned;
  const isRunning = killed !== undefined && areLettersInUse(session);
  return {
    count: letters.size,
    overtaken: leftOut,
    lines: [...(killed ? [goingOnText(killed)] : []), ...linesOf(words)],
    refusal: isRunning
      ? `Redrive ${killed.plan.id} of ${killed.begunAt} is the same, and has no end yet: it is running somewhere else. Wait for its end, or cancel it there.`
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
    choice: { filter, has: (key) => letters.has(key) },
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
        return { phase: 'failed', lines: [`${error.message} [${error.code}]`, whyText(at)] };
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
    overtaken: 0,
    lines: [
      ...linesOf(discardWords(planned, session)),
      'Each is written to a file first, from which it can be imported again.',
    ],
    refusal: areLettersInUse(session)
      ? `Letters of ${session.named} are being redriven, moved, imported or discarded right now, here or by a command. Wait for the end of that.`
      : size === 0
        ? noneMatch(session.named, filter)
        : null,
    counts: { ...NOTHING_YET, planned: size, remaining: size },
    choice: { filter, has: () => false },
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
  const key = Buffer.from(request.keyBase64, 'base64');
  const planned = await withWaitingKeys(session, options, (keys) =>
    planRelease(verb, key, session, keys, { partition: request.partition }),
  );
  const { waiting, letters, parked } = planned;
  const count =
    verb === 'discard'
      ? parked.length + new Set(letters.map(({ letter }) => letterKey(letter))).size
      : waiting.records;
  return {
    count,
    overtaken: 0,
    lines: linesOf(releaseWords(planned, session)),
    refusal: null,
    counts: { ...NOTHING_YET, planned: count, remaining: count },
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

/** Whether somebody on this machine gives the consumer's letters back, or takes them away. */
function areLettersInUse({ folder, consumer }: DlqSession): boolean {
  try {
    lockLetters(folder, consumer.name, 'take-away').release();
    return false;
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'STATE_IN_USE') return true;
    throw error;
  }
}

/** Letters that match, that first failed after that time, and that the plan has not. */
export async function countArrived(
  { filter, has }: NonNullable<PlannedAction['choice']>,
  sinceMs: number,
  session: DlqSession,
  options: ConsoleOptions,
): Promise<number> {
  const arrived = new Set<string>();
  const reader = await chosenReader(session, { ...options, where: filter });
  for await (const copy of reader.scan()) {
    if (!('letter' in copy) || copy.letter.failure.firstFailedAt < sinceMs || !matches(copy, filter))
      continue;
    const key = letterKey(copy.letter);
    if (!has(key)) arrived.add(key);
  }
  return arrived.size;
}

/** The same request, with times that no longer move: what was planned is what is done. */
export function fixed(request: ActionRequest): ActionRequest {
  if (!('where' in request)) return request;
  const filter = filterOf(request.where);
  const isAll = Object.keys(filter).length === 0;
  return { ...request, where: isAll ? '' : (whereText(filter) ?? request.where) };
}

function filterOf(where: string): LetterFilter {
  if (where === '' || where === 'all') return {};
  try {
    return parseWhere(where);
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new MillraceError('INPUT_INVALID', error.message);
    throw error;
  }
}

/** A fact a line, for a page that lays them out itself. */
function linesOf({ head, facts }: PlanWords): readonly string[] {
  const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
  return [head, ...facts.map(([name, text]) => (name === '' ? capital(text) : `${capital(name)}: ${text}`))];
}

/** The command that does the same: it asks for the consumer's name, too. */
export function commandOf(request: ActionRequest, options: ConsoleOptions): string {
  const place = ['--consumer', request.consumer, ...postgresWords(options)];
  if (request.kind === 'redrive' || request.kind === 'discard') {
    const where = request.where === '' ? [] : ['--where', request.where];
    const how =
      request.kind === 'discard'
        ? ['--reason', request.reason]
        : [
            ...(request.allowOvertaken ? ['--allow-overtaken'] : []),
            ...['--canary', String(request.canary)],
            ...['--rate', String(request.rate)],
            ...['--max-failures', String(request.maxFailures)],
          ];
    return hint(['dlq', request.kind, ...where, ...how, ...place], options);
  }
  const { keyBase64, partition, reason } = request;
  const key = Buffer.from(keyBase64, 'base64');
  const named = keyWords({ key, partition }, { topic: { versions: [], key: '' }, showsValues: true }) ?? [
    ...['--key-base64', keyBase64],
    ...['--partition', String(partition)],
  ];
  const verb = VERBS[request.kind];
  const why = verb === 'release' ? [] : ['--reason', reason];
  return hint(['park', verb, ...named, ...why, ...place], options);
}

/** Without its password, which PGPASSWORD may have. */
function postgresWords({ postgres }: ConsoleOptions): readonly string[] {
  if (postgres === undefined) return [];
  const url = new URL(postgres);
  url.password = '';
  return ['--postgres', url.href];
}
