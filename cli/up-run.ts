import { requireSoundContracts } from '../adapters/files/contract-files.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { type CollectorServer, serveCollector } from '../local/collector-server.ts';
import { serveControl } from '../local/control-socket.ts';
import { diskFull } from '../local/embedded-sink.ts';
import { type Pause, setPause } from '../local/pauses.ts';
import { type Feed, joinFeeds, NOTHING_FED, type Source, startFeed } from '../local/publishing/feed.ts';
import { createGeneratedTraffic, exampleEvent } from '../local/publishing/generated-traffic.ts';
import { checkReadable } from '../local/publishing/input.ts';
import { fileSource, trafficSource } from '../local/publishing/sources.ts';
import { createValuePublisher } from '../local/publishing/value-publisher.ts';
import { startStack } from '../local/stack.ts';
import {
  clearStateFolder,
  lockStateFolder,
  openStateFolder,
  type StateFolder,
} from '../local/state-folder.ts';
import { openStores, type Stores } from '../local/stores.ts';
import { recordsIn } from '../local/topic-log.ts';
import { shellQuoted } from '../runtime/commands.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Polling } from '../runtime/lambda/mapping.ts';
import { answerKeyCall } from '../runtime/operator/key-calls.ts';
import type { Logger, Random } from '../runtime/ports.ts';
import { type LoadedApp, loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { type ConsoleThread, startConsoleThread } from './console/thread.ts';
import { hint } from './hints.ts';
import { type Interrupts, watchInterrupts } from './interrupts.ts';
import {
  type ArchiveOptions,
  type KafkaOptions,
  type PostgresOptions,
  storesOptions,
} from './outside-options.ts';
import { type Progress, startProgress } from './progress.ts';
import { openRegistry, type RegistryOptions } from './registry-option.ts';
import { createRunLog } from './run-log.ts';
import { printComplaints, type ReportContext, type RunReport, reportLines, runReport } from './run-report.ts';
import { type RunRandom, runRandom } from './seeds.ts';
import { count, isLiveTerminal, plural, printJson, printLine, printNote } from './terminal.ts';
import { NO_PAGES, serveUpPages, type UpPages } from './up-pages.ts';

export interface UpOptions extends ArchiveOptions, KafkaOptions, PostgresOptions, RegistryOptions {
  readonly input?: readonly string[];
  readonly publish: boolean;
  /** Values a second; infinite for as many as go. */
  readonly rate: number;
  readonly poison: number;
  readonly seed: number;
  readonly collectorPort?: number;
  readonly collectorOrigin?: readonly string[];
  readonly pagePort?: number;
  readonly consolePort?: number;
  readonly allowActions?: true;
  readonly polling: Polling['mode'];
  readonly exitWhenDrained?: true;
  readonly duration?: number;
  readonly redeliver: number;
  readonly crash: number;
  readonly sinkOutage: number;
  readonly deadLetterOutage: number;
  readonly fail?: { readonly field: string; readonly value: string };
  readonly fresh?: true;
  readonly state: string;
  readonly json?: true;
}

/** What a second Ctrl-C finds. */
interface Shown {
  progress?: Progress;
  consoleThread?: ConsoleThread;
}

/** How long Ctrl-C waits for the consumers to catch up. */
const INTERRUPTED_DRAIN_MS = 30_000;
const QUIT_AT_ONCE = 130;

/** Runs the pipeline until it is drained or a person has seen enough, and prints how it went. */
export async function runUp(options: UpOptions): Promise<void> {
  checkReadable(options.input ?? []);
  const app = fed(await loadApp(), options);
  if (options.input) inputContract(app);
  await requireSoundContracts(app);
  const registry = await openRegistry(options.registry, app.contracts);
  const folder = openStateFolder(options.state);
  const lock = await lockStateFolder(folder);
  const interrupts = watchInterrupts();
  const shown: Shown = {};
  try {
    if (options.fresh) clearStateFolder(folder);
    const ran = await Promise.race([
      run(app, folder, registry, options, interrupts, shown),
      interrupts.second,
    ]);
    // The terminal has written ^C behind the picture.
    if (process.stdout.isTTY && !options.json) printLine(isLiveTerminal() ? '\r\u001b[K' : '');
    if (!ran) {
      // What is under way is left to the next run, as after a kill.
      const left = shown.progress?.lag() ?? null;
      printNote(
        `Quit with ${left === null ? 'records' : plural(left, 'record')} to do; the next run goes on.`,
      );
      throw new CommandFailed(QUIT_AT_ONCE);
    }
    const { report, context } = ran;
    if (options.json) printJson(report);
    else for (const line of reportLines(report, context)) printLine(line);
    printComplaints(report);
    if (report.lag !== 0 || isInputUseless(report)) throw new CommandFailed();
  } catch (error) {
    if (error instanceof CommandFailed) throw error;
    throw diskFull(folder.path, error as Error) ?? error;
  } finally {
    shown.consoleThread?.abandon();
    interrupts.ignore();
    lock.release();
  }
}

/** It looks at the same places as the run. */
function consoleOptions(options: UpOptions) {
  const { state, kafka, kafkaAuth, registry, postgres, archive, archiveEndpoint } = options;
  const { allowActions, consolePort } = options;
  return {
    state,
    ...(kafka && { kafka }),
    ...(kafkaAuth && { kafkaAuth }),
    ...(registry && { registry }),
    ...(postgres !== undefined && { postgres }),
    ...(archive !== undefined && { archive }),
    ...(archiveEndpoint !== undefined && { archiveEndpoint }),
    ...(allowActions && { allowActions }),
    ...(consolePort !== undefined && { consolePort }),
  };
}

/** Without a Kafka that a connector writes to, nothing captures the tables. */
function fed(app: LoadedApp, { kafka }: UpOptions): LoadedApp {
  if (kafka) return app;
  return { ...app, consumers: app.consumers.filter(({ topic }) => topic.format === 'avro'), tables: [] };
}

async function run(
  app: LoadedApp,
  folder: StateFolder,
  registry: SchemaRegistry,
  options: UpOptions,
  interrupts: Interrupts,
  shown: Shown,
): Promise<{ readonly report: RunReport; readonly context: ReportContext }> {
  // Nothing is under way yet that would have to be ended well.
  const started = await Promise.race([startUp(app, folder, registry, options), interrupts.first]);
  if (!started) {
    printNote('Stopped during the start: nothing was published or consumed.');
    throw new CommandFailed(QUIT_AT_ONCE);
  }
  const { stores, stack, runLog, random, onBatch } = started;
  const control = await serveControl(folder, {
    ...stack.generations,
    status: () => stack.lag(),
    pause: async ({ consumer, by, isPaused }) => ({
      before: setPause(stores.pauses, consumer, { by, at: systemClock.now(), isPaused }),
    }),
    query: ({ sql, timeoutMs }, signal) => stack.query(sql, { timeoutMs, signal }),
    ledgers: (of) => stack.ledgers.read(of),
    keys: ({ owner, call }) => answerKeyCall(stack.keys, owner, call),
    deliver: ({ consumer, event }) => stack.deliver(consumer, event),
  });
  let collector: CollectorServer | undefined;
  let pages = NO_PAGES;
  const startedAt = performance.now();
  let feed: Feed | undefined;
  const feedCounts = () => {
    const counts = feed?.counts() ?? NOTHING_FED;
    // What the collector refused, it has told whoever sent it.
    return { ...counts, published: counts.published + (collector?.accepted() ?? 0) };
  };
  const progress = startProgress({
    stack,
    feedCounts,
    phase: options.publish ? 'publishing' : 'consuming',
    runLog,
    source: describeSource(options),
    state: options.state,
    panel: app.demo?.panel,
    isLive: isLiveTerminal() && !options.json,
  });
  shown.progress = progress;
  try {
    // First: where its port is taken, nothing is to be published.
    collector = await openCollector(app, stores, registry, options, runLog.log);
    if (!options.exitWhenDrained) {
      // Not sooner: what it loads would take the processor from the stack's start.
      shown.consoleThread = startConsoleThread(consoleOptions(options), printNote);
      pages = await serveUpPages({
        app,
        stack,
        looked: progress.looked,
        onBatch,
        consoleThread: shown.consoleThread,
        pagePort: options.pagePort,
        // Plain output names the newest event alone, which a dead letter soon is.
        onProblem: isLiveTerminal() && !options.json ? (problem) => runLog.log.error(problem) : printNote,
      });
      // The same goes for a port that somebody chose.
      if (options.consolePort) await Promise.race([pages.console, interrupts.first]);
    }
    const announced = announce(pages, collector, options, { progress, interrupts });
    if (options.publish) feed = openFeed(app, folder, stores, registry, options, random);
    await Promise.race([enough(feed, options, interrupts), stack.halted]);
    await collector?.close();
    feed?.stop();
    await feed?.done;
    progress.setPhase('draining');
    await Promise.race([
      stack.drained(),
      interrupts.first.then(() => systemClock.sleep(INTERRUPTED_DRAIN_MS)),
    ]);
    const elapsedMs = Math.round(performance.now() - startedAt);
    await announced;
    await stack.stop();
    const [totals, lags] = [await stack.totals(), await stack.lag()];
    const report = runReport(feedCounts(), totals, lags, {
      elapsedMs,
      seed: options.seed,
      complaints: feed?.complaints() ?? [],
    });
    const context = {
      place: options,
      lagAtStart: stack.lagAtStart,
      lags,
      totals,
      poisonShare: options.poison,
      ignoredFor: feed?.ignoredFor() ?? new Map(),
      query: app.demo?.query,
    };
    return { report, context };
  } finally {
    await collector?.close();
    feed?.stop();
    await pages.close();
    await progress.stop();
    control.close();
    await stack.close();
    await stores.close();
  }
}

async function startUp(app: LoadedApp, folder: StateFolder, registry: SchemaRegistry, options: UpOptions) {
  const stores = await openStores(folder, storesOptions(options));
  const runLog = createRunLog(app.consumers);
  const random = runRandom(options.seed);
  const told = new Set<(consumer: string) => void>();
  await noteWhatIsThere(app, stores, options);
  const topicsElsewhere = options.kafka ? `, topics in ${stores.log.at}` : '';
  if (!options.json) printNote(`Starting (state in ${options.state}${topicsElsewhere}) …`);
  const stack = await startStack({
    app,
    folder,
    stores,
    registry,
    postgres: options.postgres,
    polling: options.polling,
    faults: {
      redeliver: options.redeliver,
      crash: options.crash,
      sinkOutageMs: options.sinkOutage * 1_000,
      deadLetterOutageMs: options.deadLetterOutage * 1_000,
      ...(options.fail && { fail: options.fail }),
    },
    random: random.faults,
    log: runLog.log,
    onReport(report) {
      runLog.onReport(report);
      for (const tell of told) tell(report.consumer);
    },
    holds: runLog.holds,
    consume: 'everything',
  });
  for (const { name } of app.consumers) {
    const pause = stores.pauses.of(name);
    if (pause) printNote(pausedNote(name, pause, options));
  }
  return {
    stores,
    stack,
    runLog,
    random,
    onBatch: (tell: (consumer: string) => void) => void told.add(tell),
  };
}

/** Says where everything listens, once all do. With `--json` that is the first line, which scripts rely on. */
async function announce(
  { newsroom, console: opening }: UpPages,
  collector: CollectorServer | undefined,
  { json }: UpOptions,
  { progress, interrupts }: { readonly progress: Progress; readonly interrupts: Interrupts },
): Promise<void> {
  if (!json && newsroom) printNote(`Newsroom: ${newsroom}`);
  progress.setPages({ newsroom, console: null });
  const console = await Promise.race([opening, interrupts.first.then(() => null)]);
  progress.setPages({ newsroom, console });
  if (json) printJson({ event: 'listening', newsroom, console, collector: collector?.url ?? null });
  // A live picture has it at its head.
  else if (console && !isLiveTerminal()) printNote(`Console: ${console}`);
}

function pausedNote(name: string, { by, at }: Pause, place: UpOptions): string {
  const since = new Date(at).toISOString();
  return `${name} is paused, by ${by} since ${since}.\nTo let it go on:\n  ${hint(['resume', name], place)}`;
}

/** An input of which nothing could be published is not what the person meant to give. */
function isInputUseless({ published, malformed, refused }: RunReport): boolean {
  return published === 0 && malformed + refused > 0;
}

/** Resolves when nothing more is to be published: at the end of the input, of the duration, or of the person's patience. */
async function enough(
  feed: Feed | undefined,
  { exitWhenDrained, duration }: UpOptions,
  interrupts: Interrupts,
): Promise<void> {
  const reasons: Promise<unknown>[] = [interrupts.first];
  if (duration !== undefined) reasons.push(systemClock.sleep(duration * 1_000));
  if (exitWhenDrained) reasons.push(feed?.done ?? Promise.resolve());
  // A feed that fails ends the run in any case.
  else if (feed) reasons.push(feed.done.then(() => new Promise(() => {})));
  await Promise.race(reasons);
}

/** Files go to one topic. Without a demo, generated traffic goes to every topic, each with its share of the rate. */
function openFeed(
  app: LoadedApp,
  folder: StateFolder,
  { log }: Stores,
  registry: SchemaRegistry,
  options: UpOptions,
  random: RunRandom,
): Feed {
  const contracts = options.input ? [inputContract(app)] : app.demo ? [app.demo.topic] : app.contracts;
  return joinFeeds(
    contracts.map((contract) =>
      startFeed<never>({
        source: options.input
          ? fileSource(options.input, contract, app.demo, folder.salt)
          : (trafficSource(trafficOf(app, contract, random.traffic), systemClock) as Source<never>),
        publisher: createValuePublisher(contract, {
          registry,
          producer: log,
          poisonShare: options.poison,
          random: random.poison,
        }),
        ratePerSecond: options.rate / contracts.length,
        clock: systemClock,
      }),
    ),
  );
}

function trafficOf({ demo }: LoadedApp, contract: Contract<never>, random: Random) {
  return demo?.traffic?.(random) ?? createGeneratedTraffic(contract, random);
}

/** @throws INPUT_INVALID if the app does not say which topic takes files */
function inputContract({ demo, contracts }: LoadedApp): Contract<never> {
  const [only, ...others] = contracts;
  if (demo) return demo.topic;
  if (only && others.length === 0) return only;
  throw new MillraceError(
    'INPUT_INVALID',
    only
      ? `Which topic do the files hold? Publish them with "millrace publish TOPIC --input FILE" beside a running "millrace up --no-publish"; the topics are ${contracts.map(({ name }) => name).join(', ')}.`
      : 'The app has no contract, so there is no topic for the files. Add one to millrace.config.ts.',
  );
}

/** Takes events until the run has had enough. With an end in sight it takes none: they would put it off. */
async function openCollector(
  { collected = [], collectLimits = {}, demo, consumers }: LoadedApp,
  { log: producer }: Stores,
  registry: SchemaRegistry,
  { exitWhenDrained, collectorPort, collectorOrigin = [] }: UpOptions,
  log: Logger,
): Promise<CollectorServer | undefined> {
  const [first] = collected;
  if (exitWhenDrained || !first) return undefined;
  const collector = await serveCollector({
    collected,
    limits: collectLimits,
    registry,
    producer,
    clock: systemClock,
    log,
    allowedOrigins: collectorOrigin,
    port: collectorPort,
  });
  const now = systemClock.now();
  const like = demo?.topic.name === first.name ? demo.traffic?.(systemRandom).next(now) : undefined;
  const event = shellQuoted(JSON.stringify(exampleEvent(first, now, like)));
  printNote(
    [
      `Collector: curl -H content-type:application/json -d ${event} ${collector.url}/events/${first.name}`,
      sentAgain(first, consumers),
    ].join('\n'),
  );
  return collector;
}

/** What becomes of the line's event if somebody sends it twice. */
function sentAgain({ name, identity }: Contract<never>, consumers: LoadedApp['consumers']): string {
  const readers = consumers.filter(({ topic }) => topic.name === name);
  const once = readers.filter((consumer) => consumer.once);
  if (once.length === 0) return 'Every event counts, even one that was sent before.';
  const counts = `Sent again, it counts once: its ${identity} is the same`;
  if (once.length === readers.length) return `${counts}.`;
  return `${counts} to ${once.map((consumer) => consumer.name).join(' and ')}.`;
}

async function noteWhatIsThere(
  app: LoadedApp,
  { log }: Stores,
  { input, kafka, state }: UpOptions,
): Promise<void> {
  if (!input) return;
  const topic = inputContract(app);
  await log.prepareTopic(topic);
  const records = await recordsIn(log, topic.name);
  if (records === 0) return;
  printNote(
    `${topic.name} in ${kafka ? log.at : state} already holds ${plural(records, 'record')}; these come on top.${kafka ? '' : ' To start over, add --fresh.'}`,
  );
}

function describeSource({ input, publish, rate }: UpOptions): string {
  if (!publish) return 'nothing new';
  // Traffic has its rushes and its quiet hours.
  const speed = rate === Number.POSITIVE_INFINITY ? 'at full speed' : `about ${count(rate)}/s`;
  return `${input ? input.join(', ') : 'traffic'}, ${speed}`;
}
