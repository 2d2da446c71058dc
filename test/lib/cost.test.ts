import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  billOf,
  type Deployment,
  deploymentOf,
  needsOf,
  parsePriceList,
  US_EAST_1,
} from '../../lib/cost/index.ts';
import { effortOf } from '../../lib/cost/rates.ts';
import { renderPages } from '../../scripts/estimate-tables.mjs';
import { captured } from '../fixtures/newsdesk/captured.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { resourcesOf, templatesOf } from './synthesized.ts';
import { CAPTURE, WAREHOUSE } from './variants.ts';

const LOAD = { eventsPerSecond: 50, bytes: 500, eventsPerRequest: 10 };
const prod = deploymentOf(newsdesk, NEWSDESK, 'prod');
const dev = deploymentOf(newsdesk, NEWSDESK, 'dev');

const monthly = (deployment: Deployment, part: string, load = LOAD) =>
  billOf(deployment, load, US_EAST_1).lines.find((line) => line.part === part)?.monthly ?? 0;

test('a deployment counts what the templates hold', () => {
  const resources = resourcesOf(templatesOf('prod'));
  const of = (type: string) => resources.filter(({ Type }) => Type === type);
  expect(prod).toMatchObject({
    brokers: { instanceType: 'express.m7g.large', count: 3, storageGiB: undefined },
    database: { instances: 2, minCapacity: 2, maxCapacity: 32, hasProxy: true },
    keys: of('AWS::KMS::Key').length,
    compositeAlarms: of('AWS::CloudWatch::CompositeAlarm').length,
    metricFilters: of('AWS::Logs::MetricFilter').length,
    topics: [{ name: 'news.pageviews', partitions: 12 }],
    collector: { topics: 1, rate: 2_000 },
  });
  // One that names its metric alone is one; storage-growing is on what is unusual, and counts as three.
  const lone = of('AWS::CloudWatch::Alarm').filter(({ Properties }) => Properties.MetricName);
  const math = of('AWS::CloudWatch::Alarm').flatMap(({ Properties }) => Properties.Metrics ?? []);
  const read = math.filter(({ MetricStat }: { MetricStat?: object }) => MetricStat);
  expect(prod.alarmMetrics).toBe(lone.length + read.length + 2);
  expect(prod.readers).toMatchObject([
    {
      topic: 'news.pageviews',
      batch: { maxRecords: 5_000, windowMs: 500 },
      provisioned: { maximumPollers: 12 },
    },
  ]);
  expect(dev.readers).toMatchObject([{ provisioned: undefined }]);
  expect(dev.brokers).toMatchObject({ storageGiB: 50 });
});

test('a line is its quantity at its price', () => {
  expect(monthly(prod, 'brokers')).toBeCloseTo(3 * 0.408 * 730);
  expect(monthly(dev, 'brokers')).toBeCloseTo(3 * 0.0456 * 730);
  expect(monthly(prod, 'database')).toBeCloseTo(2 * 2 * 0.12 * 730);
  expect(monthly(prod, 'RDS Proxy')).toBeCloseTo(8 * 0.015 * 730);
  expect(monthly(dev, 'RDS Proxy')).toBe(0);
  expect(monthly(prod, 'interface endpoints')).toBeCloseTo(prod.endpoints * 0.01 * 730);
  // Five events a second, a request each ten of them, for 730 hours.
  expect(monthly(prod, 'collector API')).toBeCloseTo(((50 / 10) * 730 * 3_600 * 3.5) / 1e6);
  // A week of 25,000 bytes a second.
  expect(monthly(prod, 'broker storage')).toBeCloseTo(((25_000 * 7 * 86_400) / 1e9) * 0.1);
  expect(monthly(dev, 'broker storage')).toBeCloseTo(150 * 0.1);
  // Those of a consumer, of the collector and its throttling, and of looks at a consumer and at all of them.
  expect(monthly(prod, 'own metrics')).toBeCloseTo((23 + 6 + 1) * 0.3);
});

test('the total is the sum of the lines, and every line costs something', () => {
  for (const deployment of [dev, prod]) {
    const { lines, total } = billOf(deployment, LOAD, US_EAST_1);
    expect(total).toBeCloseTo(lines.reduce((sum, line) => sum + line.monthly, 0));
    for (const line of lines) expect(line.monthly).toBeGreaterThan(0);
  }
});

test('consumers of a poller group share its units, ten pollers each; others pay for one of their own', () => {
  const [reader] = prod.readers;
  const readers = (count: number, group: string | undefined) => ({
    ...prod,
    readers: Array.from({ length: count }, (_, index) => ({
      ...reader!,
      stack: `consumer-${index}`,
      provisioned: { minimumPollers: 2, maximumPollers: 12, group },
    })),
  });
  const unit = 0.185 * 730;
  expect(monthly(readers(5, undefined), 'pollers')).toBeCloseTo(5 * unit);
  expect(monthly(readers(5, 'shared'), 'pollers')).toBeCloseTo(unit);
  expect(monthly(readers(6, 'shared'), 'pollers')).toBeCloseTo(2 * unit);
  expect(monthly(dev, 'pollers')).toBe(0);
  const { savings } = billOf(readers(5, undefined), LOAD, US_EAST_1);
  expect(savings.find(({ what }) => what.startsWith('one poller group'))!.monthly).toBeCloseTo(4 * unit);
  expect(
    billOf(readers(5, 'shared'), LOAD, US_EAST_1).savings.some(({ what }) =>
      what.startsWith('one poller group'),
    ),
  ).toBe(false);
});

