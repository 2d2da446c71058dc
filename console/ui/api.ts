/** What the page asks its server for. */
import type { Place } from '../operations.ts';
import { STARTED_AGAIN } from './words.ts';

export interface Session {
  readonly place: Place;
}

/** An answer that is no answer: what the server says of it, in words. */
export class CallFailed extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Codes of the page's own, beside those of the server. */
export const UNREACHABLE = 'UNREACHABLE';
export const RESTARTED = 'RESTARTED';

const KEPT = 'millrace-csrf';
/** What the address named, as long as the server has not said whether it is right. */
const NAMED = 'millrace-csrf-named';
/** A person who waits this long for what they started is told so. */
const LATE_MS = 10_000;
const LATE = 'millrace:late';

/** @throws CallFailed */
export async function openSession(signal?: AbortSignal): Promise<Session> {
  await keepWord(signal);
  return read<Session>('/api/session', {}, signal);
}

/**
 * Signing in left the word for writing behind the address. Storage is for this port alone, where cookies are for every one.
 * Any page can open an address with a word of its own: one that the server does not know takes the place of none. Until the server
 * has said so, it is the tab's own, which may go on to another page.
 */
async function keepWord(signal?: AbortSignal): Promise<void> {
  const named = /^#csrf=([\w-]+)$/.exec(location.hash)?.[1];
  if (named !== undefined) {
    sessionStorage.setItem(NAMED, named);
    history.replaceState(null, '', location.pathname + location.search);
  }
  const word = sessionStorage.getItem(NAMED);
  if (word === null) return;
  const asked = { method: 'POST', headers: headersWith(word), body: '{}', ...(signal && { signal }) };
  try {
    await answered(fetch('/api/session', asked));
    localStorage.setItem(KEPT, word);
  } catch (error) {
    if (!(error instanceof CallFailed) || error.code === UNREACHABLE) return;
  }
  sessionStorage.removeItem(NAMED);
}

function headersWith(word: string): Readonly<Record<string, string>> {
  return { 'content-type': 'application/json', 'x-millrace-csrf': word };
}

export type Words = Readonly<Record<string, string | number | readonly string[] | undefined | null>>;

/** `/api/groups?consumer=a`: without what is undefined, null or empty. */
export function pathWith(path: string, words: Words): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(words)) {
    for (const each of [value].flat())
      if (each !== undefined && each !== null && each !== '') query.append(name, String(each));
  }
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

/** @throws CallFailed */
export function read<Answer>(path: string, words: Words = {}, signal?: AbortSignal): Promise<Answer> {
  return answered(fetch(pathWith(path, words), { ...(signal && { signal }) }));
}

let late = 0;

/** @throws CallFailed */
export async function write<Answer>(path: string, body: unknown): Promise<Answer> {
  const headers = headersWith(localStorage.getItem(KEPT) ?? '');
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    tellLate(1);
  }, LATE_MS);
  try {
    return await answered(fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }));
  } finally {
    clearTimeout(timer);
    if (isLate) tellLate(-1);
  }
}

function tellLate(more: 1 | -1): void {
  late += more;
  dispatchEvent(new Event(LATE));
}

/** Hears whether something that was asked to happen has no answer for ten seconds. @returns what ends it */
export function followLate(onChange: (isLate: boolean) => void): () => void {
  const tell = () => onChange(late > 0);
  addEventListener(LATE, tell);
  return () => removeEventListener(LATE, tell);
}

async function answered<Answer>(asked: Promise<Response>): Promise<Answer> {
  let response: Response;
  let text: string;
  try {
    response = await asked;
    text = await response.text();
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new CallFailed(UNREACHABLE, 'The console does not answer: is its command still running?');
  }
  const answer = jsonOf(text);
  if (response.ok && answer !== undefined) return answer as Answer;
  throw failureOf(response.status, answer);
}

/** What an answer that is a failure means: in the server's words, or in ours where it has none. */
function failureOf(status: number, answer: unknown): CallFailed {
  if (status === 401) return new CallFailed(RESTARTED, STARTED_AGAIN);
  const { code, message } =
    (
      answer as
        | { readonly error?: { readonly code?: unknown; readonly message?: unknown } }
        | null
        | undefined
    )?.error ?? {};
  if (typeof code === 'string' && typeof message === 'string') return new CallFailed(code, message);
  // Node's own answers to a request line and headers of more than 16 kB.
  if (status === 414 || status === 431)
    return new CallFailed('TOO_LONG', 'That is too long to ask for. Ask for fewer characters.');
  return new CallFailed(
    'UNREADABLE',
    `The console gave an answer that this page cannot read (HTTP ${status}). Reload the page. If it stays, look at the terminal of the console.`,
  );
}

/** @returns undefined where it is none */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
