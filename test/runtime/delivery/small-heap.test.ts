/** What a crafted batch may need of memory: a function that runs out of it would get the same batch again, for ever. */
import { spawnSync } from 'node:child_process';
import { expect, test } from '@jest/globals';

const CRAFTED = `
  import { deflateSync } from 'node:zlib';
  import { MemorySink } from './testing/memory-sink.ts';
  import { systemClock } from './adapters/system/system-clock.ts';
  import { systemRandom } from './adapters/system/system-random.ts';
  import { defineConsumer } from './runtime/delivery/consumer.ts';
  import { createEngine } from './runtime/delivery/engine.ts';
  import { settleKafkaEvent } from './runtime/lambda/kafka-batch.ts';
  import { encodeKafkaEvent } from './runtime/lambda/kafka-event.ts';
  import { EVENT_SCHEMA_ID, eventRecord, eventRegistry, events } from './test/runtime/events.ts';

  // A string, as Avro has it: its length, zigzag and seven bits a byte, and its bytes.
  const avro = (length) => {
    const prefix = [];
    for (let n = length * 2; ; n = Math.floor(n / 128)) {
      prefix.push(n < 128 ? n : (n % 128) + 128);
      if (n < 128) break;
    }
    return Buffer.concat([Buffer.from(prefix), Buffer.alloc(length, 'x')]);
  };
  const framed = (body) =>
    Buffer.concat([Buffer.from('0305' + EVENT_SCHEMA_ID.replaceAll('-', ''), 'hex'), deflateSync(body)]);
  const [fits, tooLarge] = [framed(avro(1_000_000)), framed(avro(16_000_000))];
  const records = Array.from({ length: 400 }, (_, offset) =>
    eventRecord(0, offset, { value: offset % 2 ? fits : tooLarge }),
  );
  let handled = 0;
  const codes = new Map();
  const engine = createEngine(
    defineConsumer({ name: 'small', topic: events, sink: 'postgres', handle: async ({ length }) => void (handled += length) }),
    {
      clock: systemClock,
      random: systemRandom,
      registry: eventRegistry,
      sink: new MemorySink(),
      deadLetters: {
        put: async (letters) => letters.forEach(({ failure }) => codes.set(failure.code, (codes.get(failure.code) ?? 0) + 1)),
      },
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { report() {}, reportRedrive() {} },
    },
  );
  const answer = await settleKafkaEvent(encodeKafkaEvent(records), engine, {
    requestId: 'r', functionName: 'f', functionVersion: '1', remainingMs: () => 60_000, partialResponses: false,
  });
  console.log(JSON.stringify({ ...answer, handled, codes: Object.fromEntries(codes) }));
`;

test('a batch that inflates to gigabytes is settled with a heap of 96 MB', () => {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--max-old-space-size=96', '--input-type=module-typescript', '--eval', CRAFTED],
    {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
      cwd: new URL('../../..', import.meta.url),
    },
  );
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({
    batchItemFailures: [],
    handled: 200,
    codes: { FRAME_BODY_TOO_LARGE: 200 },
  });
}, 180_000);
