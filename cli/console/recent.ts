/** Answers that may be some seconds old, so that pages that ask again and again cost little. */
import type { Clock } from '../../runtime/ports.ts';

interface RecentOptions {
  /** A younger answer is given again. */
  readonly keptMs: number;
  /** How long a newer one is waited for where there is an older one. */
  readonly patienceMs?: number;
  readonly clock: Pick<Clock, 'now'>;
}

export interface Recent<Answer> {
  readonly answer: Answer;
  /** When it was asked for, in epoch milliseconds. */
  readonly asOf: number;
}

interface Known<Answer> {
  recent?: Recent<Answer>;
  asking?: Promise<Recent<Answer>>;
}

/**
 * Asks for each key once at a time. An error goes to who waits for it, and nobody is given what is older than it.
 */
export function recently<Answer>(
  find: (key: string) => Promise<Answer>,
  { keptMs, patienceMs = 800, clock }: RecentOptions,
): (key: string) => Promise<Recent<Answer>> {
  const all = new Map<string, Known<Answer>>();
  return async (key) => {
    const known: Known<Answer> = all.get(key) ?? {};
    all.set(key, known);
    const { recent } = known;
    if (recent && clock.now() - recent.asOf < keptMs) return recent;
    known.asking ??= (async () => {
      const asOf = clock.now();
      try {
        known.recent = { answer: await find(key), asOf };
        return known.recent;
      } catch (error) {
        all.delete(key);
        throw error;
      } finally {
        delete known.asking;
      }
    })();
    if (!recent) return known.asking;
    const { promise: tired, resolve } = Promise.withResolvers<Recent<Answer>>();
    const timer = setTimeout(resolve, patienceMs, recent);
    return Promise.race([known.asking, tired]).finally(() => clearTimeout(timer));
  };
}
