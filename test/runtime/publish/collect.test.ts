import { describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { createDecoder } from '../../../runtime/contract/codec.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import type { SchemaRegistry } from '../../../runtime/contract/registry.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { type CollectLimits, createCollector, type EventFormat } from '../../../runtime/publish/collect.ts';
import { MAX_REQUEST_BYTES } from '../../../runtime/publish/publish.ts';
import type { OutgoingRecord, Producer } from '../../../runtime/topics.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../testing/memory-log.ts';
import { codeOf } from '../../rejection.ts';

interface Order {
  readonly id: string;
  readonly amount: number;
  readonly labels: Readonly<Record<string, string>>;
}

const orders = defineTopic<Order>({
  name: 'orders',
  owner: 'tests',
  key: 'id',
  partitions: 1,
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Order',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'amount', type: 'int' },
          { name: 'labels', type: { type: 'map', values: 'string' }, default: {} },
        ],
      },
    },
  ],
});
const registry = createContractSchemaRegistry([orders]);

async function openCollector(
  ports: { producer?: Producer; registry?: SchemaRegistry } = {},
  limits: CollectLimits = {},
) {
  const log = createMemoryLog({ clock: createFakeClock() });
  await log.createTopic('orders', 1);
  const collector = createCollector([orders], { registry, producer: log, ...ports }, limits);
  return {
    collect: (body: string | Buffer, format: EventFormat = 'json', topic = 'orders') =>
      collector.collect({ topic, format, body: Buffer.from(body) }),
    /** What the topic holds. */
    async values() {
      const records = await log.read({ topic: 'orders', partition: 0 }, 0, 10_000);
      const decoded = await createDecoder(orders, registry).decodeBatch(records);
      return decoded.map((each) => ('record' in each ? each.record.value : each));
    },
  };
}

const SECRET = 'hunter2';
const good = fc.record({ id: fc.string({ unit: 'grapheme' }), amount: fc.integer({ min: 0, max: 99 }) });
const bad = fc.oneof(
  fc.constant({ id: 'a', amount: SECRET }),
  fc.constant({ amount: 1 }),
  fc.constant({ id: 'a', amount: 1, labels: { colour: [SECRET] } }),
  fc.constantFrom({ id: 'a\0', amount: 1 }, { id: 'a', amount: 1, labels: { '\0': '' } }),
  fc.constantFrom(null, 1, SECRET, [], true),
);
const mixed = fc.array(
  fc.oneof(
    good.map((value) => ({ value, isGood: true })),
    bad.map((value) => ({ value, isGood: false })),
  ),
  { minLength: 1, maxLength: 40 },
);

describe('any mix of events', () => {
  test.each<EventFormat>(['json', 'ndjson'])(
    'as %s: the good ones are published, in order, and each event has its verdict',
    async (format) => {
      await fc.assert(
        fc.asyncProperty(mixed, async (events) => {
          const { collect, values } = await openCollector();
          const sent = events.map(({ value }) => value);
          const body =
            format === 'json' ? JSON.stringify(sent) : sent.map((e) => JSON.stringify(e)).join('\n');

          const { verdicts, accepted, refused, failed, failure } = await collect(body, format);

          expect(await values()).toEqual(
            events.filter(({ isGood }) => isGood).map(({ value }) => ({ ...(value as Order), labels: {} })),
          );
          expect(verdicts.map(({ index, status }) => [index, status])).toEqual(
            events.map(({ isGood }, index) => [index, isGood ? 'accepted' : 'refused']),
          );
          expect([accepted + refused, failed, failure]).toEqual([events.length, 0, undefined]);
          expect(JSON.stringify(verdicts)).not.toContain(SECRET);
        }),
      );
    },
  );

  test('a lone event is a list of one', async () => {
    const { collect, values } = await openCollector();
    expect(await collect('{"id": "a", "amount": 1}')).toMatchObject({
      verdicts: [{ index: 0, status: 'accepted' }],
    });
    expect(await values()).toEqual([{ id: 'a', amount: 1, labels: {} }]);
  });

  test('a refused event is told where it breaks the contract, and how', async () => {
    const { collect } = await openCollector();
    const { verdicts } = await collect('[{"id": "a", "amount": 0.5, "colour": "red"}]');
    expect(verdicts).toEqual([
      {
        index: 0,
        status: 'refused',
        code: 'EVENT_REFUSED',
        violations: [
          {
            path: 'amount',
            reason: 'takes an int (a whole number from -2^31 to 2^31-1); got a number with a fraction',
          },
          { path: 'colour', reason: 'is not a field of Order' },
        ],
      },
    ]);
  });

  test('a line that is not JSON spoils no other', async () => {
    const { collect, values } = await openCollector();
    const { verdicts } = await collect(
      '{"id": "a", "amount": 1}\r\n\n{"id": "b\n{"id": "c", "amount": 3}\n',
      'ndjson',
    );
    expect(verdicts.map(({ status }) => status)).toEqual(['accepted', 'refused', 'accepted']);
    expect(verdicts[1]).toMatchObject({ violations: [{ path: '', reason: 'is not JSON' }] });
    expect(await values()).toMatchObject([{ id: 'a' }, { id: 'c' }]);
  });
});

