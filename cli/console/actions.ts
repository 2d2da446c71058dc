/** What people do from the console: planned, confirmed, done in the background, and steered. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  type ActionPlan,
  type ActionRequest,
  type ActionState,
  selectionOf,
} from '../../console/operations.ts';
import { unexpected } from '../../console/page-server.ts';
import type { Steering } from '../../runtime/dead-letters/redrive/send.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { requireSameFolder } from '../dlq/planned-folder.ts';
import { chooseConsumer, type DlqSession, inDlqSession } from '../dlq/session.ts';
import { commandOf, fixed, NOTHING_YET, type PlannedAction, planAction } from './action-kinds.ts';
import type { ConsoleContext } from './context.ts';
import { problemText } from './errors.ts';
import type { Failures } from './failures.ts';

export interface Actions {
  /** What would happen. Plans are kept for an hour at most, and fewer behind newer ones. */
  plan(request: ActionRequest): Promise<ActionPlan>;
  /**
   * Begins what the plan says, with the request's numbers and reason, and resolves when it is under way. It acts on what the plan
   * saw, less what is gone. A plan is started once.
   * @throws INPUT_INVALID where actions are not allowed, there is no such plan, the request chooses something else, the
   * confirmation is another word, the reason is missing, the plan was refused, or the state folder was cleared since
   * @throws STATE_IN_USE while another action of the same consumer is under way
   */
  start(planId: string, request: ActionRequest, confirmation: string): Promise<ActionState>;
  /** Newest first. Those that ended are kept until there are a hundred. */
  list(): readonly ActionState[];
  /** @throws INPUT_INVALID where there is no such action, it has ended, or it cannot be steered so */
  steer(id: string, to: 'pause' | 'resume' | 'cancel'): ActionState;
  /** Cancels what is under way, and resolves when it has ended. */
  close(): Promise<void>;
}

/** A plan that somebody may yet confirm. */
interface Prepared {
  readonly id: string;
  readonly plannedAt: number;
  /** As somebody asked for it, and with its times fixed: a start may name either. */
  readonly asked: ActionRequest;
  readonly request: ActionRequest;
  /** How commands name the consumer. */
  readonly named: string;
  /** The generation whose letters they are. */
  readonly consumer: string;
  readonly action: PlannedAction | undefined;
  readonly refusal: string | null;
}

interface UnderWay {
  state: ActionState;
  wanted: Steering;
  done: Promise<void>;
}

const MOST_KEPT = 100;
const MOST_PLANS = 8;
const MOST_PLANS_BYTES = 64 * 2 ** 20;
const PLAN_MS = 3_600_000;
const COUNT_MS = 2_000;

/** The lists of letters, which actions change, and which read the same queues. */
export type LetterLists = Pick<Failures, 'forget' | 'alone' | 'arrived'>;

