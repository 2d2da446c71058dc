import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createArchiveReader } from '../../../runtime/archive/reader.ts';
import { createRowWriter, readRow } from '../../../runtime/archive/row.ts';
import { ArchiveSink } from '../../../runtime/archive/sink.ts';
import {
  type Contract,
  defineTopic,
  type JsonTopic,
  type Topic,
} from '../../../runtime/contract/contract.ts';
import { advance } from '../../../runtime/delivery/ledger.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import type { LogReader } from '../../../runtime/topics.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { codeOf } from '../../rejection.ts';
import { runs } from '../../runs.ts';
import { anyRecord } from '../raw-record-arbitrary.ts';

const avroTopic: Contract<{ readonly id: string }> = defineTopic({
  name: 'shop.orders',
  owner: 'tests',
  key: 'id',
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Order',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'share', type: 'double' },
        ],
      },
    },
  ],
});
const jsonTopic: JsonTopic = {
  format: 'json',
  name: 'shop.public.orders',
  owner: 'tests',
  partitions: 1,
  retentionMs: 1,
  cleanup: 'delete',
  offsets: 'contiguous',
  maxBodyBytes: 1_000_000,
  versions: [],
  key: 'id',
};

const recordOf = (raw: RawRecord, value: unknown): ConsumerRecord<unknown> => ({
  ...raw,
  id: '',
  key: raw.key?.toString() ?? null,
  value,
  raw,
  arrival: 'delivery',
  overtaken: false,
});

const line = (topic: Topic<never>, raw: RawRecord, value: unknown): Buffer => {
  const row = Buffer.from(createRowWriter(topic)(recordOf(raw, value)));
  expect(row.at(-1)).toBe(0x0a);
  expect(row.indexOf(0x0a)).toBe(row.length - 1);
  return row.subarray(0, -1);
};

