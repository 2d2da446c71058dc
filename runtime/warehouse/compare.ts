import { createHash } from 'node:crypto';

/** One row of a table, as texts that two sources write alike. */
export interface ComparedRow {
  /** Its key as a person reads it. */
  readonly key: string;
  /** In the order of the columns; null is null. */
  readonly values: readonly (string | null)[];
}

export interface Difference {
  readonly kind: 'missing' | 'extra' | 'different';
  readonly key: string;
  /** Which columns differ. */
  readonly columns: readonly string[];
  readonly expected: ComparedRow | null;
  readonly actual: ComparedRow | null;
}

/** The rows of one source whose keys' hashes are in one range. */
interface Summary {
  readonly rows: number;
  /** The same for the same rows, in whatever order they come. */
  readonly checksum: string;
}

export interface Comparison {
  readonly expected: Summary;
  readonly actual: Summary;
  /** How many ranges of keys were compared, and how many are alike. */
  readonly ranges: { readonly compared: number; readonly alike: number };
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
  readonly differences: readonly Difference[];
}

/** In which order both sources give their rows: by this text's hexadecimal digits. */
export function hashOfKey(key: string): string {
  return createHash('md5').update(key).digest('hex');
}

/**
 * Compares two sources of the same rows in one pass: both give them in the order of `hashOfKey`, so that neither has to
 * fit in memory, and no collation matters. A range is the keys whose hashes begin alike.
 * @param limit of the differences that are kept; all are counted
 */
export async function compareRows(
  columns: readonly string[],
  expected: AsyncIterable<ComparedRow>,
  actual: AsyncIterable<ComparedRow>,
  { limit = 20, rangeDigits = 2 }: { readonly limit?: number; readonly rangeDigits?: number } = {},
): Promise<Comparison> {
  const sums = { expected: new Sums(rangeDigits), actual: new Sums(rangeDigits) };
  const left = hashed(expected, sums.expected);
  const right = hashed(actual, sums.actual);
  const counts = { missing: 0, extra: 0, different: 0 };
  const differences: Difference[] = [];
  const note = (difference: Difference) => {
    counts[difference.kind]++;
    if (differences.length < limit) differences.push(difference);
  };
  let [mine, theirs] = [await left.next(), await right.next()];
  while (!mine.done || !theirs.done) {
    const order = mine.done ? 1 : theirs.done ? -1 : compareHashed(mine.value, theirs.value);
    if (order < 0) {
      note({
        kind: 'missing',
        key: mine.value!.row.key,
        columns: [],
        expected: mine.value!.row,
        actual: null,
      });
      mine = await left.next();
    } else if (order > 0) {
      note({
        kind: 'extra',
        key: theirs.value!.row.key,
        columns: [],
        expected: null,
        actual: theirs.value!.row,
      });
      theirs = await right.next();
    } else {
      const [a, b] = [mine.value!.row, theirs.value!.row];
      const differing = columns.filter((_, at) => a.values[at] !== b.values[at]);
      if (differing.length > 0) {
        note({ kind: 'different', key: a.key, columns: differing, expected: a, actual: b });
      }
      [mine, theirs] = [await left.next(), await right.next()];
    }
  }
  const ranges = new Set([...sums.expected.ranges.keys(), ...sums.actual.ranges.keys()]);
  const alike = [...ranges].filter((range) => sums.expected.of(range) === sums.actual.of(range)).length;
  return {
    expected: sums.expected.summary(),
    actual: sums.actual.summary(),
    ranges: { compared: ranges.size, alike },
    ...counts,
    differences,
  };
}

interface HashedRow {
  readonly hash: string;
  readonly row: ComparedRow;
}

function compareHashed(a: HashedRow, b: HashedRow): number {
  if (a.hash !== b.hash) return a.hash < b.hash ? -1 : 1;
  return a.row.key === b.row.key ? 0 : a.row.key < b.row.key ? -1 : 1;
}

async function* hashed(rows: AsyncIterable<ComparedRow>, sums: Sums): AsyncGenerator<HashedRow, undefined> {
  for await (const row of rows) {
    const hash = hashOfKey(row.key);
    sums.add(hash, row);
    yield { hash, row };
  }
  return undefined;
}

/** Counts and checksums, in all and by range. A sum does not depend on the order, and counts a row each time. */
class Sums {
  readonly ranges = new Map<string, { rows: number; sum: bigint }>();
  readonly #digits: number;

  constructor(digits: number) {
    this.#digits = digits;
  }

  add(hash: string, { key, values }: ComparedRow): void {
    const digest = createHash('sha256')
      .update(JSON.stringify([key, values]))
      .digest()
      .readBigUInt64BE();
    const name = hash.slice(0, this.#digits);
    const range = this.ranges.get(name) ?? { rows: 0, sum: 0n };
    this.ranges.set(name, { rows: range.rows + 1, sum: BigInt.asUintN(64, range.sum + digest) });
  }

  of(range: string): string {
    const { rows, sum } = this.ranges.get(range) ?? { rows: 0, sum: 0n };
    return `${rows} ${sum}`;
  }

  summary(): Summary {
    const all = [...this.ranges.values()];
    const sum = all.reduce((total, range) => BigInt.asUintN(64, total + range.sum), 0n);
    return {
      rows: all.reduce((total, range) => total + range.rows, 0),
      checksum: sum.toString(16).padStart(16, '0'),
    };
  }
}
