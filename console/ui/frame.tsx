/** What stands around every page: where this is, how all consumers are, and where else to look. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { StatusAnswer } from '../operations.ts';
import type { Session } from './api.ts';
import { Keys } from './keys.tsx';
import type { Live, Reach } from './live.ts';
import { MOST_TYPED, Verdict } from './parts.tsx';
import { go, type Location } from './place.ts';
import { useTheme } from './theme.ts';
import { brief, count, headline, moment, noAnswer, printable, STARTED_AGAIN, sum } from './words.ts';

interface FrameProps {
  readonly session: Session;
  readonly location: Location;
  readonly live: Live;
  /** The page's name in the URL. */
  readonly page: string;
  readonly children: ComponentChildren;
}

/** Pages that belong to another one of the bar. */
const PARENTS: Readonly<Record<string, string>> = {
  consumers: '',
  group: 'failures',
  letters: 'failures',
  redrive: 'redrives',
};

export function Frame({ session, location, live, page, children }: FrameProps) {
  const { status, reach, isLate } = live;
  const stale = reach.is === 'live' ? '' : 'stale';
  const [areKeysShown, showKeys] = useState(false);
  const { app, at, allowsActions } = session.place;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="bar">
        <a class="home" href="/" aria-label={`${app}: now`}>
          <img src="/assets/icon.svg" alt="" />
          {app}
        </a>
        <span class="at">{at}</span>
        {allowsActions ? (
          <span class="badge acts">actions allowed</span>
        ) : (
          <span class="badge" title="Started without --allow-actions">
            read-only
          </span>
        )}
        <div class="tools">
          <Finder session={session} location={location} />
          <ThemeButton />
          <button type="button" aria-label="Keys" title="Keys (?)" onClick={() => showKeys(true)}>
            ?
          </button>
        </div>
      </header>
      <div class={`tabs ${stale}`}>
        <Pages page={page} status={status} isOld={stale !== '' || status?.problem !== null} />
        <Health status={status} reach={reach} />
      </div>
      <main id="main" tabIndex={-1}>
        <Reached live={live} isNow={page === ''} />
        {isLate && (
          <div class="notice warn" role="alert">
            <strong>The console has not answered for 10 s.</strong> The page still waits. What you asked for
            may happen: look at <a href="/redrives">Redrives</a> and the <a href="/audit">audit log</a> before
            you ask again.
          </div>
        )}
        <div class={`contents ${stale}`}>{children}</div>
      </main>
      <Keys isShown={areKeysShown} show={showKeys} />
    </>
  );
}

