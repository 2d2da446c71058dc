/** What samples of a consumer mean. The newest one counts; those before it tell where things are going. */
import type { ErrorCode } from '../errors.ts';
import type { ConsumerSample, Failing, PartitionSample, Runner, WatchedConsumer } from './sample.ts';
import {
  idleSince,
  lastProgressAt,
  type Point,
  type PointSeries,
  pointsOf,
  type Rates,
  ratesOver,
} from './series.ts';
import {
  type ConsumerStatus,
  type Drain,
  LAG_VERDICTS,
  type LagVerdict,
  type PartitionStatus,
} from './status.ts';
import { count, duration, moment, rate } from './words.ts';

const RATE_WINDOW_MS = 60_000;
/** Work and no commit for so long, or for three batch windows, is a stall whatever the reason. */
const STALL_MS = 300_000;
/** What every record waits for may be over after a moment. */
export const HELD_MS = 2_000;
/** An error that comes back so often at one offset does not pass by itself. */
const BLOCKING_FAILURES = 3;
/** Said only once it is certain: it does not pass without another deploy. */
const BROKEN: ErrorCode = 'CONSUMER_BROKEN';
/** A lag that grows or shrinks by less than this share of the traffic is steady. */
const STEADY_SHARE = 0.05;
/** What is on its way through a healthy consumer: so long's input, or three batch windows'. */
const IN_FLIGHT_MS = 5_000;
/** With less of the retention left, a consumer that gets nowhere loses records soon. */
const LITTLE_HEADROOM = 0.25;
/** A producer is compared with what it did earlier once that is ten minutes, and some tens of records are missing. */
const SILENCE = { windowMs: 300_000, baselineMs: 600_000, share: 0.1, leastRecords: 30 };

/** What one partition decides for its consumer; the others are judged by all partitions together. */
const DECIDED_BY_PARTITION: readonly LagVerdict[] = ['LOST', 'AT_RISK', 'BLOCKED', 'STALLED'];

/** A partition, or all of them together. */
interface Series {
  readonly points: readonly Point[];
  readonly now: Point;
  readonly rates: Rates | null;
  readonly warning: number;
  readonly partition?: PartitionSample;
}

type Progress = Omit<PartitionStatus, 'partition' | 'committed' | 'start' | 'end'>;
/** A verdict and the sentence that says why. */
type Finding = readonly [verdict: LagVerdict, because: string];

/** Judges the newest sample. @param samples of this consumer, oldest first; one at least */
export function judge(watched: WatchedConsumer, samples: readonly ConsumerSample[]): ConsumerStatus {
  const sample = samples.at(-1)!;
  const points = pointsOf(samples);
  const all = progressOf(seriesOf(points.total, watched.warning), sample, watched);
  const partitions = partitionsOf(watched, sample, points);
  const deciding = partitions.filter((each) => DECIDED_BY_PARTITION.includes(each.verdict));
  const worst = deciding.toSorted(
    (a, b) => rank(a.verdict) - rank(b.verdict) || (b.lag ?? 0) - (a.lag ?? 0),
  )[0];
  const { verdict, evidence } =
    worst && rank(worst.verdict) < rank(all.verdict)
      ? {
          verdict: worst.verdict,
          evidence: worst.evidence.map((why) => `Partition ${worst.partition}: ${why}`),
        }
      : all;
  // However fast the others are, it is through only once these are.
  const drain = deciding.map((each) => each.drain).reduce(longer, all.drain);
  const headrooms = partitions.flatMap(({ headroomMs }) => (headroomMs === null ? [] : [headroomMs]));
  const moved = partitions.flatMap((each) => (each.lastProgressAt === null ? [] : [each.lastProgressAt]));
  const blocking = sample.partitions?.find(({ failing }) => failing && isBlocking(failing));
  const status = {
    ...all,
    verdict,
    drain,
    headroomMs: headrooms.length > 0 ? Math.min(...headrooms) : all.headroomMs,
    lastProgressAt: moved.length > 0 ? Math.max(...moved) : all.lastProgressAt,
    drainMs: drain === null || drain === 'never' ? null : drain.highMs,
    deadLetters: sample.deadLetters,
    parked: parkedIn(sample),
    heldBy: sample.runner.held?.code ?? blocking?.failing?.code ?? null,
    isPaused: sample.runner.paused !== undefined,
    retentionMs: sample.retentionMs,
    partitions,
  };
  const { consumer, group, topic, warning, incident } = watched;
  const facts = factsOf(status, sample, watched, samples);
  // Whatever the verdict, a consumer that reads nothing on purpose is to be told from one that has nothing to read.
  const { paused } = sample.runner;
  const pause =
    paused && !evidence.some((fact) => fact.includes(pausedBy(paused)))
      ? [`It is ${pausedBy(paused)}, and reads nothing.`]
      : [];
  return {
    consumer,
    group,
    topic,
    warning,
    incident,
    ...status,
    evidence: [...new Set([...evidence, ...pause, ...facts])],
  };
}

