/** The whole way on one machine: PostgreSQL, Debezium, Kafka, the archive in S3, DuckDB. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { Admin } from '@platformatic/kafka';
import { createS3Objects } from '../../adapters/aws/s3-objects.ts';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { Archive } from '../../runtime/archive/archive.ts';
import { snapshotSignal } from '../../runtime/capture/signal.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/ports.ts';
import { type Archiving, startArchiving } from '../archiving.ts';
import { type Capture, prepareCapture } from '../parts/capture.ts';
import { connect } from '../parts/connect.ts';
import { kafka } from '../parts/kafka.ts';
import { moto } from '../parts/moto.ts';
import { postgres } from '../parts/postgres.ts';
import { checkPrerequisites } from '../parts/prerequisites.ts';
import type { Processes } from '../parts/processes.ts';
import { openSourceDatabase } from '../source-database.ts';
import { WarehouseClient } from '../warehouse/client.ts';
import { warehousePrograms } from '../warehouse/python.ts';
import { generateProject, modelSchema, runWarehouse } from '../warehouse/warehouse.ts';
import { compareTables, type Difference, type Query } from './compare.ts';
import {
  ALTER,
  CLOCK,
  type Newsroom,
  newsroom,
  newsroomTables,
  openNewsroom,
  SCHEMA,
  tableToAlter,
  tableToWiden,
} from './newsroom.ts';
import { openTopicCounts, type TopicCounts } from './topic-counts.ts';

export interface DemoOptions {
  readonly processes: Processes;
  /** The project that has node_modules, for what is installed once. */
  readonly root: string;
  /** Rows to change in all; infinite until it is stopped. */
  readonly changes: number;
  readonly perSecond: number;
  readonly seed: number;
  readonly faults: {
    readonly killConnect: boolean;
    readonly redeliver: boolean;
    readonly widen: boolean;
    readonly alter: boolean;
  };
  readonly stop: AbortSignal;
  /** Looks at the warehouse after each run of it. */
  onBuilt?(query: Query): Promise<void>;
}

/** What there is to see at a moment. */
export interface DemoState {
  /** What it does now. */
  readonly phase: string;
  readonly changes: number;
  readonly inTopics: number;
  readonly duplicatesInTopics: number;
  readonly archived: number;
  readonly toArchive: number;
  readonly martRows: number;
  /** The age of the newest heartbeat in the mart; undefined before the first. */
  readonly freshnessMs: number | undefined;
  /** Of a change a second: from its commit to the mart. */
  readonly freshnessP95Ms: number;
  /** Runs of the warehouse. */
  readonly runs: number;
  readonly compared: Difference | undefined;
  /** What happened, the newest last. */
  readonly events: readonly string[];
}

export interface Demo {
  state(): DemoState;
  /** Resolves when all changes are made and the mart equals the source. Rejects when something fails. */
  readonly equal: Promise<void>;
  /** Resolves when the work has ended, after a stop. */
  close(): Promise<void>;
}

const BUCKET = 'newsroom-archive';
/** A row that changed less than this ago may be under way. */
const SETTLED_MS = 60_000;
const HEARTBEAT_MS = 1_000;
const LOOK_MS = 1_000;
/** Kafka's clients look for partitions that a topic was given after five minutes, by default. */
const LOOK_FOR_PARTITIONS_MS = 5_000;