/** JSON as somebody else may write it: with blanks and line ends, digits beyond 2^53, and names like a row's own. */
const anyJson = fc
  .tuple(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t', '\r\n'), fc.bigInt())
  .map(([value, indent, digits]) =>
    JSON.stringify(
      { digits: '#', value, ',"value":': ',"schema_id":', raw: { value: null } },
      null,
      indent,
    ).replace('"#"', String(digits)),
  );

describe('a row', () => {
  test('of an Avro topic gives the record back, byte by byte, whatever it holds', () => {
    fc.assert(
      fc.property(anyRecord(avroTopic.name), fc.jsonValue(), (raw, value) => {
        expect(readRow(line(avroTopic, raw, value), 'object')).toEqual(raw);
      }),
      { numRuns: runs(1_000) },
    );
  });

  test("of a table's topic holds the value's own digits, and gives the record back", () => {
    fc.assert(
      fc.property(anyRecord(jsonTopic.name), fc.option(anyJson), (raw, json) => {
        const value = json === null ? null : Buffer.from(json);
        const row = line(jsonTopic, { ...raw, value }, value && JSON.parse(json!));
        expect(JSON.parse(row.toString()).value).toEqual(value && JSON.parse(json!));
        const digits = value && /"digits":\s*(-?\d+)/.exec(json!)![1];
        if (digits) expect(row.toString()).toContain(digits);
        expect(readRow(row, 'object')).toEqual({ ...raw, value });
      }),
      { numRuns: runs(1_000) },
    );
  });

  test('has its fields in one order, with bytes as base64 and numbers that JSON lacks as text', () => {
    const raw: RawRecord = {
      topic: avroTopic.name,
      partition: 3,
      offset: 9_007_199_254_740_991,
      timestamp: 1_767_225_600_000,
      timestampType: 'CREATE_TIME',
      key: Buffer.from('é'),
      value: Buffer.from('030000112233445566778899aabbccddeeff02', 'hex'),
      headers: [
        { name: 'trace', value: Buffer.from('x') },
        { name: 'bytes', value: Buffer.from([0xff]) },
        { name: 'none', value: null },
      ],
    };
    const value = { bytes: Buffer.from('ab'), big: Number.MAX_SAFE_INTEGER, odd: [Number.NaN, -Infinity] };
    expect(line(avroTopic, raw, value).toString()).toBe(
      '{"topic":"shop.orders","partition":3,"offset":9007199254740991,"timestamp":1767225600000,' +
        '"timestamp_type":"CREATE_TIME","source_epoch":null,"key":"é","headers":[{"name":"trace","value":"x"},' +
        '{"name":"bytes","value":{"base64":"/w=="}},{"name":"none","value":null}],' +
        '"schema_id":"00112233-4455-6677-8899-aabbccddeeff",' +
        '"value":{"bytes":"YWI=","big":9007199254740991,"odd":["NaN","-Infinity"]},' +
        '"raw":{"value":"AwAAESIzRFVmd4iZqrvM3e7/Ag=="}}',
    );
    const headers = [{ name: 'millrace.epoch', value: Buffer.from('2') }];
    const change = { ...raw, topic: jsonTopic.name, value: Buffer.from('{"op":"c"}'), headers };
    expect(line(jsonTopic, change, {}).toString()).toContain(
      '"source_epoch":2,"key":"é","headers":[{"name":"millrace.epoch","value":"2"}],"schema_id":null,"value":{"op":"c"}}',
    );
  });
});

/** A topic that keeps records from `start` on. */
function logOf(records: readonly RawRecord[], start: number): Pick<LogReader, 'read' | 'bounds'> {
  return {
    bounds: async () => ({ start, end: records.length }),
    read: async (_, from, most) =>
      records.filter(({ offset }) => offset >= Math.max(from, start) && offset < from + most),
  };
}

const DAY_MS = 86_400_000;

describe('a reader of an archive', () => {
  const record = (offset: number): RawRecord => ({
    topic: jsonTopic.name,
    partition: 0,
    offset,
    timestamp: offset,
    timestampType: 'CREATE_TIME',
    key: Buffer.from(`{"id":${offset}}`),
    value: Buffer.from(`{"op":"c","n":${offset}}`),
    headers: [],
  });

  /** Archives records as the engine would: batches of which some fail, and come back later or never. */
  const histories = fc.record({
    first: fc.nat(3),
    batches: fc.array(
      fc.record({
        size: fc.integer({ min: 1, max: 6 }),
        failing: fc.array(fc.nat(5), { maxLength: 3 }),
        /** How many of the dead letters come back before it, and how many days pass. */
        redriven: fc.nat(3),
        days: fc.nat(2),
      }),
      { maxLength: 12 },
    ),
    unarchived: fc.nat(4),
    kept: fc.nat(60),
    window: fc.tuple(fc.nat(60), fc.nat(60)),
  });

  async function build({
    first,
    batches,
    unarchived,
  }: {
    first: number;
    batches: readonly Batch[];
    unarchived: number;
  }) {
    const clock = createFakeClock();
    const store = createMemoryObjects({ clock });
    const sink = new ArchiveSink({ store, topic: jsonTopic, clock });
    const settle = (records: readonly RawRecord[], failed: ReadonlySet<number>) =>
      sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
        const at = { topic: jsonTopic.name, partition: 0 };
        const [from, to] = [records[0]!.offset, records.at(-1)!.offset + 1];
        const key = { consumer: 'archive', epoch: 1 };
        const [view] = await lockLedgers(key, [{ ...at, from, to }]);
        await tx.append(
          records.filter(({ offset }) => !failed.has(offset)).map((raw) => recordOf(raw, null)),
        );
        const [head, ...tail] = records.map((raw) => ({ ...raw, isDeadLettered: failed.has(raw.offset) }));
        await writeLedgers(key, [advance(view!, [head!, ...tail], 'contiguous', clock.now()).patch]);
      });
    let next = first;
    const letters: number[] = [];
    for (const { size, failing, redriven, days } of batches) {
      await clock.advance(days * DAY_MS);
      const back = letters.splice(0, redriven);
      // Each letter comes by itself, or all at once.
      if (back.length > 1 && size % 2 === 0) await settle(back.map(record), new Set());
      else for (const offset of back) await settle([record(offset)], new Set());
      const offsets = Array.from({ length: size }, (_, at) => next + at);
      const failed = new Set(failing.map((at) => next + at).filter((offset) => offset < next + size));
      await settle(offsets.map(record), failed);
      letters.push(...failed);
      next += size;
    }
    const all = Array.from({ length: next + unarchived }, (_, offset) => record(offset));
    return { store, all, letters: new Set(letters), archivedTo: next };
  }
  type Batch = { size: number; failing: number[]; redriven: number; days: number };

  test('gives every record once, in order, from the archive and then from the topic, and names what is missing', async () => {
    await fc.assert(
      fc.asyncProperty(histories, async ({ first, batches, unarchived, kept, window }) => {
        const { store, all, letters, archivedTo } = await build({ first, batches, unarchived });
        const start = Math.min(kept, all.length);
        const reader = createArchiveReader({
          store,
          topic: jsonTopic.name,
          epoch: 1,
          log: logOf(all, start),
        });
        const from = Math.min(...window, all.length);
        const to = Math.min(Math.max(...window), all.length);
        const missing: number[] = [];
        const read = await Array.fromAsync(
          reader.read(0, from, to, (range) => {
            for (let offset = range.from; offset < range.to; offset++) missing.push(offset);
          }),
        );
        const isArchived = ({ offset }: RawRecord) =>
          batches.length > 0 && offset >= first && offset < archivedTo && !letters.has(offset);
        const wanted = all.slice(from, to);
        const found = wanted.filter((each) => isArchived(each) || each.offset >= start);
        expect(read).toEqual(found);
        expect(missing).toEqual(wanted.filter((each) => !found.includes(each)).map(({ offset }) => offset));
      }),
      { numRuns: runs(500) },
    );
  }, 120_000);

  test('finds a gap in the chain, whichever object is gone', async () => {
    const { store, all } = await build({
      first: 0,
      batches: Array.from({ length: 9 }, (_, at) => ({
        size: 2,
        failing: [],
        redriven: 0,
        days: at % 3 === 0 ? 1 : 0,
      })),
      unarchived: 0,
    });
    const reader = createArchiveReader({ store, topic: jsonTopic.name, epoch: 1 });
    expect(await Array.fromAsync(reader.read(0, 0, all.length))).toEqual(all);
    for await (const { key } of store.list('topics/')) {
      const { body, metadata } = (await store.open(key))!;
      if (metadata.kind !== 'records') continue;
      const isLast = metadata.next === String(all.length);
      await store.delete([key]);
      const outcome = Array.fromAsync(reader.read(0, 0, all.length, () => {}));
      // Without its last object a chain is a shorter one.
      if (isLast) expect((await outcome).length).toBe(all.length - 2);
      else expect(await codeOf(outcome)).toBe('ARCHIVE_BROKEN');
      await store.create(key, body, metadata);
    }
  });

  test('names what stood in days that were deleted, and reads on from there', async () => {
    const { store, all } = await build({
      first: 0,
      batches: Array.from({ length: 6 }, () => ({ size: 3, failing: [], redriven: 0, days: 1 })),
      unarchived: 0,
    });
    const prefix = 'topics/shop.public.orders/1/p0/';
    const old = (await Array.fromAsync(store.folders(prefix))).slice(0, 3);
    for (const day of old) {
      const keys = (await Array.fromAsync(store.list(`${prefix}${day}/`))).map(({ key }) => key);
      await store.delete(keys);
    }
    const reader = createArchiveReader({ store, topic: jsonTopic.name, epoch: 1 });
    const { start, end } = await reader.bounds(0);
    expect(start).toBeGreaterThan(0);
    const missing: unknown[] = [];
    const read = await Array.fromAsync(reader.read(0, 0, end, (range) => missing.push(range)));
    expect(read).toEqual(all.slice(start));
    expect(missing).toEqual([{ from: 0, to: start }]);
  });

  test('does not list days that it need not read', async () => {
    const { store, all } = await build({
      first: 0,
      batches: Array.from({ length: 40 }, () => ({ size: 1, failing: [], redriven: 0, days: 1 })),
      unarchived: 0,
    });
    const listed: string[] = [];
    const watched = {
      ...store,
      list(prefix: string, options?: Parameters<typeof store.list>[1]) {
        if (options?.pageSize !== 1) listed.push(prefix);
        return store.list(prefix, options);
      },
    };
    const reader = createArchiveReader({ store: watched, topic: jsonTopic.name, epoch: 1 });
    expect(await Array.fromAsync(reader.read(0, 30, 33))).toEqual(all.slice(30, 33));
    expect(new Set(listed).size).toBeLessThan(9);
  });
});
