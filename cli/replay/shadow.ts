import { randomUUID } from 'node:crypto';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { generationName } from '../../runtime/replay/generation.ts';
import type { RebuildPlan } from '../../runtime/replay/rebuild.ts';
import type { TableDifference } from '../../runtime/replay/shadow.ts';
import { CommandFailed } from '../command-failed.ts';
import { confirm } from '../dlq/confirmation.ts';
import { watchInterrupts } from '../interrupts.ts';
import { progressLine } from '../progress-line.ts';
import { inSession, type Session, type SessionOptions } from '../rebuild/session.ts';
import { count, plural, printJson, printLine, printNote, table, wrapped } from '../terminal.ts';

export interface ShadowOptions extends SessionOptions {
  readonly fromMs: number;
  readonly toMs: number;
  readonly recordsPerSecond: number | null;
}

const LOOK_MS = 250;
const COLUMNS = 80;
const INTERRUPTED = 130;

/** Runs the consumer over a time into tables of its own, compares those with the live ones, and drops them. */
export async function replayShadow(name: string, options: ShadowOptions): Promise<void> {
  const { fromMs, toMs, recordsPerSecond } = options;
  if (fromMs >= toMs) {
    throw new MillraceError(
      'REPLAY_REFUSED',
      '--from is not before --to, so there is nothing to replay. Give an earlier --from.',
    );
  }
  await inSession(name, options, async (session) => {
    const { host } = session;
    const [from, to] = [fromMs, toMs].map((ms) => new Date(ms).toISOString());
    printNote(
      [
        `Replay ${name} into tables of its own, and compare them with the live ones`,
        `  from    ${from}`,
        `  to      ${to}`,
        '  then    the tables are dropped; the live ones are only read',
      ].join('\n'),
    );
    await confirm(options, name);
    const plan = { kind: 'shadow', from, to };
    const report = await session.audited({ id: randomUUID(), action: 'replay', plan }, async () => {
      const { plan: made, number } = await host.call('shadow', {
        consumer: name,
        fromMs,
        toMs,
        recordsPerSecond,
      });
      try {
        const records = await fill(session, made, number);
        const { isWhole, tables } = await host.call('compare', { plan: made, number });
        return { consumer: name, records, isWhole, tables };
      } finally {
        await host.call('drop', { consumer: name, number });
      }
    });
    if (options.json) printJson(report);
    else print(report);
  });
}

async function fill({ consumer, host }: Session, plan: RebuildPlan, number: number): Promise<number> {
  const interrupts = watchInterrupts();
  const progress = progressLine();
  let isInterrupted = false;
  interrupts.first.then(() => {
    isInterrupted = true;
  });
  try {
    for (;;) {
      const state = await host.call('rebuilding', { plan, number });
      if (state.halted) {
        throw new MillraceError(
          state.halted.code,
          `${generationName(consumer.name, number)} cannot go on: ${state.halted.message} Its tables are dropped.`,
        );
      }
      if (state.isThrough) return state.applied;
      if (isInterrupted) {
        printNote('Stopped: the tables are dropped, and nothing was compared.');
        throw new CommandFailed(INTERRUPTED);
      }
      progress.show(`${count(state.done)} of ${plural(state.total, 'record')}`);
      await systemClock.sleep(LOOK_MS);
    }
  } finally {
    progress.end();
    interrupts.ignore();
  }
}

function print({
  records,
  isWhole,
  tables,
}: {
  readonly records: number;
  readonly isWhole: boolean;
  readonly tables: readonly TableDifference[];
}): void {
  printLine(
    table(
      [
        { title: 'table' },
        ...['same', 'changed', 'missing', 'other'].map((title) => ({ title, align: 'right' as const })),
      ],
      tables.map(({ table: name, ...counts }) => [
        name,
        count(counts.same),
        count(counts.changed),
        count(counts.missing),
        count(counts.other),
      ]),
    ),
  );
  const meaning = isWhole
    ? 'The replay read all that the live tables were made of: rows that differ would come out differently today.'
    : 'The replay read only part of what the live tables were made of: a row that records of other times changed as well may count as changed, and rows of other times as other.';
  for (const line of wrapped(`${plural(records, 'record')} replayed. ${meaning}`, COLUMNS)) printNote(line);
}
