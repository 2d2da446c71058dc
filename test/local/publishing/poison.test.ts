import { describe, expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { poisonRecord } from '../../../local/publishing/poison.ts';
import { createDecoder, createEncoder } from '../../../runtime/contract/codec.ts';
import type { Contract } from '../../../runtime/contract/contract.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { createTraffic } from '../../fixtures/newsdesk/demo.ts';

const contracts = [pageviews, { ...pageviews, name: 'news.confluent', framing: 'confluent' as const }];

describe.each(contracts)('poison for $name', (contract) => {
  const registry = createContractSchemaRegistry([contract]);

  async function poison(seed: number, records: number) {
    const random = createSeededRandom(seed);
    const traffic = createTraffic(random);
    const values = Array.from({ length: records }, (_, index) => traffic.next(index));
    const encoded = await createEncoder(contract, registry).encodeBatch(values);
    return encoded.map((result, index) => {
      if (!('record' in result)) throw new Error('traffic breaks the contract');
      return poisonRecord(contract, result.record.value, index, random);
    });
  }

  test('none of it decodes, and each kind of error comes up', async () => {
    const raws = (await poison(1, 2_000)).map(({ key, value }, offset) => raw(contract, offset, key, value));
    const results = await createDecoder(contract, registry).decodeBatch(raws);
    const codes = new Set(results.map((result) => ('error' in result ? result.error.code : 'decoded')));
    expect([...codes].sort()).toEqual(
      expect.arrayContaining([
        'AVRO_TRAILING_BYTES',
        'AVRO_TRUNCATED',
        'FRAME_TRUNCATED',
        'FRAME_UNKNOWN',
        'SCHEMA_UNKNOWN',
        'VALUE_MISSING',
      ]),
    );
    expect(codes).not.toContain('decoded');
  });

  test('is the same for the same seed, and keyed apart', async () => {
    const records = await poison(2, 200);
    expect(await poison(2, 200)).toEqual(records);
    expect(await poison(3, 200)).not.toEqual(records);
    expect(new Set(records.map(({ key }) => key!.toString())).size).toBe(200);
  });
});

function raw(contract: Contract<never>, offset: number, key: Buffer | null, value: Buffer | null): RawRecord {
  return {
    topic: contract.name,
    partition: 0,
    offset,
    timestamp: 0,
    timestampType: 'CREATE_TIME',
    key,
    value,
    headers: [],
  };
}
