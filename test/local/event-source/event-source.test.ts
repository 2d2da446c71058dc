import { afterEach, describe, expect, test } from '@jest/globals';
import type { FailureDocument } from '../../../local/event-source/failure-document.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { codeOf } from '../../rejection.ts';
import { createWorld, GROUP, nameOf, stopSources, TOPIC } from './event-source-world.ts';

afterEach(stopSources);

const names = (from: number, to: number, partition = 0) =>
  Array.from({ length: to - from }, (_, index) => `${partition}:${from + index}`);

const collectDocuments = () => {
  const documents: FailureDocument[] = [];
  return {
    documents,
    onFailure: async (document: FailureDocument) => {
      documents.push(document);
    },
    /** The names of the records in each document, read from its payload. */
    given: () =>
      documents.map(({ payload }) =>
        Object.values(JSON.parse(payload).records as Record<string, RawRecord[]>)
          .flat()
          .map(nameOf),
      ),
  };
};

describe('batches', () => {
  test('hold up to batchSize records, in order, and their offsets are committed', async () => {
    const world = await createWorld();
    await world.send(0, 25);
    const source = world.start({ batchSize: 10 });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([names(0, 10), names(10, 20), names(20, 25)]);
    expect(await world.committed()).toBe(25);
    expect(source.counts()).toEqual({
      invocations: 3,
      failedInvocations: 0,
      deliveredRecords: 25,
      redeliveredRecords: 0,
      discardedRecords: 0,
    });
  });

  test('wait for more from their first record on, until the window is over', async () => {
    const world = await createWorld();
    const source = world.start({ maximumBatchingWindowMs: 1_000 });
    await world.clock.sleep(500);
    const firstAt = world.clock.now();
    await world.send(0, 1);
    await world.clock.sleep(900);
    await world.send(0, 1);
    await source.drained();
    await source.stop();
    expect(world.seen).toHaveLength(1);
    expect(world.seen[0]!.records).toEqual(names(0, 2));
    // The window begins when a poller meets the first record, at most one poll after it arrived.
    expect(world.seen[0]!.at - firstAt).toBeGreaterThanOrEqual(1_000);
    expect(world.seen[0]!.at - firstAt).toBeLessThanOrEqual(1_050);
  });

  test('do not wait once they are full', async () => {
    const world = await createWorld();
    await world.send(0, 10);
    const startedAt = world.clock.now();
    const source = world.start({ batchSize: 10, maximumBatchingWindowMs: 300_000 });
    await source.drained();
    await source.stop();
    expect(world.seen[0]!.at).toBe(startedAt);
  });

  test('stay below 6 MB as sent, and are as large as that allows', async () => {
    const world = await createWorld();
    await world.send(0, 13, Buffer.alloc(1_000_000));
    const bytes: number[] = [];
    const source = world.start({ batchSize: 10_000 }, (_, __, event) => {
      bytes.push(Buffer.byteLength(JSON.stringify(event)));
    });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records.length)).toEqual([4, 4, 4, 1]);
    for (const size of bytes) expect(size).toBeLessThan(6_291_456);
  });

  test('may hold several partitions of one poller, none of another', async () => {
    const world = await createWorld({ partitions: 4 });
    for (const partition of [0, 1, 2, 3]) await world.send(partition, 2);
    const source = world.start({ pollers: 2 });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([
      [...names(0, 2, 0), ...names(0, 2, 2)],
      [...names(0, 2, 1), ...names(0, 2, 3)],
    ]);
  });

  test('run side by side, but never two of one partition, and at most five for a poller', async () => {
    const world = await createWorld({ partitions: 8 });
    for (let partition = 0; partition < 8; partition++) await world.send(partition, 30);
    const running = new Set<number>();
    let most = 0;
    const source = world.start({ batchSize: 10 }, async (records) => {
      const partitions = new Set(records.map(({ partition }) => partition));
      for (const partition of partitions) {
        expect(running).not.toContain(partition);
        running.add(partition);
      }
      most = Math.max(most, running.size);
      await world.clock.sleep(world.random.next() * 1_000);
      for (const partition of partitions) running.delete(partition);
    });
    await source.drained();
    await source.stop();
    expect(source.counts().failedInvocations).toBe(0);
    expect(most).toBe(5);
  });

  test('go on with other partitions while one is held', async () => {
    const world = await createWorld({ partitions: 2 });
    await world.send(0, 1);
    const held = Promise.withResolvers<void>();
    const source = world.start({}, ([record]) => (record!.partition === 0 ? held.promise : null));
    await world.clock.sleep(1_000);
    await world.send(1, 1);
    await world.clock.sleep(1_000);
    expect(await world.committed(1)).toBe(1);
    expect(await world.committed(0)).toBe(0);
    held.resolve();
    await source.drained();
    await source.stop();
  });
});

