/** Milliseconds of each timed run, by contestant. */
export type Timings<Name extends string> = Readonly<Record<Name, readonly number[]>>;

/** A run to time. `prepare` runs before the clock starts, for work that is not part of the run. */
export type Contestant = (() => unknown) | { readonly prepare: () => unknown; run(prepared: never): unknown };

/**
 * Times contestants in turn, round after round, so that whatever else the machine does in between meets them alike.
 * The first rounds warm up and are not counted.
 */
export async function measure<Name extends string>(
  contestants: Readonly<Record<Name, Contestant>>,
  { rounds, warmUps }: { readonly rounds: number; readonly warmUps: number },
): Promise<Timings<Name>> {
  const names = Object.keys(contestants) as Name[];
  const timings = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = -warmUps; round < rounds; round++) {
    // Each round begins with another one, so that nobody always runs on what its neighbour left in the caches.
    const shift = Math.abs(round) % names.length;
    for (const name of [...names.slice(shift), ...names.slice(0, shift)]) {
      const contestant = contestants[name];
      const [prepared, run] =
        typeof contestant === 'function'
          ? [undefined, contestant]
          : [await contestant.prepare(), (ready: unknown) => contestant.run(ready as never)];
      const startedAt = performance.now();
      await run(prepared);
      if (round >= 0) timings[name].push(performance.now() - startedAt);
    }
  }
  return timings;
}

/** The median of `ours` over `theirs`, round by round: a machine that slows down half-way slows both of a pair. */
export function medianRatio(ours: readonly number[], theirs: readonly number[]): number {
  return median(ours.map((ms, round) => ms / theirs[round]!));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The least value that so many percent of all do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil((sorted.length * percent) / 100) - 1]!;
}

/** One line of the benchmark's result. */
export interface Result {
  readonly name: string;
  readonly recordsPerSecond: number;
  /** Our time over the floor's: 1 is the bare minimum of work. */
  readonly floorRatio: number;
  /** Our rate over the peer's; null where there is no peer. */
  readonly peerRatio: number | null;
}

/** One that is no rate beside others: figures by what they are, the unit at the end of the name. */
export interface Figures {
  readonly name: string;
  readonly figures: Readonly<Record<string, number>>;
}

export function resultOf(
  name: string,
  records: number,
  timings: {
    readonly ours: readonly number[];
    readonly floor: readonly number[];
    readonly peer?: readonly number[];
  },
): Result {
  return {
    name,
    recordsPerSecond: Math.round(records / (median(timings.ours) / 1000)),
    floorRatio: medianRatio(timings.ours, timings.floor),
    peerRatio: timings.peer ? medianRatio(timings.peer, timings.ours) : null,
  };
}
