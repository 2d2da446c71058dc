/** What an action would do, before it does anything: numbers, order and pace. */
import { useState } from 'preact/hooks';
import { type ActionPlan, type ActionRequest, type ParkedKeyName, selectionOf } from '../../operations.ts';
import { write } from '../api.ts';
import { hrefWith } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Foreign, Problem, Showing, Title, useLoaded } from '../parts.tsx';
import { go } from '../place.ts';
import { count } from '../words.ts';
import { ACTIONS } from './actions.tsx';
import { Confirmation } from './confirmation.tsx';
import { Steps } from './progress.tsx';
import { DEFAULTS, LEAST, requestOf, type Setting, TITLES, wrongSetting } from './request.ts';

export function PlanPage(props: PageProps) {
  const [reason, setReason] = useState('');
  const { query } = props.location;
  const asked = requestOf(query, reason);
  if (asked) return <Planned {...props} asked={asked} reason={reason} onReason={setReason} />;
  return (
    <>
      <Title text="There is no such action" />
      <Problem
        text={`kind=${query.get('kind')} is no action. The kinds are ${Object.keys(ACTIONS).join(', ')}.`}
      />
    </>
  );
}

function Planned({
  session,
  location,
  asked,
  reason,
  onReason,
}: PageProps & {
  readonly asked: ActionRequest;
  readonly reason: string;
  readonly onReason: (reason: string) => void;
}) {
  const selection = selectionOf(asked);
  const loaded = useLoaded(selection, async () => ({
    of: selection,
    plan: await write<ActionPlan>('/api/plan', asked),
  }));
  const { title, about } = ACTIONS[asked.kind];
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
      {asked.kind === 'redrive' && (
        <Steps at="plan" canary={asked.canary} letters={loaded.value?.plan.count} />
      )}
      <Showing loaded={loaded}>
        {({ of, plan }) => (
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
              {'key' in asked && <KeyName of={asked.key} />}
              {asked.kind === 'redrive' && <Settings request={asked} plan={plan} location={location} />}
            </section>
            <Confirmation
              plan={plan}
              allowsActions={session.place.allowsActions}
              isCurrent={!loaded.isLoading && of === selection}
              wrong={asked.kind === 'redrive' ? wrongSetting(location.query) : null}
              reason={reason}
              onReason={onReason}
              onAgain={loaded.reload}
              request={asked}
            />
          </div>
        )}
      </Showing>
    </>
  );
}

function KeyName({ of }: { readonly of: ParkedKeyName }) {
  if ('letter' in of)
    return (
      <p>
        <span class="muted">The key that waits for</span> <Foreign class="mono" text={of.letter} />
      </p>
    );
  return (
    <p>
      <span class="muted">Key</span> <Foreign class="mono" text={keyText(of.base64)} />{' '}
      <span class="muted">in partition {of.partition}</span>
    </p>
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
  const { request, leftOut, overtaken } = plan;
  const isRedrive = request.kind === 'redrive';
  const { parked = 0 } = plan;
  return (
    <dl class="facts numbers">
      <div>
        <dt>{isRedrive ? 'Letters to redrive' : ACTIONS[request.kind].nouns}</dt>
        <dd>{count(plan.count - parked)}</dd>
      </div>
      {plan.parked !== undefined && (
        <div>
          <dt>Parked records</dt>
          <dd>{count(parked)}</dd>
        </div>
      )}
      {isRedrive && request.allowOvertaken && (
        <div>
          <dt>Overtaken ones among them</dt>
          <dd>{count(overtaken)}</dd>
        </div>
      )}
      {isRedrive && (!request.allowOvertaken || leftOut > 0) && (
        <div>
          <dt>Overtaken, left out</dt>
          <dd>{count(leftOut)}</dd>
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
  // As many as there are to choose, whether they are in the plan or not.
  const overtaken = plan.leftOut + plan.overtaken;
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
      {(overtaken > 0 || request.allowOvertaken) && (
        <label class="check">
          <input
            type="checkbox"
            checked={request.allowOvertaken}
            onChange={(event) => set('overtaken', event.currentTarget.checked ? 'yes' : '')}
          />
          <span>
            Also{' '}
            {overtaken === 0
              ? 'overtaken letters'
              : overtaken === 1
                ? 'the overtaken letter'
                : `the ${count(overtaken)} overtaken letters`}{' '}
            <span class="muted">Their effects come too late, and may overwrite newer ones.</span>
          </span>
        </label>
      )}
    </fieldset>
  );
}
