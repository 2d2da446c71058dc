import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { type ErrorCode, MillraceError } from '../../../runtime/errors.ts';
import {
  encodeKafkaEvent,
  type KafkaEvent,
  kafkaEventBytes,
  parseKafkaEvent,
} from '../../../runtime/lambda/kafka-event.ts';
import type { Random } from '../../../runtime/ports.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { anyTimestamp } from '../raw-record-arbitrary.ts';

const TOPIC = 'news.page-views-2';

/** A record's fields as plain properties, so that records of any kind compare. */
const plain = ({ topic, partition, offset, timestamp, timestampType, key, value, headers }: RawRecord) => ({
  topic,
  partition,
  offset,
  timestamp,
  timestampType,
  key,
  value,
  headers,
});
const parsed = (event: unknown, topic = TOPIC) => parseKafkaEvent(event, topic).map(plain);

const record = (fields: object = {}) => ({
  topic: TOPIC,
  partition: 0,
  offset: 15,
  timestamp: 1545084650987,
  timestampType: 'CREATE_TIME',
  key: 'cmVjb3JkS2V5',
  value: 'eyJrZXkiOiJ2YWx1ZSJ9',
  headers: [],
  ...fields,
});
const eventOf = (...records: object[]) => ({
  eventSource: 'aws:kafka',
  records: { [`${TOPIC}-0`]: records },
});

/** Why a record cannot be read, of the records of an event that can. */
const faults = (event: unknown) => parseKafkaEvent(event, TOPIC).map(({ fault }) => fault);

function errorOf(event: unknown): MillraceError {
  try {
    parseKafkaEvent(event, TOPIC);
  } catch (error) {
    if (error instanceof MillraceError) return error;
    throw error;
  }
  throw new Error('parsed');
}

describe('an event', () => {
  // https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html (2026-11-24), with a header byte above 127 added.
  const documented = {
    eventSource: 'aws:kafka',
    eventSourceArn:
      'arn:aws:kafka:us-east-1:123456789012:cluster/vpc-2priv-2pub/751d2973-a626-431c-9d4e-d7975eb44dd7-2',
    bootstrapServers: 'b-2.demo-cluster-1.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092',
    records: {
      'mytopic-0': [
        {
          topic: 'mytopic',
          partition: 0,
          offset: 15,
          timestamp: 1545084650987,
          timestampType: 'CREATE_TIME',
          key: 'abcDEFghiJKLmnoPQRstuVWXyz1234==',
          value: 'SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==',
          headers: [{ headerKey: [104, 101, -61, -85] }],
        },
      ],
    },
  };

  test('as AWS documents it gives its records', () => {
    expect(parsed(documented, 'mytopic')).toEqual([
      {
        topic: 'mytopic',
        partition: 0,
        offset: 15,
        timestamp: 1545084650987,
        timestampType: 'CREATE_TIME',
        key: Buffer.from('abcDEFghiJKLmnoPQRstuVWXyz1234==', 'base64'),
        value: Buffer.from('Hello, this is a test.'),
        headers: [{ name: 'headerKey', value: Buffer.from('heë') }],
      },
    ]);
  });

  test('may hold its records alone, or none', () => {
    expect(parsed({ records: eventOf(record()).records })).toHaveLength(1);
    expect(parsed({ records: {} })).toEqual([]);
    expect(parsed({ records: { [`${TOPIC}-0`]: [] } })).toEqual([]);
  });

  test('gives what was encoded, for any records', () => {
    const bytes = fc.option(
      fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
      { nil: null },
    );
    const records = fc.uniqueArray(
      fc.record({
        topic: fc.constant(TOPIC),
        partition: fc.integer({ min: 0, max: 3 }),
        offset: fc.maxSafeNat(),
        timestamp: anyTimestamp,
        timestampType: fc.constantFrom('CREATE_TIME', 'LOG_APPEND_TIME', 'NO_TIMESTAMP_TYPE'),
        key: bytes,
        value: bytes,
        headers: fc.array(
          fc.record({
            name: fc.oneof(fc.string({ unit: 'binary' }), fc.constant('__proto__')),
            value: bytes,
          }),
          { maxLength: 3 },
        ),
      }),
      { selector: ({ partition, offset }) => `${partition}/${offset}` },
    );
    fc.assert(
      fc.property(records, (given) => {
        const sent = JSON.parse(JSON.stringify(encodeKafkaEvent(given as RawRecord[])));
        const inOrder = given.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset);
        expect(parsed(sent)).toEqual(inOrder);
      }),
    );
  });
});

