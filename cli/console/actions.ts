/** What people do from the console: planned, confirmed, done in the background, and steered. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { ActionPlan, ActionRequest, ActionState } from '../../console/operations.ts';
import type { Steering } from '../../runtime/dead-letters/redrive/send.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { chooseConsumer, type DlqSession, inDlqSession } from '../dlq/session.ts';
import {
  commandOf,
  countArrived,
  fixed,
  NOTHING_YET,
  type PlannedAction,
  planAction,
} from './action-kinds.ts';
import type { ConsoleContext } from './context.ts';
import type { Failures } from './failures.ts';

export interface Actions {
  /** What would happen. A start of the same request does this to what was there then, and to nothing that came later. */
  plan(request: ActionRequest): Promise<ActionPlan>;
  /**
   * Begins the action, and resolves when it is under way.
   * @throws INPUT_INVALID where actions are not allowed, the confirmation is another word, or it would be refused
   * @throws STATE_IN_USE while another action of the same consumer is under way
   */
  start(request: ActionRequest, confirmation: string): Promise<ActionState>;
  /** Newest first. Those that ended are kept until there are a hundred. */
  list(): readonly ActionState[];
  /** @throws INPUT_INVALID where there is no such action, it has ended, or it cannot be steered so */
  steer(id: string, to: 'pause' | 'resume' | 'cancel'): ActionState;
  /** Cancels what is under way, and resolves when it has ended. */
  close(): Promise<void>;
}