/** Starts the parts, and then all the rest. @throws PREREQUISITE_MISSING, PART_FAILED */
export async function startCaptureDemo(options: DemoOptions): Promise<Demo> {
  const { processes, root, faults } = options;
  checkPrerequisites([
    ...postgres.prerequisites,
    ...kafka.prerequisites,
    ...connect.prerequisites,
    ...moto.prerequisites,
  ]);
  // One after another: two Mavens would write to one repository, and the network is one.
  await kafka.download(processes);
  await connect.download(processes);
  const s3Command = await moto.download(processes);
  const programs = await warehousePrograms(root, 'duckdb', { note: processes.note });

  processes.note('Starting PostgreSQL, Kafka, Kafka Connect with Debezium, and S3 …');
  const [{ value: brokers }, s3] = await Promise.all([
    kafka.start(processes),
    moto.start(processes, s3Command),
  ]);
  const capture = await prepareCapture(processes, {
    tables: newsroomTables,
    brokers,
    schema: SCHEMA,
    heartbeatMs: HEARTBEAT_MS,
    settings: { 'producer.override.metadata.max.age.ms': String(LOOK_FOR_PARTITIONS_MS) },
  });
  const s3Client = new S3Client({
    endpoint: s3.value,
    forcePathStyle: true,
    region: 'us-east-1',
    credentials: { accessKeyId: 'demo', secretAccessKey: 'demo' },
  });
  await s3Client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const openLog = () => openKafkaLog({ connection: { brokers: [brokers] }, clock: systemClock });
  // Two that read the same partitions at their own pace.
  const [log, watched] = [openLog(), openLog()];
  const store = createS3Objects({ client: s3Client, bucket: BUCKET });
  const archiving = startArchiving({
    archives: newsroom.consumers as unknown as readonly Archive[],
    reader: log,
    store,
    log: QUIET,
    random: createSeededRandom(options.seed + 1),
    faults: faults.redeliver ? { redeliver: 0.3, crash: 0.1 } : {},
  });
  const room = await openNewsroom(capture.url, options.seed);
  const topics = openTopicCounts(
    watched,
    capture.tables.map(({ topic }) => topic.name),
  );
  const folder = processes.makeFolder('warehouse');
  await generateProject(newsroom, folder);
  const env = { ...process.env, MILLRACE_DUCKDB_PATH: `${folder}/newsroom.duckdb` };
  const client = { python: programs.python, target: 'duckdb' as const, env, cwd: folder };
  const mart = {
    refresh: (isTested: boolean) =>
      runWarehouse({
        subject: newsroom,
        folder,
        target: 'duckdb',
        programs,
        env,
        archive: store,
        isTested,
        signal: options.stop,
      }),
    async look(isUnsettled?: (table: string, key: string) => boolean) {
      const opened = new WarehouseClient('query', client);
      const query: Query = (sql) => Array.fromAsync(opened.query(sql));
      const schema = modelSchema(env);
      try {
        await options.onBuilt?.(query);
        const [[clock = null] = []] = await query(CLOCK.replace('SCHEMA', schema));
        return {
          compared: await compareTables(capture.url, query, newsroomTables, schema, isUnsettled),
          clock: Number(clock ?? 0),
        };
      } finally {
        await opened.close();
      }
    },
  };
  await capture.begin();
  const demo = new RunningDemo(options, { capture, room, archiving, topics, mart, brokers });
  const equal = demo.run();
  equal.catch(() => {});
  return {
    state: () => demo.state(),
    equal,
    async close() {
      await demo.ended();
      await archiving.stop();
      await room.close();
      await Promise.all([log.close(), watched.close()]);
      s3Client.destroy();
    },
  };
}

interface DemoParts {
  readonly capture: Capture;
  readonly room: Newsroom;
  readonly archiving: Archiving;
  readonly topics: TopicCounts;
  readonly brokers: string;
  readonly mart: {
    /** Tests take as long as the models: they run when the changes are through. */
    refresh(isTested: boolean): Promise<{ readonly beatAt?: number }>;
    /** The comparison, and the time of the clock's row, in epoch milliseconds. */
    look(
      isUnsettled?: (table: string, key: string) => boolean,
    ): Promise<{ readonly compared: Difference; readonly clock: number }>;
  };
}

class RunningDemo {
  readonly #options: DemoOptions;
  readonly #parts: DemoParts;
  readonly #events: string[] = [];
  /** When the clock's row was changed, and is not in the mart yet. */
  readonly #ticks: number[] = [];
  /** How long each of its changes took to the mart. */
  readonly #ages: number[] = [];
  readonly #stopping = new AbortController();
  readonly #work: Promise<unknown>[] = [];
  #phase = 'taking the first snapshot';
  #beatAt: number | undefined;
  #runs = 0;
  #compared: Difference | undefined;

  constructor(options: DemoOptions, parts: DemoParts) {
    this.#options = options;
    this.#parts = parts;
  }

  state(): DemoState {
    const { room, archiving, topics } = this.#parts;
    const { inTopics, duplicates, archived, lag } = {
      ...topics.counts(),
      ...archiving.counts(),
      lag: this.#lag,
    };
    const sorted = this.#ages.toSorted((a, b) => a - b);
    return {
      phase: this.#phase,
      changes: room.changes(),
      inTopics,
      duplicatesInTopics: duplicates,
      archived,
      toArchive: lag,
      martRows: this.#compared?.rows ?? 0,
      freshnessMs: this.#beatAt === undefined ? undefined : Date.now() - this.#beatAt,
      freshnessP95Ms: Math.round(sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? 0),
      runs: this.#runs,
      compared: this.#compared,
      events: this.#events,
    };
  }

  #lag = 0;

  /** Resolves when the mart is equal, and goes on without changes until it is stopped. */
  async run(): Promise<void> {
    const { archiving } = this.#parts;
    const stop = AbortSignal.any([this.#options.stop, this.#stopping.signal]);
    const isOver = Promise.withResolvers<void>();
    stop.addEventListener('abort', () => isOver.resolve(), { once: true });
    const looking = this.#look(stop);
    // The first build parses the project, and has the first snapshot: changes begin when it is there.
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const changing = begun.then(() => this.#change(stop));
    const building = this.#build(stop, changing, begin);
    this.#work.push(
      looking,
      changing,
      building,
      begun.then(() => this.#tick(stop, changing)),
    );
    for (const each of this.#work) each.catch(() => {});
    await Promise.race([
      building,
      archiving.halted,
      isOver.promise,
      Promise.all([looking, changing]).then(() => building),
    ]).finally(begin);
  }

  async ended(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#work);
  }

  #note(event: string): void {
    this.#events.push(event);
  }

  async #look(stop: AbortSignal): Promise<void> {
    const { topics, archiving } = this.#parts;
    while (!stop.aborted) {
      await topics.look();
      this.#lag = await archiving.lag();
      await sleep(LOOK_MS);
    }
  }

  async #tick(stop: AbortSignal, changing: Promise<void>): Promise<void> {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    changing.then(done, done);
    while (!stop.aborted && !isDone) {
      this.#ticks.push(await this.#parts.room.tick());
      await sleep(LOOK_MS);
    }
  }

  /** Every tick up to the one that the mart shows has arrived. */
  #arrived(upTo: number, at: number): void {
    const arrived = this.#ticks.filter((tick) => tick <= upTo);
    this.#ticks.splice(0, arrived.length);
    for (const tick of arrived) this.#ages.push(at - tick);
  }

