/** Functions in their threads, on an embedded sink in its own: whatever a handler does, this thread goes on. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { ledgerMigrations } from '../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { openEmbeddedSink } from '../../local/embedded-sink.ts';
import { createFunction } from '../../local/event-source/function.ts';
import { type FunctionThreads, startFunctionThreads } from '../../local/function-threads.ts';
import type { LocalSink } from '../../local/sinks.ts';
import { openStateFolder } from '../../local/state-folder.ts';
import type { OutgoingMessage } from '../../runtime/dead-letters/queue.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../testing/memory-objects.ts';
import { placeSink } from '../prepared-pglite.ts';
import { eventRecord, eventRegistry } from '../runtime/events.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { consumers } from './rogue-consumers.ts';

// Threads and a PostgreSQL are started, and a function runs into its timeout.
jest.setTimeout(120_000);

const temporary = createTemporaryFolder();
const lines: string[] = [];
const line = (message: string, fields = {}) => void lines.push(JSON.stringify([message, fields]));
const log = { debug: line, info: line, warn: line, error: line };
const letters: OutgoingMessage[] = [];
const started: FunctionThreads[] = [];
let sink: LocalSink;

beforeAll(async () => {
  placeSink(temporary.path);
  sink = await openEmbeddedSink(openStateFolder(temporary.path), log);
  await migrate(sink.driver, 'millrace', ledgerMigrations);
  await migrate(sink.driver, 'rogues', [{ name: '1', sql: 'CREATE TABLE seen (consumer text, id text)' }]);
});
afterAll(async () => {
  for (const threads of started) await threads.stop();
  await sink.close();
  temporary.remove();
});

const seen = async (consumer: string) =>
  (await sink.query(`select id from seen where consumer = '${consumer}' order by id`)).rows.flat();

/** The function as the event source has it. */
function start(name: string, timeoutMs = 60_000) {
  const consumer = consumers.find((each) => each.name === name)!;
  const threads = startFunctionThreads({
    consumer,
    module: new URL('rogue-consumers.ts', import.meta.url),
    sink,
    deadLetters: { send: async (messages) => void letters.push(...messages) },
    objects: createMemoryObjects({ clock: createFakeClock() }),
    archive: createMemoryObjects({ clock: createFakeClock() }),
    producer: { send: () => Promise.reject(new Error('not asked for')) },
    registry: eventRegistry,
    faults: {},
    random: createSeededRandom(1),
    log,
    onReport: () => {},
    partialResponses: true,
  });
  started.push(threads);
  const fn = createFunction({ name, handler: threads.invoke, timeoutMs, clock: systemClock });
  return {
    threads,
    deliver: (...offsets: readonly number[]) =>
      fn.invoke(encodeKafkaEvent(offsets.map((offset) => eventRecord(0, offset))), 'request'),
  };
}

const SETTLED = { batchItemFailures: [] };

test('a batch is decoded, handled and committed in other threads, and once', async () => {
  const { deliver } = start('sound');
  expect(await deliver(0, 1)).toEqual(SETTLED);
  expect(await deliver(0, 1, 2)).toEqual(SETTLED);
  expect(await seen('sound')).toEqual(['0/0', '0/1', '0/2']);
});

test('an endless loop is seen from outside, ended at its timeout and rolled back; the next invocation gets a new thread', async () => {
  const { threads, deliver } = start('loops', 10_000);
  expect(await deliver(0)).toEqual(SETTLED);
  const looping = deliver(1);
  looping.catch(() => {});
  while (threads.handlingSince().length === 0) await systemClock.sleep(10);
  await expect(looping).rejects.toMatchObject({
    code: 'HANDLER_TIMEOUT',
    message: expect.stringContaining('loops'),
  });
  expect(await seen('loops')).toEqual(['0/0']);
  expect(await deliver(2)).toEqual(SETTLED);
  expect(await seen('loops')).toEqual(['0/0', '0/2']);
});

test.each([
  ['exits', /exits .*process\.exit\(0\)/],
  ['hoards', /hoards .*128 MB/],
])('a handler that %s fails its invocation by name, and the next one is served', async (name, message) => {
  const { deliver } = start(name);
  await expect(deliver(1)).rejects.toMatchObject({
    code: 'FUNCTION_EXITED',
    message: expect.stringMatching(message),
  });
  expect(await deliver(2)).toEqual(SETTLED);
  expect(await seen(name)).toEqual(['0/2']);
});

test('a promise without await that rejects is its record’s dead letter; only the laptop’s own field has its words', async () => {
  const { deliver } = start('floats');
  letters.length = 0;
  expect(await deliver(0, 1, 2)).toEqual(SETTLED);
  expect(letters).toHaveLength(1);
  expect(await seen('floats')).toEqual(['0/0', '0/2']);
  const told = lines.join();
  expect(told).toContain('"errorMessage":"a payload"');
  expect(told.replaceAll('"errorMessage":"a payload"', '')).not.toContain('a payload');
});

test('a statement without an end is ended with its transaction; what was committed is there', async () => {
  const { deliver } = start('asks-for-ever', 12_000);
  expect(await deliver(0)).toEqual(SETTLED);
  await expect(deliver(1)).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
  expect(await seen('asks-for-ever')).toEqual(['0/0']);
  expect(lines.join()).toMatch(/PostgreSQL was stopped and restarts/);
});

test('a query has an end, by its time or by whoever asked, and consumers go on', async () => {
  const endless = 'select count(*) from generate_series(1, 100000000000)';
  await expect(sink.query(endless, { timeoutMs: 500 })).rejects.toThrow(
    /did not end within 0.5 s.*--timeout/,
  );
  const asked = new AbortController();
  const query = sink.query(endless, { signal: asked.signal });
  asked.abort();
  await expect(query).rejects.toThrow(/cancelled/);
  const { deliver } = start('sound');
  expect(await deliver(3)).toEqual(SETTLED);
  expect(await seen('sound')).toContain('0/3');
});
