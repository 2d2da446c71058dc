import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { findEnd } from '../../../runtime/archive/chain.ts';
import { createArchiveReader } from '../../../runtime/archive/reader.ts';
import { ArchiveSink } from '../../../runtime/archive/sink.ts';
import type { JsonTopic } from '../../../runtime/contract/contract.ts';
import type { LedgerKey, LedgerRequest, Sink, SinkTransaction } from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { ObjectStore } from '../../../runtime/objects.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createArchiveLedgers } from '../../../runtime/replay/ledgers.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { sinkSuite } from '../../ports/sink-suite.ts';
import { codeOf } from '../../rejection.ts';

const topic: JsonTopic = {
  format: 'json',
  name: 'counters',
  owner: 'tests',
  partitions: 1,
  retentionMs: 1,
  cleanup: 'delete',
  offsets: 'contiguous',
  maxBodyBytes: 1_000,
  versions: [],
  key: '',
};

interface CounterTx {
  add(counter: string, by: number): Promise<void>;
}

/**
 * The suite's consumers share a topic, and each has a ledger of its own: here each has a topic. Its counters are rows, in
 * a topic of the counter's name.
 */
function countersOn(sink: ArchiveSink): Sink<CounterTx> {
  const named = ({ consumer }: LedgerKey, of: string) => `${consumer}|${of}`;
  let offset = 0;
  return {
    transaction: (work, signal) =>
      sink.transaction((transaction) => {
        const wrap = (inner: typeof transaction): SinkTransaction<CounterTx> => ({
          tx: {
            async add(counter, by) {
              const at = { topic: counter, partition: 0 };
              await Promise.all([
                inner.tx.append([rowOf({ ...at, offset: offset++, value: Buffer.from(String(by)) })]),
                transaction.lockLedgers({ consumer: '', epoch: 1 }, [{ ...at, from: 0, to: 0 }]),
              ]);
            },
          },
          lockLedgers: async (key, requests) => {
            const renamed = requests.map((request) => ({ ...request, topic: named(key, request.topic) }));
            const views = await inner.lockLedgers(key, renamed);
            return views.map((view, at) => ({ ...view, topic: requests[at]!.topic }));
          },
          writeLedgers: (key, patches) =>
            inner.writeLedgers(
              key,
              patches.map((patch) => ({ ...patch, topic: named(key, patch.topic) })),
            ),
          savepoint: (part) => inner.savepoint((tx) => part(wrap({ ...inner, tx }).tx)),
          isWaiting: inner.isWaiting,
        });
        return work(wrap(transaction));
      }, signal),
  };
}

function rowOf(fields: Partial<RawRecord> & Pick<RawRecord, 'offset'>): ConsumerRecord<unknown> {
  const raw: RawRecord = {
    topic: topic.name,
    partition: 0,
    timestamp: 0,
    timestampType: 'CREATE_TIME',
    key: null,
    value: Buffer.from('1'),
    headers: [],
    ...fields,
  };
  return { ...raw, id: '', key: null, value: null, raw, arrival: 'delivery', overtaken: false };
}

sinkSuite<CounterTx>(
  'ArchiveSink',
  async () => {
    const clock = createFakeClock();
    const store = createMemoryObjects({ clock });
    return {
      sink: countersOn(new ArchiveSink({ store, topic, clock })),
      add: (tx, counter, by) => tx.add(counter, by),
      async counter(name) {
        const rows = await rowsOf(store, name);
        return rows.reduce<number>((sum, value) => sum + Number(value), 0);
      },
      async ledger({ consumer, epoch }, of) {
        const chain = { topic: `${consumer}|${of.topic}`, partition: of.partition, epoch };
        const ledgers = createArchiveLedgers(store, { partitions: async () => of.partition + 1 });
        const { ledger } = await findEnd(store, chain);
        const whole = (await ledgers.read({ consumer, epoch, topic: chain.topic })).find(
          ({ partition }) => partition === of.partition,
        );
        // Whoever reads whole ledgers gets the same.
        if (ledger.next === null) expect(whole).toBeUndefined();
        else expect(whole).toMatchObject(ledger);
        return ledger.next === null ? undefined : ledger;
      },
      close: async () => {},
    };
  },
  { transactions: 'many' },
);