  /** Changes rows, with the faults at their shares of the way. */
  async #change(stop: AbortSignal): Promise<void> {
    const { changes, perSecond, faults } = this.#options;
    const { room } = this.#parts;
    this.#phase = 'changing rows';
    // Without an end, once a minute.
    const way = Number.isFinite(changes) ? changes : perSecond * 60;
    const steps: (readonly [number, () => Promise<void>])[] = [
      ...(faults.alter ? [[0.2, () => this.#alter()] as const] : []),
      ...(faults.killConnect ? [[0.4, () => this.#killConnect()] as const] : []),
      ...(faults.widen ? [[0.55, () => this.#widen()] as const] : []),
      ...(faults.killConnect ? [[0.8, () => this.#killConnect()] as const] : []),
    ];
    for (const [share, fault] of steps) {
      await room.work(Math.round(way * share), perSecond, stop);
      if (stop.aborted) return;
      // Rows go on changing meanwhile, as they would.
      const during = new AbortController();
      const going = room.work(changes, perSecond, AbortSignal.any([stop, during.signal]));
      await fault();
      during.abort();
      await going;
    }
    await room.work(changes, perSecond, stop);
    this.#phase = 'waiting for the mart';
  }

  async #killConnect(): Promise<void> {
    const { worker, connector } = this.#parts.capture;
    this.#note('Kafka Connect is killed');
    await worker.kill();
    await worker.start();
    await worker.untilRunning(connector);
    this.#note('Kafka Connect is back');
  }

  async #widen(): Promise<void> {
    const { topic } = tableToWiden;
    const admin = new Admin({ clientId: 'millrace-demo', bootstrapBrokers: [this.#parts.brokers] });
    try {
      // Its one broker has the id 1. Without assignments Kafka would choose, which this client cannot ask for.
      const assignments = Array.from({ length: topic.partitions }, () => ({ brokerIds: [1] }));
      await admin.createPartitions({
        topics: [{ name: topic.name, count: topic.partitions * 2, assignments }],
      });
    } finally {
      await admin.close();
    }
    this.#note(`${topic.name} has ${topic.partitions * 2} partitions instead of ${topic.partitions}`);
  }

  async #alter(): Promise<void> {
    const { room, capture } = this.#parts;
    await room.run(ALTER);
    this.#note('articles has a new column with a default: nobody hears of rows that stay as they are');
    const source = await openSourceDatabase(capture.url);
    try {
      await source.signal(snapshotSignal(tableToAlter, 'after-alter'));
    } finally {
      await source.close();
    }
    this.#note('a snapshot of articles is asked for, by a signal');
  }

  /** Builds again and again; resolves when all is changed and the mart is equal. */
  async #build(stop: AbortSignal, changing: Promise<void>, begin: () => void): Promise<void> {
    const { mart, room } = this.#parts;
    let isDone = false;
    changing.then(
      () => {
        isDone = true;
      },
      () => {},
    );
    while (!stop.aborted && this.#parts.archiving.counts().archived === 0) await sleep(LOOK_MS);
    while (!stop.aborted) {
      const wasDone = isDone;
      const { beatAt } = await mart.refresh(wasDone);
      const builtAt = Date.now();
      this.#runs++;
      if (beatAt !== undefined) this.#beatAt = beatAt;
      const settledBefore = Date.now() - SETTLED_MS;
      const { compared, clock } = await mart.look(
        wasDone ? undefined : (table, key) => (room.changedAt(table, key) ?? 0) > settledBefore,
      );
      this.#compared = compared;
      this.#arrived(clock, builtAt);
      begin();
      const { missing, extra, different } = compared;
      if (wasDone && !stop.aborted && missing + extra + different === 0) {
        this.#phase = 'the mart equals the source';
        return;
      }
    }
  }
}

/** What parts say is in their logs; what stops the demo is thrown. */
const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** @throws WAREHOUSE_DIFFERS with the first rows that differ */
export function differs({ missing, extra, different, examples }: Difference, seconds: number): MillraceError {
  return new MillraceError(
    'WAREHOUSE_DIFFERS',
    `After ${seconds} seconds the mart still differs from the source: ${missing} rows missing, ${extra} too many, ${different} different. ` +
      `${examples.join('; ')}. Run it again with --state DIR, and look at the logs and the DuckDB file there.`,
    { details: { missing, extra, different } },
  );
}