test('a probe costs its share of pollers and its alarms, and takes none of the load', () => {
  const environments = { ...newsdesk.environments, prod: { ...newsdesk.environments.prod!, probe: true } };
  const probing = deploymentOf({ ...newsdesk, environments }, NEWSDESK, 'prod');
  expect(probing.readers.map(({ topic, isLoaded }) => [topic, isLoaded])).toEqual([
    ['news.pageviews', true],
    ['millrace.probe', false],
  ]);
  const load = { ...LOAD, eventsPerSecond: 20_000 };
  const told = (deployment: Deployment) =>
    needsOf(deployment, load).map(({ part, needed, set }) => [part, needed, set]);
  expect(told(probing)).toEqual(told(prod));
  for (const part of ['functions', 'database', 'database requests'])
    expect(monthly(probing, part, load)).toBeCloseTo(monthly(prod, part, load));
  // A line a minute says how far its consumer is.
  expect(monthly(probing, 'logs', load) - monthly(prod, 'logs', load)).toBeCloseTo(0.0153, 4);
  expect(monthly(probing, 'alarms')).toBeGreaterThan(monthly(prod, 'alarms'));
});

test('a rebuild costs its function, its queues and a key, and shares the pollers', () => {
  const rebuilding = deploymentOf(newsdesk, NEWSDESK, 'prod', 'editorial-analytics');
  expect(rebuilding.readers.map(({ stack }) => stack)).toEqual([
    'millrace-prod-consumer-editorial-analytics',
    'millrace-prod-consumer-editorial-analytics-g2',
  ]);
  expect(rebuilding.keys).toBe(prod.keys + 1);
  expect(rebuilding.queueMappings).toBe(prod.queueMappings + 1);
  for (const part of ['functions', 'alarms']) {
    expect(monthly(rebuilding, part)).toBeGreaterThan(monthly(prod, part));
  }
});

describe('capture, archives and the warehouse', () => {
  const environments = {
    ...newsdesk.environments,
    prod: { ...newsdesk.environments.prod!, capture: CAPTURE, warehouse: WAREHOUSE },
  };
  const capturing = deploymentOf({ ...captured, environments }, NEWSDESK, 'prod');

  test('are counted from the templates', () => {
    expect(capturing).toMatchObject({
      connectUnits: 1,
      containers: [{ processors: 0.5, memoryGb: 1, hasPublicAddress: true }],
      secrets: 1,
    });
    const readers = capturing.readers.map(({ topic, sink, isLoaded }) => `${topic} ${sink} ${isLoaded}`);
    expect(readers.toSorted()).toEqual([
      'cms.millrace_capture.heartbeat s3 false',
      'cms.public.articles s3 true',
      'news.pageviews postgres true',
      'news.pageviews s3 true',
    ]);
    expect(capturing.topics.map(({ name }) => name)).toEqual(['news.pageviews', 'cms.public.articles']);
    expect(prod).toMatchObject({ connectUnits: 0, containers: [], secrets: 0 });
  });

  test('cost what they are made of', () => {
    expect(monthly(capturing, 'connectors')).toBeCloseTo(0.11 * 730);
    expect(monthly(capturing, 'warehouse runner')).toBeCloseTo((0.5 * 0.03238 + 0.00356) * 730);
    expect(monthly(capturing, 'public addresses')).toBeCloseTo(0.005 * 730);
    expect(monthly(capturing, 'secrets')).toBeCloseTo(0.4);
    // Twelve and six partitions, an object each half minute.
    expect(monthly(capturing, 'archive requests')).toBeCloseTo(((18 / 30) * 730 * 3_600 * 5) / 1e6);
    expect(monthly(capturing, 'archive storage')).toBeCloseTo(((2 * 25_000) / 3 / 1e9) * 730 * 3_600 * 0.023);
    for (const part of ['connectors', 'warehouse runner', 'archive requests', 'secrets'])
      expect(monthly(prod, part)).toBe(0);
  });

  test('write nothing to the database', () => {
    const load = { ...LOAD, eventsPerSecond: 20_000 };
    for (const part of ['database', 'database requests'])
      expect(monthly(capturing, part, load)).toBeCloseTo(monthly(prod, part, load));
  });
});

test('more pollers are paid for when the load needs them, up to the maximum', () => {
  const unit = 0.185 * 730;
  const at = (eventsPerSecond: number) => monthly(prod, 'pollers', { ...LOAD, eventsPerSecond });
  expect(at(50)).toBeCloseTo(unit);
  // 110,000 events of 500 bytes are 55 MB/s: eleven pollers.
  expect(at(110_000)).toBeCloseTo(2 * unit);
  expect(at(1_000_000)).toBeCloseTo(2 * unit);
});

