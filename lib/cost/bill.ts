import { METRICS, REDRIVE_METRICS } from '../../runtime/delivery/metrics.ts';
import { LAG_METRICS, PARKED_METRICS } from '../../runtime/lag/metrics.ts';
import { COLLECT_METRICS } from '../../runtime/publish/collect.ts';
import type { Deployment, Reader } from './deployment.ts';
import type { PriceList } from './prices.ts';
import { type Effort, effortOf, PROCESSORS_PER_ACU } from './rates.ts';

export interface Workload {
  /** Published to each topic, day and night. */
  readonly eventsPerSecond: number;
  /** Of an event: key, value and headers. */
  readonly bytes: number;
  /** Events that a request to the collector brings; all events come that way where an environment has one. */
  readonly eventsPerRequest: number;
}

export interface Bill {
  readonly lines: readonly BillLine[];
  /** US dollars a month. */
  readonly total: number;
  readonly savings: readonly Saving[];
}

export interface BillLine {
  readonly part: string;
  readonly quantity: string;
  readonly monthly: number;
}

export interface Saving {
  readonly what: string;
  readonly monthly: number;
}

/** What is in no line: it depends on data and on places that nobody declares. */
export const NOT_COUNTED =
  'traffic between zones, the storage of your tables, backups, flow logs, a web ACL, a NAT, Snowflake, tax, support';

const HOURS = 730;
const SECONDS = HOURS * 3_600;
const GB = 1e9;
const MILLION = 1e6;
/** https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html (2026-11-26): "default of 10 event pollers per EPU" */
const POLLERS_PER_UNIT = 10;
const LEAST_PROXY_UNITS = 8;
/** Of a database that is in use, where it may pause. */
const LEAST_CAPACITY = 0.5;
/** A server is not run at its limit. */
const BUSY_SHARE = 0.7;
/** Lambda's lines about an invocation, and the metrics that the function writes into its log. */
const LOG_BYTES = { consumer: 1_500, collector: 2_000 };
/** A row has the decoded value and, but for tables, the original bytes, and is gzipped: of 790 bytes of a change 114 were left. */
const ARCHIVED_SHARE = 1 / 3;
const COLLECTOR_SECONDS = 0.02;
/** Of a look at all consumers: committed offsets, ends and timestamps, each in a few requests; and the metrics of a consumer, as a line. */
const LOOK_SECONDS = 0.5;
const LOOK_BYTES = { each: 600, ofConsumer: 700 };
/** Lambda reads a queue with five pollers at least, each waiting up to 20 s: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html (2026-11-26) */
const QUEUE_REQUESTS_PER_SECOND = 5 / 20;

/** What an environment costs a month under a load, by the prices of the list. */
export function billOf(deployment: Deployment, workload: Workload, list: PriceList): Bill {
  const lines = linesOf(deployment, workload, list);
  const total = totalOf(lines);
  return {
    lines,
    total,
    savings: savingsOf(deployment, workload, list, total).filter(({ monthly }) => monthly >= 1),
  };
}

function totalOf(lines: readonly BillLine[]): number {
  return lines.reduce((total, { monthly }) => total + monthly, 0);
}

export function effortOfReader({ isLoaded, sink, batch, memoryMb }: Reader, workload: Workload): Effort {
  const { eventsPerSecond, bytes } = workload;
  const effort = effortOf({ eventsPerSecond: isLoaded ? eventsPerSecond : 0, bytes, batch, memoryMb });
  return sink !== 's3' ? effort : { ...effort, databaseProcessors: 0, walBytesPerSecond: 0 };
}

/** What archives write in a month: an object for each partition that has records in a window. */
function archivedIn({ readers, topics }: Deployment, { eventsPerSecond, bytes }: Workload) {
  const archives = readers.filter(({ sink, isLoaded }) => sink === 's3' && isLoaded);
  const objects = archives.reduce((total, { topic, batch }) => {
    const { partitions } = topics.find(({ name }) => name === topic)!;
    return total + Math.min(eventsPerSecond, partitions / Math.max(1, batch.windowMs / 1_000)) * SECONDS;
  }, 0);
  return { objects, gb: (archives.length * eventsPerSecond * bytes * ARCHIVED_SHARE * SECONDS) / GB };
}

