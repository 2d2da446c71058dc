/** Lists that filter and page: their whole state is in the URL, so that back, forward and a copied link work. */
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Page, Place } from '../operations.ts';
import { pathWith, read, type Words } from './api.ts';
import type { PageProps } from './page.ts';
import { Foreign, TextField, useLoaded } from './parts.tsx';
import { go, type Location } from './place.ts';
import { count, duration, isoTime, moment, plural, printable } from './words.ts';

/** Long enough that a word is one question, short enough that nobody waits for it. */
const TYPING_MS = 120;
const DAY_MS = 86_400_000;
const REFRESH_MS = 5_000;

/** The same page with these words of its query changed; of a list that begins at its first page again. */
export function hrefWith(location: Location, changes: Words): string {
  const words = new Map<string, string[]>();
  for (const [name, value] of location.query) words.set(name, [...(words.get(name) ?? []), value]);
  return pathWith(location.path, { ...Object.fromEntries(words), cursor: undefined, ...changes });
}

/**
 * A text that follows the URL, and that the URL follows once nobody has typed for a moment. Until then it is the person's own: what
 * the URL has by then is older.
 */
function useTyped(location: Location, name: string): readonly [string, (text: string) => void] {
  const inUrl = location.query.get(name) ?? '';
  const [text, setText] = useState(inUrl);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  /** What the URL has by the text itself. */
  const sent = useRef(inUrl);
  const latest = useRef(location);
  latest.current = location;
  useLayoutEffect(() => {
    if (inUrl === sent.current || timer.current !== undefined) return;
    sent.current = inUrl;
    setText(inUrl);
  }, [inUrl]);
  const stop = () => {
    clearTimeout(timer.current);
    timer.current = undefined;
  };
  useEffect(() => stop, [location.path]);
  const type = (typed: string) => {
    setText(typed);
    stop();
    timer.current = setTimeout(() => {
      timer.current = undefined;
      sent.current = typed;
      go(hrefWith(latest.current, { [name]: typed }), true);
    }, TYPING_MS);
  };
  return [text, type];
}

/** What narrows a list down. */
/** What a URL says of a list. */
export function listWords({ query }: Location) {
  return { consumer: query.get('consumer'), search: query.get('search'), cursor: query.get('cursor') };
}

/** A page of a list, read again for as long as somebody looks. */
export function useList<Item>(path: string, words: Words) {
  return useLoaded<Page<Item>>(JSON.stringify(words), (signal) => read(path, words, signal), REFRESH_MS);
}

