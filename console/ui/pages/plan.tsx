/** What an action would do, before it does anything: numbers, order, pace, and the name to type. */
import { useEffect, useState } from 'preact/hooks';
import type { ActionPlan, ActionRequest, ActionState } from '../../operations.ts';
import { CallFailed, write } from '../api.ts';
import { hrefWith } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Problem, Showing, Title, useLoaded } from '../parts.tsx';
import { go } from '../place.ts';
import { count, plural } from '../words.ts';
import { ACTIONS } from './actions.tsx';
import { Steps } from './progress.tsx';

const TYPING_MS = 300;
/** What the command has, too. */
const DEFAULTS = { canary: 5, rate: 100, failures: 20 } as const;
const LEAST = { canary: 0, rate: 1, failures: 1 } as const;
const TITLES = {
  canary: 'Letters to try first',
  rate: 'Letters a second, at most',
  failures: 'Stop after failures',
} as const;
type Setting = keyof typeof DEFAULTS;

/** @param query the URL's: what is asked for, and how */
function requestOf(query: URLSearchParams, reason: string): ActionRequest {
  const consumer = query.get('consumer') ?? '';
  const where = query.get('where') ?? '';
  const kind = query.get('kind') ?? 'redrive';
  const whole = (name: Setting) => {
    const value = Number(query.get(name) ?? DEFAULTS[name]);
    return Number.isSafeInteger(value) && value >= LEAST[name] ? value : DEFAULTS[name];
  };
  if (kind === 'park-release' || kind === 'park-skip' || kind === 'park-discard') {
    const partition = Number(query.get('partition') ?? 0);
    return { kind, consumer, keyBase64: query.get('key') ?? '', partition, reason };
  }
  if (kind === 'discard') return { kind, consumer, where, reason };
  return {
    kind: 'redrive',
    consumer,
    where,
    allowOvertaken: query.get('overtaken') === 'yes',
    canary: whole('canary'),
    rate: whole('rate'),
    maxFailures: whole('failures'),
  };
}

/** What is no number for a setting, in words; null where all are. */
function wrongSetting(query: URLSearchParams): string | null {
  for (const [name, least] of Object.entries(LEAST)) {
    const text = query.get(name);
    const value = Number(text);
    if (text !== null && !(Number.isSafeInteger(value) && value >= least))
      return `${TITLES[name as Setting]}: type a whole number from ${least}.`;
  }
  return null;
}

/** The value, once it has not changed for a moment. */
function useSettled<Value>(value: Value): Value {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), TYPING_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function PlanPage({ session, location }: PageProps) {
  const [reason, setReason] = useState('');
  const asked = requestOf(location.query, reason);
  const settled = useSettled(JSON.stringify(asked));
  const loaded = useLoaded<ActionPlan>(settled, () => write('/api/plan', JSON.parse(settled)));
  const { title, about, needsReason } = ACTIONS[asked.kind];
  return (
    <>
      <div class="heading">
        <nav aria-label="Where this is" class="trail">
          {asked.kind.startsWith('park') ? (
            <a href="/parked">Parked keys</a>
          ) : (
            <a href={`/failures?consumer=${encodeURIComponent(asked.consumer)}`}>
              Failures of <Foreign text={asked.consumer} />
            </a>
          )}
        </nav>
        <Title
          text={
            <>
              {title}: <Foreign text={asked.consumer} />
            </>
          }
        />
        <p class="muted">{about}</p>
      </div>
      {asked.kind === 'redrive' && <Steps at="plan" canary={asked.canary} />}
      <Showing loaded={loaded}>
        {(plan) => (
          <div class="beside">
            <section class="card section" aria-labelledby="plan" aria-busy={loaded.isLoading}>
              <h2 id="plan">The plan</h2>
              <Counts plan={plan} />
              <ul class="hints">
                {plan.lines.map((line) => (
                  <li key={line}>
                    <Foreign text={line} />
                  </li>
                ))}
              </ul>
              {'where' in asked && (
                <p>
                  <span class="muted">Where</span>{' '}
                  <Foreign class="mono" text={asked.where === '' ? '(all dead letters)' : asked.where} />
                </p>
              )}
              {'keyBase64' in asked && (
                <p>
                  <span class="muted">Key</span> <Foreign class="mono" text={keyText(asked.keyBase64)} />{' '}
                  <span class="muted">in partition {asked.partition}</span>
                </p>
              )}
              {asked.kind === 'redrive' && <Settings request={asked} plan={plan} location={location} />}
            </section>
            <Confirmation
              plan={plan}
              allowsActions={session.place.allowsActions}
              isSettled={!loaded.isLoading && settled === JSON.stringify(asked)}
              wrong={asked.kind === 'redrive' ? wrongSetting(location.query) : null}
              reason={reason}
              {...(asked.kind !== 'redrive' && { onReason: setReason })}
              needsReason={needsReason}
              request={asked}
            />
          </div>
        )}
      </Showing>
    </>
  );
}