/** The worst first: by verdict, then by how much of the incident threshold is behind. */
export function byUrgency(a: ConsumerStatus, b: ConsumerStatus): number {
  const share = ({ lag, incident }: ConsumerStatus) => (lag ?? 0) / incident;
  return rank(a.verdict) - rank(b.verdict) || share(b) - share(a) || a.consumer.localeCompare(b.consumer);
}

function rank(verdict: LagVerdict): number {
  return LAG_VERDICTS.indexOf(verdict);
}

function partitionsOf(
  watched: WatchedConsumer,
  sample: ConsumerSample,
  { byPartition }: PointSeries,
): PartitionStatus[] {
  const { partitions } = sample;
  if (partitions === null) return [];
  return partitions.map((each) => {
    const { partition, committed, start, end } = each;
    // A share of the threshold, or no partition of many would ever be behind.
    const series = seriesOf(byPartition.get(partition)!, watched.warning / partitions.length, each);
    return {
      partition,
      committed: typeof committed === 'number' ? committed : null,
      start,
      end,
      ...progressOf(series, sample, watched),
    };
  });
}

function seriesOf(points: readonly Point[], warning: number, partition?: PartitionSample): Series {
  const rates = ratesOver(points, RATE_WINDOW_MS);
  return { points, now: points.at(-1)!, rates, warning, ...(partition && { partition }) };
}

function progressOf(series: Series, sample: ConsumerSample, watched: WatchedConsumer): Progress {
  const { now, rates, points } = series;
  const ageMs = now.lag === 0 ? 0 : now.nextAt === null ? null : Math.max(0, now.at - now.nextAt);
  const { retentionMs } = sample;
  const headroomMs =
    now.lag === null || now.lag === 0 || ageMs === null || typeof retentionMs !== 'number'
      ? null
      : Math.max(0, retentionMs - ageMs);
  const numbers = {
    lag: now.lag,
    ageMs,
    drain: drainOf(series, inFlight(series, watched), sample.runner),
    headroomMs,
    lost: now.lost,
    inPerSecond: rates?.inPerSecond ?? null,
    outPerSecond: rates?.outPerSecond ?? null,
    lastProgressAt: lastProgressAt(points),
  };
  const [verdict, because] =
    lost(series) ??
    atRisk(series, numbers, retentionMs) ??
    blocked(series, sample.runner) ??
    stalled(series, sample.runner, watched) ??
    trend(series, numbers, sample, watched);
  // The rates are of before it stood still.
  const drain = verdict === 'STALLED' || verdict === 'BLOCKED' ? 'never' : numbers.drain;
  return { ...numbers, drain, verdict, evidence: because === '' ? [] : [because] };
}

function lost({ now, points, partition }: Series): Finding | undefined {
  if (!now.lost) return undefined;
  // The sum over partitions is not a place; each partition says its own.
  if (!partition && now.committed !== null) return undefined;
  const since = points.findLast(({ lost }) => lost === 0);
  const when = since ? `since ${moment(since.at)}` : `before ${moment(points[0]!.at)}`;
  const where = partition ? `: ${now.committed} is committed, the topic begins at ${now.start}` : '';
  return ['LOST', `retention deleted ${count(now.lost)} unread offsets ${when}${where}.`];
}

