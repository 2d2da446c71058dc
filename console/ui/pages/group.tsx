/** One group of letters that failed alike: what is known of it, what to do first, and the way to do it. */
import type { FailureGroup, LetterRow, StatusAnswer } from '../../operations.ts';
import { pathWith } from '../api.ts';
import {
  Expiry,
  Filters,
  Histogram,
  isUnread,
  Listed,
  listWords,
  Pages,
  Total,
  useList,
  When,
} from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Problem, Showing, Title } from '../parts.tsx';
import { count, moment } from '../words.ts';
import { failedWhen, GroupError, GroupName, Keys, shareOf } from './failures.tsx';

export function GroupPage({ session, location, status, rest }: PageProps) {
  const [consumer = '', fingerprint = ''] = rest;
  const loaded = useList<FailureGroup>('/api/groups', { consumer, fingerprint, limit: 1 });
  const group = loaded.value?.items.find((each) => each.fingerprint === fingerprint);
  // Where the store cannot be read, nobody knows whether it is.
  const isGone = loaded.value !== undefined && !group && !isUnread(loaded.value);
  return (
    <>
      <Heading consumer={consumer} group={group} isGone={isGone} />
      <Showing loaded={loaded}>
        {(page) =>
          group ? (
            <>
              <div class="beside">
                <Facts group={group} status={status} />
                <NextSteps group={group} />
              </div>
              <Letters session={session} location={location} group={group} />
            </>
          ) : (
            <Listed page={page} location={location} empty={<Gone consumer={consumer} />}>
              {null}
            </Listed>
          )
        }
      </Showing>
    </>
  );
}

function Gone({ consumer }: { readonly consumer: string }) {
  return (
    <p class="prose">
      They were applied, discarded, or they expired.{' '}
      <a href={pathWith('/audit', { consumer })}>The audit log</a> has what was done.{' '}
      <a href={pathWith('/failures', { consumer })}>
        Failures of <Foreign text={consumer} />
      </a>{' '}
      has what is left.
    </p>
  );
}

/** Stands at once, and holds the room of what is still to come. */
function Heading({
  consumer,
  group,
  isGone,
}: {
  readonly consumer: string;
  readonly group: FailureGroup | undefined;
  readonly isGone: boolean;
}) {
  return (
    <div class="heading">
      <Trail consumer={consumer} />
      <Title
        text={
          group ? <GroupName group={group} /> : isGone ? 'No letters are left in this group' : 'Failure group'
        }
      />
      {!isGone && <p>{group ? <GroupError group={group} /> : '\u00a0'}</p>}
    </div>
  );
}

/** The way back up from one of a consumer's failures. */
export function Trail({ consumer }: { readonly consumer: string }) {
  return (
    <nav aria-label="Where this is" class="trail">
      <a href="/failures">Failures</a>
      {consumer !== '' && (
        <>
          {' '}
          <span aria-hidden="true">/</span>{' '}
          <a href={pathWith('/failures', { consumer })}>
            <Foreign text={consumer} />
          </a>
        </>
      )}
    </nav>
  );
}

function Facts({ group, status }: { readonly group: FailureGroup; readonly status: StatusAnswer | null }) {
  const share = shareOf(group, status);
  return (
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">What is known</h2>
      <div class="when">
        <Histogram values={group.histogram} label={failedWhen(group)} />
        <div class="small ends">
          <span>{moment(group.firstSeenAt)}</span>
          <span class="muted">letters by when they last failed</span>
          <span>{moment(group.lastSeenAt)}</span>
        </div>
      </div>
      <dl class="facts">
        <div>
          <dt>Letters</dt>
          <dd>
            <strong>{count(group.count)}</strong>
            <div class="muted small">{share ?? 'an unknown share'} of its consumer</div>
          </dd>
        </div>
        <div>
          <dt>Overtaken</dt>
          <dd>{group.overtaken === 0 ? 'none' : count(group.overtaken)}</dd>
        </div>
        <div>
          <dt>Expires</dt>
          <dd>
            <Expiry at={group.expiresAt} />
          </dd>
        </div>
        <div>
          <dt>Since version</dt>
          <dd>
            {group.introducedBy === null ? 'unknown' : <Foreign class="mono" text={group.introducedBy} />}
          </dd>
        </div>
        <div>
          <dt>Stage</dt>
          <dd>{group.stage}</dd>
        </div>
        <div>
          <dt>Topic</dt>
          <dd>
            <Foreign class="mono" text={group.topic} />
          </dd>
        </div>
        <div>
          <dt>Partitions</dt>
          <dd>{listed(group.partitions)}</dd>
        </div>
        <div>
          <dt>First failed</dt>
          <dd>
            <When at={group.firstSeenAt} />
          </dd>
        </div>
        <div>
          <dt>Last failed</dt>
          <dd>
            <When at={group.lastSeenAt} />
          </dd>
        </div>
        <div class="wide">
          <dt>Keys: {count(group.keyCount)}</dt>
          <dd>
            <Keys group={group} most={5} />
          </dd>
        </div>
      </dl>
    </section>
  );
}

/** `0, 1, 2 and 9 more`. */
function listed(partitions: readonly number[]): string {
  const most = 12;
  const shown = partitions.slice(0, most).join(', ');
  return partitions.length > most ? `${shown} and ${partitions.length - most} more` : shown;
}

