/** A process with a consumer whose handler leaves errors behind; prints what became of its batches. Run by consumer-handler.test.ts. */
import { EventEmitter } from 'node:events';
import type { Context } from 'aws-lambda';
import { consumerHandler } from '../../../adapters/lambda/consumer-handler.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';
import { systemRandom } from '../../../adapters/system/system-random.ts';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { createEngine } from '../../../runtime/delivery/engine.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { eventRecord, eventRegistry, events } from '../../runtime/events.ts';

const ESCAPES: Readonly<Record<string, () => void>> = {
  rejection: () => void Promise.reject(new TypeError('a payload')),
  'late rejection': () => void turn().then(() => Promise.reject(new TypeError('a payload'))),
  timer: () => {
    setTimeout(() => {
      throw new TypeError('a payload');
    });
  },
  event: () => {
    setImmediate(() => new EventEmitter().emit('error', new TypeError('a payload')));
  },
  text: () => void Promise.reject('a payload'),
};
const turn = () => new Promise((resolve) => setImmediate(resolve));
const letters: DeadLetter[] = [];
const lines: unknown[] = [];
const log = (message: string, fields = {}) => void lines.push([message, Object.keys(fields)]);
const logger = { debug: log, info: log, warn: log, error: log, addContext() {} };
const metrics = { report() {}, reportRedrive() {} };
// As Lambda's runtime does.
for (const event of ['unhandledRejection', 'uncaughtException']) process.on(event, () => process.exit(129));

const leaveBehind = ESCAPES[process.argv[2]!]!;
const isAwaited = process.argv[3] === 'while running';
const consumer = defineConsumer({
  name: 'tested',
  topic: events,
  sink: 'postgres',
  retry: { attempts: 2, baseMs: 1, maxMs: 1 },
  async handle(records) {
    if (records.some(({ offset }) => offset === 1)) leaveBehind();
    if (isAwaited) for (let turns = 0; turns < 10; turns++) await new Promise((next) => setTimeout(next, 1));
  },
});
const engine = createEngine(consumer, {
  clock: systemClock,
  random: systemRandom,
  registry: eventRegistry,
  sink: new MemorySink(),
  deadLetters: { put: async (put) => void letters.push(...put) },
  log: logger,
  metrics,
});
const objects = createMemoryObjects({ clock: systemClock });
const handler = consumerHandler({ engine, logger, metrics, objects, partialResponses: true });
const endsAt = Date.now() + 60_000;
const context = {
  awsRequestId: 'r',
  functionName: 'f',
  functionVersion: '1',
  getRemainingTimeInMillis: () => endsAt - Date.now(),
} as Context;
const response = await handler(encodeKafkaEvent([0, 1, 2].map((offset) => eventRecord(0, offset))), context);
const failed = letters.map(({ record, failure }) => [record.offset, failure.code]);
process.stdout.write(JSON.stringify({ response, failed, lines }));
// Between invocations the runtime listens again.
if (process.argv[4] === 'then outside') setTimeout(() => void Promise.reject(new Error('outside')));
