/** What the server tells: pushed where it pushes, asked for where it does not. */
import type { PageAnswer, PageData, PageFreshness } from '../../runtime/page.ts';

export interface Live {
  readonly data: PageData | null;
  readonly freshness: PageFreshness | null;
  /** Why the tables cannot be read; null where they can. */
  readonly problem: string | null;
  /** Whether the server answers. */
  readonly isConnected: boolean;
  /** When it was last heard of; when the page was opened, before the first time. */
  readonly heardAt: number;
  /** Whether another one answers in its place, which this page was not opened with. */
  readonly isRestarted: boolean;
}

export const NOTHING_YET: Live = {
  data: null,
  freshness: null,
  problem: null,
  isConnected: true,
  heardAt: Date.now(),
  isRestarted: false,
};

const POLL_MS = 5_000;
/** A server tells something each ten seconds at the latest; one that hangs may keep its connection open. */
const SILENT_MS = 12_000;
/** No gateway waits longer for an answer. */
const GIVEN_UP_MS = 30_000;

/** Hears of each change, until the page ends. */
export function follow(onChange: (live: Live) => void): () => void {
  let live: Live = NOTHING_YET;
  const set = (change: Partial<Live>) => {
    live = { ...live, ...change };
    onChange(live);
  };
  const gone = new AbortController();
  let events: EventSource;
  let silent: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    clearTimeout(silent);
    silent = setTimeout(() => {
      set({ isConnected: false });
      // A connection that nothing comes over may lead nowhere any more.
      events.close();
      open();
    }, SILENT_MS);
  };
  const open = () => {
    events = new EventSource(new URL('events', document.baseURI));
    const on = (name: 'data' | 'freshness' | 'problem') =>
      events.addEventListener(name, (event) => {
        listen();
        const value = JSON.parse((event as MessageEvent<string>).data);
        set({ [name]: value, isConnected: true, heardAt: Date.now(), isRestarted: false });
      });
    on('data');
    on('freshness');
    on('problem');
    events.addEventListener('error', () => {
      if (events.readyState !== EventSource.CLOSED) return set({ isConnected: false });
      // Closed for good: this server has no events, or none for this page.
      clearTimeout(silent);
      void poll(set, open, gone.signal);
    });
    listen();
  };
  open();
  return () => {
    gone.abort();
    clearTimeout(silent);
    events.close();
  };
}

/** @param reopen what goes on once a server that refused this page answers it: another tab was opened with its token */
async function poll(
  set: (change: Partial<Live>) => void,
  reopen: () => void,
  signal: AbortSignal,
): Promise<void> {
  let isRefused = false;
  while (!signal.aborted) {
    // By how long an answer takes: between two questions, nobody says anything.
    const silent = setTimeout(() => set({ isConnected: false }), SILENT_MS);
    try {
      const answer = await fetch(new URL('data', document.baseURI), {
        signal: AbortSignal.any([signal, AbortSignal.timeout(GIVEN_UP_MS)]),
      });
      if (answer.ok && isRefused) return reopen();
      isRefused = answer.status === 401;
      if (!answer.ok) throw new Error(String(answer.status));
      const known = (await answer.json()) as PageAnswer;
      set({ problem: null, ...known, isConnected: true, heardAt: Date.now(), isRestarted: false });
    } catch {
      set({ isConnected: false, isRestarted: isRefused });
    } finally {
      clearTimeout(silent);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    await shown();
  }
}

/** Resolves when somebody looks at the page: it asks for nobody else. */
async function shown(): Promise<void> {
  while (document.hidden)
    await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }));
}
