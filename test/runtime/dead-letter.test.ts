import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeDeadLetter, encodeDeadLetter } from '../../runtime/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { deadLetter } from '../dead-letters.ts';

const bytes = fc.option(
  fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array)),
  { nil: null },
);

const anyLetter = fc
  .record({
    consumer: fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/),
    topic: fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/),
    partition: fc.nat(),
    offset: fc.maxSafeNat(),
    timestamp: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
    timestampType: fc.constantFrom('CREATE_TIME', 'LOG_APPEND_TIME', 'NO_TIMESTAMP_TYPE'),
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ name: fc.string({ unit: 'binary' }), value: bytes })),
    attempts: fc.nat(),
  })
  .map((parts) => deadLetter(parts));

const decodingError = (text: string): unknown => {
  try {
    return decodeDeadLetter(text);
  } catch (error) {
    return error;
  }
};

describe('the JSON form of a dead letter', () => {
  test('gives the very letter back', () => {
    fc.assert(
      fc.property(anyLetter, (letter) => {
        expect(decodeDeadLetter(encodeDeadLetter(letter))).toEqual(letter);
      }),
    );
  });

  test('is version 1, with the names of DeadLetter and bytes as base64', () => {
    const letter = deadLetter({ value: Buffer.from([0, 255]), headers: [{ name: 'h', value: null }] });
    expect(JSON.parse(encodeDeadLetter({ ...letter, schemaId: null }))).toEqual({
      v: 1,
      ...letter,
      schemaId: null,
      record: { ...letter.record, key: 'a2V5', value: 'AP8=', headers: [{ name: 'h', value: null }] },
    });
  });

  // biome-ignore lint/suspicious/noExplicitAny: a letter's JSON, about to be spoilt.
  test.each<[string, string, (json: any) => void]>([
    ['a newer version', 'v', (json) => (json.v = 2)],
    ['a missing field', 'requestId', (json) => delete json.requestId],
    ['a field of another type', 'epoch', (json) => (json.epoch = '1')],
    ['an id that is not its record', 'id', (json) => (json.id = 'c/t/0/1')],
    ['an offset that is not whole', 'record.offset', (json) => (json.record.offset = 0.5)],
    ['bytes that are not base64', 'record.value', (json) => (json.record.value = 'not base64!')],
    ['a header that is no object', 'record.headers[0]', (json) => (json.record.headers = ['h'])],
    ['an unknown stage', 'failure.stage', (json) => (json.failure.stage = 'elsewhere')],
    [
      'a cause without a message',
      'failure.causes[0].message',
      (json) => delete json.failure.causes[0].message,
    ],
    ['a record that is a list', 'record', (json) => (json.record = [])],
  ])('refuses %s and names the field', (_, field, spoil) => {
    const json = JSON.parse(encodeDeadLetter(deadLetter()));
    spoil(json);
    expect(decodingError(JSON.stringify(json))).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field },
      message: expect.stringContaining(`${field} is`),
    });
  });

  test('reads a code that this version does not know: letters outlive a rollback', () => {
    const json = JSON.parse(encodeDeadLetter(deadLetter()));
    json.failure.code = 'CODE_OF_TOMORROW';
    expect(decodeDeadLetter(JSON.stringify(json)).failure.code).toBe('CODE_OF_TOMORROW');
  });

  test('answers every text and every JSON with a letter or DEAD_LETTER_UNREADABLE, never quoting it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.constant('{"v":1,"secret-payload"')), (text) => {
        const error = decodingError(text);
        expect(error).toBeInstanceOf(MillraceError);
        expect(error).toMatchObject({
          code: 'DEAD_LETTER_UNREADABLE',
          message: expect.not.stringContaining('secret-payload'),
        });
        expect((error as Error).cause).toBeUndefined();
      }),
    );
  });
});
