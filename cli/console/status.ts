/** How the consumers are: one watch for all pages, which remembers what it has seen. */
import type { ConsumerLook, Mark, Series, StatusAnswer } from '../../console/operations.ts';
import type { ConsoleContext } from './context.ts';

export interface StatusWatch {
  look(): Promise<StatusAnswer>;
  /** All samples since the console began, and what happened meanwhile. */
  history(consumer: string): { readonly series: Series; readonly marks: readonly Mark[] };
  newest(consumer: string): ConsumerLook | undefined;
  close(): Promise<void>;
}

export async function createStatus({ place }: ConsoleContext): Promise<StatusWatch> {
  return {
    look: async () => ({ at: Date.now(), place, consumers: [], series: {}, problem: null }),
    history: () => ({
      series: { at: [], lag: [], ageMs: [], inPerSecond: [], outPerSecond: [] },
      marks: [],
    }),
    newest: () => undefined,
    async close() {},
  };
}