describe('a batch that fails', () => {
  test('is delivered again whole until it is taken, and nothing of it is committed before', async () => {
    const world = await createWorld();
    await world.send(0, 5);
    let failures = 3;
    const source = world.start({ mode: 'on-demand', batchSize: 3 }, async () => {
      expect(await world.committed()).toBe(world.seen.length <= 4 ? 0 : 3);
      if (failures-- > 0) throw new Error('not yet');
    });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([
      ...Array.from({ length: 4 }, () => names(0, 3)),
      names(3, 5),
    ]);
    expect(new Set(world.seen.map(({ requestId }) => requestId)).size).toBe(5);
    expect(source.counts()).toMatchObject({ invocations: 5, failedInvocations: 3, redeliveredRecords: 9 });
  });

  test('is given up after its retries, with the document that Lambda writes, and the source goes on', async () => {
    const world = await createWorld({ partitions: 2 });
    const timestamp = world.clock.now();
    await world.send(0, 2);
    await world.send(1, 1);
    const { documents, onFailure } = collectDocuments();
    const source = world.start({ maximumRetryAttempts: 2, onFailure }, () => {
      throw new Error('never');
    });
    await source.drained();
    await source.stop();
    expect(world.seen).toHaveLength(3);
    expect([await world.committed(0), await world.committed(1)]).toEqual([2, 1]);
    expect(source.counts()).toMatchObject({ invocations: 3, failedInvocations: 3, discardedRecords: 3 });

    const records = [
      ...(await world.log.read({ topic: TOPIC, partition: 0 }, 0, 10)),
      ...(await world.log.read({ topic: TOPIC, partition: 1 }, 0, 10)),
    ];
    const event = encodeKafkaEvent(records);
    const time = new Date(timestamp).toISOString();
    expect(documents).toEqual([
      {
        requestContext: {
          requestId: world.seen[2]!.requestId,
          functionArn: `arn:aws:lambda:us-east-1:000000000000:function:${GROUP}`,
          condition: 'RetryAttemptsExhausted',
          approximateInvokeCount: 3,
        },
        responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' },
        version: '1.0',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        KafkaBatchInfo: {
          batchSize: 3,
          eventSourceArn: event.eventSourceArn,
          bootstrapServers: event.bootstrapServers,
          payloadSize: Buffer.byteLength(JSON.stringify(event)),
          recordsInfo: {
            'news.pageviews-0': {
              firstRecordOffset: '0',
              lastRecordOffset: '1',
              firstRecordTimestamp: time,
              lastRecordTimestamp: time,
            },
            'news.pageviews-1': {
              firstRecordOffset: '0',
              lastRecordOffset: '0',
              firstRecordTimestamp: time,
              lastRecordTimestamp: time,
            },
          },
        },
        payload: JSON.stringify(event),
      },
    ]);
  });

  test('has no more than 10 retries where there is a destination', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const { onFailure, given } = collectDocuments();
    const source = world.start({ onFailure }, () => Promise.reject(new Error('never')));
    await source.drained();
    await source.stop();
    expect(world.seen).toHaveLength(11);
    expect(given()).toEqual([['0:0']]);
  });

  test('is lost, loudly, after its retries where there is no destination', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({ maximumRetryAttempts: 0 }, () => Promise.reject(new Error('never')));
    await source.drained();
    await source.stop();
    expect(await world.committed()).toBe(1);
    expect(world.entries.filter(({ level }) => level === 'error')).toMatchObject([
      {
        message: expect.stringContaining('lost'),
        fields: { condition: 'RetryAttemptsExhausted', records: 1 },
      },
    ]);
  });

  test('is held, uncommitted, until its destination has taken it', async () => {
    const world = await createWorld();
    await world.send(0, 2);
    let failures = 5;
    const source = world.start(
      {
        batchSize: 1,
        maximumRetryAttempts: 0,
        onFailure: async () => {
          expect(await world.committed()).toBe(world.seen.length - 1);
          if (failures-- > 0) throw new Error('bucket gone');
        },
      },
      () => Promise.reject(new Error('never')),
    );
    await source.drained();
    await source.stop();
    expect(failures).toBe(-2);
    expect(source.counts()).toMatchObject({ invocations: 2, discardedRecords: 2 });
  });

  test('is split until the bad record stands alone, in order, at no cost in retries', async () => {
    const world = await createWorld();
    await world.send(0, 8);
    const { onFailure, given, documents } = collectDocuments();
    const source = world.start(
      { bisectBatchOnFunctionError: true, maximumRetryAttempts: 1, onFailure },
      (records) => {
        if (records.some(({ offset }) => offset === 5)) throw new Error('bad record');
      },
    );
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([
      names(0, 8),
      names(0, 4),
      names(4, 8),
      names(4, 6),
      names(4, 5),
      names(5, 6),
      names(5, 6),
      names(6, 8),
    ]);
    expect(given()).toEqual([['0:5']]);
    expect(documents[0]!.requestContext.approximateInvokeCount).toBe(5);
    expect(await world.committed()).toBe(8);
  });

  test('waits longer and longer between its retries', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({ maximumRetryAttempts: 40 }, () => Promise.reject(new Error('never')), {
      random: { next: () => 0.999 },
    });
    await source.drained();
    await source.stop();
    const waits = world.seen.slice(1).map(({ at }, index) => at - world.seen[index]!.at);
    expect(waits.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(Math.max(...waits)).toBe(9_990);
  });
});

