/** An action under way: where it is, how to stop it, and what it ended with. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ActionState } from '../../operations.ts';
import { CallFailed, pathWith, read, write } from '../api.ts';
import type { PageProps } from '../page.ts';
import { Command, Dialog, Foreign, Problem, Showing, Title, useLoaded } from '../parts.tsx';
import { count, duration, plural } from '../words.ts';
import { ACTIONS, Phase } from './actions.tsx';

const LOOK_MS = 600;

export function ProgressPage({ session, id }: PageProps & { readonly id: string }) {
  const [isOver, setOver] = useState(false);
  const loaded = useLoaded<ActionState | null>(
    id,
    async (signal) => {
      const actions = await read<readonly ActionState[]>('/api/actions', {}, signal);
      return actions.find((each) => each.id === id) ?? null;
    },
    isOver ? undefined : LOOK_MS,
  );
  const ended = loaded.value?.endedAt ?? null;
  useEffect(() => setOver(ended !== null), [ended]);
  return (
    <Showing loaded={loaded}>
      {(action) =>
        action === null ? (
          <Forgotten />
        ) : (
          <Action action={action} isAllowed={session.place.allowsActions} onSteered={loaded.reload} />
        )
      }
    </Showing>
  );
}

function Forgotten() {
  return (
    <>
      <Title text="This console does not know the action" />
      <p>
        A console remembers what it started until it ends. <a href="/audit">The audit log</a> has all that was
        done; <a href="/redrives">here is what this console has started</a>.
      </p>
    </>
  );
}

/** Where a redrive is on its way. */
export function Steps({
  at,
  canary: asked,
  letters = Number.POSITIVE_INFINITY,
  brokenAt = null,
}: {
  readonly at: 'plan' | 'canary' | 'rest' | 'over';
  readonly canary: number;
  /** Where there are no more than are to be tried first, they all go at once. */
  readonly letters?: number | undefined;
  /** The step that did not come to its end. */
  readonly brokenAt?: 'canary' | 'rest' | null;
}) {
  const canary = asked < letters ? asked : 0;
  const steps = [
    ['plan', 'Plan'],
    ...(canary > 0 ? ([['canary', `First ${count(canary)}`]] as const) : []),
    ['rest', canary > 0 ? 'The others' : 'All letters'],
    ['over', 'Result'],
  ] as const;
  const current = steps.findIndex(([name]) => name === at);
  return (
    <ol class="stages plain" aria-label="Steps">
      {steps.map(([name, title], index) => (
        <li
          key={name}
          class={name === brokenAt ? 'broken' : index < current ? 'past' : index === current ? 'now' : ''}
          aria-current={index === current ? 'step' : undefined}
        >
          <span aria-hidden="true" class="bullet">
            {name === brokenAt ? '■' : index < current ? '✓' : index + 1}
          </span>
          {title}
          {index < current && (
            <span class="hidden-text">{name === brokenAt ? ' (not finished)' : ' (done)'}</span>
          )}
        </li>
      ))}
    </ol>
  );
}

interface Steered {
  readonly action: ActionState;
  readonly isAllowed: boolean;
  /** Has the page look at once. */
  readonly onSteered: () => void;
}

function Action({ action, isAllowed, onSteered }: Steered) {
  const { request, phase } = action;
  const { title, about } = ACTIONS[request.kind];
  const isOver = action.endedAt !== null;
  const wasOver = useRef(isOver);
  const isBroken = action.phase === 'cancelled' || action.phase === 'failed';
  const stage = action.isCanary ? 'canary' : 'rest';
  return (
    <>
      <div class="heading">
        <nav aria-label="Where this is" class="trail">
          <a href="/redrives">Redrives and other actions</a>
        </nav>
        <Title
          text={
            <>
              {title}: <Foreign text={request.consumer} />
            </>
          }
        >
          <Phase of={phase} />
        </Title>
        <p class="muted">{about}</p>
      </div>
      {request.kind === 'redrive' && (
        <Steps
          at={isOver ? 'over' : stage}
          canary={request.canary}
          letters={action.applied + action.alreadyApplied + action.failed + action.remaining}
          brokenAt={isBroken ? stage : null}
        />
      )}
      <p class="hidden-text" role="status">
        {milestone(action)}
      </p>
      <section class="card section" aria-labelledby="progress">
        <h2 id="progress">Progress</h2>
        <Bar action={action} />
        <Numbers action={action} />
        {isOver ? (
          <Ending action={action} isNews={!wasOver.current} />
        ) : (
          <Steering action={action} isAllowed={isAllowed} onSteered={onSteered} />
        )}
      </section>
      {'where' in request && (
        <section class="card section" aria-labelledby="meanwhile">
          <h2 id="meanwhile">What came in meanwhile</h2>
          {action.arrived === 0 ? (
            <p class="muted">Nothing that matches has failed since it began.</p>
          ) : (
            <p>
              <strong>{plural(action.arrived, 'letter')}</strong> that match became dead letters since it
              began. They are not part of this plan, and none of the numbers above counts them.{' '}
              <a href={pathWith('/failures', { consumer: request.consumer, sort: 'newest' })}>
                Show the newest failures
              </a>
            </p>
          )}
        </section>
      )}
      <section class="section" aria-labelledby="same">
        <h2 id="same">The same by command</h2>
        <Command text={action.command} label="The command that does the same" />
      </section>
    </>
  );
}

