const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/**
 * The partition that Kafka's Java producer gives a keyed record, so that a key stays in one place whoever produces
 * it. Source: `BuiltInPartitioner.partitionForKey` and `Utils.murmur2`, `Utils.toPositive` of org.apache.kafka:
 * kafka-clients, https://github.com/apache/kafka (2026-11-24).
 */
export function partitionOf(key: Buffer, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}

/** MurmurHash2 with Kafka's seed, as a signed 32-bit number. */
export function murmur2(data: Buffer): number {
  const { length } = data;
  const tail = length & ~3;
  let hash = SEED ^ length;
  for (let index = 0; index < tail; index += 4) {
    let word = data[index]! | (data[index + 1]! << 8) | (data[index + 2]! << 16) | (data[index + 3]! << 24);
    word = Math.imul(word, M);
    word ^= word >>> R;
    hash = Math.imul(hash, M) ^ Math.imul(word, M);
  }
  if (length > tail) {
    if (length - tail > 2) hash ^= data[tail + 2]! << 16;
    if (length - tail > 1) hash ^= data[tail + 1]! << 8;
    hash = Math.imul(hash ^ data[tail]!, M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return hash ^ (hash >>> 15);
}
