/** Small parts that several pages have. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Verdict as VerdictName } from '../operations.ts';
import { CallFailed, RESTARTED, UNREACHABLE } from './api.ts';
import { useStale } from './live.ts';
import { hasMoved } from './place.ts';
import { duration, isoTime, moment, printable, TONES } from './words.ts';

/**
 * A page's heading, and what stands beside it. Each page shows one, at once: whoever came here from another page is led to it,
 * so that a screen reader says where they are.
 */
export function Title({
  text,
  children,
}: {
  readonly text: ComponentChildren;
  readonly children?: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (hasMoved()) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <header class="title">
      <h1 ref={heading} tabIndex={-1}>
        {text}
      </h1>
      {children}
    </header>
  );
}

/** How long ago something was; the moment itself on a closer look. */
export function Ago({ at, nowMs = Date.now() }: { readonly at: number; readonly nowMs?: number }) {
  const ms = nowMs - at;
  const iso = isoTime(at);
  if (iso === undefined) return <span class="muted">unknown</span>;
  return (
    <time dateTime={iso} title={moment(at, nowMs)}>
      {duration(ms < 60_000 ? ms : ms - (ms % 60_000))} ago
    </time>
  );
}

/** Keeps the keyboard inside, and gives it back at its end. Escape and the button close it. */
export function Dialog({
  isOpen,
  title,
  onClose,
  children,
}: {
  readonly isOpen: boolean;
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const { current } = dialog;
    if (isOpen && !current?.open) current?.showModal();
    else if (!isOpen) current?.close();
  }, [isOpen]);
  return (
    <dialog ref={dialog} aria-label={title} onClose={onClose}>
      <header class="top">
        <h2>{title}</h2>
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      </header>
      {isOpen && children}
    </dialog>
  );
}

/** @param isNow it holds now, though the server's word for it is old */
export function Verdict({ of, isNow = false }: { readonly of: VerdictName; readonly isNow?: boolean }) {
  const isOld = useStale() && !isNow;
  const { tone, sign } = TONES[of];
  return (
    <span class={`verdict ${isOld ? 'old' : tone}`}>
      <span aria-hidden="true">{isOld ? '…' : sign}</span>
      {isOld && 'was '}
      {of.replace('_', ' ')}
    </span>
  );
}

/** A question longer than this is no question, and no server takes it. */
export const MOST_TYPED = 400;

/** A field that takes so much and says when that is full: what does not fit is not left out in silence. */
export function TextField({
  label,
  class: name = '',
  isSearch = false,
  onText,
  ...given
}: {
  readonly label: string;
  readonly class?: string;
  readonly isSearch?: boolean;
  readonly name?: string;
  readonly defaultValue?: string;
  readonly value?: string;
  readonly placeholder?: string;
  readonly size?: number;
  onText?(text: string): void;
}) {
  const [isFull, setFull] = useState((given.defaultValue ?? given.value ?? '').length >= MOST_TYPED);
  return (
    <label class={`field ${name}`}>
      <span>{label}</span>
      <input
        {...given}
        {...(isSearch ? ({ type: 'search' } as const) : ({ type: 'text' } as const))}
        maxLength={MOST_TYPED}
        onInput={({ currentTarget: { value } }) => {
          setFull(value.length >= MOST_TYPED);
          onText?.(value);
        }}
      />
      <span class="full" role="status">
        {isFull && `${MOST_TYPED} characters at most: what comes after them is left out.`}
      </span>
    </label>
  );
}

/** A command of the CLI that does or shows the same, to copy. */
export function Command({ text, label = 'Command' }: { readonly text: string; readonly label?: string }) {
  const [isCopied, setCopied] = useState(false);
  const shown = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 2_000);
    } catch {
      // The browser keeps its clipboard to itself: what is selected can be copied by hand.
      getSelection()?.selectAllChildren(shown.current!);
    }
  };
  return (
    <fieldset class="command" aria-label={label}>
      <code ref={shown} dir="ltr">
        {printable(text)}
      </code>
      <button type="button" onClick={copy}>
        {isCopied ? 'Copied' : 'Copy'}
      </button>
      <span class="hidden-text" role="status">
        {isCopied && 'Copied'}
      </span>
    </fieldset>
  );
}

