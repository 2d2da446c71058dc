/** Events that were sent twice: which of their records are applied, and which are dropped. */
import { describe, expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { defineConsumer, type HandlerContext } from '../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { createEngine } from '../../../runtime/delivery/engine.ts';
import type { BatchReport } from '../../../runtime/delivery/metrics.ts';
import type { Invocation } from '../../../runtime/delivery/settle.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';
import { EVENT_SCHEMA_ID } from '../events.ts';

interface Sent {
  readonly key: string;
  readonly id: string | null;
  readonly note: string;
}

const SCHEMA = {
  type: 'record',
  name: 'Sent',
  fields: [
    { name: 'key', type: 'string' },
    { name: 'id', type: ['null', 'string'] },
    { name: 'note', type: 'string' },
  ],
} as const;
const type = avsc.Type.forSchema(SCHEMA as never);
const FRAME = Buffer.from(`0300${EVENT_SCHEMA_ID.replaceAll('-', '')}`, 'hex');

const sent = defineTopic<Sent>({
  name: 'world.sent',
  owner: 'tests',
  key: 'key',
  identity: 'id',
  versions: [{ version: 1, schema: SCHEMA }],
});

const WINDOW_MS = 60_000;
const START = 1_700_000_000_000;

interface Written {
  readonly id: string | null;
  readonly note?: string;
  readonly key?: string;
  readonly partition?: number;
  /** Milliseconds after the beginning. */
  readonly at?: number;
}

/** Records as a log has them, with offsets by partition. */
function logOf(written: readonly Written[]): RawRecord[] {
  const next = new Map<number, number>();
  return written
    .map(({ id, note = 'good', key = 'k', partition = 0, at }): RawRecord => {
      const offset = next.get(partition) ?? 0;
      next.set(partition, offset + 1);
      return {
        topic: sent.name,
        partition,
        offset,
        timestamp: START + (at ?? offset),
        timestampType: 'CREATE_TIME',
        key: Buffer.from(key),
        value: Buffer.concat([FRAME, type.toBuffer({ key, id, note })]),
        headers: [],
      };
    })
    .sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

type Records = readonly ConsumerRecord<Sent>[];
type Context = HandlerContext<MemoryTx, Sent>;

/** Notes are what happens to a record: `fail` gives it to fail(), `throw` throws; anything else is applied. */
async function handleByNote(records: Records, { tx, fail }: Context, isMended: boolean): Promise<void> {
  for (const record of records) {
    const { id, note } = record.value;
    if (!isMended && note === 'throw') throw new Error('this one cannot be handled');
    if (!isMended && note === 'fail') fail(record, new Error('this one neither'));
    else await tx.append('applied', `${id ?? '-'}@${record.partition}/${record.offset}`);
  }
}

function setUp({ parks = false, once = true }: { parks?: boolean; once?: boolean } = {}) {
  const clock = createFakeClock({ autoAdvance: true });
  const sink = new MemorySink();
  const letters: DeadLetter[] = [];
  const reports: BatchReport[] = [];
  let isMended = false;
  let calls = 0;
  const consumer = defineConsumer({
    name: 'tested',
    topic: sent,
    sink: 'postgres',
    retry: { attempts: 1 },
    breaker: false,
    onOvertaken: 'apply',
    ...(parks && { onDeadLetter: 'park-key' }),
    ...(once && { once: { windowMs: WINDOW_MS } }),
    handle(records, context) {
      calls++;
      return handleByNote(records, context as unknown as Context, isMended);
    },
  });
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: { schemaById: async () => SCHEMA, latestId: async () => EVENT_SCHEMA_ID },
    sink,
    deadLetters: { put: async (put) => void letters.push(...put) },
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: { report: (report) => void reports.push(report), reportRedrive() {} },
  });
  const invocation = (): Invocation => {
    const endsAt = clock.now() + 60_000;
    return {
      requestId: 'request',
      functionName: 'function',
      functionVersion: '1',
      remainingMs: () => endsAt - clock.now(),
    };
  };
  return {
    sink,
    letters,
    reports,
    calls: () => calls,
    applied: () => (sink.value('applied') ?? []) as string[],
    deliver: async (records: readonly RawRecord[]) => (await engine.deliver(records, invocation())).outcomes,
    redrive: (of = letters) => engine.redrive([...of], invocation()),
    mend: () => {
      isMended = true;
    },
  };
}

