import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { createDecoder } from '../../../runtime/contract/codec.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createPublish, MAX_REQUEST_BYTES } from '../../../runtime/publish/publish.ts';
import type { OutgoingRecord, Producer } from '../../../runtime/topics.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../testing/memory-log.ts';
import { codeOf } from '../../rejection.ts';

interface Order {
  readonly id: string;
  readonly amount: number;
}

const orders = defineTopic<Order>({
  name: 'orders',
  owner: 'tests',
  key: 'id',
  partitions: 3,
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Order',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'amount', type: 'int' },
        ],
      },
    },
  ],
});
const registry = createContractSchemaRegistry([orders]);

/** Takes everything, but for the request with the number `failsAt`, counted from 0. */
function fakeProducer({ failsAt = -1, error = new Error('broken pipe') as Error } = {}) {
  const requests: (readonly OutgoingRecord[])[] = [];
  const producer: Producer = {
    async send(topic, records) {
      if (requests.length === failsAt) throw error;
      const sent = requests.flat().length;
      requests.push(records);
      return records.map((_, index) => ({ topic, partition: 0, offset: sent + index }));
    },
  };
  return { producer, requests };
}

async function rejectionOf(promise: Promise<unknown>): Promise<MillraceError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof MillraceError) return error;
  throw error ?? new Error('resolved');
}

describe('publishing', () => {
  test('sends what keeps the contract, each under its key, and gives its position', async () => {
    const log = createMemoryLog({ clock: createFakeClock() });
    await log.createTopic('orders', 3);
    const publish = createPublish(orders, { registry, producer: log });
    const values = Array.from({ length: 50 }, (_, index) => ({ id: `order-${index % 7}`, amount: index }));

    const { published, refused } = await publish(values);

    expect(refused).toEqual([]);
    expect(published).toHaveLength(50);
    const decoder = createDecoder(orders, registry);
    for (const [index, { topic, partition, offset }] of published.entries()) {
      const [raw] = await log.read({ topic, partition }, offset, 1);
      const [result] = await decoder.decodeBatch([raw!]);
      expect(result).toMatchObject({ record: { value: values[index], key: values[index]!.id } });
    }
    const partitionsOfOneKey = new Set(
      published.filter((_, index) => index % 7 === 0).map(({ partition }) => partition),
    );
    expect(partitionsOfOneKey.size).toBe(1);
  });

  test('refuses what breaks the contract, loses nothing else and keeps the order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 30 }), async (isGood) => {
        const { producer, requests } = fakeProducer();
        const values = isGood.map((good, index) => ({ id: String(index), amount: good ? index : 'secret' }));
        const result = await createPublish(orders, { registry, producer })(values as Order[]);
        const indexes = [...isGood.keys()];
        expect(requests.flat().map(({ key }) => Number(key))).toEqual(
          indexes.filter((index) => isGood[index]),
        );
        expect(result.published).toHaveLength(requests.flat().length);
        expect(result.refused.map(({ index }) => index)).toEqual(indexes.filter((index) => !isGood[index]));
        for (const { violations } of result.refused) expect(violations).toMatchObject([{ path: 'amount' }]);
        expect(JSON.stringify(result)).not.toContain('secret');
      }),
    );
  });

  test('checks every value before it sends the first', async () => {
    const { producer, requests } = fakeProducer();
    const sentWhenRead: number[] = [];
    const last = {
      id: 'b',
      get amount() {
        sentWhenRead.push(requests.length);
        return 0.5;
      },
    };
    const values = Array.from({ length: 6_000 }, () => ({ id: 'a', amount: 1 }));
    const { refused } = await createPublish(orders, { registry, producer })([...values, last]);
    expect(refused.map(({ index }) => index)).toEqual([6_000]);
    expect(new Set(sentWhenRead)).toEqual(new Set([0]));
    expect(requests).toHaveLength(2);
  });

  test('of nothing, or of nothing good, sends nothing', async () => {
    const { producer, requests } = fakeProducer();
    const publish = createPublish(orders, { registry, producer });
    expect(await publish([])).toEqual({ published: [], refused: [] });
    expect((await publish([null as never])).refused).toMatchObject([
      { index: 0, violations: [{ path: '' }] },
    ]);
    expect(requests).toEqual([]);
  });
});

describe('requests', () => {
  test('hold no more than Kafka takes at once, and a record that is larger is refused', async () => {
    const { producer, requests } = fakeProducer();
    const sizes = [400_000, 400_000, 400_000, MAX_REQUEST_BYTES, 10];
    const values = sizes.map((length) => ({ id: 'x'.repeat(length / 2), amount: 1 }));
    const { published, refused } = await createPublish(orders, { registry, producer })(values);
    expect(published).toHaveLength(4);
    expect(refused).toEqual([
      { index: 3, violations: [{ path: '', reason: expect.stringMatching(/^takes up to 1048576 bytes/) }] },
    ]);
    expect(requests.map((request) => request.length)).toEqual([2, 2]);
    for (const request of requests) {
      const bytes = request.reduce((sum, { key, value }) => sum + key!.length + value!.length, 0);
      expect(bytes).toBeLessThan(MAX_REQUEST_BYTES);
    }
  });

  test('hold no more than 5,000 records', async () => {
    const { producer, requests } = fakeProducer();
    const values = Array.from({ length: 10_001 }, (_, index) => ({ id: 'a', amount: index }));
    const { published } = await createPublish(orders, { registry, producer })(values);
    expect(published).toHaveLength(10_001);
    expect(requests.map((request) => request.length)).toEqual([5_000, 5_000, 1]);
  });
});

describe('a failure', () => {
  test('of one request says how much is published, in doubt and unsent', async () => {
    const { producer } = fakeProducer({ failsAt: 1 });
    const values = Array.from({ length: 12_000 }, (_, index) => ({ id: 'a', amount: index }));
    const broken = [{ id: 'b', amount: 0.5 }, ...values];
    const error = await rejectionOf(createPublish(orders, { registry, producer })(broken));
    expect(error.code).toBe('PUBLISH_FAILED');
    expect(error.cause).toEqual(new Error('broken pipe'));
    expect(error.details).toEqual({
      topic: 'orders',
      published: 5_000,
      unconfirmed: 5_000,
      unsent: 2_000,
      refused: 1,
    });
  });

  test('for want of the topic keeps its code', async () => {
    const publish = createPublish(orders, {
      registry,
      producer: createMemoryLog({ clock: createFakeClock() }),
    });
    expect(await codeOf(publish([{ id: 'a', amount: 1 }]))).toBe('TOPIC_UNKNOWN');
  });

  test('of the registry sends nothing', async () => {
    const { producer, requests } = fakeProducer();
    const publish = createPublish(orders, { registry: createContractSchemaRegistry([]), producer });
    expect(await codeOf(publish([{ id: 'a', amount: 1 }]))).toBe('SCHEMA_UNKNOWN');
    expect(requests).toEqual([]);
  });
});
