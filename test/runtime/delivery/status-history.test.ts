/**
 * What each way to go on after a dead letter does to a handler whose result depends on order: it writes each order's latest
 * status, and the history of its statuses.
 */
import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import { eventRecord } from '../events.ts';
import { setUp } from './engine-fixture.ts';

const ORDERS = 40;
const RECORDS = 2_000;
const BATCH = 100;
const random = createSeededRandom(17);
const pick = (below: number) => Math.floor(random.next() * below);
const records = Array.from({ length: RECORDS }, (_, offset) =>
  eventRecord(0, offset, { key: Buffer.from(`order-${pick(ORDERS)}`) }),
);
/** One in a hundred. */
const bad = new Set(records.filter(() => pick(100) === 0).map(({ offset }) => offset));

/** By order, its latest status and all of them: here a status is a record's offset. */
type Rows = ReadonlyMap<string, { readonly latest: unknown; readonly history: readonly unknown[] }>;

function reference(isLeftOut: (offset: number) => boolean = () => false): Rows {
  const applied = records.filter(({ offset }) => !isLeftOut(offset));
  return new Map(
    [...Map.groupBy(applied, ({ key }) => key!.toString())].map(([order, its]) => {
      const history = its.map(({ offset }) => offset);
      return [order, { latest: history.at(-1), history }];
    }),
  );
}

/** Delivers all, mends the handler, and redrives what became a letter. */
async function run(declaration: Partial<AnyConsumer>) {
  let isMended = false;
  const { deliver, engine, letters, invocation, sink } = setUp(
    async (batch, { tx }) => {
      for (const { key, offset } of batch) {
        if (!isMended && bad.has(offset)) throw new Error('no such status');
        await tx.set(`latest/${key}`, offset);
        await tx.append(`history/${key}`, offset);
      }
    },
    {},
    declaration,
  );
  for (let from = 0; from < RECORDS; from += BATCH) await deliver(records.slice(from, from + BATCH));
  isMended = true;
  const redriven = [...letters];
  const outcomes = await engine.redrive(redriven, invocation());
  const rows: Rows = new Map(
    [...sink.values().keys()]
      .filter((key) => key.startsWith('latest/'))
      .map((key) => key.slice('latest/'.length))
      .map((order) => [
        order,
        { latest: sink.value(`latest/${order}`), history: sink.value(`history/${order}`) as unknown[] },
      ]),
  );
  const overtaken = new Set(
    redriven.filter((_, at) => outcomes[at] === 'overtaken').map(({ record }) => record.offset),
  );
  return { rows, letters: redriven.length, overtaken };
}

const byOrder = (rows: Rows) => [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1));

describe('1 % of the statuses fail, and are redriven later', () => {
  test('continue with onOvertaken: apply ends with wrong rows', async () => {
    const { rows, letters, overtaken } = await run({ onOvertaken: 'apply' });
    const right = reference();
    const isWrong = ([order, { latest }]: [string, { readonly latest: unknown }]) =>
      latest !== right.get(order)!.latest;
    expect([letters, overtaken.size]).toEqual([bad.size, 0]);
    expect([...rows].filter(isWrong).length).toBeGreaterThan(5);
  });

  test('continue leaves the overtaken ones out, and says which', async () => {
    const { rows, letters, overtaken } = await run({});
    expect(letters).toBe(bad.size);
    expect(overtaken.size).toBeGreaterThan(5);
    expect(byOrder(rows)).toEqual(byOrder(reference((offset) => overtaken.has(offset))));
  });

  test('park-key ends as if nothing had failed', async () => {
    const { rows, letters, overtaken } = await run({ onDeadLetter: 'park-key' });
    // Fewer letters than records that fail: those that wait are tried when their turn comes.
    expect(letters).toBeLessThan(bad.size);
    expect(overtaken.size).toBe(0);
    expect(byOrder(rows)).toEqual(byOrder(reference()));
  });
});