/** What a screen reader says: at each step and each quarter, not at each look. */
function milestone(action: ActionState): string {
  const { phase, planned, remaining } = action;
  if (action.endedAt !== null) return `${ACTIONS[action.request.kind].title} ended. ${action.text}`;
  if (phase === 'paused') return 'Paused. Nothing more is sent.';
  if (action.isCanary) return 'The first letters are on trial.';
  const quarter = planned === 0 ? 0 : Math.floor(((planned - remaining) / planned) * 4);
  return `Under way: ${quarter * 25} percent have a result.`;
}

const PARTS = [
  ['applied', 'Applied', 'good', '✓'],
  ['alreadyApplied', 'Applied before', 'before', '='],
  ['failed', 'Failed again', 'bad', '✕'],
  ['overtaken', 'Overtaken, left out', 'warn', '▲'],
  ['remaining', 'Without a result', 'rest', '·'],
] as const;

/** Of what is no redrive. */
const TITLES_ELSE: Partial<Record<(typeof PARTS)[number][0], string>> = {
  applied: 'Done',
  remaining: 'Not done',
};

function Bar({ action }: { readonly action: ActionState }) {
  const all = PARTS.reduce((sum, [name]) => sum + action[name], 0);
  const settled = all - action.remaining;
  const percent = all === 0 ? 0 : Math.floor((settled / all) * 100);
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label="Letters with a result"
      aria-valuemin={0}
      aria-valuemax={all}
      aria-valuenow={settled}
      aria-valuetext={`${percent} percent: ${count(settled)} of ${count(all)}`}
    >
      {PARTS.map(([name, , tone]) => (
        <span key={name} class={tone} style={{ flexGrow: action[name] }} />
      ))}
    </div>
  );
}

function Numbers({ action }: { readonly action: ActionState }) {
  const { request } = action;
  const isRedrive = request.kind === 'redrive';
  const elapsed = (action.endedAt ?? Date.now()) - action.startedAt;
  return (
    <>
      <dl class="facts numbers">
        {PARTS.filter(([name]) => isRedrive || (name !== 'alreadyApplied' && name !== 'overtaken')).map(
          ([name, title, tone, sign]) => (
            <div key={name} class={tone}>
              <dt>
                <span class="key" aria-hidden="true">
                  {sign}
                </span>
                {isRedrive ? title : (TITLES_ELSE[name] ?? title)}
              </dt>
              <dd>{count(action[name])}</dd>
            </div>
          ),
        )}
      </dl>
      <p class="muted">
        {plural(action.sent, ACTIONS[request.kind].noun)} {isRedrive ? 'sent' : 'done'},{' '}
        {action.endedAt === null ? 'for' : 'in'} {duration(elapsed)}
        {isRedrive && `, at most ${count(request.rate)} a second`}.
        {isRedrive && action.phase === 'running' && action.remaining > request.rate && (
          <> About {duration((action.remaining / request.rate) * 1_000)} to go.</>
        )}
      </p>
    </>
  );
}

