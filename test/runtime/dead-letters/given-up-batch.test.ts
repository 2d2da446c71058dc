import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { failureDocument } from '../../../local/event-source/failure-document.ts';
import { isGivenUpBatch, readGivenUpBatch } from '../../../runtime/dead-letters/given-up-batch.ts';
import type { RawRecord } from '../../../runtime/record.ts';

const OF = { consumer: 'c', epoch: 7, topic: 'my-topic' };
const TIME = 1_767_225_600_000;

const rawRecord = (fields: Partial<RawRecord> = {}): RawRecord => ({
  topic: 'my-topic',
  partition: 0,
  offset: 100,
  timestamp: TIME,
  timestampType: 'CREATE_TIME',
  key: Buffer.from([0, 255, 128]),
  value: null,
  headers: [{ name: 'h', value: Buffer.from([195, 40]) }],
  ...fields,
});

const CONTEXT = {
  requestContext: {
    requestId: 'request-1',
    functionArn: 'arn:aws:lambda:us-east-1:123456789012:function:my-function',
    condition: 'RetryAttemptsExhausted',
    approximateInvokeCount: 3,
  },
  responseContext: { statusCode: 200, executedVersion: '12', functionError: 'Unhandled' },
} as const;

// biome-ignore lint/suspicious/noExplicitAny: a document, about to be changed.
const document = (change: (document: any) => void = () => {}): any => {
  const records = [rawRecord(), rawRecord({ partition: 3, offset: 9, key: null, value: Buffer.alloc(0) })];
  const made = structuredClone(failureDocument(records, CONTEXT, TIME + 5));
  change(made);
  return made;
};

/** What an on-failure queue gets: no payload. */
const metadata = (recordsInfo: unknown) =>
  document((made) => {
    delete made.payload;
    made.KafkaBatchInfo.recordsInfo = recordsInfo;
  });

const thrownBy = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
};

const plain = ({ topic, partition, offset, timestamp, timestampType, key, value, headers }: RawRecord) => ({
  ...{ topic, partition, offset, timestamp, timestampType, key, value, headers },
});

