/** What fails, in groups of letters that failed alike: the way from "something is wrong" to what to do about it. */
import type { FailureGroup, GroupSort, StatusAnswer } from '../../operations.ts';
import { Expiry, Filters, Histogram, Listed, listWords, Pages, Total, useList } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Foreign, Showing, Title } from '../parts.tsx';
import { count, isoTime, moment, plural } from '../words.ts';

const SORTS: Readonly<Record<GroupSort, string>> = {
  count: 'Most letters first',
  newest: 'Newest failure first',
  introduced: 'Latest to appear first',
  expiry: 'First to expire first',
};

export function FailuresPage({ session, location, status }: PageProps) {
  const words = { ...listWords(location), sort: location.query.get('sort') };
  const loaded = useList<FailureGroup>('/api/groups', words);
  return (
    <>
      <Title text="Failures">{loaded.value && <Total page={loaded.value} noun="group" />}</Title>
      <Filters
        session={session}
        location={location}
        search="Code, error, file, key, version …"
        sorts={SORTS}
      />
      <Showing loaded={loaded}>
        {(page) => (
          <>
            <Listed
              page={page}
              location={location}
              empty={<Nothing isFiltered={Boolean(words.consumer || words.search)} />}
            >
              <Groups groups={page.items} status={status} isBusy={loaded.isLoading} />
            </Listed>
            <Pages page={page} location={location} noun="group" />
          </>
        )}
      </Showing>
    </>
  );
}

function Nothing({ isFiltered }: { readonly isFiltered: boolean }) {
  return (
    <div class={`notice ${isFiltered ? '' : 'good'}`}>
      {isFiltered ? (
        <>
          No failure matches. <a href="/failures">Show all failures</a>
        </>
      ) : (
        'No dead letters: every record was applied, or waits to be read.'
      )}
    </div>
  );
}

function Groups({
  groups,
  status,
  isBusy,
}: {
  readonly groups: readonly FailureGroup[];
  readonly status: StatusAnswer | null;
  readonly isBusy: boolean;
}) {
  return (
    <table class="stack groups" aria-busy={isBusy}>
      <caption class="hidden-text">Dead letters, grouped by what failed</caption>
      <thead>
        <tr>
          <th scope="col">Failure</th>
          <th scope="col" class="number letters">
            Letters
          </th>
          <th scope="col" class="when">
            Failed when
          </th>
          <th scope="col" class="of-keys">
            Keys
          </th>
          <th scope="col" class="since">
            Since version
          </th>
          <th scope="col" class="expires">
            Expires
          </th>
        </tr>
      </thead>
      <tbody>
        {groups.map((group) => (
          <Row key={`${group.consumer}/${group.fingerprint}`} group={group} share={shareOf(group, status)} />
        ))}
      </tbody>
    </table>
  );
}

function groupPath({ consumer, fingerprint }: Pick<FailureGroup, 'consumer' | 'fingerprint'>): string {
  return `/group/${encodeURIComponent(consumer)}/${encodeURIComponent(fingerprint)}`;
}

/** How many of its consumer's dead letters these are, as `12 %`; null where nobody knows. */
export function shareOf(group: FailureGroup, status: StatusAnswer | null): string | null {
  const all = status?.consumers.find(({ consumer }) => consumer === group.consumer)?.deadLetters ?? null;
  if (all === null || all < group.count) return null;
  const percent = Math.round((group.count / all) * 100);
  return percent < 1 ? 'under 1 %' : `${percent} %`;
}

/** The histogram in words. */
export function failedWhen({ count: letters, firstSeenAt, lastSeenAt }: FailureGroup): string {
  const [from, to] = [moment(firstSeenAt), moment(lastSeenAt)];
  return `${plural(letters, 'letter')} ${isoTime(lastSeenAt) === undefined ? 'at unknown times' : `between ${from} and ${to}`}`;
}

/** What tells a group from the others: its code, and where it comes from. */
export function GroupName({ group }: { readonly group: FailureGroup }) {
  return (
    <>
      <span class="mono">{group.code}</span>
      {group.location === null ? ' in ' : ' at '}
      <Foreign class="mono" text={group.location ?? group.topic} />
    </>
  );
}

/** What its code means; and the error's own name, where it is not that of all errors with a code of ours. */
export function GroupError({ group }: { readonly group: FailureGroup }) {
  return (
    <>
      {group.errorName !== 'MillraceError' && (
        <>
          <Foreign class="selectable" text={group.errorName} />:{' '}
        </>
      )}
      <span class="muted">{group.summary}</span>
    </>
  );
}

function Row({ group, share }: { readonly group: FailureGroup; readonly share: string | null }) {
  return (
    <tr class="linked">
      <th scope="row">
        <a class="whole" data-row href={groupPath(group)}>
          <GroupName group={group} />
        </a>
        <div>
          <GroupError group={group} />
        </div>
        <div class="muted small">
          <Foreign text={group.consumer} />, in stage {group.stage}
          {group.isBeyondRedrive && <span class="tag warn">cannot be redriven</span>}
        </div>
      </th>
      <td class="number" data-label="Letters">
        <strong>{count(group.count)}</strong>
        {share !== null && <div class="muted small">{share} of its consumer</div>}
        {group.overtaken > 0 && <div class="muted small">{count(group.overtaken)} overtaken</div>}
      </td>
      <td data-label="Failed when" class="when">
        <Histogram values={group.histogram} label={failedWhen(group)} />
        <div class="small ends">
          <span>{moment(group.firstSeenAt)}</span>
          <span>{moment(group.lastSeenAt)}</span>
        </div>
      </td>
      <td data-label="Keys" class="of-keys">
        <Keys group={group} most={2} />
      </td>
      <td data-label="Since version">
        {group.introducedBy === null ? (
          <span class="muted">unknown</span>
        ) : (
          <Foreign class="mono" text={group.introducedBy} />
        )}
      </td>
      <td data-label="Expires">
        <Expiry at={group.expiresAt} />
      </td>
    </tr>
  );
}

/** The keys with the most letters, and how many more there are. */
export function Keys({ group, most }: { readonly group: FailureGroup; readonly most: number }) {
  const shown = group.keys.slice(0, most);
  const left = group.keyCount - shown.length;
  return (
    <ul class="plain small">
      {shown.map(({ key, count: letters }) => (
        <li key={key} class="key">
          <Foreign class="mono clip" text={key} /> <span class="muted">× {count(letters)}</span>
        </li>
      ))}
      {left > 0 && <li class="muted">{plural(left, 'key')} more</li>}
    </ul>
  );
}