function atRisk(
  { rates }: Series,
  { drain, headroomMs }: Pick<Progress, 'drain' | 'headroomMs'>,
  retentionMs: ConsumerSample['retentionMs'],
): Finding | undefined {
  if (drain === null || headroomMs === null || rates === null || typeof retentionMs !== 'number')
    return undefined;
  const deadline = `retention may delete the next unread record in ${duration(headroomMs)}`;
  if (drain === 'never') {
    if (headroomMs >= retentionMs * LITTLE_HEADROOM) return undefined;
    return ['AT_RISK', `${deadline}, and at this rate the consumer never catches up.`];
  }
  if (drain.highMs <= headroomMs) return undefined;
  return ['AT_RISK', `${deadline}, and catching up takes ${drainText(drain)}.`];
}

function isBlocking({ code, times }: Failing): boolean {
  return times >= BLOCKING_FAILURES || code === BROKEN;
}

function blocked({ now, partition }: Series, { held }: Runner): Finding | undefined {
  const failing = partition?.failing;
  if (!partition && held?.code === BROKEN && now.lag !== 0) {
    const where = held.why ? `: ${held.why}` : '';
    return [
      'BLOCKED',
      `held by ${BROKEN} since ${moment(held.since)}${where}. The code is broken, not the records.`,
    ];
  }
  if (!failing || !now.lag || !isBlocking(failing)) return undefined;
  if (now.committed !== null && now.committed > failing.offset) return undefined;
  const why = failing.why ? `: ${failing.why.replace(/\.$/, '')}` : '';
  return [
    'BLOCKED',
    `offset ${failing.offset} failed ${failing.times} ${failing.times === 1 ? 'time' : 'times'} with ${failing.code} since ${moment(failing.since)}${why}.`,
  ];
}

function stalled(
  { now, points, rates }: Series,
  runner: Runner,
  { windowMs }: WatchedConsumer,
): Finding | undefined {
  // A lag that is unknown may be 0, and then there is nothing to stall.
  if (!now.lag) return undefined;
  const { paused, disabled, held, handling, throttles = 0, isRunning, who } = runner;
  const because = (text: string): Finding => ['STALLED', `${count(now.lag!)} unread and ${text}.`];
  if (paused) return because(pausedBy(paused));
  if (disabled) return because(`the event source mapping is ${disabled}`);
  const progress = lastProgressAt(points);
  const isMoving = rates !== null && progress !== null && now.at - progress <= RATE_WINDOW_MS;
  if (isRunning === false && !isMoving) return because(who);
  // A commit is seen some time after it was made: one that is seen soon after the hold began may be of before it.
  if (held && now.at - held.since >= HELD_MS && (progress ?? 0) < held.since + HELD_MS) {
    const why = held.why ? `: ${held.why.replace(/\.$/, '')}` : '';
    return because(
      `held by ${held.code} since ${moment(held.since)}, ${held.tries} ${held.tries === 1 ? 'try' : 'tries'}${why}`,
    );
  }
  if (handling && handling.runningMs >= handling.timeoutMs / 2 && !isMoving)
    return because(
      `handle() has been running ${duration(handling.runningMs)} (limit ${duration(handling.timeoutMs)})`,
    );
  if (throttles > 0 && rates !== null && rates.outPerSecond === 0)
    return because(`Lambda refused ${count(throttles)} invocations: throttled`);
  const since = idleSince(points);
  if (since !== null && now.at - since >= stallMs(windowMs))
    return because(`no commit since ${moment(since)}`);
  return undefined;
}

function pausedBy({ by, at }: NonNullable<Runner['paused']>): string {
  return `paused by ${by} since ${moment(at)}`;
}

