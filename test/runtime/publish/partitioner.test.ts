import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { murmur2, partitionOf } from '../../../runtime/publish/partitioner.ts';

describe("Kafka's partitioner", () => {
  // testMurmur2 in clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java,
  // https://github.com/apache/kafka (2026-11-24).
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %j as Kafka does', (text, hash) => {
    expect(murmur2(Buffer.from(text))).toBe(hash);
  });

  test('makes a negative hash positive by dropping its sign bit', () => {
    expect(partitionOf(Buffer.from('foobar'), 12)).toBe((-790332482 & 0x7fffffff) % 12);
  });

  test('gives every key, the empty one too, one partition of the topic', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 1000 }), (bytes, partitions) => {
        const partition = partitionOf(Buffer.from(bytes), partitions);
        expect(partition).toBe(partitionOf(Buffer.from(bytes), partitions));
        expect(Number.isInteger(partition) && partition >= 0 && partition < partitions).toBe(true);
      }),
    );
  });
});