/** What stands between a failure and a redrive that succeeds. */
export function Before({
  isBeyondRedrive,
  changes,
}: {
  readonly isBeyondRedrive: boolean;
  readonly changes: readonly string[];
}) {
  if (isBeyondRedrive)
    return (
      <p class="notice warn">
        <strong>■ No change lets such a record through:</strong> a redrive fails again. Discard it, with the
        reason.
      </p>
    );
  if (changes.length === 0) return null;
  return (
    <>
      <h3>Before a redrive</h3>
      <ul class="hints">
        {changes.map((each) => (
          <li key={each}>
            <Foreign text={each} />
          </li>
        ))}
      </ul>
    </>
  );
}

/** What has to change first, and the way on: a plan, before anything happens. */
function NextSteps({ group }: { readonly group: FailureGroup }) {
  const { consumer, where, overtaken } = group;
  const others = group.count - overtaken;
  // None but overtaken letters: a redrive that leaves those out is none.
  const isOvertaken = others === 0;
  const words = isOvertaken ? { consumer, where, overtaken: 'yes' } : { consumer, where };
  const discard = pathWith('/redrive', { kind: 'discard', consumer, where });
  return (
    <section class="card steps" aria-labelledby="next">
      <h2 id="next">What to do</h2>
      <Before isBeyondRedrive={group.isBeyondRedrive} changes={group.before} />
      {overtaken > 0 && (
        <p class={isOvertaken ? 'notice warn' : ''}>
          <strong>▲ {isOvertaken ? 'All' : count(overtaken)} of them are overtaken:</strong> newer records of
          their keys were applied. A redrive leaves such letters out unless you allow them, as they may
          overwrite newer effects.
        </p>
      )}
      {where === null ? (
        <Problem text="No conditions choose exactly these letters. Open one of them, or use the command." />
      ) : (
        <div class="row">
          <a
            class={`button ${group.isBeyondRedrive || isOvertaken ? '' : 'primary'}`}
            href={pathWith('/redrive', words)}
          >
            {isOvertaken
              ? `Redrive ${overtaken === 1 ? 'the overtaken letter' : `the ${count(overtaken)} overtaken letters`} …`
              : `Redrive ${others === 1 ? 'this letter' : `these ${count(others)} letters`} …`}
          </a>
          <a class={`button ${group.isBeyondRedrive ? 'primary' : ''}`} href={discard}>
            Discard …
          </a>
        </div>
      )}
      <p class="muted small">Each of them shows its plan first. Nothing happens until you start it.</p>
      <Command text={group.command} label="The command that does the same" />
    </section>
  );
}

function Letters({
  session,
  location,
  group,
}: Pick<PageProps, 'session' | 'location'> & { readonly group: FailureGroup }) {
  const { consumer, fingerprint } = group;
  const words = { ...listWords(location), consumer, fingerprint };
  const loaded = useList<LetterRow>('/api/letters', words);
  return (
    <section class="section" aria-labelledby="letters">
      <div class="title">
        <h2 id="letters">Letters</h2>
        {loaded.value && <Total page={loaded.value} noun="letter" />}
      </div>
      <Filters session={session} location={location} search="Key, position …" isOfOneConsumer />
      <Showing loaded={loaded}>
        {(page) => (
          <>
            <Listed page={page} location={location} empty={<p class="muted">No letter matches.</p>}>
              <LetterTable letters={page.items} isBusy={loaded.isLoading} />
            </Listed>
            <Pages page={page} location={location} noun="letter" />
          </>
        )}
      </Showing>
    </section>
  );
}

export function letterPath(id: string): string {
  // Half a surrogate pair, which JSON can carry, is no text for an address.
  return `/letters/${id.toWellFormed().split('/').map(encodeURIComponent).join('/')}`;
}

function LetterTable({
  letters,
  isBusy,
}: {
  readonly letters: readonly LetterRow[];
  readonly isBusy: boolean;
}) {
  return (
    <table class="stack" aria-busy={isBusy}>
      <caption class="hidden-text">Dead letters of this group</caption>
      <thead>
        <tr>
          <th scope="col">Letter</th>
          <th scope="col">Key</th>
          <th scope="col">Reason</th>
          <th scope="col" class="number">
            Attempts
          </th>
          <th scope="col">Last failed</th>
          <th scope="col">Overtaken</th>
        </tr>
      </thead>
      <tbody>
        {letters.map((letter) => (
          <tr key={letter.id} class="linked">
            <th scope="row">
              <a class="whole mono position" data-row href={letterPath(letter.id)}>
                {letter.partition}/{letter.offset}
              </a>
            </th>
            <td data-label="Key">
              <Foreign class="mono clip" text={letter.key} />
            </td>
            <td data-label="Reason" class="reason">
              <Foreign class="clip" text={letter.reason} />
            </td>
            <td data-label="Attempts" class="number">
              {letter.attempts}
            </td>
            <td data-label="Last failed">
              <When at={letter.lastFailedAt} />
            </td>
            <td data-label="Overtaken">
              {letter.overtakenBy === null ? (
                <span class="muted">no</span>
              ) : (
                <span class="tag warn">by {count(letter.overtakenBy)}</span>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
