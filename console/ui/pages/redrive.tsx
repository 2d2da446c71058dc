/** Actions: what this console has started, the plan of a new one, and one under way. */
import type { ActionState } from '../../operations.ts';
import { read } from '../api.ts';
import { commandFor, When } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Showing, Title, useLoaded } from '../parts.tsx';
import { count } from '../words.ts';
import { ACTIONS, Phase } from './actions.tsx';
import { PlanPage } from './plan.tsx';
import { ProgressPage } from './progress.tsx';

const REFRESH_MS = 2_000;

export function RedrivePage(props: PageProps) {
  const [id] = props.rest;
  if (id !== undefined && id !== '') return <ProgressPage key={id} {...props} id={id} />;
  if (props.location.query.has('consumer')) return <PlanPage {...props} />;
  return <Started {...props} />;
}

function Started({ session }: PageProps) {
  const loaded = useLoaded<readonly ActionState[]>(
    'actions',
    (signal) => read('/api/actions', {}, signal),
    REFRESH_MS,
  );
  return (
    <>
      <Title text="Redrives and other actions" />
      <Showing loaded={loaded}>
        {(actions) =>
          actions.length === 0 ? (
            <div class="notice">
              This console has started nothing. A redrive begins at <a href="/failures">a failure</a>;{' '}
              <a href="/audit">the audit log</a> has what was done before and elsewhere.
            </div>
          ) : (
            <Table actions={actions} />
          )
        }
      </Showing>
      <Command
        text={commandFor('dlq audit', null, session.place)}
        label="The command that shows all that was done"
      />
    </>
  );
}

function Table({ actions }: { readonly actions: readonly ActionState[] }) {
  return (
    <table class="stack">
      <caption class="hidden-text">What this console has started, newest first</caption>
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col">State</th>
          <th scope="col" class="number">
            Planned
          </th>
          <th scope="col" class="number">
            Applied
          </th>
          <th scope="col" class="number">
            Failed again
          </th>
          <th scope="col">Which</th>
          <th scope="col">Started</th>
        </tr>
      </thead>
      <tbody>
        {actions.map((action) => (
          <tr key={action.id} class="linked">
            <th scope="row">
              <a class="whole" data-row href={`/redrive/${encodeURIComponent(action.id)}`}>
                {ACTIONS[action.request.kind].title}: <Foreign text={action.request.consumer} />
              </a>
            </th>
            <td data-label="State">
              <Phase of={action.phase} />
            </td>
            <td data-label="Planned" class="number">
              {count(action.planned)}
            </td>
            <td data-label="Applied" class="number">
              {count(action.applied)}
            </td>
            <td data-label="Failed again" class="number">
              {count(action.failed)}
            </td>
            <td data-label="Which" class="reason">
              {'where' in action.request ? (
                <Foreign class="mono clip" text={action.request.where || 'all of them'} />
              ) : 'letter' in action.request.key ? (
                <Foreign class="mono clip" text={`the key behind ${action.request.key.letter}`} />
              ) : (
                `a key of partition ${action.request.key.partition}`
              )}
            </td>
            <td data-label="Started">
              <When at={action.startedAt} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
