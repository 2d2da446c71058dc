/** Glue does not answer, and the function was told the versions of its contract when it was deployed. */
import { expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { createGlueSchemaRegistry } from '../../../adapters/aws/glue-schema-registry.ts';
import { consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { type KnownVersion, withKnownVersions } from '../../../runtime/contract/known-versions.ts';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import { createEngine } from '../../../runtime/delivery/engine.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { EVENT_SCHEMA_ID, eventRecord, events } from '../../runtime/events.ts';
import { glueError } from '../aws/fake-glue.ts';

/** What becomes of two records of version 1. */
async function deliver(known: readonly KnownVersion[]) {
  const clock = createFakeClock({ autoAdvance: true });
  const applied: string[] = [];
  const errors: unknown[] = [];
  let calls = 0;
  const down = {
    send: () => {
      calls += 1;
      return Promise.reject(glueError('TimeoutError'));
    },
  } as never;
  const consumer = defineConsumer({
    name: 'tested',
    topic: events,
    sink: 'postgres',
    handle: async (records) => void applied.push(...records.map(({ value }) => value!.id)),
  });
  const log = () => {};
  const logger = {
    debug: log,
    info: log,
    warn: log,
    error: (_: string, fields: { code?: unknown } = {}) => void errors.push(fields.code),
    addContext() {},
  };
  const metrics = { report() {}, reportRedrive() {} };
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: withKnownVersions(
      createGlueSchemaRegistry({ client: down, registryName: 'millrace-dev' }),
      [events],
      known,
    ),
    sink: new MemorySink(),
    deadLetters: { put: () => Promise.reject(new Error('no record of these is bad')) },
    log: logger,
    metrics,
  });
  const objects = createMemoryObjects({ clock });
  const handler = consumerHandler({ engine, logger, metrics, objects, partialResponses: true });
  const endsAt = clock.now() + 60_000;
  const context = {
    awsRequestId: 'r',
    functionName: 'f',
    functionVersion: '1',
    getRemainingTimeInMillis: () => endsAt - clock.now(),
  } as Context;
  const answer = await handler(encodeKafkaEvent([eventRecord(0, 0), eventRecord(0, 1)]), context).catch(
    (error) => error.code,
  );
  return { answer, applied, calls };
}

test('records of a version that was there at deployment are applied, and Glue is not asked', async () => {
  const known = [{ topic: events.name, version: 1, id: EVENT_SCHEMA_ID }];
  expect(await deliver(known)).toEqual({
    answer: { batchItemFailures: [] },
    applied: ['0/0', '0/1'],
    calls: 0,
  });
});

test('records of any other version hold the line until Glue answers', async () => {
  const { answer, applied, calls } = await deliver([]);
  expect(applied).toEqual([]);
  // No record is settled: Lambda delivers the whole batch again.
  expect(answer).toBe('BATCH_INCOMPLETE');
  expect(calls).toBeGreaterThan(0);
});