function trend(
  series: Series,
  { ageMs, drain }: Pick<Progress, 'ageMs' | 'drain'>,
  sample: ConsumerSample,
  watched: WatchedConsumer,
): Finding {
  const { now, rates, warning } = series;
  const { lag } = now;
  if (lag === null) return ['UNKNOWN', sample.unknown ?? now.unknown ?? 'Its lag is unknown.'];
  const isBehind = lag >= warning;
  if (lag > 0 && lag >= Math.min(warning, inFlight(series, watched))) {
    const direction = directionOf(series);
    if (direction === 'growing') return ['RISING', `the lag grows by ${rate(-rates!.drainPerSecond)}.`];
    if (direction === 'shrinking')
      return [
        'RECOVERING',
        `the lag shrinks by ${rate(rates!.drainPerSecond)}; caught up in ${drainText(drain)}.`,
      ];
    if (isBehind && !series.partition)
      return ['BEHIND', `${count(lag)} unread, over the warning threshold of ${count(warning)}.`];
    if (isBehind) return ['BEHIND', `${count(lag)} unread.`];
  }
  const isOld = ageMs !== null && ageMs >= stallMs(watched.windowMs);
  if (lag > 0 && isOld && !rates?.outPerSecond)
    return ['BEHIND', `the next unread record is ${duration(ageMs)} old.`];
  if (!series.partition) {
    const silence = silent(series, sample);
    if (silence) return silence;
  }
  return [lag === 0 && isQuiet(series) ? 'IDLE' : 'OK', ''];
}

function silent({ now, points, rates }: Series, { usualInPerSecond }: ConsumerSample): Finding | undefined {
  const { windowMs, baselineMs, share, leastRecords } = SILENCE;
  let recent = rates?.inPerSecond ?? null;
  let spanMs = rates?.spanMs ?? 0;
  let usual = usualInPerSecond ?? null;
  if (usual === null) {
    const ends = points.filter(({ end }) => end !== null);
    const turn = ends.findLast(({ at }) => at <= now.at - windowMs);
    const first = ends[0];
    if (!turn || !first || now.end === null || turn.at - first.at < baselineMs) return undefined;
    spanMs = now.at - turn.at;
    recent = ((now.end - turn.end!) / spanMs) * 1_000;
    usual = ((turn.end! - first.end!) / (turn.at - first.at)) * 1_000;
  }
  if (recent === null || recent >= usual * share || (usual * spanMs) / 1_000 < leastRecords) return undefined;
  return ['SILENT', `${rate(recent)} come in, and ${rate(usual)} are usual: the producer is silent.`];
}

/** Nothing came in between the looks, or nothing ever did. */
function isQuiet({ now, rates }: Series): boolean {
  return rates === null ? now.end === now.start : rates.inPerSecond === 0;
}

function directionOf({ rates, now }: Series): 'growing' | 'shrinking' | 'steady' {
  if (!rates) return 'steady';
  // Without offsets there is no traffic to compare with: a share of the lag a minute then.
  const significant =
    rates.pace === null ? (now.lag! * STEADY_SHARE * 1_000) / RATE_WINDOW_MS : rates.pace * STEADY_SHARE;
  if (Math.abs(rates.drainPerSecond) <= significant) return 'steady';
  return rates.drainPerSecond > 0 ? 'shrinking' : 'growing';
}

/** How much of a lag is only on its way. */
function inFlight({ rates, warning }: Series, { windowMs }: WatchedConsumer): number {
  const input = ((rates?.pace ?? 0) * Math.max(IN_FLIGHT_MS, 3 * windowMs)) / 1_000;
  return Math.max(warning / 10, input);
}

function drainOf({ now, rates }: Series, flight: number, { paused }: Runner): Drain {
  const { lag } = now;
  if (lag === null) return null;
  if (lag === 0) return { lowMs: 0, highMs: 0 };
  // The rates are still those from before the pause.
  if (paused) return 'never';
  if (!rates) return null;
  const timesAt = (speeds: readonly number[]) => {
    const times = speeds.filter((speed) => speed > 0).map((speed) => Math.ceil((lag / speed) * 1_000));
    return { lowMs: Math.min(...times), highMs: Math.max(...times) };
  };
  // What is on its way is gone as soon as it is through, though as much has come in by then.
  if (lag < flight && rates.outPerSecond) return timesAt([rates.outPerSecond]);
  if (rates.drainPerSecond <= 0) return 'never';
  return timesAt([rates.drainPerSecond, ...middleOf(rates.drains)]);
}

