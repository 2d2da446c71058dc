import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fromForeignRecord } from '../../../runtime/dead-letters/foreign-letters.ts';
import { decodeDeadLetter, encodeDeadLetter } from '../../../runtime/dead-letters/json-envelope.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { Header, RawRecord } from '../../../runtime/record.ts';

const ID = 'c/dead-letters/1/5';
const OF = { consumer: 'c', epoch: 7 };
const FAILED_AT = 1_767_225_600_900;
const WRITTEN_AT = 1_767_225_600_000;

type Value = Buffer | string | null;

const header = (name: string, value: Value): Header => ({
  name,
  value: typeof value === 'string' ? Buffer.from(value) : value,
});
const headersOf = (values: Readonly<Record<string, Value>>): Header[] =>
  Object.entries(values).map(([name, value]) => header(name, value));

const hex = (text: string) => Buffer.from(text, 'hex');

/** What a producer wrote, none of it UTF-8. */
const OWN: readonly Header[] = [
  { name: 'trace', value: hex('c328ff') },
  { name: 'trace', value: null },
  { name: 'kafka_dlt-original-topi', value: hex('00') },
];

const deadRecord = (headers: readonly Header[], fields: Partial<RawRecord> = {}): RawRecord => ({
  topic: 'dead-letters',
  partition: 1,
  offset: 5,
  timestamp: FAILED_AT,
  timestampType: 'LOG_APPEND_TIME',
  key: hex('00ff80'),
  value: hex('c3280001'),
  headers,
  ...fields,
});

const SPRING = {
  'kafka_dlt-original-topic': 'orders',
  'kafka_dlt-original-partition': hex('00000003'),
  'kafka_dlt-original-offset': hex('0000000100000002'),
  'kafka_dlt-original-timestamp': hex('0000019b76daa800'),
  'kafka_dlt-original-timestamp-type': 'CreateTime',
  'kafka_dlt-original-consumer-group': 'billing',
  'kafka_dlt-exception-fqcn': 'org.springframework.kafka.listener.ListenerExecutionFailedException',
  'kafka_dlt-exception-cause-fqcn': 'java.lang.IllegalStateException',
  'kafka_dlt-exception-message': 'Listener failed: größer',
  'kafka_dlt-exception-stacktrace': 'at a\n\tat b',
};

const CLOUD_STREAM = {
  'x-original-topic': 'orders',
  'x-original-partition': hex('00000003'),
  'x-original-offset': hex('0000000100000002'),
  'x-original-timestamp': hex('ffffffffffffffff'),
  'x-original-timestamp-type': 'NoTimestampType',
  'x-exception-fqcn': 'org.springframework.messaging.MessageHandlingException',
  'x-exception-message': 'failed',
  'x-exception-stacktrace': 'at a',
};

const CONNECT = {
  '__connect.errors.topic': 'orders',
  '__connect.errors.partition': '3',
  '__connect.errors.offset': '4294967298',
  '__connect.errors.connector.name': 'warehouse',
  '__connect.errors.task.id': '0',
  '__connect.errors.stage': 'VALUE_CONVERTER',
  '__connect.errors.class.name': 'io.confluent.connect.avro.AvroConverter',
  '__connect.errors.exception.class.name': 'org.apache.kafka.connect.errors.DataException',
  '__connect.errors.exception.message': 'failed',
  '__connect.errors.exception.stacktrace': 'at a',
};

const STREAMS = {
  '__streams.errors.exception': 'org.apache.kafka.common.errors.SerializationException',
  '__streams.errors.message': null,
  '__streams.errors.stacktrace': 'at a',
  '__streams.errors.topic': 'orders',
  '__streams.errors.partition': '3',
  '__streams.errors.offset': '4294967298',
};

const SHARE_GROUP = {
  '__dlq.errors.topic': 'orders',
  '__dlq.errors.partition': '3',
  '__dlq.errors.offset': '4294967298',
  '__dlq.errors.group': 'billing',
  '__dlq.errors.delivery.count': '5',
  '__dlq.errors.message': 'Offset delivery count exceeded the threshold.',
};

