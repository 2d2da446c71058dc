/** How all consumers are, worst first, and what to do about the worst. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { ConsumerLook, Series, StatusAnswer, Verdict as VerdictName } from '../../operations.ts';
import { pathWith } from '../api.ts';
import { Drain, Heat, Stuck } from '../gauges.tsx';
import { type Reach, Stale, useStale } from '../live.ts';
import type { PageProps } from '../page.ts';
import { Ago, Command, Foreign, MOST_TYPED, Problem, Sparkline, Title, Verdict } from '../parts.tsx';
import { go, type Location } from '../place.ts';
import {
  count,
  duration,
  headline,
  known,
  moment,
  needsYou,
  noAnswer,
  plural,
  rate,
  TONES,
} from '../words.ts';
import './now.css';

export function NowPage({ status, session, location, reach }: PageProps) {
  const isGone = useStale();
  if (status === null) {
    if (reach.is === 'live') return <Waiting consumers={session.place.consumers.length} />;
    return <Title text={headlineOf(reach, null)} />;
  }
  const { consumers, problem } = status;
  const isOld = isGone || problem !== null;
  return (
    <Stale value={isOld}>
      <Title text={headlineOf(reach, status)} />
      {problem && <Problem text={problem} />}
      {consumers.length === 0 && !problem && <NoConsumers />}
      {consumers.length > 0 && (
        <div class={`contents ${isOld ? 'stale' : ''}`}>
          <NextStep consumers={consumers} />
          <Consumers status={status} location={location} />
        </div>
      )}
    </Stale>
  );
}

/** How all consumers are; or that nobody knows, since when. */
function headlineOf(reach: Reach, status: StatusAnswer | null): string {
  if (reach.is === 'restarted') return 'The console was started again';
  if (reach.is === 'gone') return noAnswer(reach.sinceMs);
  const { consumers = [], problem = null, at = 0 } = status ?? {};
  if (problem === null) return headline(consumers.map(({ verdict }) => verdict));
  return consumers.length === 0
    ? 'The consumers cannot be read'
    : `The consumers cannot be read since ${moment(at)}`;
}

/** Holds the place, so that nothing jumps when the first look is there. */
function Waiting({ consumers }: { readonly consumers: number }) {
  return (
    <>
      <Title text="Reading …" />
      <div class="card looking" aria-hidden="true">
        {Array.from({ length: Math.min(consumers, 12) }, (_, at) => (
          <div key={at} class="waiting" />
        ))}
      </div>
    </>
  );
}

function NoConsumers() {
  return (
    <div class="card section">
      <p class="prose">
        This app has no consumers. A consumer reads a topic, applies its records to a sink, and shows up here
        as soon as somebody runs it.
      </p>
      <Command text="npx millrace add consumer NAME --topic TOPIC" label="The command that adds one" />
    </div>
  );
}

/** The most urgent thing to do: one, with where to do it. */
function NextStep({ consumers }: { readonly consumers: readonly ConsumerLook[] }) {
  const worst = consumers[0]!;
  if (needsYou(worst.verdict)) {
    const { consumer, verdict, deadLetters, command } = worst;
    return (
      <section class={`next notice ${TONES[verdict].tone}`} aria-label="Next step">
        <p class="say">
          <Verdict of={verdict} /> <b>{consumer}</b>:{' '}
          <Foreign text={worst.evidence[0] ?? 'No reason is known.'} />
        </p>
        <div class="row">
          <a class="button primary" href={consumerPath(consumer)}>
            See what holds {consumer}
          </a>
          {(deadLetters ?? 0) > 0 && (
            <a class="button" href={pathWith('/failures', { consumer })}>
              Its {plural(deadLetters!, 'dead letter')}
            </a>
          )}
          <Command text={command} label={`The command that says more about ${consumer}`} />
        </div>
      </section>
    );
  }
  const most = consumers.toSorted((a, b) => (b.deadLetters ?? 0) - (a.deadLetters ?? 0))[0]!;
  if ((most.deadLetters ?? 0) > 0)
    return (
      <section class="next notice" aria-label="Next step">
        <p class="say">
          <b>{plural(most.deadLetters!, 'dead letter')}</b> of {most.consumer}{' '}
          {most.deadLetters === 1 ? 'waits' : 'wait'} for a redrive.
        </p>
        <a class="button primary" href={pathWith('/failures', { consumer: most.consumer })}>
          See why they failed
        </a>
      </section>
    );
  return null;
}

