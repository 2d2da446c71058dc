import type { ActionPlan, ActionRequest, ActionState } from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsoleContext } from './context.ts';
import type { Failures } from './failures.ts';

export interface Actions {
  plan(request: ActionRequest): Promise<ActionPlan>;
  start(request: ActionRequest, confirmation: string): Promise<ActionState>;
  list(): readonly ActionState[];
  steer(id: string, to: 'pause' | 'resume' | 'cancel'): ActionState;
  /** Cancels what is under way, and resolves when it has ended. */
  close(): Promise<void>;
}

export function createActions(_context: ConsoleContext, _failures: Failures): Actions {
  const none = () => new MillraceError('INPUT_INVALID', 'Not built yet.');
  return {
    plan: async () => Promise.reject(none()),
    start: async () => Promise.reject(none()),
    list: () => [],
    steer: () => {
      throw none();
    },
    async close() {},
  };
}
