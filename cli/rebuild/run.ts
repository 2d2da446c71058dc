import { systemClock } from '../../adapters/system/system-clock.ts';
import type { RebuildState } from '../../local/generation-calls.ts';
import { endPlan, readPlan, writePlan } from '../../local/rebuild-journal.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { type Generation, generationName } from '../../runtime/replay/generation.ts';
import type { RebuildPlan } from '../../runtime/replay/rebuild.ts';
import { CommandFailed } from '../command-failed.ts';
import { confirm } from '../dlq/confirmation.ts';
import { type Interrupts, watchInterrupts } from '../interrupts.ts';
import { progressLine } from '../progress-line.ts';
import { count, duration, plural, printJson, printLine, printNote } from '../terminal.ts';
import { inSession, type Session, type SessionOptions } from './session.ts';

export interface RebuildOptions extends SessionOptions {
  /** Epoch milliseconds; null for as much history as there is. */
  readonly fromMs: number | null;
  readonly recordsPerSecond: number | null;
  readonly promote?: true;
  readonly mayLose?: number;
}

const LOOK_MS = 250;
const INTERRUPTED = 130;
/** From here the candidate has the rest within the time that a promote holds the live consumer's batches. */
const NEARLY_CAUGHT_UP = 10_000;
const PROMOTE_TRIES = 10;

/** Fills a new generation until it has caught up, and promotes it if that is asked for. The same again goes on after a kill. */
export async function runRebuild(name: string, options: RebuildOptions): Promise<void> {
  const startedAt = performance.now();
  await inSession(name, options, async (session) => {
    const { folder, host } = session;
    const kept = readPlan(folder, name) ?? null;
    const plan = await host.call('planRebuild', { consumer: name, fromMs: options.fromMs, kept });
    const isResumed = kept?.id === plan.id;
    const mayLose = options.promote ? lossAllowed(plan, options, session) : 0;
    printPlan(plan, isResumed, options);
    await confirm(options, name);
    writePlan(folder, plan);

    const interrupts = watchInterrupts();
    try {
      const done = await session.audited(
        { id: plan.id, action: 'rebuild', plan: summaryOf(plan) },
        async () => ({ ...(await fill(session, plan, options, interrupts)) }),
      );
      const isPromoted = options.promote === true;
      if (isPromoted) await promote(session, plan, done.generation, mayLose, options, interrupts);
      if (isPromoted) endPlan(folder, name);
      const elapsedMs = Math.round(performance.now() - startedAt);
      const report = {
        consumer: name,
        generation: done.generation,
        records: done.records,
        promoted: isPromoted,
        elapsedMs,
      };
      if (options.json) printJson(report);
      else printEnd(report, done, session);
    } finally {
      interrupts.ignore();
    }
  });
}

/** How many offsets a promote may lose; a person who types the name has read the number. */
function lossAllowed(
  { missing, fromMs }: RebuildPlan,
  { yes, mayLose, recordsPerSecond }: RebuildOptions,
  { consumer, next }: Session,
): number {
  if (mayLose !== undefined) return mayLose;
  if (missing === 0 || !yes) return missing;
  const same = [
    ...(fromMs === null ? [] : ['--from', new Date(fromMs).toISOString()]),
    ...(recordsPerSecond === null ? [] : ['--rate', String(recordsPerSecond)]),
  ];
  throw new MillraceError(
    'REBUILD_REFUSED',
    `The rebuild of ${consumer.name} would lack ${plural(missing, 'offset')} that the live tables have: the log has lost them, or --from ` +
      `leaves them out. Nothing was done. To lose them: ${next(['rebuild', consumer.name, ...same, '--promote', '--may-lose', String(missing)])}`,
    { details: { consumer: consumer.name, missing } },
  );
}

interface Filled {
  readonly generation: number;
  readonly records: number;
  readonly parked: number;
  readonly deadLetters: number;
}

