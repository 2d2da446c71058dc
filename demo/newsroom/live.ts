/** What the server tells: pushed where it pushes, asked for where it does not. */
import type { PageAnswer, PageData, PageFreshness } from '../../runtime/page.ts';

export interface Live {
  readonly data: PageData | null;
  readonly freshness: PageFreshness | null;
  /** Why the tables cannot be read; null where they can. */
  readonly problem: string | null;
  /** Whether the server answers. */
  readonly isConnected: boolean;
}

export const NOTHING_YET: Live = { data: null, freshness: null, problem: null, isConnected: true };

const POLL_MS = 5_000;

/** Hears of each change, until the page ends. */
export function follow(onChange: (live: Live) => void): () => void {
  let live: Live = NOTHING_YET;
  const set = (change: Partial<Live>) => {
    live = { ...live, ...change };
    onChange(live);
  };
  const gone = new AbortController();
  const events = new EventSource(new URL('events', document.baseURI));
  const on = (name: 'data' | 'freshness' | 'problem') =>
    events.addEventListener(name, (event) => {
      set({ [name]: JSON.parse((event as MessageEvent<string>).data), isConnected: true });
    });
  on('data');
  on('freshness');
  on('problem');
  events.addEventListener('error', () => {
    // Closed for good: this server has no events.
    if (events.readyState === EventSource.CLOSED) void poll(set, gone.signal);
    else set({ isConnected: false });
  });
  return () => {
    gone.abort();
    events.close();
  };
}

async function poll(set: (change: Partial<Live>) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const answer = await fetch(new URL('data', document.baseURI), { signal });
      if (!answer.ok) throw new Error(String(answer.status));
      set({ problem: null, ...((await answer.json()) as PageAnswer), isConnected: true });
    } catch {
      set({ isConnected: false });
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
