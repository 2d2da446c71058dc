import { deflateSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_BODY_BYTES } from '../../../runtime/contract/contract.ts';
import {
  type Compression,
  createFramer,
  decodeFrame,
  type Framing,
  schemaIdOf,
} from '../../../runtime/contract/framing.ts';
import type { ErrorCode } from '../../../runtime/errors.ts';
import { codeOf } from '../../rejection.ts';

const decode = (framing: Framing, value: Buffer) => decodeFrame(framing, value, MAX_BODY_BYTES);

const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';
const BODY = Buffer.from('020a68656c6c6f', 'hex');

const framingsWithId: fc.Arbitrary<{ framing: Framing; compression: Compression; schemaId: string }> =
  fc.oneof(
    fc.record({
      framing: fc.constant('glue' as const),
      compression: fc.constantFrom('none' as const, 'zlib' as const),
      schemaId: fc.uuid(),
    }),
    fc.record({
      framing: fc.constant('confluent' as const),
      compression: fc.constant('none' as const),
      schemaId: fc.integer({ min: 1, max: 0x7fffffff }).map(String),
    }),
  );
const bodies = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));

const decodeCodeOf = (framing: Framing, value: Buffer) => codeOf((async () => decode(framing, value))());

describe('the bytes', () => {
  test('of Glue framing are version, compression, the UUID and the body', () => {
    const value = createFramer('glue', 'none', UUID)(BODY);
    expect(value.toString('hex')).toBe(`03000f8fad5bd9cb469fa16570867728950e020a68656c6c6f`);
  });

  test('of compressed Glue framing differ in the second byte and hold a zlib stream', () => {
    const value = createFramer('glue', 'zlib', UUID)(BODY);
    expect(value.subarray(0, 18).toString('hex')).toBe('03050f8fad5bd9cb469fa16570867728950e');
    // What java.util.zip.Deflater (Java 17) makes of the body: the serializer that AWS ships uses it.
    const javaBody = '789c63e2ca48cdc9c9070006780221';
    expect(decode('glue', Buffer.from(`03050f8fad5bd9cb469fa16570867728950e${javaBody}`, 'hex'))).toEqual({
      schemaId: UUID,
      body: BODY,
    });
  });

  test('of Confluent framing are zero, the big-endian id and the body', () => {
    const value = createFramer('confluent', 'none', '66051')(BODY);
    expect(value.toString('hex')).toBe('0000010203020a68656c6c6f');
  });
});

test('what is framed comes back, whatever the framing, compression, id and body', () => {
  fc.assert(
    fc.property(framingsWithId, bodies, ({ framing, compression, schemaId }, body) => {
      const value = createFramer(framing, compression, schemaId)(body);
      expect(decode(framing, value)).toEqual({ schemaId, body });
      expect(schemaIdOf(framing, value)).toBe(schemaId);
    }),
  );
});

test('an uncompressed body shares memory with its value', () => {
  const value = createFramer('glue', 'none', UUID)(BODY);
  expect(decode('glue', value).body.buffer).toBe(value.buffer);
});

test('a UUID is read in lower case, however it was written', () => {
  expect(decode('glue', createFramer('glue', 'none', UUID.toUpperCase())(BODY)).schemaId).toBe(UUID);
});

describe('a malformed value', () => {
  const glue = createFramer('glue', 'none', UUID)(BODY);
  const zlib = (body: Buffer) => Buffer.concat([Buffer.from([3, 5]), glue.subarray(2, 18), body]);
  const tooLarge = deflateSync(Buffer.alloc(MAX_BODY_BYTES + 1));

  const cases: readonly [string, Framing, Buffer, ErrorCode][] = [
    ['is empty', 'glue', Buffer.alloc(0), 'FRAME_TRUNCATED'],
    ['is empty', 'confluent', Buffer.alloc(0), 'FRAME_TRUNCATED'],
    ['ends inside its UUID', 'glue', glue.subarray(0, 17), 'FRAME_TRUNCATED'],
    ['ends inside its id', 'confluent', Buffer.from([0, 0, 0, 1]), 'FRAME_TRUNCATED'],
    ['has the other framing', 'glue', createFramer('confluent', 'none', '7')(BODY), 'FRAME_UNKNOWN'],
    ['has the other framing', 'confluent', glue, 'FRAME_UNKNOWN'],
    ['is JSON', 'glue', Buffer.from('{"a":1}'), 'FRAME_UNKNOWN'],
    [
      'has an unknown compression',
      'glue',
      Buffer.concat([Buffer.from([3, 1]), glue.subarray(2)]),
      'FRAME_COMPRESSION_UNKNOWN',
    ],
    ['says zlib over plain bytes', 'glue', zlib(BODY), 'FRAME_COMPRESSION_CORRUPT'],
    ['says zlib over nothing', 'glue', zlib(Buffer.alloc(0)), 'FRAME_COMPRESSION_CORRUPT'],
    [
      'cuts its zlib stream',
      'glue',
      zlib(deflateSync(Buffer.alloc(500, 'abc')).subarray(0, -3)),
      'FRAME_COMPRESSION_CORRUPT',
    ],
    [
      'goes on after its zlib stream',
      'glue',
      zlib(Buffer.concat([deflateSync(BODY), Buffer.from([1])])),
      'FRAME_COMPRESSION_CORRUPT',
    ],
    ['inflates to too much', 'glue', zlib(tooLarge), 'FRAME_BODY_TOO_LARGE'],
  ];
  test.each(cases)('that %s (%s) has a code of its own', async (_, framing, value, code) => {
    expect(await decodeCodeOf(framing, value)).toBe(code);
  });

  test('may hold a body of exactly the largest size', () => {
    const body = Buffer.alloc(MAX_BODY_BYTES);
    expect(decode('glue', zlib(deflateSync(body))).body.equals(body)).toBe(true);
  });

  test('has no schema id', () => {
    expect(schemaIdOf('glue', Buffer.from('{}'))).toBeNull();
    expect(schemaIdOf('glue', null)).toBeNull();
  });
});

test.each<[Framing, string]>([
  ['glue', '17'],
  ['glue', `${UUID}0`],
  ['confluent', UUID],
  ['confluent', '0'],
  ['confluent', '-1'],
  ['confluent', '2147483648'],
])('%s framing takes no schema id %s', async (framing, schemaId) => {
  expect(await codeOf((async () => createFramer(framing, 'none', schemaId))())).toBe('CONTRACT_INVALID');
});
