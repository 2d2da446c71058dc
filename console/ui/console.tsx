/** The console's script: its frame, and which page its URL names. */
// First, so that what a page says of its own parts counts.
import './style.css';
import './frame.css';
import './pages.css';
import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { StatusAnswer } from '../operations.ts';
import { openSession, type Session } from './api.ts';
import { Frame } from './frame.tsx';
import { AuditPage } from './pages/audit.tsx';
import { ConsumerPage } from './pages/consumer.tsx';
import { FailuresPage } from './pages/failures.tsx';
import { FindPage } from './pages/find.tsx';
import { GroupPage } from './pages/group.tsx';
import { LetterPage } from './pages/letter.tsx';
import { NowPage } from './pages/now.tsx';
import { ParkedPage } from './pages/parked.tsx';
import { RedrivePage } from './pages/redrive.tsx';
import { Problem, Title } from './parts.tsx';
import { followLinks, useLocation } from './place.ts';
import { needsYou, printable } from './words.ts';

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

function App({ session }: { readonly session: Session }) {
  const location = useLocation();
  const { status, isLive } = useStatus();
  const [name = '', ...rest] = location.path.split('/').slice(1).map(decoded);
  const page = name in PAGES ? PAGES[name as keyof typeof PAGES] : undefined;
  const heading = [...rest, page?.title ?? 'Not found'].map(printable).join(' · ');
  const needing = status?.consumers.filter(({ verdict }) => needsYou(verdict)).length ?? 0;
  useEffect(() => {
    document.title = `${needing > 0 ? `(${needing}) ` : ''}${heading} · ${session.place.app} · Millrace`;
  }, [heading, needing]);
  const Page = page?.of;
  return (
    <Frame session={session} location={location} status={status} isLive={isLive} page={name}>
      {Page ? (
        <Page key={location.path} session={session} location={location} status={status} rest={rest} />
      ) : (
        <>
          <Title text="Not found" />
          <Problem text={`There is no page ${location.path}.`} />
        </>
      )}
    </Frame>
  );
}

/** As it is, where it is no text in percent signs. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The newest look at all consumers, pushed as it is made. */
function useStatus(): { readonly status: StatusAnswer | null; readonly isLive: boolean } {
  const [status, setStatus] = useState<StatusAnswer | null>(null);
  const [isLive, setLive] = useState(true);
  useEffect(() => {
    let events: EventSource | undefined;
    // A browser has six connections to a server: pages that nobody looks at leave theirs to the others.
    const follow = () => {
      events?.close();
      if (document.hidden) return;
      events = new EventSource('/api/live');
      events.addEventListener('status', ({ data }) => {
        setLive(true);
        setStatus(JSON.parse(data));
      });
      events.addEventListener('error', () => setLive(false));
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      events?.close();
    };
  }, []);
  return { status, isLive };
}

followLinks();
const root = document.getElementById('app')!;
openSession().then(
  (session) => render(<App session={session} />, root),
  (error: Error) => render(<Problem text={error.message} />, root),
);