function linesOf(deployment: Deployment, workload: Workload, list: PriceList): BillLine[] {
  const { brokers, endpoints, database, readers, collector, topics } = deployment;
  const { eventsPerSecond, bytes, eventsPerRequest } = workload;
  const usd = (name: keyof PriceList['prices']) => list.prices[name].usd;
  const efforts = readers.map((reader) => effortOfReader(reader, workload));
  const gbIn = (topics.length * eventsPerSecond * bytes * SECONDS) / GB;
  const lines: BillLine[] = [];
  const add = (part: string, quantity: string, monthly: number) => {
    if (monthly > 0) lines.push({ part, quantity, monthly });
  };

  if (brokers) {
    const { instanceType, count, storageGiB } = brokers;
    add('brokers', `${count} ${instanceType}`, count * brokerHour(list, instanceType) * HOURS);
    if (storageGiB === undefined) {
      const kept = topics.reduce(
        (total, { retentionMs }) =>
          total + (eventsPerSecond * bytes * Math.min(retentionMs / 1_000, SECONDS)) / GB,
        0,
      );
      add('broker storage', `${figure(kept)} GB`, kept * usd('expressStorage'));
      add('written to brokers', `${figure(gbIn)} GB`, gbIn * usd('expressIngest'));
    } else {
      const volumes = count * storageGiB;
      add('broker storage', `${figure(volumes)} GB`, volumes * usd('standardStorage'));
    }
  }
  const units = pollerUnits(readers, efforts);
  add('pollers', `${units} ${units === 1 ? 'unit' : 'units'}`, units * usd('pollerUnitHour') * HOURS);
  add('interface endpoints', `${endpoints}`, endpoints * usd('endpointHour') * HOURS);
  const capacity = capacityOf(deployment, efforts);
  add(
    'database',
    `${database.instances} with ${figure(capacity)} ACU`,
    database.instances * capacity * usd('capacityUnitHour') * HOURS,
  );
  if (database.hasProxy) {
    const proxied = Math.max(LEAST_PROXY_UNITS, database.instances * capacity);
    add('RDS Proxy', `${figure(proxied)} ACU`, proxied * usd('proxyUnitHour') * HOURS);
  }
  const batchesOf = (some: readonly Effort[]) =>
    some.reduce((total, { batchesPerSecond }) => total + batchesPerSecond, 0) * SECONDS;
  const batches = batchesOf(efforts);
  const commits = batchesOf(efforts.filter((_, index) => readers[index]!.sink !== 's3'));
  add('database requests', `${figure(commits / MILLION)} M`, (commits / MILLION) * usd('databaseIo'));
  add(
    'connectors',
    `${deployment.connectUnits} MCU`,
    deployment.connectUnits * usd('connectUnitHour') * HOURS,
  );
  const archived = archivedIn(deployment, workload);
  add(
    'archive requests',
    `${figure(archived.objects / MILLION)} M objects`,
    (archived.objects / MILLION) * usd('objectWrites'),
  );
  add('archive storage', `${figure(archived.gb)} GB more each month`, archived.gb * usd('objectStorage'));
  for (const { processors, memoryGb, hasPublicAddress } of deployment.containers) {
    const hourly = processors * usd('containerCpuHour') + memoryGb * usd('containerGbHour');
    add('warehouse runner', `${processors} vCPU, ${memoryGb} GB`, hourly * HOURS);
    if (hasPublicAddress) add('public addresses', '1', usd('addressHour') * HOURS);
  }
  add('secrets', `${deployment.secrets}`, deployment.secrets * usd('secret'));
  add('keys', `${deployment.keys}`, deployment.keys * usd('key'));
  add(
    'alarms',
    `${deployment.alarmMetrics} metrics, ${deployment.compositeAlarms} composite`,
    deployment.alarmMetrics * usd('alarmMetric') + deployment.compositeAlarms * usd('compositeAlarm'),
  );
  add('dashboards', `${deployment.dashboards}`, deployment.dashboards * usd('dashboard'));
  const metrics = ownMetrics(deployment);
  add('own metrics', `${metrics}`, metrics * usd('ownMetric'));
  const requests = collector ? (collector.topics * eventsPerSecond * SECONDS) / eventsPerRequest : 0;
  const { operator } = deployment;
  const looks = (operator?.looksPerHour ?? 0) * HOURS;
  const lookBytes =
    looks === 0 ? 0 : HOURS * 60 * readers.length * LOOK_BYTES.ofConsumer + looks * LOOK_BYTES.each;
  const logs = (batches * LOG_BYTES.consumer + requests * LOG_BYTES.collector + lookBytes) / GB;
  add('logs', `${figure(logs)} GB`, logs * usd('logs'));
  const gbSeconds = readers.reduce(
    (total, { memoryMb }, index) => total + efforts[index]!.functions * SECONDS * (memoryMb / 1_024),
    (requests * COLLECTOR_SECONDS * (collector?.memoryMb ?? 0) +
      looks * LOOK_SECONDS * (operator?.memoryMb ?? 0)) /
      1_024,
  );
  const invocations = batches + requests + looks;
  add(
    'functions',
    `${figure(invocations / MILLION)} M invocations, ${figure(gbSeconds / MILLION)} M GB-s`,
    (invocations / MILLION) * usd('invocations') + gbSeconds * usd('armGbSecond'),
  );
  const polls = (deployment.queueMappings * QUEUE_REQUESTS_PER_SECOND * SECONDS) / MILLION;
  add('queues', `${figure(polls)} M requests`, polls * usd('queueRequests'));
  add('collector API', `${figure(requests / MILLION)} M requests`, (requests / MILLION) * usd('apiRequests'));
  return lines;
}

