import { randomUUID } from 'node:crypto';
import { endPlan } from '../../local/rebuild-journal.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { type Generation, generationName } from '../../runtime/replay/generation.ts';
import { isShadow } from '../../runtime/replay/shadow.ts';
import { confirm } from '../dlq/confirmation.ts';
import { printJson, printLine, printNote, table } from '../terminal.ts';
import { inSession, type Session, type SessionOptions } from './session.ts';

type SwitchOptions = SessionOptions & { readonly mayLose?: number };

/** Has readers see the candidate. */
export async function runPromote(name: string, options: SwitchOptions): Promise<void> {
  await inSession(name, options, async (session) => {
    const all = await rebuildsOf(session);
    const { number, rebuildId } = require(all, 'candidate', name, session.next(['rebuild', name]));
    const live = all.find(({ state }) => state === 'live')!;
    const mayLose = options.mayLose ?? 0;
    printNote(
      [
        `Promote ${generationName(name, number)}: readers see its tables instead of those of ${generationName(name, live.number)}`,
        ...(mayLose > 0 ? [`  lacks   up to ${mayLose} offsets that they see now`] : []),
      ].join('\n'),
    );
    await confirm(options, name);
    const done = await session.audited(
      { id: rebuildId ?? randomUUID(), action: 'promote', plan: { generation: number, mayLose } },
      async () => {
        const { from, to, heldMs } = await session.host.call('promote', { consumer: name, number, mayLose });
        return { from: from.number, to: to.number, heldMs };
      },
    );
    endPlan(session.folder, name);
    printSwitched(name, done, options, `To go back: ${session.next(['rebuild', 'rollback', name])}`);
  });
}

/** Has readers see the previous generation again. */
export async function runRollback(name: string, options: SwitchOptions): Promise<void> {
  await inSession(name, options, async (session) => {
    const all = await session.host.call('generations', { consumer: name });
    const previous = require(all.toReversed(), 'previous', name, session.next(['rebuild', 'list', name]));
    const mayLose = options.mayLose ?? 0;
    printNote(
      [
        `Roll back: readers see the tables of ${generationName(name, previous.number)} again.`,
        ...(mayLose > 0 ? [`  lacks   up to ${mayLose} offsets that they see now`] : []),
      ].join('\n'),
    );
    await confirm(options, name);
    const done = await session.audited(
      { id: randomUUID(), action: 'rollback', plan: { generation: previous.number, mayLose } },
      async () => {
        const { from, to, heldMs } = await session.host.call('rollback', { consumer: name, mayLose });
        return { from: from.number, to: to.number, heldMs };
      },
    );
    endPlan(session.folder, name);
    printSwitched(
      name,
      done,
      options,
      `To delete the other tables: ${session.next(['rebuild', 'drop', name, '--generation', String(done.from)])}`,
    );
  });
}

/** Deletes a generation that is not live. */
export async function runDrop(
  name: string,
  { generation, ...options }: SwitchOptions & { readonly generation?: number },
): Promise<void> {
  await inSession(name, options, async (session) => {
    const all = await rebuildsOf(session);
    const number = generation ?? dropped(all, name, session).number;
    printNote(
      `Drop ${generationName(name, number)}: its tables, its ledger and its dead letters are deleted for good.`,
    );
    await confirm(options, name);
    await session.audited({ id: randomUUID(), action: 'drop', plan: { generation: number } }, () =>
      session.host.call('drop', { consumer: name, number }),
    );
    if (all.find((each) => each.number === number)?.state === 'candidate') endPlan(session.folder, name);
    if (options.json) printJson({ consumer: name, generation: number });
    else printLine(`${generationName(name, number)} is gone.`);
  });
}

/** Without shadow runs, which end by themselves. */
async function rebuildsOf({ host, consumer: { name } }: Session): Promise<readonly Generation[]> {
  return (await host.call('generations', { consumer: name })).filter((each) => !isShadow(each));
}

function dropped(all: readonly Generation[], name: string, { next }: Session): Generation {
  const candidate = all.find(({ state }) => state === 'candidate');
  return candidate ?? require(all, 'previous', name, next(['rebuild', 'list', name]));
}

/** Lists what there is. */
export async function runList(name: string, options: SessionOptions): Promise<void> {
  await inSession(name, options, async ({ host }) => {
    const all = await host.call('generations', { consumer: name });
    if (options.json) return printJson(all);
    const time = (ms: number | null) => (ms === null ? '' : new Date(ms).toISOString().slice(0, 16));
    printLine(
      table(
        [{ title: 'generation' }, { title: 'state' }, { title: 'made' }, { title: 'promoted' }],
        all.map(({ number, state, createdAt, promotedAt }) => [
          generationName(name, number),
          state,
          time(number === 1 ? null : createdAt),
          time(promotedAt),
        ]),
      ),
    );
  });
}

function require(
  all: readonly Generation[],
  state: Generation['state'],
  consumer: string,
  next: string,
): Generation {
  const found = all.find((each) => each.state === state);
  if (found) return found;
  throw new MillraceError(
    'REBUILD_REFUSED',
    `${consumer} has no ${state} generation. Nothing was changed. To ${state === 'candidate' ? 'make one' : 'see what there is'}: ${next}`,
    { details: { consumer } },
  );
}

function printSwitched(
  consumer: string,
  { from, to, heldMs }: { readonly from: number; readonly to: number; readonly heldMs: number },
  { json }: SwitchOptions,
  next: string,
): void {
  if (json) {
    printJson({ consumer, generation: to, from, heldMs });
    return;
  }
  printLine(`Readers see ${generationName(consumer, to)} now; batches waited ${heldMs} ms.`);
  printLine(next);
}