/** As the list of parked keys has it; what is no text shows as such. */
function keyText(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (each) => each.charCodeAt(0)));
  } catch {
    return base64;
  }
}

function Counts({ plan }: { readonly plan: ActionPlan }) {
  const { request } = plan;
  const isRedrive = request.kind === 'redrive';
  const isWhole = !isRedrive || request.allowOvertaken;
  return (
    <dl class="facts numbers">
      <div>
        <dt>{isRedrive ? 'Letters to redrive' : ACTIONS[request.kind].nouns}</dt>
        <dd>{count(isWhole ? plan.count : Math.max(0, plan.count - plan.overtaken))}</dd>
      </div>
      {isRedrive && (
        <div>
          <dt>{isWhole ? 'Overtaken, among them' : 'Overtaken, left out'}</dt>
          <dd>{count(plan.overtaken)}</dd>
        </div>
      )}
    </dl>
  );
}

/** How a redrive goes about it. In the URL, so that back and a copied link have them. */
function Settings({
  request,
  plan,
  location,
}: {
  readonly request: Extract<ActionRequest, { kind: 'redrive' }>;
  readonly plan: ActionPlan;
  readonly location: PageProps['location'];
}) {
  const set = (name: string, value: string) => go(hrefWith(location, { [name]: value }), true);
  const field = (name: Setting, value: number) => (
    <label class="field">
      <span>{TITLES[name]}</span>
      <input
        type="number"
        min={LEAST[name]}
        step={1}
        placeholder={String(DEFAULTS[name])}
        defaultValue={value}
        onInput={(event) => set(name, event.currentTarget.value)}
      />
    </label>
  );
  return (
    <fieldset class="settings">
      <legend>Pace and limits</legend>
      <div class="row">
        {field('canary', request.canary)}
        {field('rate', request.rate)}
        {field('failures', request.maxFailures)}
      </div>
      {plan.overtaken > 0 && (
        <label class="check">
          <input
            type="checkbox"
            checked={request.allowOvertaken}
            onChange={(event) => set('overtaken', event.currentTarget.checked ? 'yes' : '')}
          />
          <span>
            Also the {plural(plan.overtaken, 'overtaken letter')}{' '}
            <span class="muted">Their effects come too late, and may overwrite newer ones.</span>
          </span>
        </label>
      )}
    </fieldset>
  );
}

