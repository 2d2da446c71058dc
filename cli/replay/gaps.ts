import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { beginReplay, findReplay, type ReplayJournal } from '../../local/replay-journal.ts';
import type { StateLock } from '../../local/state-folder.ts';
import { audited } from '../../runtime/dead-letters/audit-log.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { sizeOf, union } from '../../runtime/delivery/offset-ranges.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { gatherEvidence } from '../../runtime/replay/evidence.ts';
import { findGaps, outcomeOf, type PartitionGaps, remainingOf } from '../../runtime/replay/gaps.ts';
import { runReplay } from '../../runtime/replay/run.ts';
import { type LoadedApp, loadApp } from '../app.ts';
import { CommandFailed } from '../command-failed.ts';
import { consumerNamed } from '../consumers.ts';
import { confirm } from '../dlq/confirmation.ts';
import { hint } from '../hints.ts';
import { watchInterrupts } from '../interrupts.ts';
import { progressLine } from '../progress-line.ts';
import { createRunLog } from '../run-log.ts';
import { count, plural, printJson, printLine, printNote } from '../terminal.ts';
import { planLines, type Report, reportLines } from './gaps-view.ts';
import { type GapsOptions, openReplayPlace, type ReplayPlace } from './place.ts';

const INTERRUPTED = 130;

/** Plans, asks, runs and reports. */
export async function replayGaps(name: string, options: GapsOptions): Promise<void> {
  const app = await loadApp();
  const consumer = consumerNamed(name, app.consumers);
  const place = await openReplayPlace(app, consumer, options);
  let lock: StateLock | undefined;
  try {
    lock = place.lock();
    const { sources, reader } = place;
    const { partitions } = await gatherEvidence(sources);
    const { at, sink } = place;
    const of = { kind: 'gaps', consumer: sources.consumer.name, epoch: consumer.epoch, at, sink } as const;
    const killed = findReplay(place.plans, of);
    // What is left of a killed replay is a gap still. What is missing since is another one, which must not go unseen.
    const gaps = await findGaps(partitions, reader);
    const ranges = withoutEmpty(gaps);
    const planned = sizeOfAll(ranges);
    const left = killed ? sizeOfAll(remainingOf(killed.plan.ranges, partitions)) : 0;
    if (killed && left > 0) {
      const since = planned > left ? `, and with ${plural(planned - left, 'offset')} missing since` : '';
      printNote(`Going on with replay ${killed.plan.id} of ${killed.plan.begunAt}${since}.`);
    }
    const deleted = gaps.map((each) => ({ partition: each.partition, ranges: each.deleted }));
    if (planned === 0) {
      killed?.end();
      return report(consumer, options, {
        replay: killed?.plan.id ?? null,
        planned: 0,
        outcome: { applied: 0, deadLettered: 0, left: 0 },
        deleted,
        tooLarge: 0,
        elapsedMs: 0,
        isWhole: true,
      });
    }
    const isLive = place.isLive();
    for (const line of planLines(consumer, gaps, { ranges, planned, rate: options.rate, isLive }))
      printNote(line);
    await confirm(options, name);
    const journal = killed?.withRanges(ranges) ?? beginReplay(place.plans, { ...of, ranges });
    await run({ app, consumer, place, journal, ranges, planned, deleted }, options);
  } finally {
    lock?.release();
    await place.close();
  }
}

interface Planned {
  readonly app: LoadedApp;
  readonly consumer: AnyConsumer;
  readonly place: ReplayPlace;
  readonly journal: ReplayJournal;
  readonly ranges: readonly Pick<PartitionGaps, 'partition' | 'ranges'>[];
  readonly planned: number;
  readonly deleted: Report['deleted'];
}

async function run(
  { app, consumer, place, journal, ranges, planned, deleted }: Planned,
  options: GapsOptions,
): Promise<void> {
  const { sources, reader, who } = place;
  const { id } = journal.plan;
  const runLog = createRunLog(app.consumers);
  const function_ = await place.openFunction(runLog.log);
  const interrupts = watchInterrupts();
  const stop = new AbortController();
  interrupts.first.then(() => {
    printNote('Stopping after the batch under way …');
    stop.abort();
  });
  const line = progressLine();
  const startedAt = performance.now();
  let reported: Report | undefined;
  try {
    const replay = async () => {
      const result = await runReplay(
        {
          replay: { id, kind: 'gaps' },
          ranges,
          reader,
          function: function_,
          clock: systemClock,
          random: systemRandom,
          batchRecords: consumer.batch.maxRecords,
          ratePerSecond: options.rate,
          patienceMs: options.wait * 1_000,
        },
        ({ delivered, passed, heldBy }) =>
          line.show(
            `${count(delivered)} delivered, ${count(passed)} of ${count(planned)} offsets done${heldBy ? `, held by ${heldBy}` : ''}`,
          ),
        stop.signal,
      ).finally(() => line.end());
      // The folder's sink can be looked into by one process at a time.
      await function_.close();
      const after = await gatherEvidence(sources);
      const outcome = outcomeOf(ranges, after.partitions, result.unread);
      const gone = ranges.map(({ partition }) => ({
        partition,
        ranges: union(
          result.deleted.get(partition) ?? [],
          deleted.find((each) => each.partition === partition)?.ranges ?? [],
        ),
      }));
      const others = deleted.filter((each) => !gone.some(({ partition }) => partition === each.partition));
      reported = {
        replay: id,
        planned,
        outcome,
        deleted: [...gone, ...others],
        tooLarge: result.tooLarge,
        elapsedMs: Math.round(performance.now() - startedAt),
        isWhole: result.isWhole,
      };
      return { ...outcome, isWhole: result.isWhole };
    };
    const plan = {
      kind: 'gaps',
      records: planned,
      ...(Number.isFinite(options.rate) && { rate: options.rate }),
    };
    await audited(
      { objects: sources.letters.objects, clock: systemClock },
      { id, action: 'replay', consumer: consumer.name, who, plan },
      replay,
    );
  } catch (error) {
    printNote(`Nothing is lost. To go on: ${hint(['replay', consumer.name, '--gaps'], options)}`);
    throw error;
  } finally {
    interrupts.ignore();
    await function_.close();
    for (const { level, text } of runLog.events()) if (level === 'error') printNote(`error: ${text}`);
  }
  if (reported!.isWhole) journal.end();
  report(consumer, options, reported!);
}

function report(consumer: AnyConsumer, options: GapsOptions, of: Report): void {
  const { replay, planned, outcome, deleted, elapsedMs, isWhole } = of;
  const gone = deleted.reduce((sum, { ranges }) => sum + sizeOf(ranges), 0);
  if (options.json) {
    printJson({ consumer: consumer.name, replay, planned, ...outcome, deleted: gone, elapsedMs });
  } else for (const line of reportLines(consumer.name, of, options)) printLine(line);
  if (!isWhole) throw new CommandFailed(INTERRUPTED);
  if (outcome.left > 0) {
    throw new MillraceError(
      'REPLAY_REFUSED',
      `${plural(outcome.left, 'record')} of ${consumer.name} are still in no table. See which: ${hint(['audit', consumer.name], options)}`,
      { details: { consumer: consumer.name, left: outcome.left } },
    );
  }
}

function sizeOfAll(ranges: Planned['ranges']): number {
  return ranges.reduce((sum, each) => sum + sizeOf(each.ranges), 0);
}

function withoutEmpty(ranges: Planned['ranges']): Planned['ranges'] {
  return ranges.flatMap(({ partition, ranges: of }) => (of.length > 0 ? [{ partition, ranges: of }] : []));
}
