/** The form that starts what was planned: a reason where one is needed, and the consumer's name. */
import { useEffect, useState } from 'preact/hooks';
import type { ActionPlan, ActionRequest, ActionState } from '../../operations.ts';
import { CallFailed, write } from '../api.ts';
import { Command, Foreign, Problem } from '../parts.tsx';
import { go } from '../place.ts';
import { count, plural } from '../words.ts';
import { ACTIONS } from './actions.tsx';
import { commandNow } from './request.ts';

export function Confirmation({
  plan,
  request,
  allowsActions,
  isCurrent,
  wrong: wrongWords,
  reason,
  onReason,
  onAgain,
}: {
  readonly plan: ActionPlan;
  /** As the fields have it now. */
  readonly request: ActionRequest;
  readonly allowsActions: boolean;
  /** Whether the plan is that of what is chosen now. */
  readonly isCurrent: boolean;
  /** What of the settings is no number. */
  readonly wrong: string | null;
  readonly reason: string;
  readonly onReason: (reason: string) => void;
  readonly onAgain: () => void;
}) {
  const [typed, setTyped] = useState('');
  const [isStarting, setStarting] = useState(false);
  const [isMistyped, setMistyped] = useState(false);
  const [isWrongTold, tellWrong] = useState(false);
  const [failed, setFailed] = useState<CallFailed | null>(null);
  // What is said of one plan is not said of the next.
  useEffect(() => setFailed(null), [plan.id]);
  const { needsReason } = ACTIONS[request.kind];
  const isRefused = plan.refusal !== null;
  const isOff = !allowsActions || isRefused;
  const lacksReason = needsReason && reason.trim() === '';

  const start = async (event: Event) => {
    event.preventDefault();
    if (isStarting || !isCurrent || isOff || lacksReason) return;
    if (typed.trim() !== plan.confirmation) {
      setMistyped(true);
      document.getElementById('confirm-typed')?.focus();
      return;
    }
    setFailed(null);
    tellWrong(wrongWords !== null);
    if (wrongWords !== null) return;
    setStarting(true);
    try {
      const { id } = await write<ActionState>('/api/actions', {
        plan: plan.id,
        request,
        confirmation: typed.trim(),
      });
      // In the plan's place: back leads to where the plan was asked for, and starts nothing twice.
      go(`/redrive/${encodeURIComponent(id)}`, true);
      scrollTo(0, 0);
    } catch (error) {
      setStarting(false);
      setFailed(error instanceof CallFailed ? error : new CallFailed('UNEXPECTED', String(error)));
    }
  };
  const again = () => {
    setFailed(null);
    onAgain();
  };

  return (
    <form class="card section" aria-labelledby="start" onSubmit={start}>
      <h2 id="start">Start it</h2>
      {!allowsActions ? (
        <div class="notice" id="read-only">
          <strong>This console is read-only.</strong> Start it again with <code>--allow-actions</code>, or run
          the command below.
        </div>
      ) : (
        isRefused && (
          <div class="notice bad section" role="status" id="refusal">
            <Foreign class="lines" text={plan.refusal!} />
            <Again onAgain={again} isBusy={!isCurrent} />
          </div>
        )
      )}
      {needsReason && (
        <label class="field">
          <span>Reason</span>
          <input
            id="confirm-reason"
            value={reason}
            disabled={isOff}
            required
            aria-describedby="why-reason"
            onInput={(event) => onReason(event.currentTarget.value)}
          />
          <span class="muted small" id="why-reason">
            {!isOff && lacksReason
              ? 'Say why before you start: the audit log keeps it.'
              : 'The audit log keeps it.'}
          </span>
        </label>
      )}
      <label class="field">
        <span>
          Type <code>{plan.confirmation}</code> to confirm
        </span>
        <input
          id="confirm-typed"
          value={typed}
          disabled={isOff}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          aria-invalid={isMistyped}
          aria-describedby="problem-typed"
          onInput={(event) => {
            setMistyped(false);
            setTyped(event.currentTarget.value);
          }}
        />
        {isMistyped && (
          <span id="problem-typed" class="wrong" role="alert">
            Type {plan.confirmation} to start.
          </span>
        )}
      </label>
      <button
        type="submit"
        class={request.kind === 'redrive' || request.kind === 'park-release' ? 'primary' : 'primary danger'}
        disabled={isOff || lacksReason}
        aria-disabled={isStarting || !isCurrent}
        aria-describedby={
          !allowsActions ? 'read-only' : isRefused ? 'refusal' : lacksReason ? 'why-reason' : undefined
        }
      >
        {isStarting ? 'Starting …' : startWords(request, plan)}
      </button>
      {isWrongTold && wrongWords !== null && <Problem code="INPUT_INVALID" text={wrongWords} />}
      {failed && (
        <>
          <Problem code={failed.code} text={failed.message} />
          <Again onAgain={again} isBusy={!isCurrent} />
        </>
      )}
      <div class="section">
        <h3>The same by command</h3>
        <Command text={commandNow(plan, request)} label="The command that does the same" />
      </div>
    </form>
  );
}

/** What was planned is gone, or what stood in its way. */
function Again({ onAgain, isBusy }: { readonly onAgain: () => void; readonly isBusy: boolean }) {
  return (
    <div class="row">
      <button type="button" aria-disabled={isBusy} onClick={onAgain}>
        {isBusy ? 'Planning …' : 'Plan again'}
      </button>
    </div>
  );
}

/** What the button is going to do, in numbers. */
function startWords(request: ActionRequest, { count: all, parked = 0 }: ActionPlan): string {
  const { title, noun } = ACTIONS[request.kind];
  if (all === 0) return title;
  if (request.kind === 'park-skip') return `Skip the letter, apply ${plural(all, noun)}`;
  if (request.kind === 'park-discard') {
    const letters = all === parked ? [] : [plural(all - parked, 'letter')];
    const records = parked === 0 ? [] : [plural(parked, 'parked record')];
    return `Discard ${[...letters, ...records].join(' and ')}`;
  }
  if (request.kind !== 'redrive') return `${title} ${plural(all, noun)}`;
  const first = Math.min(request.canary, all);
  if (first === 0 || first === all) return `Start: redrive ${plural(all, 'letter')}`;
  return `Start: ${count(first)} first, then ${count(all - first)}`;
}
