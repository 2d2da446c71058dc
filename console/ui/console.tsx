/** The console's script: its frame, and which page its URL names. */
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { StatusAnswer } from '../operations.ts';
import { openSession, type Session } from './api.ts';
import { AuditPage } from './pages/audit.tsx';
import { ConsumerPage } from './pages/consumer.tsx';
import { FailuresPage } from './pages/failures.tsx';
import { FindPage } from './pages/find.tsx';
import { GroupPage } from './pages/group.tsx';
import { LetterPage } from './pages/letter.tsx';
import { NowPage } from './pages/now.tsx';
import { ParkedPage } from './pages/parked.tsx';
import { RedrivePage } from './pages/redrive.tsx';
import { Problem } from './parts.tsx';
import { followLinks, go, type Location, useLocation } from './place.ts';
import './style.css';

const PAGES = {
  '': { title: 'Now', of: NowPage },
  consumers: { title: 'Consumer', of: ConsumerPage },
  failures: { title: 'Failures', of: FailuresPage },
  group: { title: 'Failure group', of: GroupPage },
  letters: { title: 'Dead letter', of: LetterPage },
  redrive: { title: 'Redrive', of: RedrivePage },
  parked: { title: 'Parked keys', of: ParkedPage },
  find: { title: 'Find', of: FindPage },
  audit: { title: 'Audit log', of: AuditPage },
} as const;

const LINKS = [
  ['', 'Now'],
  ['failures', 'Failures'],
  ['parked', 'Parked keys'],
  ['redrive', 'Redrives'],
  ['audit', 'Audit log'],
] as const;

function App({ session }: { readonly session: Session }) {
  const location = useLocation();
  const { status, isLive } = useStatus();
  const [name = '', ...rest] = location.path.split('/').slice(1).map(decodeURIComponent);
  const page = name in PAGES ? PAGES[name as keyof typeof PAGES] : undefined;
  const heading = [...rest, page?.title ?? 'Not found'].join(' · ');
  useEffect(() => {
    document.title = `${heading} · ${session.place.app} · Millrace`;
  }, [heading]);
  const Page = page?.of;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="bar">
        <a class="mark" href="/">
          <img src="/assets/icon.svg" alt="" />
          {session.place.app}
          <span class="muted">{session.place.at}</span>
        </a>
        <nav aria-label="Pages">
          {LINKS.map(([path, title]) => (
            <a key={path} href={`/${path}`} aria-current={path === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <Finder session={session} location={location} />
      </header>
      <main id="main" tabIndex={-1}>
        {!isLive && (
          <div class="notice warn" role="alert">
            The console does not answer. What you see is old; it goes on when its command runs again.
          </div>
        )}
        {Page ? (
          <Page session={session} location={location} status={status} rest={rest} />
        ) : (
          <Problem text={`There is no page ${location.path}.`} />
        )}
      </main>
    </>
  );
}

/** Looks a record up by its key, from every page. */
function Finder({ session, location }: { readonly session: Session; readonly location: Location }) {
  const { topics } = session.place;
  const find = (event: SubmitEvent) => {
    event.preventDefault();
    const words = new FormData(event.currentTarget as HTMLFormElement);
    const query = new URLSearchParams({ topic: String(words.get('topic')), key: String(words.get('key')) });
    go(`/find?${query}`);
  };
  return (
    <search class="finder">
      <form class="row" onSubmit={find}>
        <label class="hidden-text" for="find-topic">
          Topic
        </label>
        <select id="find-topic" name="topic" value={location.query.get('topic') ?? topics[0]}>
          {topics.map((topic) => (
            <option key={topic}>{topic}</option>
          ))}
        </select>
        <label class="hidden-text" for="find-key">
          Key
        </label>
        <input id="find-key" name="key" placeholder="Find a key …" required size={12} />
        <button type="submit">Find</button>
      </form>
    </search>
  );
}

/** The newest look at all consumers, pushed as it is made. */
function useStatus(): { readonly status: StatusAnswer | null; readonly isLive: boolean } {
  const [status, setStatus] = useState<StatusAnswer | null>(null);
  const [isLive, setLive] = useState(true);
  useEffect(() => {
    const events = new EventSource('/api/live');
    events.addEventListener('status', ({ data }) => {
      setLive(true);
      setStatus(JSON.parse(data));
    });
    events.addEventListener('error', () => setLive(false));
    return () => events.close();
  }, []);
  return { status, isLive };
}

followLinks();
const root = document.getElementById('app')!;
openSession().then(
  (session) => render(<App session={session} />, root),
  (error: Error) => render(<Problem text={error.message} />, root),
);