/** Without the quarters at both ends: one odd sample gives two odd gaps. */
function middleOf(values: readonly number[]): readonly number[] {
  const cut = Math.floor(values.length / 4);
  return values.toSorted((a, b) => a - b).slice(cut, values.length - cut);
}

function longer(a: Drain, b: Drain): Drain {
  if (a === 'never' || b === 'never') return 'never';
  if (a === null || b === null) return null;
  return a.highMs > b.highMs ? a : b;
}

function stallMs(windowMs: number): number {
  return Math.max(STALL_MS, 3 * windowMs);
}

function drainText(drain: Drain): string {
  if (drain === null) return 'an unknown time';
  if (drain === 'never') return 'never at this rate';
  const [low, high] = [duration(drain.lowMs), duration(drain.highMs)];
  return low === high ? low : `${low} to ${high}`;
}

type Found = Pick<ConsumerStatus, 'lag' | 'ageMs' | 'inPerSecond' | 'outPerSecond' | 'partitions'>;

/** What the verdict's reason does not say yet. */
function factsOf(
  { lag, ageMs, inPerSecond, outPerSecond, partitions }: Found,
  sample: ConsumerSample,
  { incident }: WatchedConsumer,
  samples: readonly ConsumerSample[],
): readonly string[] {
  const { runner, retentionMs, unknown } = sample;
  const parked = parkedIn(sample);
  const facts: string[] = [];
  if (lag === null && unknown) facts.push(unknown);
  if (lag !== null && lag > 0) {
    const age = ageMs === null ? 'the age of the next one is unknown' : `the next one ${duration(ageMs)} old`;
    const over = lag >= incident ? `, over the incident threshold of ${count(incident)}` : '';
    facts.push(`${count(lag)} unread${over}; ${age}.`);
    const most = partitions.toSorted((a, b) => (b.lag ?? 0) - (a.lag ?? 0))[0];
    if (most?.lag && partitions.length >= 3 && lag >= partitions.length && most.lag >= lag * 0.8)
      facts.push(`Partition ${most.partition} has ${Math.round((most.lag / lag) * 100)}% of it.`);
  }
  const spanMs = samples.at(-1)!.at - samples[0]!.at;
  if (inPerSecond !== null && outPerSecond !== null)
    facts.push(
      `${rate(inPerSecond)} in and ${rate(outPerSecond)} out over the last ${duration(Math.max(1_000, Math.min(spanMs, RATE_WINDOW_MS)))}.`,
    );
  const isSaid = runner.isRunning === false && (lag ?? 0) > 0;
  if (!isSaid && runner.who !== 'unknown')
    facts.push(runner.isRunning === false ? `${capital(runner.who)}.` : `Run by ${runner.who}.`);
  if (runner.lastResult) facts.push(`Last result of the event source: ${runner.lastResult}.`);
  if (retentionMs === 'forever') facts.push('The topic deletes nothing by age.');
  if (parked && parked.records > 0) {
    const age = parked.oldestAgeMs === null ? '' : `, the oldest for ${duration(parked.oldestAgeMs)}`;
    const records = `${count(parked.records)} ${parked.records === 1 ? 'record' : 'records'}`;
    const keys = `${count(parked.keys)} ${parked.keys === 1 ? 'key' : 'keys'}`;
    facts.push(
      `${records} of ${keys} ${parked.records === 1 ? 'is' : 'are'} parked behind dead letters${age}.`,
    );
  }
  return facts;
}

function parkedIn({ parked, at }: ConsumerSample): ConsumerStatus['parked'] {
  if (!parked) return null;
  const { keys, records, oldestAt } = parked;
  return { keys, records, oldestAgeMs: oldestAt === null ? null : Math.max(0, at - oldestAt) };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
