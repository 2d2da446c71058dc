/** The console's script: its frame, and which page its URL names. */
// First, so that what a page says of its own parts counts.
import './style.css';
import './frame.css';
import './pages.css';
import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { openSession, type Session } from './api.ts';
import { Frame } from './frame.tsx';
import { Stale, useLive } from './live.ts';
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

/** By the first word of their paths; with how many words may follow. */
const PAGES = {
  '': { title: 'Now', of: NowPage, words: [0, 0] },
  consumers: { title: 'Consumer', of: ConsumerPage, words: [1, 1] },
  failures: { title: 'Failures', of: FailuresPage, words: [0, 0] },
  group: { title: 'Failure group', of: GroupPage, words: [2, 2] },
  // What is no id of a letter is none that there is: the page says so.
  letters: { title: 'Dead letter', of: LetterPage, words: [1, 100] },
  redrive: { title: 'Redrive', of: RedrivePage, words: [0, 1] },
  redrives: { title: 'Redrives', of: RedrivePage, words: [0, 1] },
  parked: { title: 'Parked keys', of: ParkedPage, words: [0, 0] },
  find: { title: 'Find', of: FindPage, words: [0, 0] },
  audit: { title: 'Audit log', of: AuditPage, words: [0, 0] },
} as const;

/** @returns undefined where the path names no page */
function pageOf(name: string, rest: readonly string[]) {
  if (!Object.hasOwn(PAGES, name)) return undefined;
  const page = PAGES[name as keyof typeof PAGES];
  return rest.length >= page.words[0] && rest.length <= page.words[1] ? page : undefined;
}

function App({ session }: { readonly session: Session }) {
  const location = useLocation();
  const live = useLive();
  const { status, reach } = live;
  const isLive = reach.is === 'live';
  // A slash at the end names nothing more.
  const [name = '', ...rest] = location.path.replace(/\/+$/, '').split('/').slice(1).map(decoded);
  const page = pageOf(name, rest);
  const heading = [...rest, page?.title ?? 'Not found'].map(printable).join(' · ');
  const needing = status?.consumers.filter(({ verdict }) => needsYou(verdict)).length ?? 0;
  const state = isLive ? (needing > 0 ? `(${needing}) ` : '') : '(no answer) ';
  useEffect(() => {
    document.title = `${state}${heading} · ${session.place.app} · Millrace`;
  }, [heading, state]);
  const Page = page?.of;
  return (
    <Stale value={!isLive}>
      <Frame session={session} location={location} live={live} page={name}>
        {Page ? (
          <Page
            key={location.path}
            session={session}
            location={location}
            status={status}
            reach={reach}
            rest={rest}
          />
        ) : (
          <>
            <Title text="Not found" />
            <Problem text={`There is no page ${location.path}.`} />
          </>
        )}
      </Frame>
    </Stale>
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

followLinks();
const root = document.getElementById('app')!;
openSession().then(
  (session) => render(<App session={session} />, root),
  (error: Error) => render(<Problem text={error.message} />, root),
);