/** The values of all rows, those of no ledger included. */
async function rowsOf(store: ObjectStore, name: string): Promise<readonly unknown[]> {
  const values: unknown[] = [];
  for await (const { key } of store.list(`topics/${name}/`)) {
    const lines = gunzipSync((await store.get(key))!)
      .toString()
      .split('\n')
      .filter((line) => line !== '');
    values.push(...lines.map((line) => (JSON.parse(line) as { readonly value: unknown }).value));
  }
  return values;
}

const KEY: LedgerKey = { consumer: 'archive', epoch: 1 };

/** Settles offsets as a delivery of them would. */
async function archive(
  sink: ArchiveSink,
  from: number,
  to: number,
  signal?: AbortSignal,
  betweenReadAndCommit: () => Promise<void> = async () => {},
): Promise<void> {
  const request: LedgerRequest = { topic: topic.name, partition: 0, from, to };
  await sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
    const [view] = await lockLedgers(KEY, [request]);
    const first = Math.max(from, view!.next ?? from);
    if (first >= to) return;
    await betweenReadAndCommit();
    await tx.append(Array.from({ length: to - first }, (_, at) => rowOf({ offset: first + at })));
    await writeLedgers(KEY, [
      {
        topic: topic.name,
        partition: 0,
        first: view!.first ?? first,
        next: to,
        maxTimestamp: 0,
        closed: [],
        deadLettered: [],
        skipped: [],
      },
    ]);
  }, signal);
}

async function archivedOffsets(store: ObjectStore): Promise<readonly number[]> {
  const reader = createArchiveReader({ store, topic: topic.name, epoch: 1 });
  const { start, end } = await reader.bounds(0);
  return (await Array.fromAsync(reader.read(0, start, end))).map(({ offset }) => offset);
}

const upTo = (end: number) => Array.from({ length: end }, (_, offset) => offset);