test('a saving is what its change takes off the bill', () => {
  const { savings, total } = billOf(prod, LOAD, US_EAST_1);
  const without = billOf({ ...prod, database: { ...prod.database, hasProxy: false } }, LOAD, US_EAST_1);
  expect(savings.find(({ what }) => what.startsWith('no RDS Proxy'))!.monthly).toBeCloseTo(
    total - without.total,
  );
  expect(savings.map(({ monthly }) => monthly)).toEqual(
    savings.map(({ monthly }) => monthly).toSorted((a, b) => b - a),
  );
});

test('effort grows with the load, and no batch is larger than Lambda takes', () => {
  const reading = fc.record({
    eventsPerSecond: fc.integer({ min: 1, max: 10_000_000 }),
    bytes: fc.integer({ min: 1, max: 1_000_000 }),
    batch: fc.record({
      maxRecords: fc.integer({ min: 1, max: 10_000 }),
      windowMs: fc.constantFrom(0, 500, 1_000, 300_000),
    }),
    memoryMb: fc.integer({ min: 128, max: 10_240 }),
  });
  fc.assert(
    fc.property(reading, (some) => {
      const effort = effortOf(some);
      expect(effort.pollers * 5_000_000).toBeGreaterThanOrEqual(some.eventsPerSecond * some.bytes);
      expect(effort.functions).toBeLessThanOrEqual(effort.pollers * 5);
      expect(effort.recordsPerBatch).toBeGreaterThanOrEqual(1);
      expect(effort.recordsPerBatch).toBeLessThanOrEqual(some.batch.maxRecords);
      if (effort.recordsPerBatch > 1)
        expect((effort.recordsPerBatch * some.bytes * 4) / 3).toBeLessThanOrEqual(6_000_000);
      expect(effort.recordsPerBatch * effort.batchesPerSecond).toBeCloseTo(some.eventsPerSecond, 3);
      const more = effortOf({ ...some, eventsPerSecond: some.eventsPerSecond * 2 });
      expect(more.pollers).toBeGreaterThanOrEqual(effort.pollers);
      expect(more.databaseProcessors).toBeGreaterThanOrEqual(effort.databaseProcessors * 0.999);
    }),
  );
});

test.each([
  [100, 'partitions'],
  // 2,000 requests a second of ten events are the collector's rate.
  [30_000, 'collector'],
])('at %d events a second the part that gives first in prod is: %s', (eventsPerSecond, part) => {
  const [first, ...others] = needsOf(prod, { ...LOAD, eventsPerSecond });
  expect(first!.part).toBe(part);
  const full = [first!, ...others].map(({ needed, set, most }) => needed / (set ?? most ?? Infinity));
  expect(full).toEqual(full.toSorted((a, b) => b - a));
});

test('a need of a part is held against its setting, or else against the limit that AWS names', () => {
  const needs = needsOf({ ...prod, collector: undefined }, { ...LOAD, eventsPerSecond: 1_000_000 });
  const of = (part: string) => needs.find((need) => need.part === part)!;
  expect(of('broker ingress')).toMatchObject({ needed: 500, set: 3 * 15.6, most: 30_000 });
  expect(of('pollers')).toMatchObject({ needed: 100, set: 12, most: 2_000 });
  expect(of('database')).toMatchObject({ set: 8, most: 64 });
  expect(of('commits')).toMatchObject({ set: undefined, most: undefined });
  expect(needs.some(({ part }) => part === 'collector')).toBe(false);
  for (const { change, source } of needs) {
    expect(change).not.toBe('');
    expect(source).toMatch(/^(https:|npm run bench)/);
  }
});

test('a price list can be printed, corrected and read again', () => {
  const text = JSON.stringify(US_EAST_1);
  expect(parsePriceList(text)).toEqual(US_EAST_1);
  expect(() => parsePriceList('{')).toThrow(SyntaxError);
  const { region: _, ...headless } = US_EAST_1;
  expect(() => parsePriceList(JSON.stringify(headless))).toThrow('region is missing');
  const { key: __, ...prices } = US_EAST_1.prices;
  expect(() => parsePriceList(JSON.stringify({ ...US_EAST_1, prices }))).toThrow('prices.key.usd is missing');
  expect(() => parsePriceList(JSON.stringify({ ...US_EAST_1, brokerHour: { a: '1' } }))).toThrow(
    'brokerHour["a"]',
  );
  expect(() => parsePriceList(JSON.stringify({ ...US_EAST_1, brokerHour: {} }))).toThrow(
    'brokerHour is missing',
  );
});

test('a broker without a price is refused by name', () => {
  const { 'express.m7g.large': _, ...brokerHour } = US_EAST_1.brokerHour;
  expect(() => billOf(prod, LOAD, { ...US_EAST_1, brokerHour })).toThrow('has no broker express.m7g.large');
});

test('the tables and the curve in docs are what the model says', () => {
  for (const [path, text] of Object.entries(renderPages(newsdesk, NEWSDESK))) {
    const page = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    // Otherwise: node scripts/estimate-tables.mjs
    expect(page).toBe(text);
  }
});