describe('records that Lambda does not send', () => {
  test('are those too large for any event: given up, never invoked', async () => {
    const world = await createWorld();
    await world.send(0, 2);
    await world.send(0, 1, Buffer.alloc(5_000_000));
    await world.send(0, 2);
    const { onFailure, given, documents } = collectDocuments();
    const source = world.start({ onFailure });
    await source.drained();
    await source.stop();
    expect(world.seen.flatMap(({ records }) => records)).toEqual(['0:0', '0:1', '0:3', '0:4']);
    expect(given()).toEqual([['0:2']]);
    expect(documents[0]).toMatchObject({
      requestContext: { condition: 'MaximumPayloadSizeExceeded', approximateInvokeCount: 0 },
      responseContext: null,
    });
    expect(await world.committed()).toBe(5);
  });

  test('are those older than maximumRecordAgeMs, also when they age while they are retried', async () => {
    const world = await createWorld();
    await world.send(0, 2);
    await world.clock.sleep(61_000);
    await world.send(0, 2);
    const { onFailure, given, documents } = collectDocuments();
    const source = world.start({ maximumRecordAgeMs: 60_000, onFailure }, async () => {
      await world.clock.sleep(40_000);
      throw new Error('slow and bad');
    });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([names(2, 4), names(2, 4)]);
    expect(given()).toEqual([names(0, 2), names(2, 4)]);
    expect(documents.map(({ requestContext }) => requestContext)).toMatchObject([
      { condition: 'RecordAgeExceeded', approximateInvokeCount: 0 },
      { condition: 'RecordAgeExceeded', approximateInvokeCount: 2 },
    ]);
    expect(await world.committed()).toBe(4);
  });
});

