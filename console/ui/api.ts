/** What the page asks its server for. */
import type { Place } from '../operations.ts';

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

const KEPT = 'millrace-csrf';

export function openSession(): Promise<Session> {
  keepWord();
  return read<Session>('/api/session');
}

/** Signing in left the word for writing behind the address. Storage is for this port alone, where cookies are for every one. */
function keepWord(): void {
  const word = /^#csrf=([\w-]+)$/.exec(location.hash)?.[1];
  if (word === undefined) return;
  localStorage.setItem(KEPT, word);
  history.replaceState(null, '', location.pathname + location.search);
}

type Words = Readonly<Record<string, string | number | readonly string[] | undefined | null>>;

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
export async function read<Answer>(path: string, words: Words = {}, signal?: AbortSignal): Promise<Answer> {
  return answerOf(await fetch(pathWith(path, words), { ...(signal && { signal }) }).catch(unreachable));
}

/** @throws CallFailed */
export async function write<Answer>(path: string, body: unknown): Promise<Answer> {
  const headers = {
    'content-type': 'application/json',
    'x-millrace-csrf': localStorage.getItem(KEPT) ?? '',
  };
  return answerOf(
    await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) }).catch(unreachable),
  );
}

async function answerOf<Answer>(response: Response): Promise<Answer> {
  const answer = await response.json();
  if (response.ok) return answer as Answer;
  throw new CallFailed(answer.error.code, answer.error.message);
}

function unreachable(error: Error): never {
  if (error.name === 'AbortError') throw error;
  throw new CallFailed('UNREACHABLE', 'The console does not answer: is its command still running?');
}