export function Filters({
  session,
  location,
  search,
  sorts,
  isOfOneConsumer = false,
}: Pick<PageProps, 'session' | 'location'> & {
  /** What can be searched for, as the field's hint. */
  readonly search: string;
  readonly sorts?: Readonly<Record<string, string>>;
  readonly isOfOneConsumer?: boolean;
}) {
  const [typed, type] = useTyped(location, 'search');
  const ofConsumer = location.query.get('consumer') ?? '';
  // Letters of a consumer that the app no longer has are there, too.
  const consumers = [...new Set([...session.place.consumers, ofConsumer])].filter((name) => name !== '');
  const choose = (name: string) => (event: Event) =>
    go(hrefWith(location, { [name]: (event.currentTarget as HTMLSelectElement).value }), true);
  return (
    <search class="filters">
      <TextField class="grows" label="Search" isSearch value={typed} placeholder={search} onText={type} />
      {!isOfOneConsumer && consumers.length > 1 && (
        <label class="field">
          <span>Consumer</span>
          <select value={ofConsumer} onChange={choose('consumer')}>
            <option value="">All consumers</option>
            {consumers.map((name) => (
              <option key={name} value={name}>
                {printable(name)}
              </option>
            ))}
          </select>
        </label>
      )}
      {sorts && (
        <label class="field">
          <span>Order</span>
          <select value={location.query.get('sort') ?? Object.keys(sorts)[0]} onChange={choose('sort')}>
            {Object.entries(sorts).map(([value, title]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
        </label>
      )}
    </search>
  );
}

/** The command that lists the same. A consumer that the app does not have is left out: a link can hold anything. */
export function commandFor(words: string, consumer: string | null, { consumers, flags }: Place): string {
  const ofOne = consumer !== null && consumers.includes(consumer) ? `--consumer ${consumer}` : '';
  return ['npx millrace', words, ofOne, flags].filter((each) => each !== '').join(' ');
}

/** Where in a list this is, and the way on. The links push, so that back is the page before. */
export function Pages<Item>({
  page,
  location,
  noun,
  several,
}: {
  readonly page: Page<Item>;
  readonly location: Location;
  readonly noun: string;
  readonly several?: string;
}) {
  if (isUnread(page)) return null;
  const isFirst = !location.query.has('cursor');
  if (isFirst && page.next === null && page.items.length === page.total) return null;
  return (
    <nav class="pages" aria-label={`Pages of ${several ?? `${noun}s`}`}>
      <span class="muted">
        {count(page.items.length)} of {plural(page.total, noun, several)} on this page
      </span>
      {!isFirst && (
        <a class="button" href={hrefWith(location, {})}>
          First page
        </a>
      )}
      {page.next !== null && (
        <a class="button" rel="next" href={hrefWith(location, { cursor: page.next })}>
          Next page
        </a>
      )}
    </nav>
  );
}

/** How many there are, and how old the answer is. Read out when it changes, and not at each refresh. */
export function Total<Item>({
  page,
  noun,
  several,
}: {
  readonly page: Page<Item>;
  readonly noun: string;
  readonly several?: string;
}) {
  // Of a list that cannot be read, nobody knows how many there are.
  if (isUnread(page)) return null;
  return (
    <p class="muted">
      <span role="status">
        {page.problem === null ? '' : 'at least '}
        {plural(page.total, noun, several)}
      </span>
      , as of {moment(page.asOf)}
    </p>
  );
}

/** Whether nothing of a list could be read: that is no empty list. */
export function isUnread<Item>({ problem, total }: Page<Item>): boolean {
  return problem !== null && total === 0;
}

/**
 * What a list holds, and what of it could not be read.
 * @param empty what stands for a list with nothing in it; neither a list that cannot be read nor a page behind the end is that
 */
export function Listed<Item>({
  page,
  location,
  empty,
  children,
}: {
  readonly page: Page<Item>;
  readonly location: Location;
  readonly empty: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <>
      {page.problem !== null && (
        <div class={`notice ${isUnread(page) ? 'bad' : 'warn'}`} role="status">
          <strong>{isUnread(page) ? '✕ This cannot be read.' : '▲ This list is not whole.'}</strong>{' '}
          <Foreign class="lines" text={page.problem} />
        </div>
      )}
      {page.items.length > 0 ? (
        children
      ) : isUnread(page) ? null : page.total > 0 ? (
        <div class="notice">
          The list has become shorter, and ends before this page.{' '}
          <a href={hrefWith(location, {})}>Show its first page</a>
        </div>
      ) : (
        empty
      )}
    </>
  );
}

/** A time, and how long ago it is. */
export function When({ at }: { readonly at: number }) {
  const iso = isoTime(at);
  if (iso === undefined) return <span class="muted">unknown</span>;
  return (
    <time dateTime={iso} title={iso}>
      {moment(at)} <span class="muted">({duration(Date.now() - at)} ago)</span>
    </time>
  );
}

/** When the store deletes something: a warning on its last day. */
export function Expiry({ at }: { readonly at: number | null }) {
  if (at === null) return <>never</>;
  if (isoTime(at) === undefined) return <span class="muted">unknown</span>;
  const left = at - Date.now();
  const text = left <= 0 ? 'now' : `in ${duration(left)}`;
  if (left > DAY_MS) return <>{text}</>;
  return (
    <strong class="soon">
      <span aria-hidden="true">▲ </span>
      {text}
    </strong>
  );
}

/** How many came when: bars of equal length of time. @param label what a screen reader says instead */
export function Histogram({ values, label }: { readonly values: readonly number[]; readonly label: string }) {
  const most = Math.max(...values, 1);
  const bars = values
    .map((value, at) => {
      const height = value === 0 ? 0 : Math.max(2, (value / most) * 30);
      return `M${at * 4} 31v${-height.toFixed(1)}h3v${height.toFixed(1)}z`;
    })
    .join('');
  return (
    <svg
      class="histogram"
      viewBox={`0 0 ${values.length * 4 - 1} 32`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path class="base" d={`M0 31.5h${values.length * 4}`} />
      <path d={bars} />
    </svg>
  );
}