describe('two writers of one chain', () => {
  test('a writer that was overtaken conflicts once, and then finds what the other has settled', async () => {
    const clock = createFakeClock();
    const store = createMemoryObjects({ clock });
    const one = new ArchiveSink({ store, topic, clock });
    const other = new ArchiveSink({ store, topic, clock });
    await archive(one, 0, 3);
    await archive(other, 0, 5);

    expect(await codeOf(archive(one, 3, 6))).toBe('SINK_CONFLICT');
    await archive(one, 3, 6);
    expect(await codeOf(archive(other, 5, 9))).toBe('SINK_CONFLICT');
    await archive(other, 5, 9);
    expect(await archivedOffsets(store)).toEqual(upTo(9));
  });

  test('a commit whose answer is lost is not written again', async () => {
    const clock = createFakeClock();
    const objects = createMemoryObjects({ clock });
    let isLost = false;
    const store: ObjectStore = {
      ...objects,
      async create(key, body, metadata) {
        const made = await objects.create(key, body, metadata);
        if (!isLost) return made;
        throw new MillraceError('OBJECT_STORE_UNAVAILABLE', 'The answer was lost.');
      },
    };
    const sink = new ArchiveSink({ store, topic, clock });
    await archive(sink, 0, 2);
    isLost = true;
    expect(await codeOf(archive(sink, 2, 4))).toBe('SINK_UNAVAILABLE');
    isLost = false;
    await archive(sink, 2, 4);
    expect(await archivedOffsets(store)).toEqual(upTo(4));
    expect((await Array.fromAsync(objects.list('topics/'))).length).toBe(3);
  });

  test('a commit that lands after its transaction was given up takes the next one nothing', async () => {
    const clock = createFakeClock();
    const objects = createMemoryObjects({ clock });
    const landing = Promise.withResolvers<void>();
    const abandon = new AbortController();
    let isSlow = false;
    const store: ObjectStore = {
      ...objects,
      async create(key, body, metadata) {
        if (!isSlow) return objects.create(key, body, metadata);
        isSlow = false;
        abandon.abort(new Error('out of time'));
        await landing.promise;
        return objects.create(key, body, metadata);
      },
    };
    const sink = new ArchiveSink({ store, topic, clock });
    await archive(sink, 0, 5);
    isSlow = true;
    await expect(archive(sink, 5, 10, abandon.signal)).rejects.toThrow('out of time');
    // The next delivery has read the ledger when the request lands at last.
    const again = archive(sink, 5, 10, undefined, async () => {
      landing.resolve();
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    });
    expect(await codeOf(again)).toBe('SINK_CONFLICT');
    await archive(sink, 5, 12);
    expect(await archivedOffsets(store)).toEqual(upTo(12));
    const rows = await rowsOf(store, topic.name);
    expect(rows).toHaveLength(12);
  });

  test('the first writers of a topic meet at one name', async () => {
    const clock = createFakeClock();
    const store = createMemoryObjects({ clock });
    const writers = Array.from({ length: 4 }, () => new ArchiveSink({ store, topic, clock }));
    const codes = await Promise.all(
      writers.map((writer) => codeOf(archive(writer, 0, 3)).catch(() => 'none')),
    );
    expect(codes.filter((code) => code === 'SINK_CONFLICT')).toHaveLength(3);
    for (const writer of writers) await archive(writer, 0, 3);
    expect(await archivedOffsets(store)).toEqual(upTo(3));
  });
});

test('rows stand in offset order, in whatever order they were appended', async () => {
  const clock = createFakeClock();
  const store = createMemoryObjects({ clock });
  const at = { topic: topic.name, partition: 0 };
  await new ArchiveSink({ store, topic, clock }).transaction(async ({ tx, lockLedgers, writeLedgers }) => {
    await lockLedgers(KEY, [{ ...at, from: 0, to: 3 }]);
    for (const offset of [2, 0, 1]) await tx.append([rowOf({ offset })]);
    const none = { closed: [], deadLettered: [], skipped: [] };
    await writeLedgers(KEY, [{ ...at, first: 0, next: 3, maxTimestamp: 0, ...none }]);
  });
  expect(await archivedOffsets(store)).toEqual([0, 1, 2]);
});

describe('days', () => {
  test('records stand under the day on which they were written, whatever their own times', async () => {
    const clock = createFakeClock({ startsAt: Date.UTC(2026, 10, 27, 23, 59) });
    const store = createMemoryObjects({ clock });
    const sink = new ArchiveSink({ store, topic, clock });
    await archive(sink, 0, 2);
    await clock.advance(3 * 86_400_000);
    await archive(sink, 2, 3);
    const withRows: string[] = [];
    for await (const { key } of store.list('topics/')) {
      if ((await store.metadata(key))!.kind === 'records') withRows.push(key);
    }
    expect(withRows).toEqual([
      'topics/counters/1/p0/2026-11-27/00000000000000000000_000001.jsonl.gz',
      'topics/counters/1/p0/2026-11-30/00000000000000000002_000001.jsonl.gz',
    ]);
    expect(await archivedOffsets(store)).toEqual(upTo(3));
  });

  test('a clock that goes back writes on under the newest day', async () => {
    const late = createFakeClock({ startsAt: Date.UTC(2026, 10, 28) });
    const early = createFakeClock({ startsAt: Date.UTC(2026, 10, 27) });
    const store = createMemoryObjects({ clock: late });
    await archive(new ArchiveSink({ store, topic, clock: late }), 0, 2);
    await archive(new ArchiveSink({ store, topic, clock: early }), 2, 4);
    expect(await archivedOffsets(store)).toEqual(upTo(4));
    expect(await Array.fromAsync(store.folders('topics/counters/1/p0/'))).toEqual([
      '0000-00-00',
      '2026-11-28',
    ]);
  });
});

