import { MAX_POLLERS } from '../../runtime/environment.ts';
import { effortOfReader, type Workload } from './bill.ts';
import type { Deployment } from './deployment.ts';
import { type Effort, POLLER, PROCESSORS_PER_ACU } from './rates.ts';

/** What a load takes of one part, and how much of it there is. */
export interface Need {
  readonly part: string;
  readonly unit: string;
  readonly needed: number;
  /** With the environment's settings; undefined where they set none. */
  readonly set: number | undefined;
  /** The most that AWS gives, quotas as an account has them at first; undefined where AWS names none. */
  readonly most: number | undefined;
  /** What to do when it gives. */
  readonly change: string;
  readonly source: string;
}

/** https://docs.aws.amazon.com/msk/latest/developerguide/limits.html (2026-11-26): MB/s in, sustained, by a broker; out it is twice that. */
const EXPRESS_MB_IN: Readonly<Record<string, number>> = {
  'express.m7g.large': 15.6,
  'express.m7g.xlarge': 31.2,
  'express.m7g.2xlarge': 62.5,
  'express.m7g.4xlarge': 124.9,
  'express.m7g.8xlarge': 250,
  'express.m7g.12xlarge': 375,
  'express.m7g.16xlarge': 500,
};
const MSK_LIMITS = 'https://docs.aws.amazon.com/msk/latest/developerguide/limits.html';
/** Same page: of a cluster with KRaft. */
const MOST_BROKERS = 60;
const MOST_MB_IN = MOST_BROKERS * EXPRESS_MB_IN['express.m7g.16xlarge']!;
const OUT_TO_IN = 2;
const SCALING_MODES = 'https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html';
/** An account's at first: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-26) */
const CONCURRENCY = 1_000;
/** https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html (2026-11-26) */
const MOST_CAPACITY = 256;
/** https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Managing.html (2026-11-26): `LEAST({DBInstanceClassMemory/9531392}, 5000)` */
const MOST_CONNECTIONS = 5_000;
const CONNECTION_BYTES = 9_531_392;
const ACU_BYTES = 2 * 1_024 ** 3;
/** A region's at first: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html (2026-11-26) */
const MOST_REQUESTS = 10_000;
const MB = 1e6;

/** What a load takes, the part that gives first at the top: as the environment is set, and without settings by AWS's limits. */
export function needsOf(deployment: Deployment, workload: Workload): readonly Need[] {
  const { brokers, database, topics, collector } = deployment;
  const readers = deployment.readers.filter(({ isLoaded }) => isLoaded);
  const { eventsPerSecond, bytes, eventsPerRequest } = workload;
  const efforts = readers.map((reader) => effortOfReader(reader, workload));
  const sum = (of: (effort: Effort) => number) => efforts.reduce((total, each) => total + of(each), 0);
  const topicMb = (eventsPerSecond * bytes) / MB;
  const brokerMb = brokers && EXPRESS_MB_IN[brokers.instanceType];
  const busiest = Math.max(
    0,
    ...efforts.map(({ pollers, functions }) => Math.max(pollers, Math.ceil(functions))),
  );
  const mappings = readers.map(({ provisioned }, index) => ({
    needed: efforts[index]!.pollers,
    set: provisioned?.maximumPollers,
  }));
  const fullest = mappings.toSorted(
    (a, b) => b.needed / (b.set ?? MAX_POLLERS) - a.needed / (a.set ?? MAX_POLLERS),
  )[0];
  const needs: (Need | undefined)[] = [
    {
      part: 'broker ingress',
      unit: 'MB/s',
      needed: topics.length * topicMb,
      set: brokerMb && brokers && brokers.count * brokerMb,
      most: MOST_MB_IN,
      change: 'larger Express brokers (brokers.instanceType), then more of them, then a second cluster',
      source: MSK_LIMITS,
    },
    {
      part: 'broker egress',
      unit: 'MB/s',
      needed: readers.length * topicMb,
      set: brokerMb && brokers && brokers.count * brokerMb * OUT_TO_IN,
      most: MOST_MB_IN * OUT_TO_IN,
      change: 'larger Express brokers (brokers.instanceType), or fewer consumers of the topic',
      source: MSK_LIMITS,
    },
    {
      part: 'partitions',
      unit: 'of a topic',
      needed: busiest,
      set: Math.min(...topics.map(({ partitions }) => partitions)),
      most: undefined,
      change:
        "more partitions in the topic's contract; keys move, and the order of a key across the change is lost",
      source: SCALING_MODES,
    },
    fullest && {
      part: 'pollers',
      unit: `of ${POLLER.bytesPerSecond / MB} MB/s`,
      needed: fullest.needed,
      set: fullest.set,
      most: MAX_POLLERS,
      change: `polling.maximumPollers; beyond ${MAX_POLLERS.toLocaleString('en-US')} a second topic, read by a consumer of its own`,
      source: SCALING_MODES,
    },
    {
      part: 'functions',
      unit: 'at once',
      needed: sum(({ functions }) => functions),
      set: undefined,
      most: CONCURRENCY,
      change: 'ask for more concurrency, larger batches (batch.maxRecords) or more memory (memoryMb)',
      source: 'https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html',
    },
    {
      part: 'database',
      unit: 'processors',
      needed: sum(({ databaseProcessors }) => databaseProcessors),
      set: database.maxCapacity * PROCESSORS_PER_ACU,
      most: MOST_CAPACITY * PROCESSORS_PER_ACU,
      change:
        'database.maxCapacity; then larger batches, then aggregate before the sink, so that a batch writes fewer rows; then another sink',
      source:
        'https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html',
    },
    {
      part: 'connections',
      unit: 'to the database',
      needed: sum(({ functions }) => functions),
      set: Math.min(MOST_CONNECTIONS, Math.floor((database.maxCapacity * ACU_BYTES) / CONNECTION_BYTES)),
      most: MOST_CONNECTIONS,
      change: 'larger batches, so that fewer functions run at once; database.maxCapacity',
      source: 'https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Managing.html',
    },
    {
      part: 'commits',
      unit: 'a second',
      // An archive commits nothing to the database.
      needed: sum(({ batchesPerSecond, walBytesPerSecond }) =>
        walBytesPerSecond > 0 ? batchesPerSecond : 0,
      ),
      set: undefined,
      most: undefined,
      change: 'larger batches (batch.maxRecords, batch.windowMs)',
      source: 'npm run bench -- commit-cost',
    },
    {
      part: 'write-ahead log',
      unit: 'MB/s',
      needed: sum(({ walBytesPerSecond }) => walBytesPerSecond) / MB,
      set: undefined,
      most: undefined,
      change: 'aggregate before the sink: a row that many records change is written once a batch',
      source: 'npm run bench -- commit-cost',
    },
    collector && {
      part: 'collector',
      unit: 'requests/s',
      needed: (collector.topics * eventsPerSecond) / eventsPerRequest,
      set: collector.rate,
      most: MOST_REQUESTS,
      change: 'collector.rate, more events in a request; beyond the quota ask for more',
      source: 'https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html',
    },
  ];
  return needs.filter((need) => need !== undefined).toSorted((a, b) => fullness(b) - fullness(a));
}

/** The share of a part that is used: of what is set, where it is set; 0 where nobody names a limit. */
export function fullness({ needed, set, most }: Need): number {
  const limit = set ?? most;
  return limit === undefined ? 0 : needed / limit;
}
