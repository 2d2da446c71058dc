/** One consumer: how it got here, what its ledger holds, and the commands that change anything. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type {
  ConsumerAnswer,
  ConsumerLook,
  GenerationRow,
  Mark,
  PartitionLook,
  Place,
  Series,
} from '../../operations.ts';
import { pathWith, read } from '../api.ts';
import { Drain, Heat } from '../gauges.tsx';
import { Ledger } from '../ledger.tsx';
import { Stale, useStale } from '../live.ts';
import type { PageProps } from '../page.ts';
import { Ago, Command, Foreign, Problem, Showing, Title, useLoaded, Verdict } from '../parts.tsx';
import { TimeChart } from '../time-chart.tsx';
import {
  clockTime,
  count,
  duration,
  isoTime,
  known,
  moment,
  needsYou,
  plural,
  rate,
  TONES,
} from '../words.ts';
import './consumer.css';

const EVERY_MS = 2_000;

export function ConsumerPage({ session, status, rest }: PageProps) {
  const name = rest[0] ?? '';
  const loaded = useLoaded(
    name,
    (signal) => read<ConsumerAnswer>(`/api/consumers/${encodeURIComponent(name)}`, {}, signal),
    EVERY_MS,
  );
  const look = loaded.value?.look ?? status?.consumers.find(({ consumer }) => consumer === name);
  const { at = 0, problem = null } = loaded.value ?? (look && status) ?? {};
  const isOld = useStale() || problem !== null;
  if (loaded.error?.code === 'INPUT_INVALID')
    return (
      <>
        <Title text="There is no such consumer" />
        <Problem text={loaded.error.message} />
        <p>
          <a href="/">All consumers</a>
        </p>
      </>
    );
  return (
    <Stale value={isOld}>
      <Title text={<Foreign text={name} />}>
        {look && <Verdict of={look.verdict} />}
        {look?.isPaused && <span class="badge">paused</span>}
        {look && (
          <span class="muted">
            reads <Foreign text={look.topic} /> as group <Foreign text={look.group} />
          </span>
        )}
        <ul class="chips aside">
          <li>
            <a href={pathWith('/failures', { consumer: name })}>Its failures</a>
          </li>
          <li>
            <a href={pathWith('/parked', { consumer: name })}>Parked keys</a>
          </li>
          <li>
            <a href={pathWith('/audit', { consumer: name })}>Audit log</a>
          </li>
        </ul>
      </Title>
      {problem !== null && (
        <Problem text={`It cannot be read. What is below was so at ${moment(at)}. ${problem}`} />
      )}
      <div class={`contents ${isOld ? 'stale' : ''}`}>
        {look && <Facts look={look} />}
        <Showing loaded={loaded}>{(answer) => <Details answer={answer} place={session.place} />}</Showing>
      </div>
    </Stale>
  );
}

function Details({ answer, place }: { readonly answer: ConsumerAnswer; readonly place: Place }) {
  const { look, series, marks, ledger, ledgerProblem, generations, generationsProblem } = answer;
  return (
    <>
      <Evidence look={look} place={place} />
      <Section title="Over time" id="time">
        <div class="card section">
          <TimeChart series={series} marks={marks} look={look} />
          <Marks marks={marks} />
          <SeriesTable series={series} />
        </div>
      </Section>
      <Section title="Ledger" id="ledger" note="What is settled of each partition, and what is not.">
        <div class="card section">
          {ledger === null ? (
            <Problem text={ledgerProblem ?? 'The ledger cannot be read from here.'} />
          ) : (
            <Ledger bars={ledger} />
          )}
        </div>
      </Section>
      <Section title="Generations" id="generations" note="Sets of its tables. Readers see the live one.">
        {generationsProblem === null ? (
          <Generations rows={generations} consumer={look.consumer} flags={place.flags} />
        ) : (
          <Problem text={generationsProblem} />
        )}
      </Section>
      <Section title="Partitions" id="partitions">
        <Partitions partitions={look.partitions} />
      </Section>
    </>
  );
}

function Section({
  title,
  id,
  note,
  children,
}: {
  readonly title: string;
  readonly id: string;
  readonly note?: string;
  readonly children: ComponentChildren;
}) {
  return (
    <section class="section" aria-labelledby={`${id}-title`}>
      <header>
        <h2 id={`${id}-title`}>{title}</h2>
        {note && <span class="muted small">{note}</span>}
      </header>
      {children}
    </section>
  );
}

function Facts({ look }: { readonly look: ConsumerLook }) {
  const { consumer, lag, ageMs, deadLetters, parked, deployedAt } = look;
  return (
    <dl class="card facts">
      <Fact name="Lag">
        <div class="figure">{known(lag)}</div>
        <div class="muted small">
          warning {count(look.warning)}, incident {count(look.incident)}
        </div>
      </Fact>
      <Fact name="Oldest unread">
        <div class="figure">{lag === 0 ? '–' : ageMs === null ? '?' : duration(ageMs)}</div>
      </Fact>
      <Fact name="Rate">
        <div class="figure">in {rate(look.inPerSecond)}</div>
        <div class="muted small">out {rate(look.outPerSecond)}</div>
      </Fact>
      <Fact name="Drains in">
        <Drain of={look} />
      </Fact>
      <Fact name="Dead letters">
        <a class="figure" href={pathWith('/failures', { consumer })}>
          {known(deadLetters)}
        </a>
      </Fact>
      <Fact name="Parked keys">
        <a class="figure" href={pathWith('/parked', { consumer })}>
          {known(parked?.keys ?? null)}
        </a>
        {parked !== null && parked.records > 0 && (
          <div class="muted small">
            {plural(parked.records, 'record')}
            {parked.oldestAgeMs !== null && `, the oldest ${duration(parked.oldestAgeMs)} old`}
          </div>
        )}
      </Fact>
      <Fact name="Last deploy">
        {deployedAt === null ? (
          <span class="muted">unknown</span>
        ) : (
          <>
            <div class="figure">
              <Ago at={deployedAt} />
            </div>
            <div class="muted small">{moment(deployedAt)}</div>
          </>
        )}
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Evidence({ look, place }: { readonly look: ConsumerLook; readonly place: Place }) {
  const { consumer, verdict, heldBy, isPaused, deadLetters, parked } = look;
  const command = (...words: readonly string[]) =>
    ['npx millrace', ...words, ...(place.flags === '' ? [] : [place.flags])].join(' ');
  return (
    <div class="evidence">
      <section class={`notice ${needsYou(verdict) ? TONES[verdict].tone : ''}`} aria-label="Why">
        <h2>
          Why <Verdict of={verdict} />
        </h2>
        <ul>
          {look.evidence.map((sentence) => (
            <li key={sentence}>
              <Foreign text={sentence} />
            </li>
          ))}
          {look.evidence.length === 0 && <li>Nothing is wrong with it.</li>}
        </ul>
        {heldBy && (
          <p>
            Held by{' '}
            <code>
              <Foreign text={heldBy} />
            </code>
          </p>
        )}
      </section>
      <section class="card section" aria-label="Commands">
        <h2>In a terminal</h2>
        <Say does="Says more about its lag" command={look.command} />
        {(deadLetters ?? 0) > 0 && (
          <Say does="Groups its dead letters" command={command('dlq triage', '--consumer', consumer)} />
        )}
        {(parked?.keys ?? 0) > 0 && (
          <Say does="Lists its parked keys" command={command('park list', '--consumer', consumer)} />
        )}
        {isPaused ? (
          <Say does="Lets it go on" command={command('resume', consumer)} />
        ) : (
          <Say does="Pauses it: nothing more is read" command={command('pause', consumer)} />
        )}
      </section>
    </div>
  );
}

function Say({ does, command }: { readonly does: string; readonly command: string }) {
  return (
    <div>
      <div class="label">{does}</div>
      <Command text={command} label={does} />
    </div>
  );
}

/** The numbers are those on the chart. */
function Marks({ marks }: { readonly marks: readonly Mark[] }) {
  if (marks.length === 0)
    return <p class="muted small">No deploy, incident or action since the console was started.</p>;
  return (
    <ol class="marks">
      {marks.map(({ at, kind, text }) => (
        <li key={`${at} ${text}`} class={kind}>
          <time dateTime={isoTime(at)}>{moment(at)}</time> <b>{kind}</b> <Foreign text={text} />
        </li>
      ))}
    </ol>
  );
}