describe('an event that is sent twice', () => {
  test('is applied once within a batch, and once across batches; each copy is counted', async () => {
    const { deliver, applied, reports } = setUp();
    const log = logOf([{ id: 'a' }, { id: 'b' }, { id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'c' }]);
    expect(await deliver(log.slice(0, 3))).toEqual(['applied', 'applied', 'repeated']);
    expect(await deliver(log.slice(3))).toEqual(['repeated', 'applied', 'repeated']);
    expect(applied()).toEqual(['a@0/0', 'b@0/1', 'c@0/4']);
    expect(reports.map(({ records, applied, repeated }) => ({ records, applied, repeated }))).toEqual([
      { records: 3, applied: 2, repeated: 1 },
      { records: 3, applied: 1, repeated: 2 },
    ]);
  });

  test('leaves no hole: its copy is settled, and redelivered it is a duplicate', async () => {
    const { deliver, sink } = setUp();
    const log = logOf([{ id: 'a' }, { id: 'a' }]);
    await deliver(log);
    expect(await deliver(log)).toEqual(['duplicate', 'duplicate']);
    expect(sink.ledger({ consumer: 'tested', epoch: 1 }, log[0]!)).toMatchObject({ next: 2, holes: [] });
  });

  test('is applied each time by a consumer that did not ask for once', async () => {
    const { deliver, sink } = setUp({ once: false });
    expect(await deliver(logOf([{ id: 'a' }, { id: 'a' }]))).toEqual(['applied', 'applied']);
    expect(sink.ledger({ consumer: 'tested', epoch: 1 }, logOf([{ id: 'a' }])[0]!)).not.toHaveProperty(
      'logTime',
    );
  });

  test('is told by its identity alone: an event without one is never a copy', async () => {
    const { deliver } = setUp();
    const log = logOf([
      { id: null },
      { id: null },
      { id: '' },
      { id: '' },
      { id: 'a', note: 'x' },
      { id: 'a', note: 'y' },
    ]);
    const outcomes = await deliver(log);
    expect(outcomes).toEqual([...new Array(5).fill('applied'), 'repeated']);
  });

  test('is a copy in its own partition only', async () => {
    const { deliver } = setUp();
    expect(await deliver(logOf([{ id: 'a' }, { id: 'a', partition: 1 }]))).toEqual(['applied', 'applied']);
  });

  test('is applied again once the window has passed by the time of the log', async () => {
    const { deliver, applied } = setUp();
    const until = (at: number) => Array.from({ length: 9 }, () => ({ id: null, at }));
    const log = logOf([
      { id: 'a', at: 0 },
      ...until(WINDOW_MS),
      { id: 'a', at: WINDOW_MS },
      ...until(WINDOW_MS + 1),
      { id: 'a', at: WINDOW_MS + 1 },
      { id: 'a', at: WINDOW_MS + 2 },
      ...until(3 * WINDOW_MS),
      { id: 'a', at: 3 * WINDOW_MS },
    ]);
    await deliver(log);
    expect(applied().filter((each) => each.startsWith('a'))).toEqual(['a@0/0', 'a@0/20', 'a@0/31']);
  });

  test('is not forgotten for one record with a timestamp of another age', async () => {
    for (const at of [-START, START * 100, 365 * 24 * 60 * WINDOW_MS]) {
      const { deliver } = setUp();
      const log = logOf([
        ...Array.from('abcdefghij', (id) => ({ id })),
        { id: 'odd', at },
        { id: 'a' },
        { id: 'odd' },
      ]);
      expect((await deliver(log)).slice(-2)).toEqual(['repeated', 'repeated']);
    }
  });
});

