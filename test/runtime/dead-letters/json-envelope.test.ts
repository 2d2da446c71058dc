import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeDeadLetter,
  decodeEnvelope,
  encodeDeadLetter,
  encodeWithPointer,
} from '../../../runtime/dead-letters/json-envelope.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { anyLetter, deadLetter } from '../../dead-letters.ts';

const decodingError = (text: string): unknown => {
  try {
    return decodeDeadLetter(text);
  } catch (error) {
    return error;
  }
};

const EARLIER = { stage: 'handle', code: 'HANDLER_FAILED', name: 'Error', message: 'm' } as const;

describe('the JSON form of a dead letter', () => {
  test('gives the very letter back', () => {
    fc.assert(
      fc.property(anyLetter, (letter) => {
        expect(decodeDeadLetter(encodeDeadLetter(letter))).toEqual(letter);
      }),
    );
  });

  test('is version 1.0, with the names of DeadLetter and bytes as base64', () => {
    const letter = deadLetter({ value: Buffer.from([0, 255]), headers: [{ name: 'h', value: null }] });
    expect(JSON.parse(encodeDeadLetter({ ...letter, schemaId: null }))).toEqual({
      version: '1.0',
      ...letter,
      schemaId: null,
      record: { ...letter.record, key: 'a2V5', value: 'AP8=', headers: [{ name: 'h', value: null }] },
    });
  });

  // biome-ignore lint/suspicious/noExplicitAny: a letter's JSON, about to be spoilt.
  test.each<[string, string, (json: any) => void]>([
    ['a version that is none', 'version', (json) => (json.version = 1)],
    ['a version without its dot', 'version', (json) => (json.version = '1')],
    ['a missing field', 'requestId', (json) => delete json.requestId],
    ['a field of another type', 'epoch', (json) => (json.epoch = '1')],
    ['an id that is not its record', 'id', (json) => (json.id = 'c/t/0/1')],
    ['an offset that is not whole', 'record.offset', (json) => (json.record.offset = 0.5)],
    ['bytes that are not base64', 'record.value', (json) => (json.record.value = 'not base64!')],
    ['a header that is no object', 'record.headers[0]', (json) => (json.record.headers = ['h'])],
    ['a stage that is no text', 'failure.stage', (json) => (json.failure.stage = 7)],
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

  test('reads what a later minor version wrote: fields, a stage and a code that this one does not know', () => {
    const letter = deadLetter();
    const json = JSON.parse(encodeDeadLetter(letter));
    json.version = '1.7';
    json.ofTomorrow = true;
    json.record.ofTomorrow = { deep: [1] };
    json.failure.code = 'CODE_OF_TOMORROW';
    json.failure.stage = 'stage-of-tomorrow';
    expect(decodeDeadLetter(JSON.stringify(json))).toEqual({
      ...letter,
      failure: { ...letter.failure, code: 'CODE_OF_TOMORROW', stage: 'stage-of-tomorrow' },
    });
  });

  test('failed at times that a date holds, also where an export of an earlier version says otherwise', () => {
    const letter = deadLetter();
    const times = { firstFailedAt: 8.64e15 + 1, lastFailedAt: Number.MAX_SAFE_INTEGER };
    const earlier = [{ ...EARLIER, failedAt: Number.MAX_SAFE_INTEGER }];
    const text = encodeDeadLetter({ ...letter, failure: { ...letter.failure, ...times, earlier } });
    expect(decodeDeadLetter(text).failure).toMatchObject({
      firstFailedAt: 8.64e15,
      lastFailedAt: 8.64e15,
      earlier: [{ failedAt: 8.64e15 }],
    });
  });

  test('refuses a later major version, naming both, whatever else it holds', () => {
    expect(decodingError('{"version":"2.0","and":"nothing that is known"}')).toMatchObject({
      code: 'DEAD_LETTER_VERSION_UNKNOWN',
      message: expect.stringMatching(/version 2\.0; this version of Millrace reads 1\.x/),
    });
  });

  test('may have its bytes in an object: key, value and headers are not in the text then', () => {
    const letter = deadLetter({ headers: [{ name: 'h', value: Buffer.from('secret') }] });
    const payload = { objectKey: 'dead-letters/x.json', sha256: 'ab', bytes: 7 };
    const text = encodeWithPointer(letter, payload);
    expect(decodeEnvelope(text)).toEqual({
      letter: { ...letter, record: { ...letter.record, key: null, value: null, headers: [] } },
      payload,
    });
    expect(text).not.toContain(letter.record.value!.toString('base64'));
    expect(decodingError(text)).toMatchObject({
      code: 'DEAD_LETTER_UNREADABLE',
      details: { field: 'record.payload' },
    });
  });

  test('answers every text and every JSON with a letter or DEAD_LETTER_UNREADABLE, never quoting it', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.constant('{"version":"1.0","secret-payload"')),
        (text) => {
          const error = decodingError(text);
          expect(error).toBeInstanceOf(MillraceError);
          expect(error).toMatchObject({
            code: 'DEAD_LETTER_UNREADABLE',
            message: expect.not.stringContaining('secret-payload'),
          });
          expect((error as Error).cause).toBeUndefined();
        },
      ),
    );
  });
});