describe('a partial batch response', () => {
  const failureOf = ({ topic, partition, offset }: RawRecord) => ({
    itemIdentifier: { partition: `${topic}-${partition}`, offset },
  });

  test('has only the failed records redelivered; the offset stays at the first of them', async () => {
    const world = await createWorld({ partitions: 2 });
    await world.send(0, 6);
    await world.send(1, 2);
    const committed: unknown[] = [];
    const source = world.start({ reportBatchItemFailures: true }, async (records) => {
      committed.push([await world.committed(0), await world.committed(1)]);
      const isFirst = world.seen.length === 1;
      return {
        batchItemFailures: records
          .filter(({ partition, offset }) => isFirst && partition === 0 && [2, 4].includes(offset))
          .map(failureOf),
      };
    });
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([
      [...names(0, 6, 0), ...names(0, 2, 1)],
      ['0:2', '0:4'],
    ]);
    expect(committed).toEqual([
      [0, 0],
      [2, 2],
    ]);
    expect(await world.committed(0)).toBe(6);
    expect(source.counts()).toMatchObject({ failedInvocations: 1, redeliveredRecords: 2 });
  });

  test('holds the partition: what comes after is not sent before the failed record is done', async () => {
    const world = await createWorld();
    await world.send(0, 4);
    let failures = 3;
    const source = world.start({ batchSize: 2, reportBatchItemFailures: true }, (records) => ({
      batchItemFailures: failures-- > 0 ? [failureOf(records[0]!)] : [],
    }));
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([
      ['0:0', '0:1'],
      ['0:0'],
      ['0:0'],
      ['0:0'],
      ['0:2', '0:3'],
    ]);
  });

  test('that reports records after their retries puts them aside without an error of the function', async () => {
    const world = await createWorld();
    await world.send(0, 3);
    const { onFailure, given, documents } = collectDocuments();
    const source = world.start(
      { reportBatchItemFailures: true, bisectBatchOnFunctionError: true, maximumRetryAttempts: 1, onFailure },
      (records) => ({ batchItemFailures: records.filter(({ offset }) => offset > 0).map(failureOf) }),
    );
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([names(0, 3), names(1, 3)]);
    expect(given()).toEqual([names(1, 3)]);
    expect(documents[0]!.responseContext).toEqual({ statusCode: 200, executedVersion: '$LATEST' });
    expect(await world.committed()).toBe(3);
  });

  test.each<[string, unknown]>([
    ['an offset that was not in the batch', { partition: 'news.pageviews-0', offset: 99 }],
    ['a partition that was not in the batch', { partition: 'news.pageviews-7', offset: 0 }],
    ['an offset as text', { partition: 'news.pageviews-0', offset: '0' }],
    ["an identifier as SQS's, a string", '0'],
    ['no identifier', undefined],
  ])('with %s has the whole batch redelivered', async (_, itemIdentifier) => {
    const world = await createWorld();
    await world.send(0, 2);
    const source = world.start({ reportBatchItemFailures: true }, () =>
      world.seen.length === 1 ? { batchItemFailures: [{ itemIdentifier }] } : null,
    );
    await source.drained();
    await source.stop();
    expect(world.seen.map(({ records }) => records)).toEqual([names(0, 2), names(0, 2)]);
  });

  test.each([[null], [undefined], [{}], [{ batchItemFailures: [] }], [{ batchItemFailures: null }]])(
    'that is %j is a success',
    async (response) => {
      const world = await createWorld();
      await world.send(0, 2);
      const source = world.start({ reportBatchItemFailures: true }, () => response);
      await source.drained();
      await source.stop();
      expect(world.seen).toHaveLength(1);
    },
  );

  test.each([['ok'], [[]], [{ batchItemFailures: {} }]])('that is %j is a failure', async (response) => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({ reportBatchItemFailures: true }, () =>
      world.seen.length === 1 ? response : null,
    );
    await source.drained();
    await source.stop();
    expect(world.seen).toHaveLength(2);
  });

  test('is not read, as in Lambda, where the mapping does not ask for it', async () => {
    const world = await createWorld();
    await world.send(0, 2);
    const source = world.start({}, (records) => ({ batchItemFailures: records.map(failureOf) }));
    await source.drained();
    await source.stop();
    expect(world.seen).toHaveLength(1);
    expect(await world.committed()).toBe(2);
  });
});