describe('the end of a chain', () => {
  /** Counts requests. */
  function counting(store: ObjectStore): { readonly store: ObjectStore; requests(): number } {
    let requests = 0;
    return {
      requests: () => requests,
      store: {
        ...store,
        metadata: (key) => {
          requests++;
          return store.metadata(key);
        },
        async *list(prefix, options = {}) {
          const { pageSize = 1_000 } = options;
          let listed = 0;
          for await (const object of store.list(prefix, options)) {
            if (listed++ % pageSize === 0) requests++;
            yield object;
          }
          if (listed % pageSize !== 0 || listed === 0) requests++;
        },
      },
    };
  }

  test.each([1, 999, 1_000, 1_001, 2_000, 30_000])(
    'is found in a few requests after %i objects of one day',
    async (count) => {
      const clock = createFakeClock();
      const objects = createMemoryObjects({ clock });
      const chain = { topic: topic.name, epoch: 1, partition: 0 };
      const metadata = { version: '1', kind: 'records', date: '2026-01-01', 'max-timestamp': '0', rows: '7' };
      // Uneven, as batches are.
      let from = 0;
      for (let at = 0; at < count; at++) {
        const next = from + 1 + ((at * 7_919) % 13);
        const name = `${String(from).padStart(20, '0')}.jsonl.gz`;
        const ledger = { first: '0', next: String(next), holes: '/', backfill: '' };
        await objects.create(`topics/counters/1/p0/2026-01-01/${name}`, Buffer.alloc(0), {
          ...metadata,
          ...ledger,
        });
        from = next;
      }
      // A store that lists quickly: what is tried here is how many requests there are.
      const keys = (await Array.fromAsync(objects.list('topics/'))).map(({ key }) => key);
      const indexed: ObjectStore = {
        ...objects,
        async *list(prefix, { after = prefix } = {}) {
          let low = 0;
          let high = keys.length;
          while (low < high) {
            const middle = (low + high) >> 1;
            if (keys[middle]! > after) high = middle;
            else low = middle + 1;
          }
          for (const key of keys.slice(low)) yield { key, storedAt: 0, bytes: 0 };
        },
        async *folders() {
          yield '2026-01-01';
        },
      };
      const counted = counting(indexed);
      const end = await findEnd(counted.store, chain);
      expect(end.ledger.next).toBe(from);
      expect(counted.requests()).toBeLessThan(30);
    },
    60_000,
  );

  test('keeps thousands of holes, beside the chain', async () => {
    const clock = createFakeClock();
    const store = createMemoryObjects({ clock });
    const deadLettered = Array.from({ length: 5_000 }, (_, at) => ({ from: at * 3, to: at * 3 + 1 }));
    const at = { topic: topic.name, partition: 0 };
    await new ArchiveSink({ store, topic, clock }).transaction(async ({ lockLedgers, writeLedgers }) => {
      await lockLedgers(KEY, [{ ...at, from: 0, to: 15_000 }]);
      await writeLedgers(KEY, [
        {
          ...at,
          first: 0,
          next: 15_000,
          maxTimestamp: 5,
          closed: [],
          deadLettered,
          skipped: [{ from: 1, to: 2 }],
        },
      ]);
    });
    const { ledger } = await findEnd(store, { ...at, epoch: 1 });
    expect(ledger).toEqual({
      first: 0,
      next: 15_000,
      maxTimestamp: 5,
      deadLettered,
      skipped: [{ from: 1, to: 2 }],
    });
    for await (const { key } of store.list('topics/')) {
      const text = JSON.stringify(await store.metadata(key));
      expect(text.length).toBeLessThan(2_000);
    }
  });
});