function Confirmation({
  plan,
  request,
  allowsActions,
  isSettled,
  wrong: wrongWords,
  reason,
  onReason,
  needsReason,
}: {
  readonly plan: ActionPlan;
  /** As the fields have it now. */
  readonly request: ActionRequest;
  readonly allowsActions: boolean;
  /** Whether the plan is that of the request. */
  readonly isSettled: boolean;
  /** What of the settings is no number. */
  readonly wrong: string | null;
  readonly reason: string;
  readonly onReason?: (reason: string) => void;
  readonly needsReason: boolean;
}) {
  const [typed, setTyped] = useState('');
  const [isStarting, setStarting] = useState(false);
  const [problem, setProblem] = useState<{
    readonly field: 'typed' | 'reason';
    readonly text: string;
  } | null>(null);
  const [failed, setFailed] = useState<CallFailed | null>(null);
  const isRefused = plan.refusal !== null;
  const { title } = ACTIONS[request.kind];

  const start = async (event: Event) => {
    event.preventDefault();
    if (isStarting || !isSettled) return;
    const wrong = (field: 'typed' | 'reason', text: string) => {
      setProblem({ field, text });
      document.getElementById(`confirm-${field}`)?.focus();
    };
    if (needsReason && reason.trim() === '') return wrong('reason', 'Say why: the audit log keeps it.');
    if (typed !== plan.confirmation) return wrong('typed', `Type ${plan.confirmation} to start.`);
    setProblem(null);
    setFailed(wrongWords === null ? null : new CallFailed('INPUT_INVALID', wrongWords));
    if (wrongWords !== null) return;
    setStarting(true);
    try {
      const { id } = await write<ActionState>('/api/actions', { request, confirmation: typed });
      // In the plan's place: back leads to where the plan was asked for, and starts nothing twice.
      go(`/redrive/${encodeURIComponent(id)}`, true);
      scrollTo(0, 0);
    } catch (error) {
      setStarting(false);
      setFailed(error instanceof CallFailed ? error : new CallFailed('UNEXPECTED', String(error)));
    }
  };

  const problemOf = (field: 'typed' | 'reason') =>
    problem?.field === field && (
      <span id={`problem-${field}`} class="wrong" role="alert">
        {problem.text}
      </span>
    );
  const isOff = !allowsActions || isRefused;
  return (
    <form class="card section" aria-labelledby="start" onSubmit={start}>
      <h2 id="start">Start it</h2>
      {isRefused && (
        <div class="notice bad" role="status" id="refusal">
          <Foreign text={plan.refusal!} />
        </div>
      )}
      {!allowsActions && (
        <div class="notice" id="read-only">
          <strong>This console is read-only.</strong> Start it again with <code>--allow-actions</code>, or run
          the command below.
        </div>
      )}
      {onReason && (
        <label class="field">
          <span>{needsReason ? 'Reason' : 'Reason (optional)'}</span>
          <input
            id="confirm-reason"
            value={reason}
            disabled={isOff}
            aria-invalid={problem?.field === 'reason'}
            aria-describedby="problem-reason"
            onInput={(event) => {
              setProblem(null);
              onReason(event.currentTarget.value);
            }}
          />
          {problemOf('reason')}
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
          aria-invalid={problem?.field === 'typed'}
          aria-describedby="problem-typed"
          onInput={(event) => {
            setProblem(null);
            setTyped(event.currentTarget.value);
          }}
        />
        {problemOf('typed')}
      </label>
      <button
        type="submit"
        class={request.kind === 'redrive' || request.kind === 'park-release' ? 'primary' : 'primary danger'}
        disabled={isOff}
        aria-disabled={isStarting || !isSettled}
        aria-describedby={isRefused ? 'refusal' : allowsActions ? undefined : 'read-only'}
      >
        {isStarting ? 'Starting …' : startWords(request, plan, title)}
      </button>
      {failed && <Problem code={failed.code} text={failed.message} />}
      <div class="section">
        <h3>The same by command</h3>
        <Command text={plan.command} label="The command that does the same" />
      </div>
    </form>
  );
}

/** What the button is going to do, in numbers. */
function startWords(request: ActionRequest, plan: ActionPlan, title: string): string {
  if (request.kind !== 'redrive') return `${title} ${plural(plan.count, ACTIONS[request.kind].noun)}`;
  const all = request.allowOvertaken ? plan.count : Math.max(0, plan.count - plan.overtaken);
  const first = Math.min(request.canary, all);
  if (first === 0 || first === all) return `Start: redrive ${plural(all, 'letter')}`;
  return `Start: ${count(first)} first, then ${count(all - first)}`;
}