function filled(generation: number, { applied, parked, deadLettered }: RebuildState): Filled {
  return { generation, records: applied, parked, deadLetters: deadLettered };
}

async function fill(
  { consumer, host, next }: Session,
  plan: RebuildPlan,
  { promote, recordsPerSecond }: RebuildOptions,
  interrupts: Interrupts,
): Promise<Filled> {
  const made = await promotedBefore(host, plan);
  if (made) {
    const state = await host.call('rebuilding', { plan, number: made.number });
    return filled(made.number, state);
  }
  const { number } = await host.call('rebuild', { plan, recordsPerSecond });
  const progress = progressLine();
  const told = describeProgress();
  let isUnpaced = recordsPerSecond === null;
  let interrupted = false;
  interrupts.first.then(() => {
    interrupted = true;
  });
  try {
    for (;;) {
      const state = await host.call('rebuilding', { plan, number });
      progress.show(told(state));
      if (state.halted) {
        throw new MillraceError(
          state.halted.code,
          `${generationName(consumer.name, number)} cannot go on: ${state.halted.message} Readers see the live tables as before. When that is ` +
            'corrected, the same command goes on.',
        );
      }
      if (promote && state.isThrough && !isUnpaced) {
        // At its pace the rest would not be there in the time that a promote waits; with one below the traffic's, never.
        await host.call('rebuild', { plan, recordsPerSecond: null });
        isUnpaced = true;
      }
      if (promote ? state.isThrough && state.behind <= NEARLY_CAUGHT_UP : state.isCaughtUp) {
        return filled(number, state);
      }
      if (interrupted) {
        progress.end();
        const how = host.isOwn() ? 'Stopped' : 'No longer watched; "millrace up" goes on with it';
        printNote(
          `${how} at ${count(state.done)} of ${count(state.total)} records. To go on: ${next(['rebuild', consumer.name, ...(promote ? ['--promote'] : [])])}`,
        );
        throw new CommandFailed(INTERRUPTED);
      }
      await Promise.race([systemClock.sleep(LOOK_MS), interrupted ? undefined : interrupts.first]);
    }
  } finally {
    progress.end();
  }
}

/** The generation of a rebuild that was killed behind its promote. */
async function promotedBefore(
  host: Session['host'],
  { consumer, id }: RebuildPlan,
): Promise<Generation | undefined> {
  const all = await host.call('generations', { consumer });
  return all.find(({ rebuildId, state }) => rebuildId === id && state !== 'candidate');
}

/** Promotes; what traffic has added until the live batches stood still may be too much to wait for, and is followed then. */
async function promote(
  session: Session,
  plan: RebuildPlan,
  number: number,
  mayLose: number,
  options: RebuildOptions,
  interrupts: Interrupts,
): Promise<void> {
  const { consumer } = plan;
  await session.audited(
    { id: plan.id, action: 'promote', plan: { generation: number, mayLose } },
    async () => {
      for (let tries = 1; ; tries++) {
        try {
          const { from, heldMs } = await session.host.call('promote', { consumer, number, mayLose });
          return { from: from.number, to: number, heldMs };
        } catch (error) {
          if (!isForNow(error) || tries === PROMOTE_TRIES) throw error;
          printNote(`Not yet: ${(error as Error).message}`);
          await fill(session, plan, options, interrupts);
        }
      }
    },
  );
}

/** Whether a refusal is about how the generations stand at this moment. */
function isForNow(error: unknown): boolean {
  if (!(error instanceof MillraceError) || error.code !== 'REBUILD_REFUSED') return false;
  return error.details.reason === 'behind' || error.details.reason === 'busy';
}

function summaryOf({ partitions, fromMs, missing, code }: RebuildPlan) {
  return {
    records: recordsIn(partitions),
    ...(fromMs !== null && { from: new Date(fromMs).toISOString() }),
    ...(missing > 0 && { missing }),
    code,
  };
}

function recordsIn(partitions: RebuildPlan['partitions']): number {
  return partitions.reduce((sum, { from, to }) => sum + to - from, 0);
}

