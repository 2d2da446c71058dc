import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import { type Demo, differs, startCaptureDemo } from '../../local/capture-demo/capture-demo.ts';
import { Processes } from '../../local/parts/processes.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { CommandFailed } from '../command-failed.ts';
import { watchInterrupts } from '../interrupts.ts';
import { jsonOption, recordsPerSecond, wholeFrom } from '../options.ts';
import { columnsOf, count, epilogue, isLiveTerminal, printJson, printLine, printNote } from '../terminal.ts';
import { demoLine, demoView } from './demo-view.ts';

const EXAMPLE = `
Examples:
  millrace capture demo                 change rows until Ctrl-C
  millrace capture demo --kill-connect --redeliver --widen --alter
                        --exit-when-equal --json
                                        prove it under faults, for a script

It starts PostgreSQL, Kafka, Kafka Connect with Debezium and an S3 emulator on the
loopback of this machine, and DuckDB with dbt. PostgreSQL, Java 17, Maven and
Python 3 have to be installed; the rest is fetched once, about 900 MB. The parts
take about 2 GB of memory. Ctrl-C ends all of them.`;

interface DemoCommandOptions {
  readonly killConnect?: true;
  readonly redeliver?: true;
  readonly widen?: true;
  readonly alter?: true;
  readonly exitWhenEqual?: true;
  readonly changes?: number;
  readonly rate: number;
  readonly seed: number;
  readonly state?: string;
  readonly json?: true;
}

const CHANGES = 10_000;
/** How long the mart may take to become equal after the last change. */
const PATIENCE_MS = 300_000;
const REDRAW_MS = 500;
const LINE_MS = 5_000;
const QUIT = 130;

export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Runs the whole way on this machine, from PostgreSQL to DuckDB, and shows that they are equal.',
    )
    .option('--kill-connect', 'kill Kafka Connect twice: changes are delivered again')
    .option('--redeliver', 'deliver batches to the archive twice, and end it around its commits')
    .option('--widen', 'give a topic twice as many partitions')
    .option('--alter', 'add a column with a default, and take a snapshot of the table by a signal')
    .option('--exit-when-equal', 'stop when all changes are made and the mart equals the source')
    .option(
      '--changes <number>',
      `rows to change (default: ${count(CHANGES)} with --exit-when-equal, else no end)`,
      wholeFrom(1),
    )
    .option('--rate <number>', 'rows to change a second', recordsPerSecond, 100)
    .option('--seed <number>', 'decides what is changed', wholeFrom(0), 1)
    .option('--state <dir>', 'keep data and logs in this folder, which has to be empty or not there')
    .addOption(jsonOption('print one object at the end'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DemoCommandOptions) => {
      const folder = openFolder(options.state);
      const note = (text: string) => printNote(text);
      const processes = new Processes(folder, { ownGroups: true, note });
      const interrupts = watchInterrupts();
      const stop = new AbortController();
      interrupts.first.then(() => stop.abort());
      try {
        await Promise.race([run(options, processes, stop.signal), interrupts.second]);
        if (stop.signal.aborted && options.exitWhenEqual) throw new CommandFailed(QUIT);
      } finally {
        await processes.endAll();
        interrupts.ignore();
        if (!options.state) rmSync(folder, { recursive: true, force: true });
        else printNote(`Logs and data: ${folder}`);
      }
    });
}

async function run(options: DemoCommandOptions, processes: Processes, stop: AbortSignal): Promise<void> {
  const startedAt = Date.now();
  const stopped = new Promise<'stopped'>((resolve) =>
    stop.addEventListener('abort', () => resolve('stopped'), { once: true }),
  );
  const demo = await Promise.race([
    startCaptureDemo({
      processes,
      root: process.cwd(),
      changes: options.changes ?? (options.exitWhenEqual ? CHANGES : Number.POSITIVE_INFINITY),
      perSecond: options.rate,
      seed: options.seed,
      faults: {
        killConnect: options.killConnect === true,
        redeliver: options.redeliver === true,
        widen: options.widen === true,
        alter: options.alter === true,
      },
      stop,
    }),
    stopped,
  ]);
  // What is under way fails as its parts end.
  if (demo === 'stopped') return;
  const hide = show(demo, options.json === true, startedAt);
  try {
    const equal = demo.equal.then(() => 'equal' as const);
    await Promise.race(
      options.exitWhenEqual ? [equal, stopped, tooLong(demo, stop)] : [stopped, failure(equal)],
    );
  } finally {
    hide();
    await demo.close();
  }
  const state = demo.state();
  const { missing = 0, extra = 0, different = 0 } = state.compared ?? {};
  if (options.json) {
    printJson({
      changes: state.changes,
      archived: state.archived,
      duplicatesInTopic: state.duplicatesInTopics,
      rows: state.martRows,
      missing,
      extra,
      different,
      freshnessP95Ms: state.freshnessP95Ms,
      elapsedMs: Date.now() - startedAt,
    });
  } else printLine(demoLine(state));
}

/** Never resolves; rejects as the demo does. */
function failure(equal: Promise<unknown>): Promise<never> {
  return equal.then(() => new Promise<never>(() => {}));
}

/** @throws WAREHOUSE_DIFFERS when the mart does not become equal in time */
async function tooLong(demo: Demo, stop: AbortSignal): Promise<never> {
  let [changes, since] = [-1, Date.now()];
  while (!stop.aborted) {
    const state = demo.state();
    if (state.changes !== changes) [changes, since] = [state.changes, Date.now()];
    else if (Date.now() - since > PATIENCE_MS) {
      if (state.compared) throw differs(state.compared, PATIENCE_MS / 1_000);
      throw new MillraceError(
        'PART_FAILED',
        `No warehouse was built within ${PATIENCE_MS / 1_000} seconds. Run it again with --state DIR, and read the logs there.`,
      );
    }
    await sleep(REDRAW_MS);
  }
  return new Promise<never>(() => {});
}

/** @returns what ends it, and leaves the last picture standing */
function show(demo: Demo, isJson: boolean, startedAt: number): () => void {
  if (!isLiveTerminal() || isJson) {
    const timer = setInterval(() => printNote(demoLine(demo.state())), LINE_MS);
    return () => clearInterval(timer);
  }
  const logUpdate = createLogUpdate(process.stdout);
  const draw = () => logUpdate(demoView(demo.state(), Date.now() - startedAt, columnsOf()));
  const timer = setInterval(draw, REDRAW_MS);
  return () => {
    clearInterval(timer);
    draw();
    logUpdate.done();
  };
}

/** @throws INPUT_INVALID for a folder that holds something */
function openFolder(state: string | undefined): string {
  if (state === undefined) return mkdtempSync(join(tmpdir(), 'millrace-capture-'));
  const folder = resolve(state);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new MillraceError(
      'INPUT_INVALID',
      `--state ${state} is not empty. Name a folder that is not there, or remove this one first.`,
    );
  }
  mkdirSync(folder, { recursive: true });
  return folder;
}
