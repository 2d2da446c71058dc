/** Assertions for any test framework: each throws an Error that says what was expected, and what there is. */
import type { DeadLetter } from '../runtime/delivery/dead-letter.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import type { RawRecord } from '../runtime/record.ts';
import { type AnyHarness, openHarness, type PartitionLedger } from './harness.ts';

/**
 * Passes when each published record is applied or a dead letter, none is skipped, and the ledger and the dead letters
 * say the same.
 */
export async function assertNothingLost(of: AnyHarness): Promise<void> {
  const ledgers = new Map((await of.ledger()).map((ledger) => [ledger.partition, ledger]));
  const letters = new Set((await of.deadLetters()).map(({ record }) => positionOf(record)));
  for (const record of await of.published()) {
    const state = stateOf(record, ledgers.get(record.partition));
    const hasLetter = letters.has(positionOf(record));
    if (state === 'applied') continue;
    if (state === 'dead-lettered' && hasLetter) continue;
    const found = state === 'dead-lettered' ? 'a hole in the ledger without a dead letter' : state;
    throw new Error(
      `Nothing lost: expected the record at ${positionOf(record)} to be applied or a dead letter; it is ${found}. ` +
        (state === 'skipped' || state === 'not settled'
          ? 'Deliver it again with redeliver().'
          : 'Was the dead letter removed?'),
    );
  }
}

/**
 * Passes when the tables hold what one delivery of each applied record gives: delivers those to a fresh harness of the
 * same consumer, once and without faults, and compares what the query finds in both.
 * A fresh harness has no rows that the test itself put into the tables.
 * @param sql orders its rows, and leaves out what differs from run to run, such as now()
 */
export async function assertEffectsOnce(of: AnyHarness, sql: string): Promise<void> {
  const ledgers = new Map((await of.ledger()).map((ledger) => [ledger.partition, ledger]));
  const applied = (await of.published()).filter(
    (record) => stateOf(record, ledgers.get(record.partition)) === 'applied',
  );
  const rows = (await of.query(sql)).map(show);
  const { harness: once, deliverAsIs } = await openHarness(of.consumer);
  let expected: readonly string[];
  try {
    await deliverAsIs(applied);
    expected = (await once.query(sql)).map(show);
  } finally {
    await once.close();
  }
  const at = expected.findIndex((row, index) => row !== rows[index]);
  if (at === -1 && rows.length === expected.length) return;
  const row = at === -1 ? expected.length : at;
  throw new Error(
    `Effects once: ${applied.length} records are applied, and the tables differ from one delivery of each. ` +
      `Row ${row} of ${JSON.stringify(sql)} is ${rows[row] ?? 'missing'}; expected ${expected[row] ?? 'no such row'}. ` +
      'Does handle() write outside tx, read the clock, or read rows that this test put there?',
  );
}

/**
 * Passes when, among the rows of each key, `of` never goes down. The rows come in the order in which they were written.
 * Texts compare as texts: PostgreSQL's numeric comes as one, so make a number of it first.
 */
export function assertOrderPerKey<Row>(
  rows: readonly Row[],
  {
    key,
    of,
  }: { readonly key: (row: Row) => unknown; readonly of: (row: Row) => number | bigint | string | Date },
): void {
  const last = new Map<string, { readonly value: number | bigint | string | Date; readonly at: number }>();
  for (const [at, row] of rows.entries()) {
    const id = show(key(row));
    const before = last.get(id);
    const value = of(row);
    if (before && value < before.value) {
      throw new Error(
        `Order per key: key ${id} has ${show(value)} in row ${at}, after ${show(before.value)} in row ` +
          `${before.at}; expected no value to go down within a key.`,
      );
    }
    last.set(id, { value, at });
  }
}

/** A dead letter, as a test expects it. */
export interface ExpectedLetter {
  readonly code: ErrorCode;
  /** The record's key. @default any */
  readonly key?: string;
}

/** Passes when the consumer's dead letters are exactly these, in any order. None for an empty list. */
export async function assertDeadLettered(of: AnyHarness, expected: readonly ExpectedLetter[]): Promise<void> {
  const letters = await of.deadLetters();
  const left = [...letters];
  // The most exact first, so that one for any key does not take the letter of another.
  const exactFirst = expected.toSorted((a, b) => Number(b.key !== undefined) - Number(a.key !== undefined));
  const missing = exactFirst.filter(({ code, key }) => {
    const at = left.findIndex(
      ({ failure, record }) => failure.code === code && (key === undefined || keyOf(record) === key),
    );
    if (at !== -1) left.splice(at, 1);
    return at === -1;
  });
  if (missing.length === 0 && left.length === 0) return;
  throw new Error(
    `Dead letters: expected ${listed(expected.map(({ code, key }) => (key === undefined ? code : `${code} of key ${show(key)}`)))}; ` +
      `got ${listed(letters.map(describeLetter))}.`,
  );
}

function describeLetter({ failure, record }: DeadLetter): string {
  return `${failure.code} of key ${show(keyOf(record))} at ${positionOf(record)} (${failure.message})`;
}

function listed(items: readonly string[]): string {
  return items.length === 0 ? 'none' : `${items.length}: ${items.join(', ')}`;
}

function keyOf({ key }: RawRecord): string | null {
  return key?.toString() ?? null;
}

function positionOf({ partition, offset }: RawRecord): string {
  return `partition ${partition}, offset ${offset}`;
}

function stateOf(
  { offset }: RawRecord,
  ledger: PartitionLedger | undefined,
): 'applied' | 'dead-lettered' | 'skipped' | 'not settled' {
  const isIn = ({ from, to }: { readonly from: number; readonly to: number }) =>
    offset >= from && offset < to;
  if (!ledger || offset < ledger.first || offset >= ledger.next) return 'not settled';
  if (ledger.deadLettered.some(isIn)) return 'dead-lettered';
  return ledger.skipped.some(isIn) ? 'skipped' : 'applied';
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}n` : each)) ?? String(value);
}