const MOST_PARTITIONS_SHOWN = 12;

function printPlan(
  plan: RebuildPlan,
  isResumed: boolean,
  { promote, recordsPerSecond }: RebuildOptions,
): void {
  const { consumer, partitions, fromMs, missing, migrations } = plan;
  const records = recordsIn(partitions);
  const shown = partitions
    .slice(0, MOST_PARTITIONS_SHOWN)
    .map(
      ({ partition, from, to }) =>
        `          partition ${partition}: ${count(to - from)} (offsets ${from} to ${to})`,
    );
  const rest = partitions.length - shown.length;
  printNote(
    [
      isResumed
        ? `Going on with the rebuild of ${consumer} that was planned at ${new Date(plan.plannedAt).toISOString()}`
        : `Rebuild the tables of ${consumer}`,
      `  reads   ${plural(records, 'record')}, ${fromMs === null ? 'as far back as they are kept' : `from ${new Date(fromMs).toISOString()} on`}`,
      ...shown,
      ...(rest > 0 ? [`          and ${plural(rest, 'partition')} more`] : []),
      ...(missing > 0
        ? [`  lacks   ${plural(missing, 'offset')} that the live tables have: those are lost in the new ones`]
        : []),
      `  tables  ${migrations.length === 0 ? 'none' : `by ${migrations.length === 1 ? 'migration' : `${migrations.length} migrations, the last is`} ${migrations.at(-1)}`}`,
      ...(recordsPerSecond === null
        ? []
        : [
            `  rate    ${count(recordsPerSecond)} a second: about ${duration((records / recordsPerSecond) * 1_000)}`,
          ]),
      `  then    ${promote ? 'readers see the new tables, once they have caught up' : 'the new tables follow the live ones; readers do not see them yet'}`,
    ].join('\n'),
  );
}

function printEnd(
  {
    consumer,
    generation,
    records,
    promoted,
    elapsedMs,
  }: {
    readonly consumer: string;
    readonly generation: number;
    readonly records: number;
    readonly promoted: boolean;
    readonly elapsedMs: number;
  },
  { deadLetters, parked }: Pick<Filled, 'deadLetters' | 'parked'>,
  { next, host }: Session,
): void {
  const name = generationName(consumer, generation);
  printLine(`${name} has ${plural(records, 'record')} after ${duration(elapsedMs)}.`);
  if (deadLetters > 0) {
    printLine(`${plural(deadLetters, 'record')} failed: ${next(['dlq', 'triage', '--consumer', name])}`);
  }
  if (parked > 0) {
    printLine(
      `${plural(parked, 'record')} waiting behind them: ${next(['park', 'list', '--consumer', name])}`,
    );
  }
  if (promoted) {
    printLine(`Readers see ${name} now. To go back: ${next(['rebuild', 'rollback', consumer])}`);
    return;
  }
  if (host.isOwn()) printLine('It stands still until "millrace up" or the same command runs again.');
  printLine(`To let readers see it: ${next(['rebuild', 'promote', consumer])}`);
}

/** How far a rebuild is, in a line. */
function describeProgress() {
  const startedAt = performance.now();
  let first = -1;
  return ({ done, total, behind, isThrough, parked, deadLettered }: RebuildState): string => {
    if (first < 0) first = done;
    const rate = ((done - first) * 1_000) / Math.max(1, performance.now() - startedAt);
    const left = rate > 0 ? `, ${duration(((total - done) / rate) * 1_000)} left` : '';
    return [
      isThrough
        ? `following: ${count(behind)} behind the live tables`
        : `${count(done)} of ${count(total)} records (${Math.floor((100 * done) / Math.max(1, total))}%), ${count(Math.round(rate))}/s${left}`,
      deadLettered > 0 ? `, ${count(deadLettered)} failed` : '',
      parked > 0 ? `, ${count(parked)} parked` : '',
    ].join('');
  };
}