describe('any body', () => {
  test('gives one verdict an event, or is refused as a whole', async () => {
    const { collect } = await openCollector();
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
      fc.json({ maxDepth: 5 }).map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(bodies, fc.constantFrom<EventFormat>('json', 'ndjson'), async (body, format) => {
        try {
          const { verdicts, accepted, refused } = await collect(body, format);
          expect(verdicts.map(({ index }) => index)).toEqual([...verdicts.keys()]);
          expect(verdicts).toHaveLength(accepted + refused);
        } catch (error) {
          expect((error as MillraceError).code).toBe('REQUEST_UNREADABLE');
        }
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ['no JSON', `{"id": "${SECRET}`],
    ['nothing', ''],
    ['no event', '[]'],
    ['no UTF-8', Buffer.from('7b2269643a22ff227d', 'hex')],
  ])('that is %s is refused, and not quoted', async (_, body) => {
    const { collect } = await openCollector();
    const error = await collect(body).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'REQUEST_UNREADABLE' });
    expect(String(error)).not.toContain(SECRET);
    expect(error).not.toHaveProperty('cause');
  });

  test('that nests without end is refused, and exhausts nothing', async () => {
    const { collect } = await openCollector();
    const deep = 400_000;
    const arrays = `${'['.repeat(deep)}${']'.repeat(deep)}`;
    expect(await collect(arrays)).toMatchObject({ refused: 1 });
    const labels = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    expect(await collect(`{"id": "a", "amount": 1, "labels": ${labels}}`)).toMatchObject({
      verdicts: [{ violations: [{ path: 'labels.a' }] }],
    });
  });

  test('that would change a prototype changes none', async () => {
    const { collect, values } = await openCollector();
    const { verdicts } = await collect(
      '[{"id": "a", "amount": 1, "__proto__": {"polluted": 1}}, {"id": "b", "amount": 1, "labels": {"__proto__": "c"}}]',
    );
    expect(verdicts).toMatchObject([
      { status: 'refused', violations: [{ path: '__proto__' }] },
      { status: 'accepted' },
    ]);
    const [{ labels }] = (await values()) as [Order];
    expect(Object.entries(labels)).toEqual([['__proto__', 'c']]);
    expect({}).not.toHaveProperty('polluted');
  });

  test('has an answer that is smaller than an invocation may have, however bad it is', async () => {
    const { collect } = await openCollector();
    const worst = Object.fromEntries(
      Array.from({ length: 30 }, (_, index) => ['\u0001'.repeat(9) + index, 0]),
    );
    const { verdicts } = await collect(JSON.stringify(Array(500).fill(worst)));
    expect(verdicts).toHaveLength(500);
    expect(JSON.stringify(verdicts).length).toBeLessThan(1_000_000);
  });
});

