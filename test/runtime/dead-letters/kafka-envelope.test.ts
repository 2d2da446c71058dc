import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  fromKafkaRecord,
  isKafkaLetter,
  toKafkaRecord,
} from '../../../runtime/dead-letters/kafka-envelope.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { Header, RawRecord } from '../../../runtime/record.ts';
import type { OutgoingRecord } from '../../../runtime/topics.ts';
import { anyLetter, deadLetter } from '../../dead-letters.ts';

/** The record as a dead-letter topic has it. */
const kept = ({ key, value, headers = [] }: OutgoingRecord): RawRecord => ({
  topic: 'dead-letters',
  partition: 3,
  offset: 17,
  timestamp: 1,
  timestampType: 'CREATE_TIME',
  key,
  value,
  headers,
});

const withHeader = (record: RawRecord, name: string, change: (header: Header) => Header[]): RawRecord => ({
  ...record,
  headers: record.headers.flatMap((header) =>
    header.name === `millrace.dlq.${name}` ? change(header) : [header],
  ),
});

const readingError = (record: RawRecord): unknown => {
  try {
    return fromKafkaRecord(record);
  } catch (error) {
    return error;
  }
};

describe('a dead letter as a Kafka record', () => {
  test('gives the very letter back', () => {
    fc.assert(
      fc.property(anyLetter, (letter) => {
        expect(fromKafkaRecord(kept(toKafkaRecord(letter)))).toEqual(letter);
      }),
    );
  });

  test('has key, value and the first headers of the failed record, untouched; ours are text behind them', () => {
    const headers = [
      { name: 'trace', value: Buffer.from([0xff, 0x00]) },
      { name: 'trace', value: null },
    ];
    const letter = deadLetter({ key: Buffer.from([1]), value: null, headers });
    const record = toKafkaRecord(letter);
    expect(record).toMatchObject({ key: letter.record.key, value: null });
    expect(record.headers!.slice(0, 2)).toEqual(headers);
    const ours = Object.fromEntries(
      record.headers!.slice(2).map(({ name, value }) => [name, value!.toString()]),
    );
    expect(ours).toMatchObject({
      'millrace.dlq.version': '1.0',
      'millrace.dlq.id': letter.id,
      'millrace.dlq.topic': 't',
      'millrace.dlq.error-code': 'HANDLER_FAILED',
      'millrace.dlq.own-headers': '2',
    });
  });

  test('of a record that has headers called like ours is told apart by their number', () => {
    const inner = toKafkaRecord(deadLetter({ offset: 1 }));
    const letter = deadLetter({ offset: 2, headers: inner.headers! });
    expect(fromKafkaRecord(kept(toKafkaRecord(letter)))).toEqual(letter);
  });

  test('is the same letter whatever headers are added behind ours', () => {
    const letter = deadLetter({ headers: [{ name: 'trace', value: null }] });
    const record = kept(toKafkaRecord(letter));
    const headers = [...record.headers, { name: 'traceparent', value: Buffer.from('00-4bf9') }];
    expect(isKafkaLetter({ ...record, headers })).toBe(true);
    expect(fromKafkaRecord({ ...record, headers })).toEqual(letter);
  });

  test('is recognised; other records are not', () => {
    expect(isKafkaLetter(kept(toKafkaRecord(deadLetter())))).toBe(true);
    expect(isKafkaLetter(kept({ key: null, value: null, headers: [] }))).toBe(false);
    expect(isKafkaLetter(kept({ key: null, value: null, headers: [{ name: 'h', value: null }] }))).toBe(
      false,
    );
  });

  test('of a later major version is refused, of a later minor one read', () => {
    const letter = deadLetter();
    const record = kept(toKafkaRecord(letter));
    const ofVersion = (version: string) =>
      withHeader(record, 'version', ({ name }) => [{ name, value: Buffer.from(version) }]);
    expect(readingError(ofVersion('2.0'))).toMatchObject({ code: 'DEAD_LETTER_VERSION_UNKNOWN' });
    expect(readingError(ofVersion('1.9'))).toEqual(letter);
  });

  test.each(['id', 'offset', 'detail', 'function-name', 'attempts'])(
    'without its %s is unreadable, and says so',
    (name) => {
      const damaged = withHeader(kept(toKafkaRecord(deadLetter())), name, () => []);
      expect(readingError(damaged)).toMatchObject({ code: 'DEAD_LETTER_UNREADABLE' });
    },
  );

  test('with any header damaged is a letter or DEAD_LETTER_*, and no message quotes a value', () => {
    const secret = 'secret-payload';
    fc.assert(
      fc.property(fc.nat(40), fc.oneof(fc.constant(secret), fc.string()), (index, text) => {
        const record = kept(toKafkaRecord(deadLetter()));
        const headers = record.headers.map((header, at) =>
          at === index % record.headers.length ? { ...header, value: Buffer.from(text) } : header,
        );
        const result = readingError({ ...record, headers });
        if (!(result instanceof Error)) return;
        expect(result).toBeInstanceOf(MillraceError);
        expect((result as MillraceError).code).toMatch(/^DEAD_LETTER_(UNREADABLE|VERSION_UNKNOWN)$/);
        expect(result.message).not.toContain(secret);
      }),
    );
  });
});
