/** Who did what, and what came of it. */
import type { AuditRow } from '../../operations.ts';
import { commandFor, Filters, Listed, listWords, Pages, Total, useList, When } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Showing, Title } from '../parts.tsx';
import { duration } from '../words.ts';

export function AuditPage({ session, location }: PageProps) {
  const words = listWords(location);
  const loaded = useList<AuditRow>('/api/audit', words);
  const command = commandFor('dlq audit', words.consumer, session.place);
  return (
    <>
      <Title text="Audit log">
        {loaded.value && <Total page={loaded.value} noun="entry" several="entries" />}
      </Title>
      <Filters session={session} location={location} search="Who, plan, result …" />
      <Showing loaded={loaded}>
        {(page) => (
          <>
            <Listed
              page={page}
              location={location}
              empty={
                <p class="muted">
                  {words.search || words.consumer ? 'No entry matches.' : 'Nobody has changed anything yet.'}
                </p>
              }
            >
              <AuditRows rows={page.items} isBusy={loaded.isLoading} />
            </Listed>
            <Pages page={page} location={location} noun="entry" several="entries" />
          </>
        )}
      </Showing>
      <Command text={command} label="The command that shows the same" />
    </>
  );
}

export function AuditRows({
  rows,
  isBusy = false,
  isOfOneConsumer = false,
}: {
  readonly rows: readonly AuditRow[];
  readonly isBusy?: boolean;
  readonly isOfOneConsumer?: boolean;
}) {
  return (
    <table class="stack" aria-busy={isBusy}>
      <caption class="hidden-text">What was done, newest first</caption>
      <thead>
        <tr>
          <th scope="col">What</th>
          <th scope="col">Who</th>
          {!isOfOneConsumer && <th scope="col">Consumer</th>}
          <th scope="col">Plan</th>
          <th scope="col">Result</th>
          <th scope="col">When</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.id}>
            <th scope="row" class="name">
              {row.action}
            </th>
            <td data-label="Who">
              <Foreign class="clip" text={row.who} />
            </td>
            {!isOfOneConsumer && (
              <td data-label="Consumer" class="name">
                <Foreign text={row.consumer} />
              </td>
            )}
            <td data-label="Plan" class="reason">
              <Foreign text={row.plan} />
            </td>
            <td data-label="Result" class="reason">
              <Foreign text={row.result} />
            </td>
            <td data-label="When">
              <When at={Date.parse(row.begunAt)} />
              <div class="muted small">
                {row.endedAt === null || Number.isNaN(Date.parse(row.endedAt) - Date.parse(row.begunAt))
                  ? 'no end is known'
                  : `took ${duration(Date.parse(row.endedAt) - Date.parse(row.begunAt))}`}
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
