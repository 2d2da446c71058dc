/** Keys that wait behind a dead letter of their own, and how they go on. */
import type { ParkedKey } from '../../operations.ts';
import { pathWith } from '../api.ts';
import { commandFor, Filters, Listed, listWords, Pages, Total, useList } from '../listing.tsx';
import type { PageProps } from '../page.ts';
import { Command, Foreign, Showing, Title } from '../parts.tsx';
import { count, duration, printable } from '../words.ts';
import { letterPath } from './group.tsx';
import { keyQuery } from './request.ts';

export function ParkedPage({ session, location }: PageProps) {
  const words = listWords(location);
  const loaded = useList<ParkedKey>('/api/parked', words);
  const command = commandFor('park list', words.consumer, session.place);
  return (
    <>
      <Title text="Parked keys">{loaded.value && <Total page={loaded.value} noun="key" />}</Title>
      <div class="section">
        <p class="prose">
          Each key waits for a dead letter of its own. Redrive that letter to keep the order, or let the key
          go on without it:
        </p>
        <dl class="facts choices-told">
          <div>
            <dt>Release</dt>
            <dd>Applies what is parked. The letter stays a dead letter, and is overtaken.</dd>
          </div>
          <div>
            <dt>Skip</dt>
            <dd>Discards the letter, and applies what is parked.</dd>
          </div>
          <div>
            <dt>Discard</dt>
            <dd>Discards the letter and what is parked. An export keeps both.</dd>
          </div>
        </dl>
      </div>
      <Filters session={session} location={location} search="Key, letter …" />
      <Showing loaded={loaded}>
        {(page) => (
          <>
            <Listed
              page={page}
              location={location}
              empty={
                <div class={`notice ${words.search || words.consumer ? '' : 'good'}`}>
                  {words.search || words.consumer ? 'No parked key matches.' : 'No key waits.'}
                </div>
              }
            >
              <Keys keys={page.items} isBusy={loaded.isLoading} />
            </Listed>
            <Pages page={page} location={location} noun="key" />
          </>
        )}
      </Showing>
      <Command text={command} label="The command that shows the same" />
    </>
  );
}

function Keys({ keys, isBusy }: { readonly keys: readonly ParkedKey[]; readonly isBusy: boolean }) {
  return (
    <table class="stack" aria-busy={isBusy}>
      <caption class="hidden-text">Parked keys, those that have waited longest first</caption>
      <thead>
        <tr>
          <th scope="col">Key</th>
          <th scope="col">Consumer</th>
          <th scope="col" class="number">
            Parked
          </th>
          <th scope="col">Waits for</th>
          <th scope="col">Behind the letter</th>
          <th scope="col">Let it go on</th>
        </tr>
      </thead>
      <tbody>
        {keys.map((key) => (
          <tr
            key={`${key.consumer}/${key.topic}/${key.partition}/${JSON.stringify(key.name) ?? key.command}`}
          >
            <th scope="row">
              <Foreign class="mono clip" text={key.key} />
            </th>
            <td data-label="Consumer">
              <Foreign text={key.consumer} />
              <div class="muted small">
                <Foreign text={key.topic} />/{key.partition}
              </div>
            </td>
            <td data-label="Parked" class="number">
              {count(key.records)}
            </td>
            <td data-label="Waits for">{key.oldestAgeMs === null ? 'unknown' : duration(key.oldestAgeMs)}</td>
            <td data-label="Behind the letter">
              {key.blockedBy === null ? (
                <span class="tag warn">▲ gone: release it</span>
              ) : (
                <a class="mono position" href={letterPath(key.blockedBy)}>
                  {key.blockedBy.split('/').slice(-2).join('/')}
                </a>
              )}
            </td>
            <td data-label="Let it go on">
              <Choices of={key} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Choices({ of }: { readonly of: ParkedKey }) {
  const { name } = of;
  if (name === null) return <Command text={of.command} label="The command that shows this key" />;
  const to = (kind: string) => pathWith('/redrive', { kind, consumer: of.consumer, ...keyQuery(name) });
  return (
    <div class="row choices">
      <a class="button" data-row href={to('park-release')}>
        Release …<span class="hidden-text"> key {printable(of.key)}</span>
      </a>
      {of.blockedBy !== null && (
        <a class="button" href={to('park-skip')}>
          Skip …<span class="hidden-text"> key {printable(of.key)}</span>
        </a>
      )}
      <a class="button" href={to('park-discard')}>
        Discard …<span class="hidden-text"> key {printable(of.key)}</span>
      </a>
    </div>
  );
}