function Consumers({ status, location }: { readonly status: StatusAnswer; readonly location: Location }) {
  const { consumers } = status;
  const search = location.query.get('search') ?? '';
  const verdict = location.query.get('verdict') ?? '';
  const table = useRef<HTMLTableElement>(null);
  const ordered = useSteadyOrder(consumers, table);
  useKeptFocus(table);
  const words = search.toLowerCase().split(/\s+/);
  const shown = ordered.filter(
    (look) =>
      (verdict === '' || look.verdict === verdict) &&
      words.every((word) => `${look.consumer} ${look.topic} ${look.group}`.toLowerCase().includes(word)),
  );
  return (
    <section class="section" aria-label="Consumers">
      {consumers.length > 1 && <Filter consumers={consumers} verdict={verdict} search={search} />}
      {shown.length === 0 ? (
        <p class="muted">
          No consumer fits. <a href="/">Show all {count(consumers.length)}</a>
        </p>
      ) : (
        <table ref={table} class="consumers card">
          <thead>
            <tr>
              <th scope="col">Consumer</th>
              <th scope="col">Lag</th>
              <th scope="col">Oldest unread</th>
              <th scope="col">Drains in</th>
              <th scope="col" class="number">
                Dead letters
              </th>
              <th scope="col" class="number">
                Parked keys
              </th>
              <th scope="col">Last deploy</th>
            </tr>
          </thead>
          {shown.map((look) => (
            <Consumer
              key={look.consumer}
              look={look}
              series={status.series[look.consumer]}
              nowMs={status.at}
            />
          ))}
        </table>
      )}
    </section>
  );
}

function Filter({
  consumers,
  verdict,
  search,
}: {
  readonly consumers: readonly ConsumerLook[];
  readonly verdict: string;
  readonly search: string;
}) {
  const counts = new Map<VerdictName, number>();
  for (const look of consumers) counts.set(look.verdict, (counts.get(look.verdict) ?? 0) + 1);
  const present = (Object.keys(TONES) as VerdictName[]).filter(
    (each) => counts.has(each) || each === verdict,
  );
  return (
    <div class="filter">
      <ul class="chips">
        <li>
          <a href={pathWith('/', { search })} aria-current={verdict === '' ? 'true' : undefined}>
            All {count(consumers.length)}
          </a>
        </li>
        {present.map((each) => (
          <li key={each}>
            <a
              href={pathWith('/', { verdict: each, search })}
              aria-current={verdict === each ? 'true' : undefined}
              class={TONES[each].tone}
            >
              <span aria-hidden="true">{TONES[each].sign}</span>
              {each.replace('_', ' ')} {count(counts.get(each) ?? 0)}
            </a>
          </li>
        ))}
      </ul>
      <input
        type="search"
        aria-label="Only consumers with these words in their name or topic"
        placeholder="Filter by name or topic …"
        value={search}
        maxLength={MOST_TYPED}
        onInput={({ currentTarget }) => go(pathWith('/', { verdict, search: currentTarget.value }), true)}
      />
    </div>
  );
}

