/** What the server pushes, and whether it is there at all. */
import { createContext } from 'preact';
import { useContext, useEffect, useState } from 'preact/hooks';
import type { StatusAnswer } from '../operations.ts';
import { CallFailed, followLate, openSession, RESTARTED } from './api.ts';

/** Where the server is: there, gone since a time, or another one than the page was opened with. */
export type Reach = { readonly is: 'live' } | { readonly is: 'gone' | 'restarted'; readonly sinceMs: number };

export interface Live {
  /** The newest sample of all consumers; null before the first. */
  readonly status: StatusAnswer | null;
  readonly reach: Reach;
  /** Whether something that was asked to happen has no answer yet, after a while. */
  readonly isLate: boolean;
}

/** A sample comes each two seconds; what is silent this long does not answer, though its connection stands. */
const SILENT_MS = 20_000;
const AGAIN_MS = 3_000;
const PROBE_MS = 5_000;

/** Follows the samples until the page ends. The browser's own stream gives up at a refusal and does not say which: we ask. */
export function useLive(): Live {
  const [status, setStatus] = useState<StatusAnswer | null>(null);
  const [reach, setReach] = useState<Reach>({ is: 'live' });
  const [isLate, setLate] = useState(false);
  useEffect(() => followLate(setLate), []);
  useEffect(() => {
    let events: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let heardAt = Date.now();
    const lost = (is: 'gone' | 'restarted') =>
      setReach((before) =>
        before.is === is ? before : { is, sinceMs: before.is === 'live' ? heardAt : before.sinceMs },
      );
    const wait = (ms: number, then: () => void) => {
      clearTimeout(timer);
      timer = setTimeout(then, ms);
    };
    const follow = () => {
      events?.close();
      clearTimeout(timer);
      // A browser has six connections to a server: pages that nobody looks at leave theirs to the others.
      if (document.hidden) return;
      heardAt = Date.now();
      events = new EventSource('/api/live');
      events.addEventListener('status', ({ data }) => {
        heardAt = Date.now();
        wait(SILENT_MS, probe);
        setReach((before) => (before.is === 'live' ? before : { is: 'live' }));
        setStatus(JSON.parse(data));
      });
      events.addEventListener('error', probe);
      wait(SILENT_MS, probe);
    };
    const probe = async () => {
      events?.close();
      clearTimeout(timer);
      const is = await reachNow();
      if (is !== 'live') lost(is);
      else if (Date.now() - heardAt >= SILENT_MS) lost('gone');
      if (document.hidden) return;
      wait(AGAIN_MS, is === 'live' ? follow : probe);
    };
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      document.removeEventListener('visibilitychange', follow);
      clearTimeout(timer);
      events?.close();
    };
  }, []);
  return { status, reach, isLate };
}

async function reachNow(): Promise<Reach['is']> {
  try {
    await openSession(AbortSignal.timeout(PROBE_MS));
    return 'live';
  } catch (error) {
    return error instanceof CallFailed && error.code === RESTARTED ? 'restarted' : 'gone';
  }
}

/** Whether what a part shows was so, and nobody knows whether it still is. */
export const Stale = createContext(false);

export function useStale(): boolean {
  return useContext(Stale);
}