/** A plan, as long as somebody may yet confirm it. */
interface Prepared {
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
/** Each holds the names of its letters. */
const MOST_PLANS = 8;
const COUNT_MS = 2_000;
/** Counting takes at most a twentieth of the time. */
const COUNT_SHARE = 20;

/** The lists of letters, which actions change, and which read the same queues. */
export interface LetterLists extends Pick<Failures, 'forget'> {
  /** Does work while no list of the consumer's letters is read. @default at once */
  alone?<Result>(consumer: string, work: () => Promise<Result>): Promise<Result>;
}

export function createActions({ options, place }: ConsoleContext, lists: LetterLists): Actions {
  const plans = new Map<string, Prepared>();
  let actions: UnderWay[] = [];
  let isClosed = false;

  /** On SQS whoever reads letters hides them from others: a plan would lack them, and a redrive leave them out. */
  const alone = <Result>(consumer: string, work: () => Promise<Result>): Promise<Result> =>
    options.env === undefined || !lists.alone ? work() : lists.alone(consumer, work);

  const prepare = async (given: ActionRequest): Promise<Prepared> => {
    const request = fixed(given);
    const owner = await chooseConsumer(request.consumer, options);
    const of = { request, named: owner.named ?? owner.name, consumer: owner.name };
    try {
      const action = await alone(of.named, () =>
        inDlqSession(owner, options, (session) => planAction(request, session, options)),
      );
      return { ...of, action, refusal: action.refusal };
    } catch (error) {
      // A key that waits no more, a consumer that is no longer declared. An outage is no answer.
      if (!(error instanceof MillraceError) || error.code !== 'INPUT_INVALID') throw error;
      return { ...of, action: undefined, refusal: error.message };
    }
  };

  /** By the request as it was given, and as it was fixed: a start may name either. */
  const remember = (given: ActionRequest, prepared: Prepared) => {
    for (const key of [planKey(given), planKey(prepared.request)]) {
      plans.delete(key);
      plans.set(key, prepared);
    }
    for (const key of plans.keys()) if (plans.size > 2 * MOST_PLANS) plans.delete(key);
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
    const over = new AbortController();
    const act = async (session: DlqSession) => {
      if (session.consumer.name !== consumer)
        throw new MillraceError(
          'INPUT_INVALID',
          `Another generation of ${request.consumer} went live since this was planned. Nothing was done. Plan it again.`,
        );
      const count = async () => {
        if (!action?.choice) return;
        const arrived = await countArrived(action.choice, startedAt, session, options).catch(() => undefined);
        if (arrived !== undefined) set({ arrived });
      };
      // On SQS a reader hides letters from the redrive itself.
      const counting = session.stores === null ? undefined : keepCounting(count, over.signal);
      try {
        return await action!.run(session, request, {
          onProgress: (counts, isCanary) => set({ ...counts, isCanary }),
          steering: () => own.wanted,
        });
      } finally {
        over.abort();
        await counting;
        await count();
      }
    };
    try {
      const owner = await chooseConsumer(request.consumer, options);
      const { phase, lines } = await alone(named, () => inDlqSession(owner, options, act));
      set({ phase, text: lines.join('\n') });
    } catch (error) {
      set({ phase: 'failed', text: failureText(error) });
    }
    set({ endedAt: systemClock.now(), isCanary: false });
    lists.forget(request.consumer);
  };

  return {
    async plan(given) {
      const other = underWay(given.consumer);
      const prepared: Prepared = other
        ? { ...unplanned(given), refusal: inUseText(other.state) }
        : await prepare(given);
      if (!other) remember(given, prepared);
      const { request, named, action, refusal } = prepared;
      const { count, overtaken, lines } = action ?? { count: 0, overtaken: 0, lines: [] };
      return {
        request,
        count,
        overtaken,
        lines,
        refusal: refusal ?? reasonRefusal(given) ?? (place.allowsActions ? null : READ_ONLY),
        confirmation: named,
        command: commandOf(request, options),
      };
    },
    async start(given, confirmation) {
      if (!place.allowsActions) throw refused(READ_ONLY);
      refuseSecond(given.consumer);
      const known = plans.get(planKey(given));
      // What stood in the way may be gone.
      const planned = known?.refusal === null ? known : await prepare(given);
      const { named, action, refusal } = planned;
      if (confirmation.trim() !== named) {
        const typed = JSON.stringify(confirmation.trim().slice(0, 60));
        throw refused(`You typed ${typed}, not ${JSON.stringify(named)}: nothing was done.`);
      }
      const noReason = reasonRefusal(given);
      if (noReason !== null) throw refused(noReason);
      // Another may have begun meanwhile; from here on nothing is waited for.
      refuseSecond(given.consumer);
      if (refusal !== null || !action) throw refused(refusal ?? 'Nothing was planned.');
      if (isClosed) throw refused('The console is ending. Nothing was done.');
      const request = 'where' in given ? { ...given, where: (planned.request as typeof given).where } : given;
      for (const [key, each] of plans) if (each === planned) plans.delete(key);
      const own: UnderWay = {
        state: {
          id: randomUUID(),
          request,
          command: commandOf(request, options),
          phase: 'running',
          isCanary: request.kind === 'redrive' && request.canary > 0 && request.canary < action.count,
          startedAt: systemClock.now(),
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
        throw refused('What becomes of a key is one message to its consumer: it cannot be cancelled.');
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

/** Of a request that is not planned: what it is about changes as we speak. */
function unplanned(given: ActionRequest): Omit<Prepared, 'refusal'> {
  const { consumer } = given;
  return { request: fixed(given), named: consumer, consumer, action: undefined };
}

/** What is chosen, and nothing of how: numbers and reasons may yet change. */
function planKey(request: ActionRequest): string {
  const { kind, consumer } = request;
  if (kind === 'redrive') return JSON.stringify([kind, consumer, request.where, request.allowOvertaken]);
  if (kind === 'discard') return JSON.stringify([kind, consumer, request.where]);
  return JSON.stringify([kind, consumer, request.keyBase64, request.partition]);
}

function reasonRefusal(request: ActionRequest): string | null {
  if (request.kind === 'redrive' || request.kind === 'park-release' || request.reason.trim()) return null;
  return 'The reason is empty. Say why, for whoever asks later.';
}

function inUseText({ request, startedAt }: ActionState): string {
  return `${request.kind} of ${request.consumer} is under way since ${new Date(startedAt).toISOString()}. Wait for its end, or cancel it.`;
}

function refused(message: string): MillraceError {
  return new MillraceError('INPUT_INVALID', message);
}

/** What is under way stays. */
function kept(actions: readonly UnderWay[]): UnderWay[] {
  return actions.filter(({ state }, at) => at < MOST_KEPT || state.endedAt === null);
}

/** An error that nobody foresaw may quote a record: its text stays in the terminal. */
function failureText(error: unknown): string {
  if (error instanceof MillraceError) return `${error.message} [${error.code}]`;
  process.stderr.write(`${(error as Error).stack ?? error}\n`);
  return 'This is a bug in Millrace. The terminal has the details.';
}

async function keepCounting(count: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const startedAt = performance.now();
    await count();
    const tookMs = performance.now() - startedAt;
    await systemClock.sleep(Math.max(COUNT_MS, tookMs * COUNT_SHARE), signal);
  }
}
