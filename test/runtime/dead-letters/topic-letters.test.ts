import { beforeEach, describe, expect, test } from '@jest/globals';
import { createTopicLetters, createTopicReader } from '../../../runtime/dead-letters/topic-letters.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog, type MemoryLog } from '../../../testing/memory-log.ts';
import { deadLetter } from '../../dead-letters.ts';
import { codeOf } from '../../rejection.ts';

const topic = 't.dlq';

describe('dead letters in a topic', () => {
  let log: MemoryLog;
  beforeEach(async () => {
    log = createMemoryLog({ clock: createFakeClock() });
    await log.createTopic(topic, 2);
  });

  const put = (...letters: ReturnType<typeof deadLetter>[]) =>
    createTopicLetters({ topic, producer: log }).put(letters);
  const readerOf = (consumer: string, from = 't') =>
    createTopicReader({ topic, of: { consumer, epoch: 1, topic: from }, producer: log, reader: log });
  const idsOn = async (reader: ReturnType<typeof readerOf>) =>
    (await Array.fromAsync(reader.scan()))
      .map((copy) => ('letter' in copy ? copy.letter.id : copy.error.code))
      .toSorted();
  const records = async () => {
    const partitions = await Promise.all(
      [0, 1].map((partition) => log.read({ topic, partition }, 0, 10_000)),
    );
    return partitions.flat();
  };

  test('are the failed records themselves: key, value and headers first', async () => {
    const headers = [{ name: 'trace', value: Buffer.from([195]) }];
    await put(deadLetter({ headers }));
    const [record] = await records();
    expect(record).toMatchObject({ key: Buffer.from('key'), value: Buffer.from('value') });
    expect(record!.headers[0]).toEqual(headers[0]);
  });

  test('say that the store is unavailable when the topic does not take them', async () => {
    const cause = new MillraceError('PUBLISH_FAILED', 'no broker');
    const producer = { send: () => Promise.reject(cause) };
    const outcome = createTopicLetters({ topic, producer }).put([deadLetter()]);
    await expect(outcome).rejects.toMatchObject({
      code: 'DEAD_LETTER_STORE_UNAVAILABLE',
      action: 'hold',
      message: expect.stringContaining(topic),
      details: { topic, letters: 1 },
      cause,
    });
    expect(await records()).toEqual([]);
    const missing = createTopicLetters({ topic: 'nowhere', producer: log }).put([deadLetter()]);
    expect(await codeOf(missing)).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
  });

  test('are shown to their own consumer, whoever else puts letters and records there', async () => {
    await put(
      deadLetter({ offset: 1 }),
      deadLetter({ offset: 1, consumer: 'd' }),
      deadLetter({ offset: 1, topic: 'another' }),
    );
    await log.send(topic, [
      { key: Buffer.from('k'), value: Buffer.from('no dead letter at all') },
      { key: null, value: null },
      { key: null, value: null, headers: [{ name: 'h', value: null }] },
    ]);
    expect(await idsOn(readerOf('c'))).toEqual(['c/t/0/1']);
    expect(await idsOn(readerOf('d'))).toEqual(['d/t/0/1']);
    expect(await idsOn(readerOf('c', 'another'))).toEqual(['c/another/0/1']);
    expect(await idsOn(readerOf('e'))).toEqual([]);
  });

  test('of other tools are shown to the consumer of the topic they came from', async () => {
    const int64 = Buffer.alloc(8);
    int64.writeBigInt64BE(42n);
    await log.send(topic, [
      {
        key: Buffer.from('k'),
        value: Buffer.from('v'),
        headers: [
          { name: 'kafka_dlt-original-topic', value: Buffer.from('t') },
          { name: 'kafka_dlt-original-partition', value: Buffer.from([0, 0, 0, 3]) },
          { name: 'kafka_dlt-original-offset', value: int64 },
          { name: 'kafka_dlt-exception-fqcn', value: Buffer.from('java.lang.Exception') },
        ],
      },
    ]);
    expect(await idsOn(readerOf('c'))).toEqual(['c/t/3/42']);
    expect(await idsOn(readerOf('c', 'another'))).toEqual([]);
    const reader = readerOf('c');
    await reader.remove(await Array.fromAsync(reader.scan()));
    expect(await idsOn(readerOf('c'))).toEqual([]);
  });

  test('are closed by a marker under their own key, as nothing can be deleted', async () => {
    await put(deadLetter({ offset: 1 }), deadLetter({ offset: 2, key: null }));
    const reader = readerOf('c');
    const before = await records();
    await reader.remove(await Array.fromAsync(reader.scan()));
    const markers = (await records()).filter(
      ({ partition, offset }) =>
        !before.some((each) => each.partition === partition && each.offset === offset),
    );
    expect(markers).toHaveLength(2);
    for (const marker of markers) {
      expect(marker.value).toBeNull();
      expect(marker.headers).toHaveLength(1);
      const [{ name, value }] = marker.headers as [{ name: string; value: Buffer }];
      expect(name).toBe('millrace.dlq.closed');
      const closed = before.find(
        ({ partition, offset }) => `${topic}/${partition}/${offset}` === value.toString(),
      );
      expect(marker.key).toEqual(closed!.key);
    }
    // Whoever opens the topic later sees them gone, and the markers are no letters of anybody.
    expect(await idsOn(readerOf('c'))).toEqual([]);
    expect(await idsOn(readerOf('d'))).toEqual([]);
  });

  test('stay open or closed when a replicator or a tracing agent adds a header behind ours', async () => {
    const added = { name: 'replicated-from', value: Buffer.from('elsewhere') };
    const sendsOneMore = {
      send: (to: string, sent: Parameters<MemoryLog['send']>[1]) =>
        log.send(
          to,
          sent.map((record) => ({ ...record, headers: [...(record.headers ?? []), added] })),
        ),
    };
    await createTopicLetters({ topic, producer: sendsOneMore }).put([
      deadLetter({ offset: 1 }),
      deadLetter({ offset: 2 }),
    ]);
    expect(await idsOn(readerOf('c'))).toEqual(['c/t/0/1', 'c/t/0/2']);
    const of = { consumer: 'c', epoch: 1, topic: 't' };
    const reader = createTopicReader({ topic, of, producer: sendsOneMore, reader: log });
    await reader.remove((await Array.fromAsync(reader.scan())).slice(0, 1));
    expect(await idsOn(readerOf('c'))).toHaveLength(1);
  });

  test('of a record that looks like a marker are letters, and close nothing', async () => {
    const marker = { name: 'millrace.dlq.closed', value: Buffer.from(`${topic}/0/0`) };
    await put(deadLetter({ offset: 1 }), deadLetter({ offset: 2, value: null, headers: [marker] }));
    await log.send(topic, [
      {
        key: Buffer.from('k'),
        value: null,
        headers: [
          marker,
          { name: '__connect.errors.topic', value: Buffer.from('t') },
          { name: '__connect.errors.partition', value: Buffer.from('0') },
          { name: '__connect.errors.offset', value: Buffer.from('3') },
        ],
      },
    ]);
    expect(await idsOn(readerOf('c'))).toEqual(['c/t/0/1', 'c/t/0/2', 'c/t/0/3']);
  });

  test('that come while one looks are left for the next look', async () => {
    await put(deadLetter({ offset: 1 }), deadLetter({ offset: 2 }));
    let seen = 0;
    for await (const _ of readerOf('c').scan()) {
      seen++;
      await put(deadLetter({ offset: 100 + seen }));
    }
    expect(seen).toBe(2);
    expect(await idsOn(readerOf('c'))).toHaveLength(4);
  });

  test('are looked for in a topic that exists', async () => {
    const of = { consumer: 'c', epoch: 1, topic: 't' };
    const reader = createTopicReader({ topic: 'nowhere', of, producer: log, reader: log });
    expect(await codeOf(Array.fromAsync(reader.scan()))).toBe('TOPIC_UNKNOWN');
  });
});