/** Enough of them to read; the lines have the rest. */
const ROWS = 40;

function SeriesTable({ series }: { readonly series: Series }) {
  const [isOpen, setOpen] = useState(false);
  const every = Math.max(1, Math.ceil(series.at.length / ROWS));
  const rows = series.at.map((_, at) => at).filter((at) => (series.at.length - 1 - at) % every === 0);
  return (
    <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>The lines in numbers</summary>
      {isOpen && (
        <table class="stack">
          <thead>
            <tr>
              {['Time', 'Lag', 'Oldest unread', 'In', 'Out'].map((title, at) => (
                <th key={title} scope="col" class={at > 0 ? 'number' : ''}>
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.toReversed().map((at) => (
              <tr key={series.at[at]}>
                <th scope="row">{clockTime(series.at[at]!)}</th>
                <td class="number" data-label="Lag">
                  {known(series.lag[at] ?? null)}
                </td>
                <td class="number" data-label="Oldest unread">
                  {series.ageMs[at] === null ? '?' : duration(series.ageMs[at]!)}
                </td>
                <td class="number" data-label="In">
                  {rate(series.inPerSecond[at] ?? null)}
                </td>
                <td class="number" data-label="Out">
                  {rate(series.outPerSecond[at] ?? null)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}

function Generations({
  rows,
  consumer,
  flags,
}: {
  readonly rows: readonly GenerationRow[];
  readonly consumer: string;
  readonly flags: string;
}) {
  return (
    <div class="generations">
      {rows.map(({ name, number, isLive, lag, state, commands }) => (
        <article key={number} class="card section" aria-label={`Generation ${number}`}>
          <div class="row">
            <h3>Generation {number}</h3>
            {isLive && <LiveMark />}
          </div>
          <p class="muted small">
            <Foreign text={name} />: <Foreign text={state} />
            {lag !== null && `, lag ${count(lag)}`}
          </p>
          {commands.map((command) => (
            <Command key={command} text={command} label={`A command of generation ${number}`} />
          ))}
        </article>
      ))}
      {rows.length === 0 && <p class="muted">Its generations cannot be read from here.</p>}
      {rows.length > 0 && rows.every(({ commands }) => commands.length === 0) && (
        <div class="card section">
          <p class="muted small">
            A rebuild fills a new generation beside the live one, until you promote it:
          </p>
          <Command
            text={['npx millrace rebuild', consumer, ...(flags === '' ? [] : [flags])].join(' ')}
            label="The command that rebuilds its tables"
          />
        </div>
      )}
    </div>
  );
}

function LiveMark() {
  return useStale() ? <span class="verdict old">… was live</span> : <span class="verdict good">✓ live</span>;
}

/** More rows than these are shown when asked for: those that are not well always are. */
const PARTITIONS_AT_FIRST = 24;

function Partitions({ partitions }: { readonly partitions: readonly PartitionLook[] }) {
  const [areAllShown, showAll] = useState(false);
  const isUnwell = ({ verdict }: PartitionLook) => TONES[verdict].tone !== 'good';
  const sorted = partitions.toSorted(
    (a, b) => Number(isUnwell(b)) - Number(isUnwell(a)) || a.partition - b.partition,
  );
  const shown = areAllShown
    ? sorted
    : sorted.slice(0, Math.max(PARTITIONS_AT_FIRST, partitions.filter(isUnwell).length));
  if (partitions.length === 0) return <p class="muted">Its partitions are not known.</p>;
  return (
    <div class="card section">
      <Heat partitions={partitions} />
      <table class="stack">
        <thead>
          <tr>
            <th scope="col">Partition</th>
            <th scope="col">Verdict</th>
            <th scope="col" class="number">
              Lag
            </th>
            <th scope="col" class="number">
              Oldest unread
            </th>
            <th scope="col" class="number">
              Committed
            </th>
            <th scope="col" class="number">
              Oldest kept
            </th>
            <th scope="col" class="number">
              Next offset
            </th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((each) => (
            <tr key={each.partition}>
              <th scope="row">{each.partition}</th>
              <td data-label="Verdict">
                <Verdict of={each.verdict} />
              </td>
              <td class="number" data-label="Lag">
                {known(each.lag)}
              </td>
              <td class="number" data-label="Oldest unread">
                {each.ageMs === null ? '?' : each.lag === 0 ? '–' : duration(each.ageMs)}
              </td>
              <td class="number" data-label="Committed">
                {known(each.committed)}
              </td>
              <td class="number" data-label="Oldest kept">
                {known(each.start)}
              </td>
              <td class="number" data-label="Next offset">
                {known(each.end)}
              </td>
              <td data-label="Why">{each.why && <Foreign text={each.why} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < partitions.length && (
        <div>
          <button type="button" onClick={() => showAll(true)}>
            Show all {plural(partitions.length, 'partition')}
          </button>
        </div>
      )}
    </div>
  );
}
