/** The newsroom's page: what is read now, and how fresh that is. */
import '../../console/ui/style.css';
import './newsroom.css';
import { render } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { clockTime, count, isoTime, moment, STARTED_AGAIN, TONES } from '../../console/ui/words.ts';
import type { PageFreshness } from '../../runtime/page.ts';
import { Articles } from './articles.tsx';
import { Bars } from './bars.tsx';
import { follow, type Live, NOTHING_YET } from './live.ts';
import { createPlaces, type Notice, noticeOf, type Picture, pictureOf } from './picture.ts';

const PLACES = 20;

function Newsroom() {
  const [live, setLive] = useState<Live>(NOTHING_YET);
  useEffect(() => follow(setLive), []);
  const nowMs = useClock();
  const { data, freshness, problem, isConnected } = live;
  const picture = useMemo(() => (data ? pictureOf(data) : null), [data]);
  const places = useRef(createPlaces(PLACES));
  const notice = noticeNow(live, nowMs);
  return (
    <div class="page">
      <Masthead picture={picture} live={live} nowMs={nowMs} />
      <main>
        {notice && (
          <Banner
            notice={notice}
            verdict={isConnected && problem === null ? freshness?.verdict : undefined}
          />
        )}
        {picture && picture.newest !== null ? (
          <>
            <Site picture={picture} newest={picture.newest} nowMs={nowMs} />
            <Articles articles={places.current.order(picture.articles, nowMs)} isLive={picture.isLive} />
          </>
        ) : (
          <Nothing isKnown={picture !== null} />
        )}
      </main>
    </div>
  );
}

function noticeNow(live: Live, nowMs: number): Notice | null {
  const { data, freshness, problem, isConnected, heardAt, isRestarted } = live;
  const asOf = data ? [`These numbers are as of ${moment(data.at, nowMs)}.`] : [];
  if (isRestarted)
    return {
      tone: 'bad',
      text: STARTED_AGAIN,
      evidence: asOf,
    };
  if (!isConnected)
    return {
      tone: 'bad',
      text: `Nobody sends numbers any more: nothing was heard since ${moment(heardAt, nowMs)}.`,
      evidence: [
        ...asOf,
        '"millrace up" has ended or hangs, or the network is gone. The page tries again by itself.',
      ],
    };
  if (problem !== null) return { tone: 'bad', text: 'A query of this page is wrong.', evidence: [problem] };
  return noticeOf(freshness, (ms) => moment(ms, nowMs));
}

function useClock(): number {
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return nowMs;
}

function Masthead({
  picture,
  live: { data, freshness, isConnected },
  nowMs,
}: {
  readonly picture: Picture | null;
  readonly live: Live;
  readonly nowMs: number;
}) {
  return (
    <header class="masthead">
      <h1>
        Read <em>now</em>
      </h1>
      <p class="fresh">
        {freshness && isConnected && <VerdictSign freshness={freshness} />}
        {data?.asOf == null || picture?.newest == null ? (
          ''
        ) : !picture.isLive ? (
          <strong>The newest minute is {minute(picture.newest)}</strong>
        ) : (
          <span>
            Counted up to <time dateTime={isoTime(data.asOf)}>{moment(data.asOf, nowMs)}</time>
          </span>
        )}
      </p>
      <p class="clock" aria-hidden="true">
        {clockTime(nowMs).slice(0, 5)}
      </p>
    </header>
  );
}

function VerdictSign({ freshness: { verdict, consumer } }: { readonly freshness: PageFreshness }) {
  const { tone, sign } = TONES[verdict];
  return (
    <span class={`verdict ${tone}`} title={`${consumer}: ${verdict}`}>
      <span aria-hidden="true">{sign}</span>
      {verdict.replace('_', ' ')}
    </span>
  );
}

function Banner({ notice, verdict }: { readonly notice: Notice; readonly verdict: string | undefined }) {
  return (
    <section class={`banner ${notice.tone}`} aria-label="How old the numbers are">
      <p class="says" role="status">
        {verdict !== undefined && <b>{verdict.replace('_', ' ')}:</b>} {notice.text}
      </p>
      {notice.evidence.map((fact) => (
        <p key={fact.slice(0, 20)} class="why">
          {fact.charAt(0).toUpperCase() + fact.slice(1)}
        </p>
      ))}
    </section>
  );
}

function Site({
  picture,
  newest,
  nowMs,
}: {
  readonly picture: Picture;
  readonly newest: number;
  readonly nowMs: number;
}) {
  const { sessions, viewsPerMinute, engagedMs, minutes, isLive } = picture;
  const most = Math.max(...minutes);
  return (
    <section class="site" aria-label="The whole site">
      <dl class="figures">
        <Figure name={isLive ? 'sessions now' : 'sessions, last 5 minutes'} value={count(sessions)} />
        <Figure name="views a minute" value={count(Math.round(viewsPerMinute))} />
        {engagedMs !== null && <Figure name="engaged a view" value={seconds(engagedMs)} />}
      </dl>
      <figure class="hour">
        <Bars
          values={minutes}
          isOpen={isLive}
          label={`Views a minute in the hour to ${moment(newest, nowMs)}: ${count(Math.round(viewsPerMinute))} now, ${count(most)} at most`}
        />
        <figcaption>
          <span>{minute(newest - 59 * 60_000, nowMs)}</span>
          <span>views a minute, {count(most)} at most</span>
          <span>{isLive ? 'now' : minute(newest, nowMs)}</span>
        </figcaption>
      </figure>
    </section>
  );
}

function Figure({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Nothing({ isKnown }: { readonly isKnown: boolean }) {
  return (
    <section class="nothing">
      <h2>{isKnown ? 'Nothing is counted yet' : 'Looking …'}</h2>
      <p>
        {isKnown
          ? 'The first pageview that is consumed appears here within a second.'
          : 'The first numbers come at once where there are any.'}
      </p>
    </section>
  );
}

function seconds(ms: number): string {
  const whole = Math.round(ms / 1_000);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

/** `14:05`, with its day and year where that is not today. */
function minute(ms: number, nowMs = 0): string {
  const date = new Date(ms);
  const time = TIME.format(date);
  if (date.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${DAY.format(date)}, ${time}`;
}

render(<Newsroom />, document.getElementById('app')!);
