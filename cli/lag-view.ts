import type { ConsumerLag } from '../local/lag.ts';
import { count, styled, table } from './terminal.ts';

const LEVEL_STYLES = { ok: 'green', warning: 'yellow', incident: 'red' } as const;
/** From this share on a partition holds most of a lag: a consumer's partitions are evenly behind unless one is stuck. */
const MOST_SHARE = 0.8;
const LEAST_PARTITIONS = 3;

/** `ok`, or `INCIDENT (over 100,000)`, in its colour. */
export function levelText({ level, warning, incident }: ConsumerLag): string {
  if (level === 'ok') return styled(LEVEL_STYLES.ok, 'ok');
  const limit = level === 'warning' ? warning : incident;
  return styled(LEVEL_STYLES[level], `${level.toUpperCase()} (over ${count(limit)})`);
}

/** One row a consumer, the one that is furthest behind first; its partitions that are behind, or all of them. */
export function lagLines(lags: readonly ConsumerLag[], isEachPartitionShown: boolean): readonly string[] {
  const sorted = lags.toSorted((a, b) => b.lag / b.incident - a.lag / a.incident || b.lag - a.lag);
  const nameWidth = Math.max(0, ...lags.map(({ consumer }) => consumer.length));
  const lagWidth = Math.max(0, ...lags.map(({ lag }) => count(lag).length));
  return sorted.flatMap((lag) => {
    const group = lag.group === lag.consumer ? '' : styled('dim', `  as ${lag.group}`);
    const name = styled('bold', lag.consumer.padEnd(nameWidth));
    return [
      `${name}  ${count(lag.lag).padStart(lagWidth)} behind  ${levelText(lag)}${group}`,
      ...hotLines(lag),
      ...partitionLines(lag, isEachPartitionShown).map((line) => `  ${line}`),
    ];
  });
}

function hotLines({ lag, partitions }: ConsumerLag): readonly string[] {
  const most = partitions.toSorted((a, b) => b.lag - a.lag)[0];
  if (!most || partitions.length < LEAST_PARTITIONS || lag < partitions.length || most.lag < lag * MOST_SHARE)
    return [];
  const share = Math.round((most.lag / lag) * 100);
  return [
    styled('yellow', `  partition ${most.partition} has ${share}% of it: it is stuck, or one key is hot`),
  ];
}

function partitionLines({ partitions, topic }: ConsumerLag, isEachShown: boolean): readonly string[] {
  if (partitions.length === 0) return [`Nothing has been published to ${topic} yet.`];
  const shown = partitions.filter(({ lag }) => isEachShown || lag > 0);
  if (shown.length === 0) return [];
  const columns = ['partition', 'committed', 'end', 'lag'].map((title) => ({
    title,
    align: 'right' as const,
  }));
  const rows = shown.map((each) => [
    String(each.partition),
    each.committed === null ? '-' : count(each.committed),
    count(each.end),
    count(each.lag),
  ]);
  return table(columns, rows).split('\n');
}