const KARAFKA = {
  source_topic: 'orders',
  source_partition: '3',
  source_offset: '4294967298',
  source_consumer_group: 'billing',
  source_attempts: '4',
  source_trace_id: 'b5d4',
};

/** As its own constants name them: retry_topic-* are as long as Java's BigInteger needs. */
const SPRING_RETRY = {
  'kafka_original-topic': 'orders',
  'kafka_original-partition': hex('00000003'),
  'kafka_original-offset': hex('0000000100000002'),
  'kafka_original-timestamp': hex('0000019b76daa800'),
  'kafka_original-timestamp-type': 'CreateTime',
  'kafka_dlt-original-consumer-group': 'billing',
  'kafka_exception-fqcn': 'org.springframework.kafka.listener.ListenerExecutionFailedException',
  'kafka_exception-cause-fqcn': 'java.lang.IllegalStateException',
  'kafka_exception-message': 'failed',
  'kafka_exception-stacktrace': 'at a',
  'retry_topic-original-timestamp': hex('019b76daa800'),
  'retry_topic-attempts': hex('00000004'),
  'retry_topic-backoff-timestamp': hex('019b76daabe8'),
};

const SMALLRYE = {
  'dead-letter-exception-class-name': 'java.lang.IllegalStateException',
  'dead-letter-reason': 'failed',
  'dead-letter-cause-class-name': 'java.io.IOException',
  'dead-letter-cause': 'reset by peer',
  'dead-letter-topic': 'orders',
  'dead-letter-partition': '3',
  'dead-letter-offset': '4294967298',
};

const LAMBDA = {
  requestContext: {
    requestId: 'request-1',
    functionArn: 'arn:aws:lambda:us-east-1:123456789012:function:my-function:$LATEST',
    condition: 'RetriesExhausted',
    approximateInvokeCount: 3,
  },
  responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
  version: '1.0',
  timestamp: '2026-01-01T00:00:00.500Z',
  KafkaBatchInfo: {
    batchSize: 1,
    eventSourceArn: 'arn:aws:kafka:us-east-1:123456789012:cluster/my-cluster/abc123',
    bootstrapServers: 'b-1.mycluster.abc123.kafka.us-east-1.amazonaws.com:9098',
    payloadSize: 1162,
    recordInfo: { offset: '100', timestamp: '2019-11-14T18:16:04.835Z' },
  },
  payload: {
    bootstrapServers: 'b-1.mycluster.abc123.kafka.us-east-1.amazonaws.com:9098',
    eventSource: 'aws:kafka',
    eventSourceArn: 'arn:aws:kafka:us-east-1:123456789012:cluster/my-cluster/abc123',
    records: {
      'my-topic-0': [
        {
          headers: [{ trace: [-61, 40] }],
          key: 'AP+A',
          offset: 100,
          partition: 0,
          timestamp: 1749116692330,
          timestampType: 'CREATE_TIME',
          topic: 'my-topic',
          value: 'dGVzdC12YWx1ZQ==',
        },
      ],
    },
  },
};

const read = (headers: readonly Header[], fields?: Partial<RawRecord>) =>
  fromForeignRecord(deadRecord(headers, fields), OF);

const readLambda = (document: unknown) =>
  fromForeignRecord(deadRecord([], { value: Buffer.from(JSON.stringify(document)) }), OF);

const refusal = (act: () => unknown): unknown => {
  try {
    return { gave: act() };
  } catch (error) {
    return error;
  }
};