export function createActions(
  { options, place }: ConsoleContext,
  lists: LetterLists,
  clock: Pick<Clock, 'now'> = systemClock,
): Actions {
  /** The newest first. */
  let plans: readonly Prepared[] = [];
  let actions: UnderWay[] = [];
  let isClosed = false;

  /** On SQS, a scan hides letters from others: a plan would lack them, and a redrive would leave them out. */
  const alone = <Result>(consumer: string, work: () => Promise<Result>): Promise<Result> =>
    options.env === undefined ? work() : lists.alone(consumer, work);

  const prepare = async (given: ActionRequest): Promise<Prepared> => {
    const request = fixed(given);
    const owner = await chooseConsumer(request.consumer, options);
    const of = {
      id: randomUUID(),
      plannedAt: clock.now(),
      asked: given,
      request,
      named: owner.named ?? owner.name,
      consumer: owner.name,
    };
    try {
      const action = await alone(of.named, () =>
        inDlqSession(owner, options, (session) => planAction(request, session, options)),
      );
      return { ...of, action, refusal: action.refusal };
    } catch (error) {
      // Such as a key that waits no longer, or a consumer that is no longer declared. An outage is no answer.
      if (!(error instanceof MillraceError) || error.code !== 'INPUT_INVALID') throw error;
      return { ...of, action: undefined, refusal: error.message };
    }
  };

  const remember = (prepared: Prepared) => {
    plans = keptPlans([prepared, ...plans], clock.now());
  };

  /** @throws INPUT_INVALID where it is forgotten, or the request chooses something else */
  const planNamed = (id: string, request: ActionRequest): Prepared => {
    plans = keptPlans(plans, clock.now());
    const prepared = plans.find((each) => each.id === id);
    if (!prepared)
      throw refused(
        'This plan is no longer known: it was started, is more than an hour old, or newer plans took its place. Nothing was done. Plan it again.',
      );
    const chosen = selectionOf(request);
    if (chosen !== selectionOf(prepared.request) && chosen !== selectionOf(prepared.asked))
      throw refused('The plan is of another selection. Nothing was done. Plan it again.');
    return prepared;
  };

  const underWay = (consumer: string) =>
    actions.find(({ state }) => state.endedAt === null && state.request.consumer === consumer);

  const refuseSecond = (consumer: string) => {
    const other = underWay(consumer);
    if (other) throw new MillraceError('STATE_IN_USE', inUseText(other.state));
  };

  const run = async (own: UnderWay, { action, named, consumer }: Prepared, request: ActionRequest) => {
    const { startedAt } = own.state;
    const set = (changes: Partial<ActionState>) => {
      own.state = { ...own.state, ...changes };
    };
    const count = async () => {
      if (!action?.choice) return;
      const arrived = await lists.arrived(named, action.choice, startedAt).catch(() => undefined);
      if (arrived !== undefined) set({ arrived });
    };
    const over = new AbortController();
    const act = async (session: DlqSession) => {
      if (session.consumer.name !== consumer)
        throw new MillraceError(
          'INPUT_INVALID',
          `Another generation of ${request.consumer} went live since this was planned. Nothing was done. Plan it again.`,
        );
      // On SQS, a reader hides letters from the redrive itself.
      const counting = session.stores === null ? undefined : keepCounting(count, over.signal);
      try {
        return await action!.run(session, request, {
          onProgress: (counts, isCanary) => set({ ...counts, isCanary }),
          steering: () => own.wanted,
        });
      } finally {
        over.abort();
        await counting;
      }
    };
    let end: Pick<ActionState, 'phase' | 'text'>;
    try {
      const owner = await chooseConsumer(request.consumer, options);
      const { phase, lines } = await alone(named, () => inDlqSession(owner, options, act));
      end = { phase, text: lines.join('\n') };
    } catch (error) {
      end = { phase: 'failed', text: failureText(error) };
    }
    lists.forget(named);
    // Whoever ends the console does not wait for a scan.
    if (!isClosed) await count();
    set({ ...end, endedAt: clock.now(), isCanary: false });
  };

  return {
    async plan(given) {
      const other = underWay(given.consumer);
      const prepared: Prepared = other
        ? { ...unplanned(given, clock.now()), refusal: inUseText(other.state) }
        : await prepare(given);
      remember(prepared);
      const { id, request, named, action, refusal } = prepared;
      const { count, leftOut, overtaken, lines } = action ?? NOTHING_PLANNED;
      return {
        id,
        request,
        count,
        ...(action?.parked !== undefined && { parked: action.parked }),
        leftOut,
        overtaken,
        lines,
        refusal: refusal ?? (place.allowsActions ? null : READ_ONLY),
        confirmation: named,
        command: commandOf(request, options),
      };
    },
    async start(planId, given, confirmation) {
      if (!place.allowsActions) throw refused(READ_ONLY);
      refuseSecond(given.consumer);
      const planned = planNamed(planId, given);
      const { named, action, refusal } = planned;
      if (confirmation.trim() !== named) {
        const typed = JSON.stringify(confirmation.trim().slice(0, 60));
        throw refused(`You typed ${typed}, not ${JSON.stringify(named)}: nothing was done.`);
      }
      if (refusal !== null || !action)
        throw refused(`${refusal ?? 'Nothing was planned.'} When that has changed, plan it again.`);
      if (lacksReason(given)) throw refused('The reason is empty. Say why, for whoever asks later.');
      if (isClosed) throw refused('The console is ending. Nothing was done.');
      requireSameFolder(action.folder, options);
      const request = 'where' in given ? { ...given, where: (planned.request as typeof given).where } : given;
      plans = plans.filter((each) => each !== planned);
      const own: UnderWay = {
        state: {
          id: randomUUID(),
          request,
          command: commandOf(request, options),
          phase: 'running',
          isCanary: request.kind === 'redrive' && request.canary > 0 && request.canary < action.count,
          startedAt: clock.now(),
          endedAt: null,
          ...NOTHING_YET,
          ...action.counts,
          arrived: 0,
          text: '',
        },
        wanted: 'go',
        done: Promise.resolve(),
      };
      actions = kept([own, ...actions]);
      own.done = run(own, planned, request);
      return own.state;
    },
    list: () => actions.map(({ state }) => state),
    steer(id, to) {
      const own = actions.find(({ state }) => state.id === id);
      if (!own) throw refused('This console has no such action. The audit log has what was done elsewhere.');
      const { phase, endedAt, request } = own.state;
      if (endedAt !== null) throw refused('The action has ended.');
      if (request.kind !== 'redrive' && to !== 'cancel')
        throw refused('Only a redrive can be paused and resumed.');
      if (request.kind !== 'redrive' && request.kind !== 'discard')
        throw refused('The consumer gets one message for a key, which cannot be cancelled.');
      if (own.wanted === 'cancel' && to !== 'cancel') throw refused('It is being cancelled.');
      own.wanted = STEERING[to];
      const steered = { pause: 'paused', resume: 'running', cancel: phase } as const;
      own.state = {
        ...own.state,
        phase: steered[to],
        ...(to === 'cancel' && { text: 'Cancelling: nothing more is sent.' }),
      };
      return own.state;
    },
    async close() {
      isClosed = true;
      for (const own of actions) own.wanted = 'cancel';
      await Promise.all(actions.map(({ done }) => done));
    },
  };
}

