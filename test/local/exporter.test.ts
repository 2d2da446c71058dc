import { afterEach, expect, test } from '@jest/globals';
import { type Exporter, type ExporterOptions, serveExporter } from '../../local/exporter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsumerSample, LagSource, WatchedConsumer } from '../../runtime/lag/sample.ts';
import { createFakeClock, type FakeClock } from '../../testing/fake-clock.ts';
import { parseExposition } from '../runtime/prometheus/parse-exposition.ts';

const WATCHED: WatchedConsumer = {
  consumer: 'orders',
  group: 'orders',
  topic: 'shop.orders',
  warning: 10_000,
  incident: 100_000,
  windowMs: 500,
  startingPosition: 'TRIM_HORIZON',
};

function sampleAt(at: number, committed: number, end: number): ConsumerSample {
  return {
    consumer: 'orders',
    at,
    partitions: [{ partition: 0, committed, start: 0, end, nextAt: committed < end ? at - 5_000 : null }],
    retentionMs: 'forever',
    deadLetters: null,
    runner: { isRunning: true, who: 'a test' },
  };
}

const exporters: Exporter[] = [];
afterEach(() => Promise.all(exporters.splice(0).map((exporter) => exporter.close())));

async function serve(
  source: LagSource,
  clock: FakeClock,
  more: Partial<ExporterOptions> = {},
): Promise<string> {
  const exporter = await serveExporter({
    source,
    consumers: async () => [WATCHED],
    clock,
    host: '127.0.0.1',
    port: 0,
    intervalMs: 15_000,
    cluster: () => 'test',
    partitions: true,
    version: '1.2.3',
    ...more,
  });
  exporters.push(exporter);
  return exporter.url;
}

async function scrape(url: string, accept = 'application/openmetrics-text') {
  const response = await fetch(`${url}/metrics`, { headers: { Accept: accept } });
  const families = parseExposition(await response.text(), accept === '*/*' ? 'text' : 'openmetrics');
  const valuesOf = (name: string) =>
    families.find((family) => family.name === name)?.samples.map(({ value }) => value);
  return { response, valuesOf };
}

test('a scrape gives the last sample with its age, in the format that is asked for', async () => {
  const clock = createFakeClock();
  const url = await serve({ sample: async () => [sampleAt(clock.now(), 70, 100)] }, clock);
  await clock.advance(4_000);
  const { response, valuesOf } = await scrape(url);
  expect(response.headers.get('content-type')).toBe(
    'application/openmetrics-text; version=1.0.0; charset=utf-8',
  );
  expect(valuesOf('millrace_group_lag')).toEqual([30]);
  expect(valuesOf('millrace_exporter_sample_age_seconds')).toEqual([4]);
  const older = await scrape(url, '*/*');
  expect(older.response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  expect(older.valuesOf('millrace_group_lag')).toEqual([30]);
});

test('a scrape waits for no sample: while one hangs, the one before is served until it is stale', async () => {
  const clock = createFakeClock();
  const hanging = Promise.withResolvers<readonly ConsumerSample[]>();
  let looks = 0;
  const url = await serve(
    { sample: () => (looks++ === 0 ? Promise.resolve([sampleAt(clock.now(), 0, 7)]) : hanging.promise) },
    clock,
  );
  await clock.advance(20_000);
  expect(looks).toBe(2);
  expect((await scrape(url)).valuesOf('millrace_group_lag')).toEqual([7]);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  await clock.advance(41_000);
  expect((await scrape(url)).valuesOf('millrace_exporter_sample_age_seconds')).toEqual([61]);
  const stale = await fetch(`${url}/healthz`);
  expect(stale.status).toBe(503);
  expect(await stale.text()).toBe('stale: the last sample is 61 s old\n');
  hanging.resolve([sampleAt(clock.now(), 7, 7)]);
});

test('before the first sample nothing is known, and nothing is said to be 0', async () => {
  const clock = createFakeClock();
  const never = Promise.withResolvers<readonly ConsumerSample[]>();
  const url = await serve({ sample: () => never.promise }, clock);
  const { valuesOf } = await scrape(url);
  expect(valuesOf('millrace_group_lag')).toBeUndefined();
  expect(valuesOf('millrace_exporter_last_success_timestamp_seconds')).toBeUndefined();
  expect((await fetch(`${url}/healthz`)).status).toBe(503);
  expect(await (await fetch(url)).text()).toContain('No sample yet.');
  never.resolve([]);
});

test('a cluster that does not answer makes consumers UNKNOWN, counts as a failure, and is told once', async () => {
  const clock = createFakeClock();
  let isDown = false;
  const changes: unknown[] = [];
  const url = await serve(
    {
      async sample() {
        if (isDown) throw new MillraceError('KAFKA_UNAVAILABLE', 'Kafka does not answer.');
        return [sampleAt(clock.now(), 0, 7)];
      },
    },
    clock,
    { onChange: (change) => changes.push('failure' in change ? (change.failure as Error).message : change) },
  );
  await clock.advance(1);
  isDown = true;
  await clock.advance(45_000);
  const { valuesOf } = await scrape(url);
  expect(valuesOf('millrace_group_lag')).toBeUndefined();
  expect(valuesOf('millrace_exporter_samples')).toEqual([1, 3]);
  expect(valuesOf('millrace_exporter_last_success_timestamp_seconds')).toEqual([
    Date.UTC(2026, 0, 1) / 1_000,
  ]);
  isDown = false;
  await clock.advance(15_000);
  expect((await scrape(url)).valuesOf('millrace_exporter_samples')).toEqual([2, 3]);
  expect(changes).toEqual([{ sampled: 1 }, 'Kafka does not answer.', { sampled: 1 }]);
});

test('what is no scrape has a short answer', async () => {
  const clock = createFakeClock();
  const url = await serve({ sample: async () => [] }, clock, { consumers: async () => [] });
  expect((await fetch(`${url}/other`)).status).toBe(404);
  const posted = await fetch(`${url}/metrics`, { method: 'POST', body: 'x' });
  expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  const head = await fetch(`${url}/metrics?name=x`, { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
});

test('a port that is taken is refused with what to do', async () => {
  const clock = createFakeClock();
  const url = await serve({ sample: async () => [] }, clock);
  const port = Number(new URL(url).port);
  await expect(serve({ sample: async () => [] }, clock, { port })).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: `Port ${port} of 127.0.0.1 is in use. Choose another with --listen, or port 0 for any free one.`,
  });
  await expect(serve({ sample: async () => [] }, clock, { host: '203.0.113.1' })).rejects.toThrow(
    /Give an address of this machine with --listen/,
  );
});

test('a sample of before the clock was set back is not new for ever', async () => {
  const clock = createFakeClock();
  let backMs = 0;
  let isDown = false;
  const now = () => clock.now() - backMs;
  const source: LagSource = {
    async sample() {
      if (isDown) throw new MillraceError('KAFKA_UNAVAILABLE', 'Kafka does not answer.');
      return [sampleAt(now(), 0, 7)];
    },
  };
  const url = await serve(source, { ...clock, now });
  await clock.advance(1_000);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  backMs = 3_600_000;
  isDown = true;
  await clock.advance(15_000);
  expect((await fetch(`${url}/healthz`)).status).toBe(503);
  expect((await scrape(url)).valuesOf('millrace_exporter_last_success_timestamp_seconds')).toBeUndefined();
});
