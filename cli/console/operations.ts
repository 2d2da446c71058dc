/** What the console asks, answered by the sessions of the commands: the same code, the same locks, the same audit log. */
import type { Operations } from '../../console/operations.ts';
import type { LoadedApp } from '../app.ts';
import { createActions } from './actions.ts';
import { createAuditLog } from './audit.ts';
import { type ConsoleContext, type ConsoleOptions, placeOf } from './context.ts';
import { createFailures } from './failures.ts';
import { findInTopic } from './find.ts';
import { createConsumerDetail } from './ledger.ts';
import { showLetter } from './letter.ts';
import { createParkedList } from './parked.ts';
import { createStatus } from './status.ts';

/** Where nothing has run yet, its answers say so until something has. */
export async function createOperations(app: LoadedApp, options: ConsoleOptions): Promise<Operations> {
  const context: ConsoleContext = { app, options, place: placeOf(app, options) };
  const status = await createStatus(context);
  const auditLog = createAuditLog(context);
  const detail = createConsumerDetail(context, status, auditLog);
  const parked = createParkedList(context);
  const failures = createFailures(context);
  const actions = createActions(context, failures);
  return {
    place: async () => context.place,
    status: () => status.look(),
    consumer: (name) => detail(name),
    groups: (query) => failures.groups(query),
    letters: (query) => failures.letters(query),
    letter: (id, reveal) => showLetter(id, reveal, context, failures),
    parked: (query) => parked(query),
    find: (query, signal) => findInTopic(query, context, signal),
    auditLog: (query) => auditLog.page(query),
    plan: (request) => actions.plan(request),
    start: (planId, request, confirmation) => actions.start(planId, request, confirmation),
    actions: async () => actions.list(),
    steer: async (id, to) => actions.steer(id, to),
    async close() {
      await actions.close();
      await failures.close();
      await status.close();
    },
  };
}