/** A browser takes seconds to lay out a line of 1 MB; the commands have all of it. */
const MOST_SHOWN = 10_000;

/** Text that somebody else wrote, and of which no part is markup. */
export function Foreign({ text, class: name = '' }: { readonly text: string; readonly class?: string }) {
  const more = text.length - MOST_SHOWN;
  return (
    <bdi class={name} dir="auto">
      {printable(text.slice(0, MOST_SHOWN))}
      {more > 0 && ` … and ${more.toLocaleString('en-US')} more characters`}
    </bdi>
  );
}

/** @param label what a screen reader says instead */
export function Sparkline({
  values,
  label,
}: {
  readonly values: readonly (number | null)[];
  readonly label: string;
}) {
  const known = values.flatMap((value) => (value === null ? [] : [value]));
  if (known.length < 2) return <span class="muted">…</span>;
  const most = Math.max(...known, 1);
  const points = values.flatMap((value, at): [number, number][] =>
    value === null ? [] : [[(at / (values.length - 1)) * 100, 30 - (value / most) * 28]],
  );
  const line = points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
  return (
    <svg class="spark" viewBox="0 0 100 32" preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="area" d={`${line}L${points.at(-1)![0]} 32L${points[0]![0]} 32Z`} />
      <path d={line} />
    </svg>
  );
}

/** What an asking for something is at. */
export type Loaded<Value> =
  | { readonly value: Value; readonly error?: undefined; readonly isLoading: boolean }
  | { readonly value?: never; readonly error: CallFailed; readonly isLoading: boolean }
  | { readonly value?: never; readonly error?: undefined; readonly isLoading: true };

/**
 * Asks again whenever `key` changes, and each `everyMs` while somebody looks at the page. Shows what was there until the answer
 * comes.
 * @param key what the answer depends on; null asks nothing
 */
export function useLoaded<Value>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<Value>,
  everyMs?: number,
): Loaded<Value> & { reload(): void } {
  const [loaded, setLoaded] = useState<Loaded<Value>>({ isLoading: true });
  const [times, setTimes] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    if (key === null) return;
    const gone = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isAsking = false;
    setLoaded((before) => ({ ...before, isLoading: true }) as Loaded<Value>);
    const ask = async () => {
      isAsking = true;
      try {
        const value = await latest.current(gone.signal);
        if (!gone.signal.aborted) setLoaded({ value, isLoading: false });
      } catch (error) {
        if (gone.signal.aborted) return;
        const failed = error instanceof CallFailed ? error : new CallFailed('UNEXPECTED', String(error));
        // Every page says that the console does not answer; what is there is still worth reading.
        setLoaded((before) =>
          [UNREACHABLE, RESTARTED].includes(failed.code) && before.value !== undefined
            ? { value: before.value, isLoading: false }
            : { error: failed, isLoading: false },
        );
      } finally {
        isAsking = false;
      }
      if (everyMs !== undefined && !gone.signal.aborted && !document.hidden) timer = setTimeout(ask, everyMs);
    };
    const look = () => {
      clearTimeout(timer);
      if (everyMs !== undefined && !document.hidden && !isAsking) void ask();
    };
    void ask();
    document.addEventListener('visibilitychange', look);
    return () => {
      gone.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [key, everyMs, times]);
  return { ...loaded, reload: () => setTimes((before) => before + 1) };
}

/** The value, or why it is not there. */
export function Showing<Value>({
  loaded,
  children,
}: {
  readonly loaded: Loaded<Value>;
  readonly children: (value: Exclude<Value, undefined>) => ComponentChildren;
}) {
  if (loaded.error) return <Problem code={loaded.error.code} text={loaded.error.message} />;
  if (loaded.value === undefined) return <p class="muted">Loading …</p>;
  return <>{children(loaded.value as Exclude<Value, undefined>)}</>;
}

export function Problem({ code, text }: { readonly code?: string; readonly text: string }) {
  return (
    <div class="notice bad" role="alert">
      <Foreign text={text} /> {code && <code>[{code}]</code>}
    </div>
  );
}