describe('limits', () => {
  test('of bytes and of events are told', async () => {
    const { collect, values } = await openCollector({}, { maxBodyBytes: 60, maxEvents: 2 });
    expect(await collect('[{"id":"a","amount":1},{"id":"b","amount":1}]')).toMatchObject({ accepted: 2 });
    await expect(collect(JSON.stringify({ id: 'a'.repeat(60), amount: 1 }))).rejects.toMatchObject({
      code: 'REQUEST_TOO_LARGE',
      message: expect.stringContaining('it takes up to 60'),
    });
    await expect(collect('[1,2,3]')).rejects.toMatchObject({
      code: 'REQUEST_TOO_LARGE',
      message: expect.stringContaining('has 3 events; it takes up to 2'),
    });
    expect(await values()).toHaveLength(2);
  });

  test('of a record make it a refused event', async () => {
    const { collect } = await openCollector({}, { maxBodyBytes: Number.POSITIVE_INFINITY });
    const { verdicts } = await collect(
      JSON.stringify([
        { id: 'a', amount: 1 },
        { id: 'b'.repeat(MAX_REQUEST_BYTES), amount: 1 },
      ]),
    );
    expect(verdicts.map(({ status }) => status)).toEqual(['accepted', 'refused']);
  });

  test('a topic that is not collected is unknown', async () => {
    const { collect } = await openCollector();
    expect(await codeOf(collect('{}', 'json', 'payments'))).toBe('TOPIC_UNKNOWN');
    expect(await codeOf(collect('{}', 'json', 'constructor'))).toBe('TOPIC_UNKNOWN');
  });
});