/** Pause, resume and cancel. */
function Steering({ action, isAllowed, onSteered }: Steered) {
  const [failed, setFailed] = useState<CallFailed | null>(null);
  const [asked, setAsked] = useState<'pause' | 'resume' | 'cancel' | null>(null);
  const [isAsking, setAsking] = useState(false);
  const isPaused = action.phase === 'paused';
  const isAnswered = useRef(false);
  // Until the first look behind the answer, whatever that shows: others steer, too. A cancel is for good.
  useEffect(() => {
    if (isAnswered.current) setAsked((before) => (before === 'cancel' ? before : null));
  }, [action]);
  const steer = async (to: 'pause' | 'resume' | 'cancel') => {
    setAsking(false);
    setFailed(null);
    setAsked(to);
    isAnswered.current = false;
    try {
      await write<ActionState>(`/api/actions/${encodeURIComponent(action.id)}/${to}`, {});
      isAnswered.current = true;
      onSteered();
    } catch (error) {
      setAsked(null);
      setFailed(error instanceof CallFailed ? error : new CallFailed('UNEXPECTED', String(error)));
    }
  };
  const toggle = isPaused ? 'resume' : 'pause';
  const { kind } = action.request;
  const isRedrive = kind === 'redrive';
  if (!isRedrive && kind !== 'discard')
    return <p class="muted">It is one message to the consumer, and cannot be taken back.</p>;
  return (
    <>
      <div class="row">
        {isRedrive && (
          <button type="button" disabled={!isAllowed} onClick={() => steer(toggle)}>
            {asked === 'pause'
              ? 'Pausing …'
              : asked === 'resume'
                ? 'Resuming …'
                : isPaused
                  ? 'Resume'
                  : 'Pause'}
          </button>
        )}
        <button type="button" class="danger" disabled={!isAllowed} onClick={() => setAsking(true)}>
          {asked === 'cancel' ? 'Cancelling …' : 'Cancel …'}
        </button>
        {isRedrive && (
          <span class="muted">
            {isPaused
              ? 'Paused: nothing more is sent until you resume.'
              : 'A pause sends nothing more until you resume.'}
          </span>
        )}
      </div>
      {failed && <Problem code={failed.code} text={failed.message} />}
      <Dialog isOpen={isAsking} title="Cancel what is left?" onClose={() => setAsking(false)}>
        <div class="section">
          {isRedrive ? (
            <>
              <p>
                <strong>What was sent cannot be taken back:</strong> {plural(action.sent, 'letter')} were
                sent, and {count(action.applied)} of them are applied. Those on their way still get a result.
              </p>
              <p>
                What was not sent stays as it is. You can start again at any time: nothing is applied twice.
              </p>
            </>
          ) : (
            <p>
              <strong>{plural(action.applied, 'letter')} are discarded</strong>, and in the export. The others
              stay dead letters.
            </p>
          )}
          <div class="row">
            <button type="button" class="danger" onClick={() => steer('cancel')}>
              Cancel what is left
            </button>
            <button type="button" onClick={() => setAsking(false)}>
              Let it go on
            </button>
          </div>
        </div>
      </Dialog>
    </>
  );
}

/** @param isNews it ended while somebody looked: they are led to it, as the buttons that they had are gone */
function Ending({ action, isNews }: { readonly action: ActionState; readonly isNews: boolean }) {
  const notice = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isNews && document.activeElement === document.body) notice.current?.focus();
  }, []);
  const { consumer } = action.request;
  const isOfKey = 'key' in action.request;
  const isWell = action.phase === 'done' && action.failed + action.remaining === 0;
  const tone = isWell ? 'good' : action.phase === 'failed' ? 'bad' : 'warn';
  const links = (
    <>
      {isOfKey ? (
        <a href={pathWith('/parked', { consumer })}>Parked keys that are left</a>
      ) : (
        <a href={pathWith('/failures', { consumer })}>Failures that are left</a>
      )}
      <a href={pathWith('/audit', { consumer })}>Audit log</a>
      <a href={`/consumers/${encodeURIComponent(consumer)}`}>
        <Foreign text={consumer} />
      </a>
    </>
  );
  return (
    <div ref={notice} tabIndex={-1} class={`notice ${tone} section`}>
      <p>
        <strong>{isWell ? '✓ Done.' : action.phase === 'cancelled' ? '■ Cancelled.' : '▲ It ended.'}</strong>{' '}
        <Foreign text={action.text} />
      </p>
      <div class="row">{links}</div>
    </div>
  );
}