describe('keys and values', () => {
  test.each([
    ['absent', {}, null],
    ['null', { key: null, value: null }, null],
    ['empty', { key: '', value: '' }, Buffer.alloc(0)],
  ])('that are %s', (_, fields, expected) => {
    const { key, value, ...rest } = record();
    expect(parsed(eventOf({ ...rest, ...fields }))).toMatchObject([{ key: expected, value: expected }]);
  });

  test.each([
    'YQ',
    'YQ=',
    'YWI',
    '====',
    'A===',
    'YQ==YQ==',
    'YW Jj',
    'YWJ\n',
    'YW!j',
    '-_-_',
    'YWJjé===',
    'ＹＷＪｊ',
  ])('that are no base64 are the fault of their record, which has them as they came: %j', (text) => {
    for (const field of ['key', 'value']) {
      const event = eventOf(record(), record({ offset: 16, [field]: text }), record({ offset: 17 }));
      const [before, fault, after] = faults(event);
      expect([before, after]).toEqual([undefined, undefined]);
      expect(fault!.code).toBe('RECORD_MALFORMED');
      expect(fault!.message).toContain(`records["${TOPIC}-0"][1].${field}`);
      expect(fault!.message).not.toContain(text);
      const sound = parsed(eventOf(record()))[0]!;
      expect(parsed(event)).toEqual([
        sound,
        { ...sound, offset: 16, [field]: Buffer.from(text) },
        { ...sound, offset: 17 },
      ]);
    }
  });

  test('share no bytes with one another', () => {
    const [first, second] = parseKafkaEvent(eventOf(record(), record({ offset: 16 })), TOPIC);
    first!.value!.fill(0);
    expect(second!.value!.toString()).toBe('{"key":"value"}');
  });
});

describe('headers', () => {
  test.each([
    ['absent', undefined, []],
    ['null', null, []],
    ['an empty object', {}, []],
    [
      'signed bytes',
      [{ h: [-61, -85, -128, 127] }],
      [{ name: 'h', value: Buffer.from([195, 171, 128, 127]) }],
    ],
    ['unsigned bytes', [{ h: [195, 171] }], [{ name: 'h', value: Buffer.from([195, 171]) }]],
    ['a null as {}', [{ h: {} }], [{ name: 'h', value: null }]],
    ['a null', [{ h: null }], [{ name: 'h', value: null }]],
    ['a null that lost its name', [{}, { h: [] }], [{ name: 'h', value: Buffer.alloc(0) }]],
    [
      'a repeated name',
      [{ h: [1] }, { h: [2] }],
      [
        { name: 'h', value: Buffer.from([1]) },
        { name: 'h', value: Buffer.from([2]) },
      ],
    ],
  ])('with %s', (_, headers, expected) => {
    expect(parsed(eventOf(record({ headers })))).toMatchObject([{ headers: expected }]);
  });

  test.each([
    'h',
    5,
    [5],
    [null],
    [['h', [1]]],
    [{ h: 'aGk=' }],
    [{ h: [256] }],
    [{ h: [-129] }],
    [{ h: [1.5] }],
    [{ h: ['1'] }],
    [{ h: { 0: 1 } }],
  ])('that are malformed are the fault of their record, which has them as JSON: %j', (headers) => {
    const event = eventOf(record({ headers }), record({ offset: 16 }));
    const [fault, next] = faults(event);
    expect(fault).toMatchObject({
      code: 'RECORD_MALFORMED',
      message: expect.stringContaining(`records["${TOPIC}-0"][0].headers`),
    });
    expect(next).toBeUndefined();
    const json = typeof headers === 'string' ? headers : JSON.stringify(headers);
    expect(parsed(event)[0]!.headers).toEqual([{ name: 'headers', value: Buffer.from(json) }]);
  });
});

