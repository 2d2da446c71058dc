/** What actions on the made-up pipeline would do, and how far they are. */
import type { ActionPlan, ActionRequest, ActionState, FailureGroup } from '../../console/operations.ts';

/** A group's letters; 275 of which 3 are overtaken for other conditions, and none for `error=NONE`. */
export function planOf(request: ActionRequest, groups: readonly FailureGroup[], id: string): ActionPlan {
  const of = { id, request, confirmation: request.consumer, command: commandOf(request) };
  if ('key' in request) {
    const name = request.key;
    const key = 'letter' in name ? '(hidden)' : Buffer.from(name.base64, 'base64').toString();
    const isGone = key === 'gone';
    const parked = {
      'park-release': '12 parked records are applied, in order',
      'park-skip': '12 parked records are applied, in order',
      'park-discard': '12 records: discarded',
    }[request.kind];
    const letter = 'letter' in name ? name.letter : `${request.consumer}/shop.orders/${name.partition}/901`;
    return {
      ...of,
      count: isGone ? 0 : request.kind === 'park-discard' ? 13 : 12,
      ...(request.kind === 'park-discard' && !isGone && { parked: 12 }),
      leftOut: 0,
      overtaken: 0,
      lines: isGone
        ? []
        : [
            `${KEY_VERBS[request.kind]} the key ${key} of ${request.consumer} (.millrace)`,
            `Letter: ${letter}`,
            request.kind === 'park-release'
              ? 'Stays a dead letter, and counts as overtaken'
              : 'Discarded; the export keeps it',
            `Parked: ${parked}`,
          ],
      refusal: isGone ? `The key ${key} of ${request.consumer} waits for nothing.` : null,
    };
  }
  const group = groups.find(({ where }) => where === request.where);
  const isNone = request.where === 'error=NONE';
  const matching = isNone ? 0 : (group?.count ?? 275);
  const overtaken = isNone ? 0 : (group?.overtaken ?? 3);
  const letters = (value: number) => `${value.toLocaleString('en-US')} dead letter${value === 1 ? '' : 's'}`;
  if (request.kind === 'discard')
    return {
      ...of,
      count: matching,
      leftOut: 0,
      overtaken: 0,
      lines: [
        `Discard ${letters(matching)} of ${request.consumer} (.millrace): ${request.where || 'all'}`,
        'Each is written to a file first, from which it can be imported again.',
      ],
      refusal: matching === 0 ? 'No dead letters match.' : null,
    };
  const leftOut = request.allowOvertaken ? 0 : overtaken;
  const count = matching - leftOut;
  return {
    ...of,
    count,
    leftOut,
    overtaken: overtaken - leftOut,
    lines: [
      `Redrive ${letters(count)} of ${request.consumer} (.millrace)`,
      `Which: ${request.where || 'all'}`,
      ...(leftOut > 0 ? [`Without: ${leftOut.toLocaleString('en-US')} overtaken`] : []),
      ...(request.allowOvertaken ? ['Overtaken ones too: they may overwrite newer state'] : []),
    ],
    refusal: count > 0 ? null : leftOut > 0 ? 'Nothing to do: all are overtaken.' : 'No dead letters match.',
  };
}

const KEY_VERBS = { 'park-release': 'Release', 'park-skip': 'Skip', 'park-discard': 'Discard' } as const;

export function commandOf(request: ActionRequest): string {
  const end = `--consumer ${request.consumer}`;
  if ('key' in request) {
    const { key: name } = request;
    const verb = KEY_VERBS[request.kind].toLowerCase();
    const why = request.kind === 'park-release' ? [] : ['--reason', quoted(request.reason || '<why>')];
    const key =
      'letter' in name
        ? ['--letter', name.letter]
        : ['--key-base64', name.base64, '--partition', name.partition];
    return ['npx millrace park', verb, ...key, ...why, end].join(' ');
  }
  const where = request.where === '' ? [] : ['--where', quoted(request.where)];
  if (request.kind === 'discard')
    return ['npx millrace dlq discard', ...where, '--reason', quoted(request.reason || '<why>'), end].join(
      ' ',
    );
  const overtaken = request.allowOvertaken ? ['--allow-overtaken'] : [];
  const { canary, rate, maxFailures } = request;
  const how = ['--canary', canary, '--rate', rate, '--max-failures', maxFailures];
  return ['npx millrace dlq redrive', ...where, ...overtaken, ...how, end].join(' ');
}

function quoted(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export interface Running {
  readonly id: string;
  readonly plan: ActionPlan;
  readonly startedAt: number;
  pausedMs: number;
  pausedAt: number | null;
  cancelledAt: number | null;
}

/** A hundred letters a second; the first five of a redrive are on trial for a while. What is no redrive fails nowhere. */
export function stateOf({ id, plan, startedAt, pausedMs, pausedAt, cancelledAt }: Running): ActionState {
  const isRedrive = plan.request.kind === 'redrive';
  const runningMs = (cancelledAt ?? pausedAt ?? Date.now()) - startedAt - pausedMs;
  const isCanary = isRedrive && runningMs < 1_500;
  const sent = Math.min(plan.count, isCanary ? 5 : Math.floor(runningMs / 10));
  const isOver = sent === plan.count || cancelledAt !== null;
  const failed = isRedrive ? Math.min(1, sent) : 0;
  const alreadyApplied = isRedrive ? Math.min(1, sent - failed) : 0;
  const applied = sent - failed - alreadyApplied;
  return {
    id,
    request: plan.request,
    command: plan.command,
    phase: cancelledAt !== null ? 'cancelled' : isOver ? 'done' : pausedAt !== null ? 'paused' : 'running',
    isCanary: isCanary && !isOver,
    startedAt,
    endedAt: isOver ? Date.now() : null,
    planned: plan.count + plan.leftOut,
    sent,
    applied,
    alreadyApplied,
    failed,
    overtaken: plan.leftOut,
    remaining: plan.count - sent,
    arrived: 'where' in plan.request ? 4 : 0,
    text: isOver ? `${applied} ${isRedrive ? `applied, ${failed} failed again` : 'done'}.` : '',
  };
}