/** Units that are paid for: groups share theirs, and a mapping without a group has its own. */
function pollerUnits(readers: readonly Reader[], efforts: readonly Effort[]): number {
  const pollers = new Map<string, number>();
  readers.forEach(({ stack, provisioned }, index) => {
    if (!provisioned) return;
    const { minimumPollers, maximumPollers, group } = provisioned;
    const active = Math.min(maximumPollers, Math.max(minimumPollers, efforts[index]!.pollers));
    const unit = group === undefined ? `of ${stack}` : `group ${group}`;
    pollers.set(unit, (pollers.get(unit) ?? 0) + active);
  });
  return [...pollers.values()].reduce((total, count) => total + Math.ceil(count / POLLERS_PER_UNIT), 0);
}

/** Of each instance: what the load asks for, within what is set. */
function capacityOf({ database }: Deployment, efforts: readonly Effort[]): number {
  const processors = efforts.reduce((total, { databaseProcessors }) => total + databaseProcessors, 0);
  const needed = Math.ceil((processors / PROCESSORS_PER_ACU / BUSY_SHARE) * 2) / 2;
  const least = Math.max(database.minCapacity, processors > 0 ? LEAST_CAPACITY : 0);
  return Math.min(database.maxCapacity, Math.max(least, needed));
}

function ownMetrics({ readers, collector, metricFilters, operator, parking }: Deployment): number {
  const ofLooks = operator ? Object.keys(LAG_METRICS).length : 0;
  const ofConsumer = Object.keys(METRICS).length + Object.keys(REDRIVE_METRICS).length + ofLooks;
  const ofTopic = Object.keys(COLLECT_METRICS).length;
  const ofEnvironment = metricFilters + (operator ? 1 : 0);
  const ofParked = operator ? parking * Object.keys(PARKED_METRICS).length : 0;
  return (
    readers.length * ofConsumer + ofParked + (collector ? collector.topics * ofTopic : 0) + ofEnvironment
  );
}

/** What the same load would cost less, were a setting another one: each alone, against the bill as it is. */
function savingsOf(
  deployment: Deployment,
  workload: Workload,
  list: PriceList,
  total: number,
): readonly Saving[] {
  const savings: Saving[] = [];
  const consider = (what: string, changed: Partial<Deployment>, load = workload) => {
    savings.push({ what, monthly: total - totalOf(linesOf({ ...deployment, ...changed }, load, list)) });
  };
  const { readers, brokers, database, collector } = deployment;
  const provisioned = readers.filter((reader) => reader.provisioned);
  if (provisioned.length > 0) {
    consider('one poller group for all consumers (polling.group)', {
      readers: readers.map((reader) => ({
        ...reader,
        provisioned: reader.provisioned && { ...reader.provisioned, group: 'one' },
      })),
    });
    consider('polling: on-demand, which needs endpoints for Lambda and STS and gives up bisecting', {
      readers: readers.map((reader) => ({ ...reader, provisioned: undefined })),
      endpoints: deployment.endpoints === 0 ? 0 : deployment.endpoints + ON_DEMAND_ENDPOINTS,
    });
  }
  if (deployment.endpoints > 0) {
    consider('a network that exists, with a NAT or endpoints of its own, shared by environments', {
      endpoints: 0,
    });
  }
  if (brokers?.instanceType.startsWith('express.')) {
    consider('standard brokers (kafka.t3.small with 50 GiB): fit for tests of a deployment only', {
      brokers: { instanceType: 'kafka.t3.small', count: 3, storageGiB: 50 },
    });
  }
  if (database.hasProxy)
    consider('no RDS Proxy (database.proxy: false)', { database: { ...database, hasProxy: false } });
  if (database.instances > 1) {
    consider('no standby (database.standbys: 0): a failover then takes minutes', {
      database: { ...database, instances: 1 },
    });
  }
  if (collector) {
    consider(
      `${workload.eventsPerRequest * 10} events in a request instead of ${workload.eventsPerRequest}`,
      {},
      { ...workload, eventsPerRequest: workload.eventsPerRequest * 10 },
    );
  }
  return savings.toSorted((a, b) => b.monthly - a.monthly);
}

/** Lambda's and STS's, in three zones. */
const ON_DEMAND_ENDPOINTS = 6;

function brokerHour({ brokerHour, region }: PriceList, instanceType: string): number {
  const price = brokerHour[instanceType];
  if (price !== undefined) return price;
  throw new RangeError(
    `The price list of ${region} has no broker ${instanceType}; it has ${Object.keys(brokerHour).join(', ')}.`,
  );
}

/** Three digits of a quantity. */
function figure(value: number): string {
  if (value === 0) return '0';
  return value >= 100
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}