/** The letter of record orders/3/4294967298, as far as the dialects agree on it. */
const letter = (failure: Partial<DeadLetter['failure']>, tool: string, record: Partial<RawRecord> = {}) => ({
  id: 'c/orders/3/4294967298',
  consumer: 'c',
  epoch: 7,
  record: {
    topic: 'orders',
    partition: 3,
    offset: 4_294_967_298,
    timestamp: -1,
    timestampType: 'NO_TIMESTAMP_TYPE',
    key: hex('00ff80'),
    value: hex('c3280001'),
    headers: OWN,
    ...record,
  },
  schemaId: null,
  failure: {
    stage: 'handle',
    code: 'DEAD_LETTERED_ELSEWHERE',
    name: 'DeadLetteredElsewhere',
    message: '',
    stack: '',
    causes: [],
    attempts: 1,
    firstFailedAt: FAILED_AT,
    lastFailedAt: FAILED_AT,
    earlier: [],
    ...failure,
  },
  functionName: tool,
  functionVersion: '',
  requestId: '',
});

describe('a dead letter of another tool', () => {
  test.each([
    [
      SPRING,
      letter(
        {
          name: 'org.springframework.kafka.listener.ListenerExecutionFailedException',
          message: 'Listener failed: größer',
          stack: 'at a\n\tat b',
          causes: [{ name: 'java.lang.IllegalStateException', message: '' }],
        },
        'spring-kafka',
        { timestamp: WRITTEN_AT, timestampType: 'CREATE_TIME' },
      ),
    ],
    [
      CLOUD_STREAM,
      letter(
        { name: 'org.springframework.messaging.MessageHandlingException', message: 'failed', stack: 'at a' },
        'spring-cloud-stream',
        { timestamp: -1, timestampType: 'NO_TIMESTAMP_TYPE' },
      ),
    ],
    [
      CONNECT,
      letter(
        {
          stage: 'decode',
          name: 'org.apache.kafka.connect.errors.DataException',
          message: 'failed',
          stack: 'at a',
        },
        'kafka-connect',
      ),
    ],
    [
      STREAMS,
      letter(
        { name: 'org.apache.kafka.common.errors.SerializationException', stack: 'at a' },
        'kafka-streams',
      ),
    ],
    [
      SHARE_GROUP,
      letter({ message: 'Offset delivery count exceeded the threshold.', attempts: 5 }, 'kafka-share-group'),
    ],
    [KARAFKA, letter({ attempts: 4 }, 'karafka')],
    [
      SPRING_RETRY,
      letter(
        {
          name: 'org.springframework.kafka.listener.ListenerExecutionFailedException',
          message: 'failed',
          stack: 'at a',
          causes: [{ name: 'java.lang.IllegalStateException', message: '' }],
          attempts: 3,
        },
        'spring-kafka-retry',
        { timestamp: WRITTEN_AT, timestampType: 'CREATE_TIME' },
      ),
    ],
    [
      SMALLRYE,
      letter(
        {
          name: 'java.lang.IllegalStateException',
          message: 'failed',
          causes: [{ name: 'java.io.IOException', message: 'reset by peer' }],
        },
        'smallrye',
      ),
    ],
  ])('is read from its headers, which go; the others stay as they are: %#', (headers, expected) => {
    const all = headersOf(headers);
    expect(read([...OWN, ...all])).toEqual(expected);
    // Wherever the record's own headers stand: Karafka and Spring may merge them.
    expect(read([...all.slice(0, 2), ...OWN, ...all.slice(2)])).toEqual(expected);
    expect(read([...OWN, ...all], { value: null })?.record.value).toBeNull();
  });

  test.each(['TRANSFORMATION', 'TASK_PUT', 'KAFKA_CONSUME'])('of Connect failed in %s: handle', (stage) => {
    const headers = headersOf({ ...CONNECT, '__connect.errors.stage': stage });
    expect(read(headers)?.failure.stage).toBe('handle');
  });

  test('of Spring that failed twice came from where it failed first, for the last reason', () => {
    const again = headersOf({
      ...SPRING,
      'kafka_dlt-original-topic': 'orders.DLT',
      'kafka_dlt-original-offset': hex('0000000000000009'),
      'kafka_dlt-exception-message': 'the second time',
    });
    expect(read([...OWN, ...headersOf(SPRING), ...again])).toMatchObject({
      record: { topic: 'orders', offset: 4_294_967_298, headers: OWN },
      failure: { message: 'the second time' },
    });
  });

  test('of SmallRye that failed twice came from where it failed first: its newest headers come first', () => {
    const again = headersOf({
      ...SMALLRYE,
      'dead-letter-topic': 'dead-letter-topic-orders',
      'dead-letter-offset': '9',
      'dead-letter-reason': 'the second time',
    });
    expect(read([...again, ...headersOf(SMALLRYE)])).toMatchObject({
      record: { topic: 'orders', offset: 4_294_967_298, headers: [] },
      failure: { message: 'the second time' },
    });
  });

  test.each([
    ['8000000000000000', -(2 ** 63)],
    ['7fffffffffffffff', 2 ** 63],
    ['ffffc77cedd32800', -62_135_596_800_000],
    ['187afca767ca0000', 1_764_000_000_000_000_000],
    ['ffffffffffffffff', -1],
  ])('has any time that Kafka can hold, as near as a number comes: %s', (bytes, timestamp) => {
    const headers = headersOf({ ...SPRING, 'kafka_dlt-original-timestamp': hex(bytes) });
    expect(read(headers)?.record.timestamp).toBe(timestamp);
  });

  test.each([
    [2 ** 63, 8.64e15],
    [1_764_000_000_000_000_000, 8.64e15],
    [-(2 ** 63), 0],
    [-1, 0],
  ])('failed at a time that a date holds, whatever time its record has: %s', (timestamp, failedAt) => {
    for (const headers of [CONNECT, STREAMS].map(headersOf))
      expect(read(headers, { timestamp, timestampType: 'CREATE_TIME' })?.failure).toMatchObject({
        firstFailedAt: failedAt,
        lastFailedAt: failedAt,
      });
  });

  test.each<[string, Readonly<Record<string, Value>>]>([
    ['a time that is no number', { ...SPRING, 'kafka_dlt-original-timestamp': 'secret' }],
    ['a null time', { ...SPRING, 'kafka_dlt-original-timestamp': null }],
    ['no time', KARAFKA],
  ])("with %s has none: the dead-letter record's own is later", (_, headers) => {
    expect(read(headersOf(headers))?.record).toMatchObject({
      timestamp: -1,
      timestampType: 'NO_TIMESTAMP_TYPE',
    });
  });

  test('of a tool that keeps the time has it, unless the broker has set another', () => {
    for (const headers of [CONNECT, STREAMS].map(headersOf)) {
      const kept = { timestamp: WRITTEN_AT, timestampType: 'CREATE_TIME' } as const;
      expect(read(headers, kept)?.record).toMatchObject(kept);
      expect(read(headers)?.record.timestamp).toBe(-1);
    }
  });

  test.each([-(2 ** 63), 2 ** 63, 2 ** 60, -1])(
    'is read whatever the time of the dead-letter record: %p',
    (timestamp) => {
      for (const headers of [CONNECT, SPRING, SMALLRYE].map(headersOf)) {
        const letter = read(headers, { timestamp, timestampType: 'CREATE_TIME' })!;
        expect(
          decodeDeadLetter(encodeDeadLetter({ ...letter, record: deadRecord([]), id: ID })),
        ).toMatchObject({
          failure: letter.failure,
        });
      }
    },
  );

  test('whose count or kind of time cannot be told is read without it', () => {
    const counts = headersOf({ ...SHARE_GROUP, '__dlq.errors.delivery.count': 'many' });
    expect(read(counts)?.failure.attempts).toBe(1);
    const kinds = headersOf({ ...SPRING, 'kafka_dlt-original-timestamp-type': 'SomeTime' });
    expect(read(kinds)?.record).toMatchObject({ timestamp: WRITTEN_AT, timestampType: 'CREATE_TIME' });
  });

  test('of two tools came from where the first tool says', () => {
    const both = [...headersOf(CONNECT), ...headersOf({ ...SPRING, 'kafka_dlt-original-topic': 'dlq' })];
    expect(read(both)).toMatchObject({ record: { topic: 'orders' }, functionName: 'kafka-connect' });
  });

  test("of Spring whose key did not deserialize has that exception's name", () => {
    const { 'kafka_dlt-exception-fqcn': _, ...others } = SPRING;
    const headers = headersOf({ ...others, 'kafka_dlt-key-exception-fqcn': 'DeserializationException' });
    expect(read([...OWN, ...headers])).toMatchObject({
      record: { headers: OWN },
      failure: { name: 'DeserializationException' },
    });
  });

  test('does without what a tool may leave out', () => {
    const headers = headersOf({
      'kafka_dlt-original-topic': 'orders',
      'kafka_dlt-original-partition': hex('00000003'),
      'kafka_dlt-original-offset': hex('0000000100000002'),
    });
    expect(read([...OWN, ...headers])).toEqual(letter({}, 'spring-kafka'));
    expect(read(headers, { timestamp: -1 })?.failure).toMatchObject({ firstFailedAt: 0, lastFailedAt: 0 });
  });

  test('keeps 4,096 characters of the message and 8,192 of the stack', () => {
    const headers = headersOf({
      ...SPRING,
      'kafka_dlt-exception-message': '漢'.repeat(5_000),
      'kafka_dlt-exception-stacktrace': 'ab'.repeat(5_000),
    });
    expect(read(headers)?.failure).toMatchObject({ message: '漢'.repeat(4_096), stack: 'ab'.repeat(4_096) });
  });

  test('of Lambda is the record in its document', () => {
    const { record, ...rest } = readLambda(LAMBDA)!;
    expect({ topic: record.topic, partition: record.partition, offset: record.offset }).toEqual({
      topic: 'my-topic',
      partition: 0,
      offset: 100,
    });
    expect({ key: record.key, value: record.value, headers: record.headers }).toEqual({
      key: hex('00ff80'),
      value: Buffer.from('test-value'),
      headers: [{ name: 'trace', value: hex('c328') }],
    });
    expect(record.timestamp).toBe(1749116692330);
    expect(rest).toMatchObject({
      id: 'c/my-topic/0/100',
      failure: { stage: 'deliver', code: 'BATCH_GIVEN_UP', attempts: 3, firstFailedAt: WRITTEN_AT + 500 },
      functionName: 'lambda',
      functionVersion: '',
      requestId: 'request-1',
    });
  });

  test('is not seen in a record of no tool', () => {
    expect(read(OWN)).toBeUndefined();
    expect(read([])).toBeUndefined();
    // Names that anybody may use: all of Karafka's have to be there.
    const { source_attempts: _, ...some } = KARAFKA;
    expect(read(headersOf(some))).toBeUndefined();
    expect(read(headersOf({ 'dead-letter-topic': 'orders' }))).toBeUndefined();
    expect(read([header('constructor', 'orders'), header('__proto__', null)])).toBeUndefined();
    for (const value of ['{"KafkaBatchInfo"', '{"KafkaBatchInfo":{}}', '"KafkaBatchInfo"', '']) {
      expect(read([], { value: Buffer.from(value) })).toBeUndefined();
    }
  });

  test.each<[string, string, Readonly<Record<string, Value>>]>([
    [
      'a partition of 3 bytes',
      'kafka_dlt-original-partition',
      { ...SPRING, 'kafka_dlt-original-partition': hex('000003') },
    ],
    [
      'a negative partition',
      'kafka_dlt-original-partition',
      { ...SPRING, 'kafka_dlt-original-partition': hex('ffffffff') },
    ],
    [
      'an offset of 2^53',
      'kafka_dlt-original-offset',
      { ...SPRING, 'kafka_dlt-original-offset': hex('0020000000000000') },
    ],
    ['no partition', 'x-original-partition', { 'x-original-topic': 'orders' }],
    ['no topic', '__connect.errors.topic', { ...CONNECT, '__connect.errors.topic': '' }],
    [
      'an offset that is no number',
      '__connect.errors.offset',
      { ...CONNECT, '__connect.errors.offset': 'secret' },
    ],
    ['an offset below 0', '__connect.errors.offset', { ...CONNECT, '__connect.errors.offset': '-1' }],
    ['a null topic', '__streams.errors.topic', { ...STREAMS, '__streams.errors.topic': null }],
    ['a topic that can be none', 'source_topic', { ...KARAFKA, source_topic: 'sécret secret' }],
  ])('is refused with %s, and the header named', (_, field, headers) => {
    expect(refusal(() => read(headersOf(headers)))).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field },
      message: expect.stringMatching(new RegExp(`${field} is (?!.*secret)`)),
    });
  });

  test.each([STREAMS, SHARE_GROUP])(
    'whose bytes the tool may have left out is no tombstone: %#',
    (headers) => {
      expect(refusal(() => read(headersOf(headers), { key: null, value: null }))).toMatchObject({
        code: 'DEAD_LETTER_UNREADABLE',
        details: { field: 'the key and the value' },
      });
      expect(read(headersOf(headers), { key: null })).toBeDefined();
    },
  );

  test('of Spring without key and value is one that has none', () => {
    expect(read(headersOf(SPRING), { key: null, value: null })?.record).toMatchObject({
      key: null,
      value: null,
    });
  });

  const [record] = LAMBDA.payload.records['my-topic-0'];
  test.each<[string, unknown]>([
    ['no payload', undefined],
    ['no records', { records: {} }],
    ['two records', { records: { 'my-topic-0': [record, { ...record, offset: 101 }] } }],
    ['two topics', { records: { 'my-topic-0': [record], 'secret-0': [] } }],
    ['a record of another topic', { records: { 'my-topic-0': [{ ...record, topic: 'secret' }] } }],
    ['a record of no offset', { records: { 'my-topic-0': [{ ...record, offset: 'secret!' }] } }],
    ['an array of no partition', { records: { secret: [record] } }],
  ])('of Lambda is refused with %s', (_, payload) => {
    expect(refusal(() => readLambda({ ...LAMBDA, payload }))).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field: 'payload' },
      message: expect.not.stringContaining('secret'),
    });
  });

  test('is a letter, or none, or refused without a word of it, whatever its headers are', () => {
    const known = [
      SPRING,
      SPRING_RETRY,
      CLOUD_STREAM,
      CONNECT,
      STREAMS,
      SHARE_GROUP,
      KARAFKA,
      SMALLRYE,
    ].flatMap(headersOf);
    const secret = Buffer.from('q7z-secret');
    const value = fc.oneof(
      fc.constant(null),
      fc.constant(secret),
      fc.uint8Array({ maxLength: 9 }).map((array) => Buffer.from(array)),
    );
    const spoilt = fc.record({ name: fc.constantFrom(...known.map(({ name }) => name)), value });
    const other = fc.record({ name: fc.string({ unit: 'binary' }), value });
    const headers = fc.array(fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...known) }, spoilt, other), {
      maxLength: 40,
      size: 'max',
    });
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(headers, value, value, (given, key, recordValue) => {
        const outcome = refusal(() => read(given, { key, value: recordValue }));
        outcomes.add(outcome instanceof Error ? 'refused' : 'given');
        if (!(outcome instanceof Error)) return;
        expect(outcome).toBeInstanceOf(MillraceError);
        expect(outcome).toMatchObject({ code: 'DEAD_LETTER_UNREADABLE' });
        expect(JSON.stringify([outcome.message, (outcome as MillraceError).details])).not.toContain('q7z');
      }),
      { numRuns: 1_000 },
    );
    expect([...outcomes].sort()).toEqual(['given', 'refused']);
  });

  test('of Lambda is a letter or refused, whatever its payload is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (payload) => {
        expect(refusal(() => readLambda({ ...LAMBDA, payload }))).toMatchObject({
          code: 'DEAD_LETTER_UNREADABLE',
        });
      }),
    );
  });
});