function Pages({
  page,
  status,
  isOld,
}: {
  readonly page: string;
  readonly status: StatusAnswer | null;
  readonly isOld: boolean;
}) {
  const letters = status && sum(status.consumers.map(({ deadLetters }) => deadLetters));
  const keys = status && sum(status.consumers.map(({ parked }) => parked?.keys));
  const links: readonly [path: string, title: string, counted?: [number | null, string]][] = [
    ['', 'Now'],
    ['failures', 'Failures', [letters, 'dead letters']],
    ['parked', 'Parked keys', [keys, 'parked keys']],
    ['redrives', 'Redrives'],
    ['audit', 'Audit log'],
  ];
  return (
    <nav aria-label="Pages">
      <ul>
        {links.map(([path, title, counted]) => (
          <li key={path}>
            <a href={`/${path}`} aria-current={path === (PARENTS[page] ?? page) ? 'page' : undefined}>
              {title}
              {counted && (
                <Count value={counted[0]} noun={counted[1]} wasAt={isOld && status ? status.at : null} />
              )}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Count({
  value,
  noun,
  wasAt,
}: {
  readonly value: number | null;
  readonly noun: string;
  /** When it was so, where nobody knows how it is now. */
  readonly wasAt: number | null;
}) {
  if (value === null) return <span class="count" />;
  const text = `${count(value)} ${noun}${wasAt === null ? '' : ` at ${moment(wasAt)}, unknown since`}`;
  return (
    <span class="count">
      <span aria-hidden="true" title={text}>
        {wasAt === null ? brief(value) : '?'}
      </span>
      <span class="hidden-text">{text}</span>
    </span>
  );
}

/** The worst verdict, and how many consumers need somebody: said aloud when it changes. */
function Health({ status, reach }: { readonly status: StatusAnswer | null; readonly reach: Reach }) {
  const worst = status?.consumers[0];
  const isKnown = reach.is === 'live' && status?.problem === null;
  return (
    <div class="health" role="status">
      {worst && (
        <a href="/">
          <Verdict of={isKnown ? worst.verdict : 'UNKNOWN'} isNow />
          <span class="words">
            {isKnown
              ? headline(status.consumers.map(({ verdict }) => verdict))
              : reach.is === 'live'
                ? 'The consumers cannot be read'
                : 'No answer'}
          </span>
        </a>
      )}
    </div>
  );
}

/** That the server is not there, how old the page is therefore, and what to do. */
function Reached({ live: { status, reach }, isNow }: { readonly live: Live; readonly isNow: boolean }) {
  if (reach.is === 'live') return null;
  const asOf = status && ` What you see is as of ${moment(status.at)}.`;
  return (
    <div class="notice warn" role="alert">
      {reach.is === 'restarted' ? (
        <>
          <strong>This page belongs to a console that has ended.</strong> {STARTED_AGAIN}
        </>
      ) : (
        <>
          {/* The Now page has it in its heading. */}
          {!isNow && <strong>{noAnswer(reach.sinceMs)}.</strong>} Is its command still running? The page goes
          on by itself as soon as it answers.
        </>
      )}
      {asOf}
    </div>
  );
}

const ICONS = {
  system: (
    <>
      <circle cx="8" cy="8" r="6" />
      <path class="full" d="M8 2a6 6 0 0 1 0 12Z" />
    </>
  ),
  light: (
    <>
      <circle cx="8" cy="8" r="2.8" />
      <path d="M8 1v1.4M8 13.6V15M1 8h1.4M13.6 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1" />
    </>
  ),
  dark: <path d="M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1Z" />,
} as const;

function ThemeButton() {
  const { theme, next, toNext } = useTheme();
  const label = `Theme: ${theme}. Change it to ${next}.`;
  return (
    <button type="button" aria-label={label} title={label} onClick={toNext}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {ICONS[theme]}
      </svg>
    </button>
  );
}

/** Looks a record up by its key, from every page. */
function Finder({ session, location }: { readonly session: Session; readonly location: Location }) {
  const { topics } = session.place;
  const inUrl = location.query.get('topic') ?? topics[0] ?? '';
  const [topic, setTopic] = useState(inUrl);
  useEffect(() => setTopic(inUrl), [inUrl]);
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const words = new FormData(event.currentTarget as HTMLFormElement);
    const query = new URLSearchParams({ topic: String(words.get('topic')), key: String(words.get('key')) });
    go(`/find?${query}`);
  };
  return (
    <search>
      <form onSubmit={find}>
        {/* Nothing to choose from one. */}
        {topics.length > 1 ? (
          <select
            aria-label="Topic"
            name="topic"
            value={topic}
            onChange={({ currentTarget }) => setTopic(currentTarget.value)}
          >
            {topics.map((each) => (
              <option key={each} value={each}>
                {printable(each)}
              </option>
            ))}
          </select>
        ) : (
          <input type="hidden" name="topic" value={topics[0] ?? ''} />
        )}
        <label class="hidden-text" for="find-key">
          Key
        </label>
        <input
          id="find-key"
          name="key"
          placeholder="Find a key …"
          aria-keyshortcuts="/"
          maxLength={MOST_TYPED}
          required
        />
        <button type="submit">Find</button>
      </form>
    </search>
  );
}