describe('order', () => {
  const offsets = (event: unknown) => parsed(event).map(({ partition, offset }) => `${partition}/${offset}`);

  test('is by partition, as numbers, and by offset', () => {
    const partitions = [10, 2, 1];
    const records = Object.fromEntries(
      partitions.map((partition) => [
        `${TOPIC}-${partition}`,
        [7, 5, 6].map((offset) => record({ partition, offset })),
      ]),
    );
    expect(offsets({ records })).toEqual(['1/5', '1/6', '1/7', '2/5', '2/6', '2/7', '10/5', '10/6', '10/7']);
  });

  test('has no place for a record that comes twice', () => {
    const twice = [
      record({ offset: 6 }),
      record({ offset: 5 }),
      record({ offset: 6 }),
      record({ offset: 5 }),
    ];
    expect(offsets(eventOf(...twice))).toEqual(['0/5', '0/6']);
  });

  test.each([{ value: 'YQ==' }, { value: null }, { key: 'YQ==' }, { timestamp: 1 }])(
    'cannot be found for two records of one offset that differ: %j',
    (difference) => {
      expect(errorOf(eventOf(record(), record(difference))).code).toBe('EVENT_MALFORMED');
    },
  );
});

describe('a malformed event', () => {
  const at = `records["${TOPIC}-0"]`;
  const cases: readonly [string, unknown, ErrorCode, string][] = [
    ['no object', 'event', 'EVENT_MALFORMED', 'The event is a string'],
    ['null', null, 'EVENT_MALFORMED', 'The event is null'],
    ['no records', {}, 'EVENT_MALFORMED', 'records is missing'],
    ['records in an array', { records: [] }, 'EVENT_MALFORMED', 'records is an array'],
    ['no array', { records: { [`${TOPIC}-0`]: {} } }, 'EVENT_MALFORMED', `${at} is an object`],
    [
      'no partition',
      { records: { [TOPIC.replace('-2', '')]: [] } },
      'EVENT_MALFORMED',
      '<topic>-<partition>',
    ],
    ['a padded partition', { records: { [`${TOPIC}-00`]: [] } }, 'EVENT_MALFORMED', '<topic>-<partition>'],
    ['another topic', { records: { 'news.page-views-0': [] } }, 'EVENT_FOREIGN_TOPIC', '"news.page-views"'],
    ["a record of another topic's", eventOf(record({ topic: 'x' })), 'EVENT_FOREIGN_TOPIC', '"x"'],
    ['no record', eventOf(record(), 5 as never), 'EVENT_MALFORMED', `${at}[1] is the number 5`],
    ['no topic', eventOf(record({ topic: undefined })), 'EVENT_MALFORMED', `${at}[0].topic is missing`],
    [
      'another partition',
      eventOf(record({ partition: 1 })),
      'EVENT_MALFORMED',
      `${at}[0].partition is the number 1`,
    ],
    ['a text offset', eventOf(record({ offset: '15' })), 'EVENT_MALFORMED', `${at}[0].offset is a string`],
    [
      'a negative offset',
      eventOf(record({ offset: -1 })),
      'EVENT_MALFORMED',
      `${at}[0].offset is the number -1`,
    ],
    ['half an offset', eventOf(record({ offset: 1.5 })), 'EVENT_MALFORMED', `${at}[0].offset`],
    ['too large an offset', eventOf(record({ offset: 2 ** 53 })), 'EVENT_MALFORMED', `${at}[0].offset`],
    [
      'a partition beyond 32 bits',
      { records: { [`${TOPIC}-2147483648`]: [] } },
      'EVENT_MALFORMED',
      '<topic>-<partition>',
    ],
  ];
  test.each(cases)('with %s says where, what it got and what is allowed', (_, event, code, text) => {
    const error = errorOf(event);
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });
});

