/** Whatever reaches the function as an event: it answers, or rejects with a code from the table; it never hangs. */

import { expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import { createEngine } from '../../../runtime/delivery/engine.ts';
import { ERRORS, MillraceError } from '../../../runtime/errors.ts';
import { settleKafkaEvent } from '../../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { Random } from '../../../runtime/ports.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';
import { eventRecord, eventRegistry, events } from '../events.ts';

const MUTANTS = runs(10_000);

test(`${MUTANTS} mutated Lambda events end in an answer or a code`, async () => {
  const random = createSeededRandom(20_261_124);
  const letterCodes = new Set<string>();
  const ends = new Map<string, number>();
  let deliver = engineWith(random, letterCodes);
  for (let mutant = 0; mutant < MUTANTS; mutant++) {
    // A wild offset moves the ledger; a new one now and then lets later mutants be more than duplicates.
    if (mutant % 50 === 0) deliver = engineWith(random, letterCodes);
    const end = await deliver(mutate(sampleEvent(random), random));
    ends.set(end, (ends.get(end) ?? 0) + 1);
  }
  for (const end of [...ends.keys(), ...letterCodes])
    expect(['answered', ...Object.keys(ERRORS)]).toContain(end);
  expect(ends.get('answered')).toBeGreaterThan(MUTANTS / 10);
  expect(ends.get('EVENT_MALFORMED')).toBeGreaterThan(MUTANTS / 10);
  expect(ends.has('UNEXPECTED')).toBe(false);
  expect([...letterCodes]).toEqual(
    expect.arrayContaining(['FRAME_UNKNOWN', 'FRAME_TRUNCATED', 'SCHEMA_UNKNOWN', 'AVRO_TRUNCATED']),
  );
}, 180_000);

function engineWith(random: Random, letterCodes: Set<string>): (event: unknown) => Promise<string> {
  const clock = createFakeClock({ autoAdvance: true });
  const engine = createEngine(
    defineConsumer({
      name: 'fuzzed',
      topic: events,
      // The memory sink stands in for PostgreSQL; the handler knows.
      sink: 'postgres',
      handle: async (records, context) => {
        for (const { value } of records) await (context.tx as unknown as MemoryTx).append('ids', value.id);
      },
    }),
    {
      clock,
      random,
      registry: eventRegistry,
      sink: new MemorySink(),
      deadLetters: {
        put: async (letters) => letters.forEach(({ failure }) => void letterCodes.add(failure.code)),
      },
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { report() {}, reportRedrive() {} },
    },
  );
  return async (event) => {
    const endsAt = clock.now() + 60_000;
    try {
      await settleKafkaEvent(event, engine, {
        requestId: 'request',
        functionName: 'fuzzed',
        functionVersion: '1',
        remainingMs: () => endsAt - clock.now(),
        partialResponses: random.next() < 0.5,
      });
      return 'answered';
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      // Held to the end of its time for want of a code: as good as a crash.
      return error.details.heldBy === 'UNEXPECTED' ? 'UNEXPECTED' : error.code;
    }
  };
}

/** Four records of two partitions, some with headers and some with a damaged value. */
function sampleEvent(random: Random): unknown {
  const records = Array.from({ length: 4 }, (_, n) => {
    const record = eventRecord(n % 2, n >> 1);
    const headers = random.next() < 0.5 ? [{ name: 'trace', value: Buffer.from([255, 0, 7]) }] : [];
    const value = random.next() < 0.2 ? damage(record.value!, random) : record.value;
    return { ...record, headers, value };
  });
  return encodeKafkaEvent(records);
}

function damage(value: Buffer, random: Random): Buffer {
  const damaged = Buffer.from(
    value.subarray(0, random.next() < 0.5 ? value.length : pick(value.length, random)),
  );
  if (damaged.length > 0) damaged[pick(damaged.length, random)] = pick(256, random);
  return damaged;
}

const JUNK: readonly unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  2 ** 53,
  1e308,
  '',
  'x',
  'AwA=',
  '____',
  'world.events-0',
  [],
  [null],
  [[]],
  {},
  { length: 3 },
  { __proto__: null },
  { toString: 1 },
  { '': [1] },
  [{ x: [999, -129] }],
  [{ x: {} }],
];

/** One to three changes anywhere in the tree: a value replaced, removed or renamed, or a character of a string. */
function mutate(event: unknown, random: Random): unknown {
  let mutated = event;
  for (let changes = 1 + pick(3, random); changes > 0; changes--) mutated = change(mutated, random);
  // Lambda parses the event from JSON, so only what JSON can say arrives.
  return JSON.parse(JSON.stringify(mutated) ?? 'null');
}

function change(node: unknown, random: Random): unknown {
  const isBranch = typeof node === 'object' && node !== null && Object.keys(node).length > 0;
  if (!isBranch || random.next() < 0.05) return changeLeaf(node, random);
  const keys = Object.keys(node);
  const key = keys[pick(keys.length, random)]!;
  const copy = Array.isArray(node) ? [...node] : { ...node };
  const branch = copy as Record<string, unknown>;
  const dice = random.next();
  if (dice < 0.04 && Array.isArray(copy)) copy.splice(Number(key), 1);
  else if (dice < 0.04) delete branch[key];
  else if (dice < 0.08) branch[`${key}${pick(10, random)}`] = branch[key];
  else branch[key] = change(branch[key], random);
  return copy;
}

function changeLeaf(leaf: unknown, random: Random): unknown {
  if (typeof leaf === 'string' && leaf.length > 0 && random.next() < 0.7) {
    const at = pick(leaf.length, random);
    const character = String.fromCharCode(32 + pick(96, random));
    return leaf.slice(0, at) + character + leaf.slice(at + (random.next() < 0.5 ? 1 : 0));
  }
  if (typeof leaf === 'number' && random.next() < 0.5) return leaf + pick(5, random) - 2;
  return JUNK[pick(JUNK.length, random)];
}

function pick(below: number, random: Random): number {
  return Math.floor(random.next() * below);
}
