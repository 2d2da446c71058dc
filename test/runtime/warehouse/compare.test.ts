import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ComparedRow, compareRows, hashOfKey } from '../../../runtime/warehouse/compare.ts';

const COLUMNS = ['title', 'note'];

/** As a source gives its rows. */
async function* rowsOf(rows: ReadonlyMap<string, readonly (string | null)[]>): AsyncIterable<ComparedRow> {
  const sorted = [...rows].sort(([a], [b]) => (hashOfKey(a) < hashOfKey(b) ? -1 : 1));
  for (const [key, values] of sorted) yield { key, values };
}

const text = fc.option(fc.string({ maxLength: 3 }), { nil: null });
const table = fc
  .dictionary(fc.integer({ min: 0, max: 40 }).map(String), fc.tuple(text, text), { maxKeys: 30 })
  .map((rows) => new Map(Object.entries(rows)));

describe('compareRows', () => {
  test('a table equals itself, with equal checksums in every range', async () => {
    await fc.assert(
      fc.asyncProperty(table, async (rows) => {
        const result = await compareRows(COLUMNS, rowsOf(rows), rowsOf(rows));
        expect(result).toMatchObject({ missing: 0, extra: 0, different: 0, differences: [] });
        expect(result.actual).toEqual(result.expected);
        expect(result.expected.rows).toBe(rows.size);
        expect(result.ranges.alike).toBe(result.ranges.compared);
      }),
    );
  });

  test('each row that differs is counted and named, and its range is not alike', async () => {
    await fc.assert(
      fc.asyncProperty(table, table, async (expected, actual) => {
        const result = await compareRows(COLUMNS, rowsOf(expected), rowsOf(actual), {
          limit: 1_000,
          rangeDigits: 1,
        });
        const missing = [...expected.keys()].filter((key) => !actual.has(key));
        const extra = [...actual.keys()].filter((key) => !expected.has(key));
        const different = [...expected].filter(
          ([key, values]) => actual.has(key) && JSON.stringify(actual.get(key)) !== JSON.stringify(values),
        );
        expect(result).toMatchObject({
          missing: missing.length,
          extra: extra.length,
          different: different.length,
        });
        const keys = [...missing, ...extra, ...different.map(([key]) => key)];
        expect(result.differences.map(({ key }) => key).sort()).toEqual(keys.sort());
        for (const { key, kind, columns } of result.differences) {
          const named = COLUMNS.filter((_, at) => expected.get(key)?.[at] !== actual.get(key)?.[at]);
          expect(columns).toEqual(kind === 'different' ? named : []);
        }
        const apart = new Set(keys.map((key) => hashOfKey(key).slice(0, 1)));
        expect(result.ranges.compared - result.ranges.alike).toBe(apart.size);
        expect(result.expected.checksum === result.actual.checksum).toBe(keys.length === 0);
      }),
    );
  });

  test('differences beyond the limit are counted, and not kept', async () => {
    const rows = new Map(Array.from({ length: 50 }, (_, at) => [String(at), ['', null]] as const));
    const result = await compareRows(COLUMNS, rowsOf(rows), rowsOf(new Map()), { limit: 3 });
    expect(result.missing).toBe(50);
    expect(result.differences).toHaveLength(3);
  });
});