describe('an id counts as seen only if its record was applied', () => {
  for (const note of ['fail', 'throw']) {
    test(`a copy takes the place of the record that failed (${note})`, async () => {
      const { deliver, applied } = setUp();
      const log = logOf([{ id: 'a', note }, { id: 'b' }, { id: 'a' }, { id: 'c' }, { id: 'a' }]);
      expect(await deliver(log)).toEqual(['deadLettered', 'applied', 'applied', 'applied', 'repeated']);
      expect(applied()).toEqual(['b@0/1', 'a@0/2', 'c@0/3']);
    });

    test(`of many copies that fail, each is a letter, in few calls (${note})`, async () => {
      const { deliver, calls } = setUp();
      const copies = Array.from({ length: 200 }, () => ({ id: 'a', note }));
      const outcomes = await deliver(logOf([...copies, { id: 'a' }, { id: 'a' }]));
      expect(outcomes).toEqual([...new Array(200).fill('deadLettered'), 'applied', 'repeated']);
      expect(calls()).toBeLessThan(note === 'fail' ? 20 : 900);
    });

    test(`its letter is applied when it is redriven, and then a copy is dropped (${note})`, async () => {
      const { deliver, redrive, mend, applied } = setUp();
      const log = logOf([{ id: 'a', note }, { id: 'b' }, { id: 'a' }]);
      expect(await deliver(log.slice(0, 2))).toEqual(['deadLettered', 'applied']);
      mend();
      expect(await redrive()).toEqual(['applied']);
      expect(await deliver(log.slice(2))).toEqual(['repeated']);
      expect(applied()).toEqual(['b@0/1', 'a@0/0']);
    });

    test(`its letter is settled without effect where a copy was applied since (${note})`, async () => {
      const { deliver, redrive, mend, applied, sink } = setUp();
      const log = logOf([{ id: 'a', note }, { id: 'b' }, { id: 'a' }]);
      await deliver(log);
      mend();
      expect(await redrive()).toEqual(['repeated']);
      expect(applied()).toEqual(['b@0/1', 'a@0/2']);
      expect(sink.ledger({ consumer: 'tested', epoch: 1 }, log[0]!)?.holes).toEqual([]);
      expect(await redrive()).toEqual(['duplicate']);
    });
  }

  test('a parked copy is judged when it is drained', async () => {
    const { deliver, redrive, mend, applied } = setUp({ parks: true });
    const log = logOf([
      { id: 'x', note: 'throw' },
      { id: 'a' },
      { id: 'b', key: 'other' },
      { id: 'a' },
      { id: 'x' },
    ]);
    expect(await deliver(log)).toEqual(['deadLettered', 'parked', 'applied', 'parked', 'parked']);
    mend();
    expect(await redrive()).toEqual(['applied']);
    expect(applied()).toEqual(['b@0/2', 'x@0/0', 'a@0/1']);
  });

  test('a copy of what was applied is dropped where it would be parked, however late its key is drained', async () => {
    const { deliver, redrive, mend, applied } = setUp({ parks: true });
    const late = 10 * WINDOW_MS;
    const log = logOf([
      { id: 'a' },
      { id: 'x', note: 'throw' },
      { id: 'a' },
      { id: 'b' },
      // Others tell the log's time, by which the window of the first is long over.
      ...Array.from({ length: 200 }, (_, n) => ({ id: `o${n}`, key: 'other', at: late + n })),
    ]);
    expect(await deliver(log.slice(0, 2))).toEqual(['applied', 'deadLettered']);
    expect(await deliver(log.slice(2, 4))).toEqual(['repeated', 'parked']);
    await deliver(log.slice(4));
    mend();
    expect(await redrive()).toEqual(['applied']);
    expect(applied().filter((id) => !id.startsWith('o'))).toEqual(['a@0/0', 'x@0/1', 'b@0/3']);
  });
});

test('however a log is cut into batches and redelivered, the same records are applied', async () => {
  const written = fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd', null),
    partition: fc.nat(1),
    key: fc.constantFrom('k', 'l'),
    note: fc.constantFrom('good', 'good', 'good', 'fail', 'throw'),
    at: fc.oneof(
      fc.integer({ min: 0, max: 5 * WINDOW_MS }),
      fc.constantFrom(-START - 1, START, 1_000 * START),
    ),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(written, { maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 6 }),
      async (records, sizes) => {
        const log = logOf(records);
        const inOne = setUp();
        await inOne.deliver(log);
        const inMany = setUp();
        for (let from = 0, turn = 0; from < log.length; turn++) {
          const to = from + sizes[turn % sizes.length]!;
          await inMany.deliver(log.slice(from, to));
          // And once more, with some that came before.
          if (turn % 2 === 0) await inMany.deliver(log.slice(Math.max(0, from - 3), to));
          from = to;
        }
        expect(inMany.applied().toSorted()).toEqual(inOne.applied().toSorted());
        expect(inOne.applied()).toEqual(verdictsOf(log));
      },
    ),
    { numRuns: runs(300) },
  );
}, 120_000);

/** One record after the other, with the log's time reckoned anew for each. */
function verdictsOf(log: readonly RawRecord[]): string[] {
  const applied: string[] = [];
  for (const partition of [0, 1]) {
    const ofPartition = log.filter((raw) => raw.partition === partition);
    const seen = new Map<string, number>();
    let time = -1;
    for (const [at, raw] of ofPartition.entries()) {
      const dated = ofPartition
        .slice(0, at + 1)
        .map(({ timestamp }) => Math.min(timestamp, 8.64e15))
        .filter((timestamp) => timestamp >= 0);
      const recent = dated.slice(-9).toSorted((a, b) => a - b);
      if (raw.timestamp >= 0) {
        const middle = recent[(recent.length - 1) >> 1]!;
        time = dated.length < 9 ? middle : Math.max(time, middle);
      }
      const { id, note } = type.fromBuffer(raw.value!.subarray(FRAME.length)) as Sent;
      if (note !== 'good') continue;
      const now = Math.max(time, 0);
      const last = id === null ? undefined : seen.get(id);
      if (last !== undefined && Math.abs(now - last) <= WINDOW_MS) continue;
      if (id !== null) seen.set(id, now);
      applied.push(`${id ?? '-'}@${partition}/${raw.offset}`);
    }
  }
  return applied;
}