describe('a batch given up', () => {
  test('gives each of its records as a letter', () => {
    const { letters, missing } = readGivenUpBatch(document(), OF);
    expect(missing).toEqual([]);
    expect(letters.map((letter) => plain(letter.record))).toEqual([
      rawRecord(),
      rawRecord({ partition: 3, offset: 9, key: null, value: Buffer.alloc(0) }),
    ]);
    expect({ ...letters[0], record: null }).toEqual({
      id: 'c/my-topic/0/100',
      consumer: 'c',
      epoch: 7,
      record: null,
      schemaId: null,
      failure: {
        stage: 'deliver',
        code: 'BATCH_GIVEN_UP',
        name: 'BatchGivenUp',
        message: 'The event source gave up on the batch after 3 invocations: RetryAttemptsExhausted.',
        stack: '',
        causes: [],
        attempts: 3,
        firstFailedAt: TIME + 5,
        lastFailedAt: TIME + 5,
        earlier: [],
      },
      functionName: 'my-function',
      functionVersion: '12',
      requestId: 'request-1',
    });
  });

  const bytes = fc.option(
    fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)),
    { nil: null },
  );
  const records = fc
    .uniqueArray(fc.tuple(fc.nat(3), fc.nat(1_000)), { minLength: 1, selector: ([p, o]) => `${p}/${o}` })
    .chain((positions) =>
      fc.tuple(
        ...positions
          .toSorted(([p, o], [q, r]) => p - q || o - r)
          .map(([partition, offset]) =>
            fc
              .record({
                key: bytes,
                value: bytes,
                headers: fc.array(fc.record({ name: fc.string({ minLength: 1 }), value: bytes })),
              })
              // An event gives an empty header and a null one as they are, but `__proto__` would be lost in it.
              .map(({ headers, ...parts }) =>
                rawRecord({
                  partition,
                  offset,
                  ...parts,
                  headers: headers.filter((h) => h.name !== '__proto__'),
                }),
              ),
          ),
      ),
    );

  test('is read to the byte from what the local event source writes, and its offsets without a payload', () => {
    fc.assert(
      fc.property(records, (given) => {
        const written = JSON.parse(JSON.stringify(failureDocument(given, CONTEXT, TIME)));
        expect(isGivenUpBatch(written)).toBe(true);
        const { letters } = readGivenUpBatch(written, OF);
        expect(letters.map((letter) => plain(letter.record))).toEqual(given);

        const { payload: _, ...withoutPayload } = written;
        const { missing } = readGivenUpBatch(withoutPayload, OF);
        for (const { partition, offset } of given) {
          expect(missing).toContainEqual(
            expect.objectContaining({ topic: 'my-topic', partition, from: expect.any(Number) }),
          );
          const range = missing.find((each) => each.partition === partition)!;
          expect(offset).toBeGreaterThanOrEqual(range.from);
          expect(offset).toBeLessThan(range.to);
        }
      }),
    );
  });

  test('takes the payload as an object too', () => {
    const made = document((json) => {
      json.payload = JSON.parse(json.payload);
    });
    expect(readGivenUpBatch(made, OF)).toEqual(readGivenUpBatch(document(), OF));
  });

  test.each(['RetriesExhausted', 'MaximumPayloadSizeExceeded', 'RecordAgeExceeded', 'SomethingNew'])(
    'reads the condition %s',
    (condition) => {
      const made = document((json) => {
        Object.assign(json.requestContext, { condition, approximateInvokeCount: 1 });
        json.responseContext = null;
      });
      expect(readGivenUpBatch(made, OF).letters[0]).toMatchObject({
        functionVersion: '',
        failure: {
          message: `The event source gave up on the batch after 1 invocation: ${condition}.`,
          attempts: 1,
        },
      });
    },
  );

  test('does without what is unknown: the count, the time, the function', () => {
    const made = document((json) => {
      json.requestContext = { condition: 'RetriesExhausted' };
      json.timestamp = 'yesterday';
    });
    expect(readGivenUpBatch(made, OF).letters[0]).toMatchObject({
      failure: { attempts: 0, firstFailedAt: 0, lastFailedAt: 0 },
      functionName: '',
      requestId: '',
    });
  });

  test('names the function without its version', () => {
    const made = document((json) => {
      json.requestContext.functionArn += ':$LATEST';
    });
    expect(readGivenUpBatch(made, OF).letters[0]?.functionName).toBe('my-function');
  });

  test('without a payload tells which offsets are missing, from decimal text or numbers', () => {
    const info = {
      'my-topic-0': { firstRecordOffset: '100', lastRecordOffset: '104' },
      'my-topic-11': { firstRecordOffset: 7, lastRecordOffset: 7 },
    };
    expect(readGivenUpBatch(metadata(info), OF)).toEqual({
      letters: [],
      missing: [
        { topic: 'my-topic', partition: 0, from: 100, to: 105 },
        { topic: 'my-topic', partition: 11, from: 7, to: 8 },
      ],
    });
  });

  test('makes a letter of a damaged record as well, with what arrived, and loses none beside it', () => {
    const sound = readGivenUpBatch(document(), OF).letters;
    const made = document((json) => {
      json.payload = json.payload
        .replace('AP+A', 'secret')
        .replace(/"timestamp":\d+/, '"timestamp":-62135596800000');
    });
    const { letters } = readGivenUpBatch(made, OF);
    expect(letters.map(({ id }) => id)).toEqual(sound.map(({ id }) => id));
    expect(letters[0]!.record.timestamp).toBe(-62_135_596_800_000);
    expect(
      letters.some(({ record }) => [record.key, record.value].some((bytes) => bytes?.includes('secret'))),
    ).toBe(true);
  });

  test('of another topic is refused, with or without a payload', () => {
    const info = { 'my-topic-0-0': { firstRecordOffset: '1', lastRecordOffset: '2' } };
    for (const made of [document(), metadata(info)]) {
      expect(thrownBy(() => readGivenUpBatch(made, { ...OF, topic: 'my' }))).toMatchObject({
        code: 'EVENT_FOREIGN_TOPIC',
      });
    }
  });

  // biome-ignore lint/suspicious/noExplicitAny: a document, about to be spoilt.
  test.each<[string, string, (json: any) => void]>([
    ['a payload that is not JSON', 'payload', (json) => (json.payload = '{"secret')],
    ['a payload that is a number', 'payload', (json) => (json.payload = 5)],
    [
      'a record of no offset',
      'payload',
      (json) => (json.payload = json.payload.replace('"offset":100', '"offset":"secret"')),
    ],
    ['an array of no partition', 'payload', (json) => (json.payload = { records: { secret: [] } })],
    [
      'a condition that is no text',
      'requestContext.condition',
      (json) => (json.requestContext.condition = 1),
    ],
    [
      'a count that is no number',
      'requestContext.approximateInvokeCount',
      (json) => (json.requestContext.approximateInvokeCount = 'secret'),
    ],
    ['no context', 'requestContext', (json) => delete json.requestContext],
  ])('is refused with %s, and the field named', (_, field, spoil) => {
    const error = thrownBy(() => readGivenUpBatch(document(spoil), OF));
    expect(error).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field },
      message: expect.not.stringContaining('secret'),
    });
    // JSON.parse's error quotes the text.
    expect((error as Error).cause).toBeUndefined();
  });

  test.each<[string, string, unknown]>([
    ['no ranges', 'KafkaBatchInfo.recordsInfo', undefined],
    ['a range of no partition', 'KafkaBatchInfo.recordsInfo', { secret: {} }],
    ['a range that is no object', 'KafkaBatchInfo.recordsInfo.my-topic-0', { 'my-topic-0': 'secret' }],
    [
      'an offset that is no number',
      'KafkaBatchInfo.recordsInfo.my-topic-0.firstRecordOffset',
      { 'my-topic-0': { firstRecordOffset: 'secret', lastRecordOffset: '1' } },
    ],
    [
      // As AWS's own example has it: a sequence number of Kinesis.
      'an offset above 2^53',
      'KafkaBatchInfo.recordsInfo.my-topic-0.firstRecordOffset',
      { 'my-topic-0': { firstRecordOffset: '49601189658422359378836298521827638475320189012309704722' } },
    ],
    [
      'a last offset before the first',
      'KafkaBatchInfo.recordsInfo.my-topic-0.lastRecordOffset',
      { 'my-topic-0': { firstRecordOffset: '5', lastRecordOffset: '4' } },
    ],
  ])('without a payload is refused with %s, and the field named', (_, field, info) => {
    expect(thrownBy(() => readGivenUpBatch(metadata(info), OF))).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field },
      message: expect.not.stringContaining('secret'),
    });
  });

  test('is told by its shape from any JSON, and any JSON is read or refused', () => {
    expect(isGivenUpBatch(document())).toBe(true);
    expect(isGivenUpBatch(metadata({}))).toBe(true);
    expect(isGivenUpBatch({ requestContext: {}, KinesisBatchInfo: {} })).toBe(false);
    fc.assert(
      fc.property(fc.jsonValue(), fc.boolean(), (json, isPayload) => {
        if (!isPayload) expect(isGivenUpBatch(json)).toBe(false);
        const error = thrownBy(() =>
          readGivenUpBatch(isPayload ? { ...document(), payload: json } : json, OF),
        );
        if (error) expect(error).toMatchObject({ code: 'DEAD_LETTER_UNREADABLE' });
      }),
    );
  });
});