describe('the function', () => {
  test('counts as failed after its timeout, and may still be running when the batch is delivered again', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const steps: string[] = [];
    const source = world.start({ functionTimeoutMs: 3_000 }, async () => {
      const run = world.seen.length;
      steps.push(`${run} begins`);
      if (run === 1) await world.clock.sleep(10_000);
      steps.push(`${run} ends`);
      if (run === 1) throw new Error('too late to matter');
    });
    await source.drained();
    await world.clock.sleep(20_000);
    await source.stop();
    expect(steps).toEqual(['1 begins', '2 begins', '2 ends', '1 ends']);
    expect(world.seen[1]!.at - world.seen[0]!.at).toBeGreaterThanOrEqual(3_000);
    expect(source.counts()).toMatchObject({ invocations: 2, failedInvocations: 1 });
  });

  test("gets Lambda's context", async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({ functionTimeoutMs: 5_000 }, async (_, context) => {
      expect(context.getRemainingTimeInMillis()).toBe(5_000);
      await world.clock.sleep(1_500);
      expect(context.getRemainingTimeInMillis()).toBe(3_500);
      expect(context).toMatchObject({
        functionName: GROUP,
        functionVersion: '$LATEST',
        invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${GROUP}`,
        awsRequestId: expect.stringMatching(
          /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        ),
      });
    });
    await source.drained();
    await source.stop();
    expect(source.counts()).toMatchObject({ invocations: 1, failedInvocations: 0 });
  });

  test('fails by what it throws at once, too', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    let runs = 0;
    const source = world.start({}, undefined, {
      handler: () => {
        if (++runs === 1) throw 'a string';
        return Promise.resolve();
      },
    });
    await source.drained();
    await source.stop();
    expect(runs).toBe(2);
  });
});

describe('starting and stopping', () => {
  test('goes on from the committed offset, whatever the starting position', async () => {
    const world = await createWorld();
    await world.send(0, 10);
    const first = world.start({ batchSize: 5 }, () => {
      if (world.seen.length === 2) throw new Error('stop here');
    });
    await world.clock.sleep(10);
    await first.stop();
    const committed = await world.committed();
    expect(committed).toBe(5);

    const second = world.start({ startingPosition: 'LATEST' });
    await second.drained();
    await second.stop();
    expect(world.seen.at(-1)!.records).toEqual(names(5, 10));
  });

  test('begins at the oldest record, at the newest, or at a time', async () => {
    const world = await createWorld();
    await world.send(0, 3);
    await world.clock.sleep(1_000);
    const atTimestampMs = world.clock.now();
    await world.send(0, 3);
    const begin = async (
      startingPosition: 'TRIM_HORIZON' | 'LATEST' | { atTimestampMs: number },
      group: string,
    ) => {
      const source = world.start({ startingPosition }, undefined, { group });
      await world.clock.sleep(1_000);
      await world.send(0, 1);
      await source.drained();
      await source.stop();
      return world.seen.splice(0).flatMap(({ records }) => records)[0];
    };
    expect(await begin('TRIM_HORIZON', 'a')).toBe('0:0');
    expect(await begin({ atTimestampMs }, 'b')).toBe('0:3');
    expect(await begin('LATEST', 'c')).toBe('0:8');
  });

  test('misses nothing that came between a first start at LATEST and the next', async () => {
    const world = await createWorld();
    await world.send(0, 3);
    const first = world.start({ startingPosition: 'LATEST' });
    await world.clock.sleep(1_000);
    await first.stop();
    await world.send(0, 2);
    const second = world.start({ startingPosition: 'LATEST' });
    await second.drained();
    await second.stop();
    expect(world.seen.flatMap(({ records }) => records)).toEqual(names(3, 5));
  });

  test('goes on from the oldest record kept when retention has passed the group by', async () => {
    const world = await createWorld();
    await world.send(0, 10);
    await world.log.commit(GROUP, [{ topic: TOPIC, partition: 0, offset: 2 }]);
    const reader = { ...world.log, bounds: async () => ({ start: 6, end: 10 }) };
    const source = world.start({}, undefined, { reader });
    await source.drained();
    await source.stop();
    expect(world.seen.flatMap(({ records }) => records)).toEqual(names(6, 10));
  });

  test('reads partitions that the topic is given, from their start, while it runs and when it starts again', async () => {
    const world = await createWorld({ partitions: 3 });
    let partitions = 1;
    const reader = { ...world.log, partitions: async () => partitions };
    const start = () => world.start({ startingPosition: 'LATEST' }, undefined, { reader });
    const first = start();
    await world.clock.sleep(1_000);
    partitions = 2;
    await world.send(1, 2);
    await world.clock.sleep(60_000);
    await first.drained();
    await first.stop();
    partitions = 3;
    await world.send(2, 2);
    const second = start();
    await second.drained();
    await second.stop();
    expect(world.seen.flatMap(({ records }) => records)).toEqual([...names(0, 2, 1), ...names(0, 2, 2)]);
  });

  test('begins anew where the group stands behind the end: the topic is another one by now', async () => {
    const world = await createWorld();
    await world.send(0, 3);
    await world.log.commit(GROUP, [{ topic: TOPIC, partition: 0, offset: 10 }]);
    const source = world.start({});
    await source.drained();
    await source.stop();
    expect(world.seen.flatMap(({ records }) => records)).toEqual(names(0, 3));
    expect(await world.committed()).toBe(3);
  });

  test('stop waits for the invocations in flight and commits what they took', async () => {
    const world = await createWorld();
    await world.send(0, 10);
    const source = world.start({ batchSize: 5 }, () => world.clock.sleep(5_000));
    await world.clock.sleep(1_000);
    expect(await world.committed()).toBe(0);
    await source.stop();
    expect(await world.committed()).toBe(5);
    expect(world.seen).toHaveLength(1);
  });

  test('stop ends retries, splits and waits for a destination, with nothing of them committed', async () => {
    for (const mapping of [{}, { bisectBatchOnFunctionError: true }, { maximumRetryAttempts: 0 }]) {
      const world = await createWorld();
      await world.send(0, 10);
      const source = world.start(
        {
          ...mapping,
          ...('maximumRetryAttempts' in mapping && { onFailure: () => Promise.reject(new Error('gone')) }),
        },
        () => Promise.reject(new Error('never')),
      );
      await world.clock.sleep(100_000);
      await source.stop();
      const { invocations } = source.counts();
      await world.clock.sleep(100_000);
      expect(source.counts()).toMatchObject({ invocations, discardedRecords: 0 });
      expect(await world.committed()).toBe(0);
    }
  });

  test('stop does not send a batch that is still filling', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({ maximumBatchingWindowMs: 60_000 });
    await world.clock.sleep(1_000);
    await source.stop();
    await world.clock.sleep(100_000);
    expect(world.seen).toEqual([]);
    expect(await world.committed()).toBe(0);
  });

  test('drained ends when the source is stopped before', async () => {
    const world = await createWorld();
    await world.send(0, 1);
    const source = world.start({}, () => Promise.reject(new Error('never')));
    const drained = source.drained();
    await world.clock.sleep(1_000);
    await source.stop();
    await drained;
    expect(await source.lag()).toEqual([1]);
  });

  test('knows its lag by partition', async () => {
    const world = await createWorld({ partitions: 2 });
    await world.send(0, 3);
    await world.send(1, 1);
    const source = world.start({ batchSize: 2, pollers: 2 }, (records) =>
      records[0]!.partition === 1 ? Promise.reject(new Error('never')) : null,
    );
    await world.clock.sleep(1_000);
    expect(await source.lag()).toEqual([0, 1]);
    await source.stop();
  });

  test('reports a log that fails from drained and stop, and ends its invocations', async () => {
    const world = await createWorld({ partitions: 2 });
    await world.send(0, 1);
    await world.send(1, 1);
    const broken = new MillraceError('STATE_IN_USE', 'locked');
    const commits = { count: 0 };
    const reader = {
      ...world.log,
      commit: async (...commit: Parameters<typeof world.log.commit>) => {
        if (commits.count++ > 0) throw broken;
        await world.log.commit(...commit);
      },
    };
    const source = world.start(
      { pollers: 2 },
      ([record]) => {
        if (record!.partition === 1) throw new Error('retried for ever, but for the log');
      },
      { reader },
    );
    expect(await codeOf(source.drained())).toBe('STATE_IN_USE');
    expect(await codeOf(source.stop())).toBe('STATE_IN_USE');
    const { invocations } = source.counts();
    await world.clock.sleep(100_000);
    expect(source.counts().invocations).toBe(invocations);
  });

  test('reports a topic that does not exist', async () => {
    const world = await createWorld();
    const source = world.start({}, undefined, { topic: 'missing' });
    expect(await codeOf(source.stop())).toBe('TOPIC_UNKNOWN');
    expect(await codeOf(source.drained())).toBe('TOPIC_UNKNOWN');
  });
});

describe('an event source mapping that Lambda would refuse', () => {
  test.each([
    ['pollers', { pollers: 1 }],
    ['maximumRetryAttempts', { maximumRetryAttempts: 3 }],
    ['maximumRecordAgeMs', { maximumRecordAgeMs: 60_000 }],
    ['bisectBatchOnFunctionError', { bisectBatchOnFunctionError: false }],
    ['reportBatchItemFailures', { reportBatchItemFailures: true }],
  ])('%s in on-demand mode', async (option, mapping) => {
    const world = await createWorld();
    const start = () => world.start({ mode: 'on-demand', ...mapping } as never);
    expect(start).toThrow(expect.objectContaining({ code: 'INPUT_INVALID', details: { option } }));
  });

  test.each([
    ['batchSize', 0],
    ['batchSize', 10_001],
    ['maximumBatchingWindowMs', 300_001],
    ['maximumRetryAttempts', 10_001],
    ['maximumRetryAttempts', -2],
    ['maximumRecordAgeMs', 59_999],
    ['functionTimeoutMs', 840_001],
    ['pollers', 0],
  ])('%s of %d', async (option, value) => {
    const world = await createWorld();
    const start = () => world.start({ [option]: value });
    expect(start).toThrow(expect.objectContaining({ code: 'INPUT_INVALID', details: { option } }));
  });
});
