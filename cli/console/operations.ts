/** What the console asks, answered by the sessions of the commands: the same code, the same locks, the same audit log. */
import type { Operations } from '../../console/operations.ts';
import type { LoadedApp } from '../app.ts';
import { createActions } from './actions.ts';
import { readAudit } from './audit.ts';
import { type ConsoleContext, type ConsoleOptions, placeOf } from './context.ts';
import { createFailures } from './failures.ts';
import { findInTopic } from './find.ts';
import { consumerDetail } from './ledger.ts';
import { showLetter } from './letter.ts';
import { listParked } from './parked.ts';
import { createStatus } from './status.ts';

/** @throws STATE_UNREADABLE where nothing has run in the folder yet */
export async function createOperations(app: LoadedApp, options: ConsoleOptions): Promise<Operations> {
  const context: ConsoleContext = { app, options, place: placeOf(app, options) };
  const status = await createStatus(context);
  const failures = createFailures(context);
  const actions = createActions(context, failures);
  return {
    place: async () => context.place,
    status: () => status.look(),
    consumer: (name) => consumerDetail(name, context, status),
    groups: (query) => failures.groups(query),
    letters: (query) => failures.letters(query),
    letter: (id, reveal) => showLetter(id, reveal, context),
    parked: (query) => listParked(query, context),
    find: (query, signal) => findInTopic(query, context, signal),
    auditLog: (query) => readAudit(query, context),
    plan: (request) => actions.plan(request),
    start: (request, confirmation) => actions.start(request, confirmation),
    actions: async () => actions.list(),
    steer: async (id, to) => actions.steer(id, to),
    async close() {
      await actions.close();
      await status.close();
    },
  };
}