function Consumer({
  look,
  series,
  nowMs,
}: {
  readonly look: ConsumerLook;
  readonly series: Series | undefined;
  readonly nowMs: number;
}) {
  const { consumer, topic, verdict, lag, ageMs, deadLetters, parked, deployedAt, isPaused, partitions } =
    look;
  const isWell = !needsYou(verdict);
  const unwell = partitions.filter((each) => TONES[each.verdict].tone !== 'good');
  // The name of the only one stands before it.
  const why = unwell.length === 1 && unwell[0]!.verdict === verdict ? unwell[0]!.why : look.evidence[0];
  return (
    <tbody class={TONES[verdict].tone}>
      <tr>
        <th scope="rowgroup">
          <a class="name" data-row href={consumerPath(consumer)}>
            {consumer}
          </a>
          <div class="row">
            <Verdict of={verdict} />
            {isPaused && <span class="badge">paused</span>}
            <Foreign class="muted small" text={topic} />
          </div>
        </th>
        <td data-label="Lag">
          <div class="lag">
            <div>
              <div class="figure">{known(lag)}</div>
              <div class="muted small rates">
                <span>in {rate(look.inPerSecond)}</span> <span>out {rate(look.outPerSecond)}</span>
              </div>
            </div>
            <div class="trend">
              <Sparkline values={series?.lag ?? []} label={trend(series)} />
            </div>
          </div>
        </td>
        <td data-label="Oldest unread">
          <div class="figure">{lag === 0 ? '–' : ageMs === null ? '?' : duration(ageMs)}</div>
        </td>
        <td data-label="Drains in">
          <Drain of={look} />
        </td>
        <td class="number" data-label="Dead letters">
          <Linked
            value={deadLetters}
            href={pathWith('/failures', { consumer })}
            noun="dead letters"
            of={consumer}
          />
        </td>
        <td class="number" data-label="Parked keys">
          <Linked
            value={parked?.keys ?? null}
            href={pathWith('/parked', { consumer })}
            noun="parked keys"
            of={consumer}
          />
          {parked !== null && parked.records > 0 && (
            <div class="muted small">{plural(parked.records, 'record')}</div>
          )}
        </td>
        <td data-label="Last deploy">
          {deployedAt === null ? <span class="muted">unknown</span> : <Ago at={deployedAt} nowMs={nowMs} />}
        </td>
      </tr>
      <tr class="more">
        <td colSpan={7}>
          <div class="under">
            <Heat partitions={partitions} href={consumerPath(consumer)} />
            <Stuck partitions={partitions} />
            {!isWell && why && (
              <p class="why">
                <Foreign text={why} />
              </p>
            )}
          </div>
        </td>
      </tr>
    </tbody>
  );
}

function Linked({
  value,
  href,
  noun,
  of,
}: {
  readonly value: number | null;
  readonly href: string;
  readonly noun: string;
  readonly of: string;
}) {
  if (value === null) return <span class="figure muted">?</span>;
  if (value === 0) return <span class="figure muted">0</span>;
  return (
    <a class="figure" href={href}>
      {count(value)}
      <span class="hidden-text">
        {' '}
        {noun} of {of}
      </span>
    </a>
  );
}

function consumerPath(consumer: string): string {
  return `/consumers/${encodeURIComponent(consumer)}`;
}

function trend(series: Series | undefined): string {
  const first = series?.lag.find((value) => value !== null);
  const last = series?.lag.findLast((value) => value !== null);
  if (!series || first === undefined || last === undefined) return 'Its lag is not known';
  const span = duration(series.at.at(-1)! - series.at[0]!);
  return `Lag over ${span}: from ${known(first)} to ${known(last)}`;
}

/**
 * The order changes with a verdict, not with each number, and not while somebody is in the list: a row does not slip away from
 * under a pointer.
 */
function useSteadyOrder(
  consumers: readonly ConsumerLook[],
  list: { readonly current: HTMLElement | null },
): readonly ConsumerLook[] {
  const steady = useRef({ order: [] as readonly string[], verdicts: '' });
  const names = consumers.map(({ consumer }) => consumer);
  const verdicts = consumers
    .map(({ consumer, verdict }) => `${consumer} ${verdict}`)
    .toSorted()
    .join();
  const { current } = steady;
  const isHeld = list.current?.matches(':hover, :focus-within') ?? false;
  if (verdicts !== current.verdicts && !isHeld) steady.current = { order: names, verdicts };
  const places = new Map(steady.current.order.map((name, at) => [name, at]));
  const placeOf = ({ consumer }: ConsumerLook) => places.get(consumer) ?? names.length;
  return consumers.toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** A row that moves keeps the keyboard: browsers take it from what is moved in the page. */
function useKeptFocus(list: { readonly current: HTMLElement | null }): void {
  const focused = list.current?.contains(document.activeElement) ? document.activeElement : null;
  useLayoutEffect(() => {
    if (focused instanceof HTMLElement && focused.isConnected && document.activeElement !== focused)
      focused.focus({ preventScroll: true });
  });
}