describe('lines', () => {
  test('are counted before any is read', async () => {
    const { collect } = await openCollector();
    const parse = jest.spyOn(JSON, 'parse');
    try {
      await expect(collect('a\n'.repeat(500_000), 'ndjson')).rejects.toMatchObject({
        code: 'REQUEST_TOO_LARGE',
        message: expect.stringContaining('has 500000 events; it takes up to 500'),
      });
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });

  test('that are blank are no events', async () => {
    const { collect } = await openCollector();
    const blank = '\n \r\n'.repeat(200_000);
    expect(await collect(`${blank}{"id":"a","amount":1}`, 'ndjson')).toMatchObject({ accepted: 1 });
    expect(await codeOf(collect(blank, 'ndjson'))).toBe('REQUEST_UNREADABLE');
  });
});

describe('a time ahead of the clock,', () => {
  const DAY_MS = 86_400_000;
  const NOW = 1_764_000_000_000;
  const at = (name: string, logicalType: string) => ({
    name,
    type: { type: 'long', logicalType },
    default: 0,
  });
  const visits = defineTopic<{ id: string }>({
    name: 'visits',
    owner: 'tests',
    key: 'id',
    partitions: 1,
    versions: [
      {
        version: 1,
        schema: {
          type: 'record',
          name: 'Visit',
          fields: [
            { name: 'id', type: 'string' },
            at('ms', 'timestamp-millis'),
            at('us', 'timestamp-micros'),
          ],
        },
      },
    ],
  });
  const collectVisits = async (events: readonly object[], limits?: CollectLimits) => {
    const log = createMemoryLog({ clock: createFakeClock() });
    await log.createTopic('visits', 1);
    const ports = {
      registry: createContractSchemaRegistry([visits]),
      producer: log,
      clock: { now: () => NOW },
    };
    const body = Buffer.from(JSON.stringify(events));
    return (await createCollector([visits], ports, limits).collect({ topic: 'visits', format: 'json', body }))
      .verdicts;
  };

  test('by more than a day is refused, with its path and without its value', async () => {
    const verdicts = await collectVisits([
      { id: 'a', ms: NOW + DAY_MS, us: (NOW + DAY_MS) * 1_000 },
      { id: 'b', ms: NOW + DAY_MS + 1 },
      { id: 'c', us: (NOW + DAY_MS) * 1_000 + 1 },
      { id: 'd', ms: 8_640_000_000_000_000 },
    ]);
    const refused = (path: string) => ({ status: 'refused', code: 'EVENT_REFUSED', violations: [{ path }] });
    expect(verdicts).toMatchObject([{ status: 'accepted' }, refused('ms'), refused('us'), refused('ms')]);
    expect(JSON.stringify(verdicts)).not.toMatch(/\d{9}/);
  });

  test('or in a coarser unit than the contract has is refused, and real times of 1970 are not', async () => {
    const seconds = NOW / 1_000;
    const refused = (path: string) => ({ status: 'refused', code: 'EVENT_REFUSED', violations: [{ path }] });
    const verdicts = await collectVisits([
      { id: 'a', ms: seconds },
      { id: 'b', us: NOW },
      { id: 'c', us: seconds },
      { id: 'd', ms: seconds - 9 * 365 * 86_400 },
    ]);
    expect(verdicts).toMatchObject([refused('ms'), refused('us'), refused('us'), refused('ms')]);
    const times = [0, 1, -DAY_MS, DAY_MS, 10 * DAY_MS, 30 * DAY_MS, 365 * DAY_MS];
    const real = times.map((ms, id) => ({ id: String(id), ms, us: ms * 1_000 }));
    for (const verdict of await collectVisits(real)) expect(verdict).toMatchObject({ status: 'accepted' });
  });

  test('is taken where the limits say so', async () => {
    const limits = { maxAheadMs: Number.POSITIVE_INFINITY };
    expect(await collectVisits([{ id: 'd', ms: 8_640_000_000_000_000 }], limits)).toMatchObject([
      { status: 'accepted' },
    ]);
  });
});

describe('when events cannot be published', () => {
  /** Takes that many requests, then none. */
  function failingProducer(takes: number): { producer: Producer; taken: OutgoingRecord[] } {
    const taken: OutgoingRecord[] = [];
    let requests = 0;
    return {
      taken,
      producer: {
        async send(topic, records) {
          if (requests++ === takes) throw new Error('broken pipe');
          taken.push(...records);
          return records.map((_, offset) => ({ topic, partition: 0, offset }));
        },
      },
    };
  }

  test('each is told apart: published, refused for good, to be sent again', async () => {
    const { producer, taken } = failingProducer(1);
    const { collect } = await openCollector({ producer }, { maxBodyBytes: Number.POSITIVE_INFINITY });
    const large = 'x'.repeat(MAX_REQUEST_BYTES * 0.6);
    const { verdicts, failure } = await collect(
      JSON.stringify([
        { id: 1, amount: 1 },
        { id: 'a', amount: 1, labels: { large } },
        { id: 'a', amount: 2, labels: { large } },
        { id: 'a', amount: SECRET },
        { id: 'b', amount: 1 },
      ]),
    );
    expect(verdicts).toMatchObject([
      { status: 'refused' },
      { status: 'accepted' },
      { status: 'failed', code: 'PUBLISH_FAILED' },
      { status: 'refused' },
      { status: 'failed', code: 'PUBLISH_FAILED' },
    ]);
    expect(taken).toHaveLength(1);
    expect(failure).toMatchObject({ code: 'PUBLISH_FAILED', details: { published: 1, unconfirmed: 2 } });
  });

  test('a topic that the cluster lacks, or a registry that does not answer, fails them all', async () => {
    const event = '{"id": "a", "amount": 1}';
    const unknown = new MillraceError('TOPIC_UNKNOWN', 'There is no such topic.');
    const producer: Producer = { send: () => Promise.reject(unknown) };
    const lacking = await openCollector({ producer });
    expect(await lacking.collect(event)).toMatchObject({
      verdicts: [{ status: 'failed', code: 'TOPIC_UNKNOWN' }],
      failure: unknown,
    });

    const down = new MillraceError('REGISTRY_UNAVAILABLE', 'No answer.');
    let isDown = true;
    const mute = await openCollector({
      registry: {
        ...registry,
        latestId: (contract) => (isDown ? Promise.reject(down) : registry.latestId(contract)),
      },
    });
    expect(await mute.collect(event)).toMatchObject({
      verdicts: [{ status: 'failed', code: 'REGISTRY_UNAVAILABLE' }],
      failure: down,
    });
    isDown = false;
    expect(await mute.collect(event)).toMatchObject({ accepted: 1 });
  });

  test('what is no error of ours is thrown: it is a bug', async () => {
    const { collect } = await openCollector({
      registry: { ...registry, latestId: () => Promise.reject(new TypeError('oops')) },
    });
    await expect(collect('{"id": "a", "amount": 1}')).rejects.toThrow(TypeError);
  });
});