describe('a record of which something is not as Kafka sends it', () => {
  test.each([
    ['timestamp', 'now', 'a string', { timestamp: -1 }],
    ['timestamp', undefined, 'missing', { timestamp: -1 }],
    ['timestampType', 'X', 'a string', { timestampType: 'NO_TIMESTAMP_TYPE' }],
    ['key', 5, 'the number 5', { key: Buffer.from('5') }],
    ['value', [1], 'an array', { value: Buffer.from('[1]') }],
  ])('has a fault that names it, and what arrived: %s %j', (field, got, kind, carried) => {
    const event = eventOf(record(), record({ offset: 16, [field]: got }));
    const [sound, fault] = faults(event);
    expect(sound).toBeUndefined();
    expect(fault).toMatchObject({
      code: 'RECORD_MALFORMED',
      message: expect.stringContaining(`records["${TOPIC}-0"][1].${field} is ${kind}`),
    });
    expect(parsed(event)[1]).toMatchObject({ offset: 16, ...carried });
  });

  test.each([-2, -62_135_596_800_000, -(2 ** 63), 2 ** 53, 1_764_000_000_000_000_000, 2 ** 63])(
    'is none for a timestamp of %d: a producer may choose any',
    (timestamp) => {
      const event = eventOf(record({ timestamp }));
      expect(faults(event)).toEqual([undefined]);
      expect(parsed(event)[0]!.timestamp).toBe(timestamp);
    },
  );
});

test('an encoded record takes the bytes that it is said to take', () => {
  const records = [0, 1, 2].map(
    (offset): RawRecord => ({
      topic: TOPIC,
      partition: 0,
      offset,
      timestamp: 1,
      timestampType: 'CREATE_TIME',
      key: offset === 1 ? null : Buffer.from('kéy'),
      value: Buffer.alloc(offset * 10),
      headers: [{ name: 'ünï', value: Buffer.from([200]) }],
    }),
  );
  const bytesOf = (some: RawRecord[]) => Buffer.byteLength(JSON.stringify(encodeKafkaEvent(some)));
  const [first, ...others] = records;
  const added = others.reduce((sum, other) => sum + kafkaEventBytes(other), 0);
  expect(bytesOf(records) - bytesOf([first!])).toBe(added);
});

const EVENTS = 10_000;

/** Values that stand where another should, and strings that nearly do. */
const STRAYS = [
  null,
  true,
  0,
  -1,
  1.5,
  2 ** 53,
  '',
  'x',
  'YQ=',
  '__proto__',
  [],
  [[]],
  {},
  { a: [300] },
  undefined,
];

/** Replaces, removes or adds one thing somewhere in the event. */
function mutate(event: unknown, random: Random): unknown {
  const pick = <Item>(items: readonly Item[]) => items[Math.floor(random.next() * items.length)]!;
  const isContainer = typeof event === 'object' && event !== null;
  const keys = isContainer ? Object.keys(event) : [];
  if (keys.length === 0 || random.next() < 0.08) return structuredClone(pick(STRAYS));
  const container = event as Record<string, unknown>;
  const key = pick(keys);
  const roll = random.next();
  if (roll < 0.05) delete container[key];
  else if (roll < 0.1) container[pick([...keys, 'extra', `${TOPIC}-7`])] = structuredClone(pick(STRAYS));
  else if (roll < 0.15 && Array.isArray(container)) container.push(container[0]);
  else if (roll < 0.2) container[key] = `${container[key]}`.slice(1);
  else container[key] = mutate(container[key], random);
  return container;
}

test(`${EVENTS} mutated events each end in records or in a code of the table`, () => {
  const random = createSeededRandom(20_261_124);
  const records = [0, 1, 2, 3, 4, 5].map(
    (index): RawRecord => ({
      topic: TOPIC,
      partition: index % 2,
      offset: index,
      timestamp: 1_700_000_000_000,
      timestampType: 'CREATE_TIME',
      key: Buffer.from(`key-${index}`),
      value: Buffer.alloc(30, index),
      headers: [{ name: 'h', value: Buffer.from([1, 200]) }],
    }),
  );
  const json = JSON.stringify(encodeKafkaEvent(records));
  const seen: Record<string, number> = {};
  for (let count = 0; count < EVENTS; count++) {
    let event: unknown = JSON.parse(json) as KafkaEvent;
    for (let times = 1 + Math.floor(random.next() * 3); times > 0; times--) event = mutate(event, random);
    let outcome: string;
    try {
      outcome = parsed(event).every(({ topic }) => topic === TOPIC) ? 'records' : 'foreign records';
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      outcome = error.code;
    }
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  }
  expect(Object.keys(seen).sort()).toEqual(['EVENT_FOREIGN_TOPIC', 'EVENT_MALFORMED', 'records']);
});
