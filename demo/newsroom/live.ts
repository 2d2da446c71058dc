/** What the server tells: pushed where it pushes, asked for where it does not. */
import type { PageAnswer, PageData, PageFreshness } from '../../runtime/page.ts';

export interface Live {
  readonly data: PageData | null;
  readonly freshness: PageFreshness | null;
  /** Why the tables cannot be read; null where they can. */
  readonly problem: string | null;
  /** Whether the server answers. */
  readonly isConnected: boolean;
  /** Whether another one answers in its place, which this page was not opened with. */
  readonly isRestarted: boolean;
}

export const NOTHING_YET: Live = {
  data: null,
  freshness: null,
  problem: null,
  isConnected: true,
  isRestarted: false,
};

const POLL_MS = 5_000;

/** Hears of each change, until the page ends. */
export function follow(onChange: (live: Live) => void): () => void {
  let live: Live = NOTHING_YET;
  const set = (change: Partial<Live>) => {
    live = { ...live, ...change };
    onChange(live);
  };
  const gone = new AbortController();
  let events: EventSource;
  const open = () => {
    events = new EventSource(new URL('events', document.baseURI));
    const on = (name: 'data' | 'freshness' | 'problem') =>
      events.addEventListener(name, (event) => {
        const value = JSON.parse((event as MessageEvent<string>).data);
        set({ [name]: value, isConnected: true, isRestarted: false });
      });
    on('data');
    on('freshness');
    on('problem');
    events.addEventListener('error', () => {
      // Closed for good: this server has no events, or none for this page.
      if (events.readyState === EventSource.CLOSED) void poll(set, open, gone.signal);
      else set({ isConnected: false });
    });
  };
  open();
  return () => {
    gone.abort();
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
    try {
      const answer = await fetch(new URL('data', document.baseURI), { signal });
      if (answer.ok && isRefused) return reopen();
      isRefused = answer.status === 401;
      if (!answer.ok) throw new Error(String(answer.status));
      const known = (await answer.json()) as PageAnswer;
      set({ problem: null, ...known, isConnected: true, isRestarted: false });
    } catch {
      set({ isConnected: false, isRestarted: isRefused });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