const STEERING = { pause: 'pause', resume: 'go', cancel: 'cancel' } as const;

const READ_ONLY =
  'This console only looks. End it, and start it with --allow-actions; or run the command that does the same.';

const NOTHING_PLANNED = { count: 0, leftOut: 0, overtaken: 0, lines: [] } as const;

/** While another action changes what it is about, a request is not planned. */
function unplanned(given: ActionRequest, plannedAt: number): Omit<Prepared, 'refusal'> {
  const { consumer } = given;
  const of = { asked: given, request: fixed(given), named: consumer, consumer };
  return { id: randomUUID(), plannedAt, ...of, action: undefined };
}

/** @param plans the newest first, which stays until it is old */
export function keptPlans<
  Plan extends Pick<Prepared, 'plannedAt'> & { readonly action?: { readonly heldBytes: number } | undefined },
>(plans: readonly Plan[], nowMs: number): readonly Plan[] {
  let bytes = 0;
  return plans.filter(({ action, plannedAt }, at) => {
    bytes += action?.heldBytes ?? 0;
    return nowMs - plannedAt < PLAN_MS && at < MOST_PLANS && (at === 0 || bytes <= MOST_PLANS_BYTES);
  });
}

function lacksReason(request: ActionRequest): boolean {
  const needsNone = request.kind === 'redrive' || request.kind === 'park-release';
  return !needsNone && request.reason.trim() === '';
}

function inUseText({ request, startedAt }: ActionState): string {
  return `${request.kind} of ${request.consumer} is under way since ${new Date(startedAt).toISOString()}. Wait for its end, or cancel it.`;
}

function refused(message: string): MillraceError {
  return new MillraceError('INPUT_INVALID', message);
}

/** All that are under way, and the newest of the others. */
function kept(actions: readonly UnderWay[]): UnderWay[] {
  return actions.filter(({ state }, at) => at < MOST_KEPT || state.endedAt === null);
}

/** An error that nobody foresaw may quote a record: its text goes to the terminal alone. */
function failureText(error: unknown): string {
  return error instanceof MillraceError ? problemText(error) : unexpected(error).message;
}

async function keepCounting(count: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await count();
    await systemClock.sleep(COUNT_MS, signal);
  }
}
