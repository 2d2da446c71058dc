/** Prometheus scrapes the exporter on a real Kafka: its alerts fire there, and are over when the cause is. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Admin, Producer } from '@platformatic/kafka';
import { freePort, Processes } from '../../local/parts/processes.ts';
import { ruleFile } from '../../runtime/prometheus/rule-files.ts';
import { start } from '../cli/millrace.ts';
import { CONSUMERS, TEXTS } from '../runtime/prometheus/rule-cases.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';
import { patiently } from './patiently.ts';

jest.setTimeout(180_000);

const brokers = [part('MILLRACE_TEST_KAFKA')];
const [prometheus, promtool] = part('MILLRACE_TEST_PROMETHEUS').split(',') as [string, string];
/** The rules have thresholds of their own for a consumer of this name: 500 and 5,000. */
const GROUP = 'payments';
const ODD_GROUP = 'odd "group"\\ with \n everything';
const TOPIC = 'scraped.payments';

const { path: folder, remove } = createTemporaryFolder();
const processes = new Processes(folder);
let admin: Admin;
let producer: Producer<Buffer, Buffer, Buffer, Buffer>;
let exporter: ReturnType<typeof start>;
let exporterUrl: string;
let prometheusUrl: string;
let said = '';

beforeAll(async () => {
  admin = new Admin({ clientId: 'verify', bootstrapBrokers: brokers });
  producer = new Producer({ clientId: 'verify', bootstrapBrokers: brokers, retries: 20 });
  await admin.createTopics({ topics: [{ topic: TOPIC, partitions: 3, replicas: 1 }] });
  await append(0, 700);
  await commit(GROUP, [0, 0, 0]);
  await commit(ODD_GROUP, [700, 0, 0]);

  const port = await freePort();
  exporter = start(
    [
      'exporter',
      '--kafka',
      brokers[0]!,
      '--listen',
      `127.0.0.1:${port}`,
      '--interval',
      '1',
      '--cluster',
      'verify',
    ].concat(['--group', '^payments$', '--group', '^odd']),
    folder,
  );
  for (const output of [exporter.stdout!, exporter.stderr!]) {
    output.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  exporterUrl = `http://127.0.0.1:${port}`;

  // Minutes become seconds, so that nobody waits for them.
  const rules = ruleFile(CONSUMERS, TEXTS).replaceAll(/for: "(\d+)m"/g, 'for: "2s"');
  writeFileSync(join(folder, 'rules.yml'), rules);
  writeFileSync(
    join(folder, 'prometheus.yml'),
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yml]
scrape_configs: [{ job_name: millrace, static_configs: [{ targets: ["127.0.0.1:${port}"] }] }]
`,
  );
  const address = `127.0.0.1:${await freePort()}`;
  prometheusUrl = `http://${address}`;
  const files = [
    '--config.file',
    join(folder, 'prometheus.yml'),
    '--storage.tsdb.path',
    join(folder, 'data'),
  ];
  const child = processes.start('prometheus', prometheus, [...files, '--web.listen-address', address]);
  await child.untilAnswers(async () => {
    const response = await fetch(`${prometheusUrl}/-/ready`);
    if (!response.ok) throw new Error('it is not ready');
  });
});
afterAll(async () => {
  exporter?.kill('SIGKILL');
  await processes.endAll();
  await Promise.all([admin?.close(), producer?.close()]);
  remove();
});

async function append(partition: number, records: number): Promise<void> {
  const messages = Array.from({ length: records }, () => ({
    topic: TOPIC,
    partition,
    value: Buffer.from('x'),
  }));
  await patiently(() => producer.send({ acks: -1, messages }));
}

async function commit(group: string, offsets: readonly number[]): Promise<void> {
  const partitionOffsets = offsets.map((offset, partition) => ({ partition, offset: BigInt(offset) }));
  await patiently(() =>
    admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: TOPIC, partitionOffsets }] }),
  );
}

// biome-ignore lint/suspicious/noExplicitAny: an answer is any JSON.
async function ask(path: string): Promise<any> {
  const response = await fetch(`${prometheusUrl}/api/v1/${path}`);
  // biome-ignore lint/suspicious/noExplicitAny: an answer is any JSON.
  return ((await response.json()) as any).data;
}

async function query(
  expr: string,
): Promise<readonly { metric: Record<string, string>; value: [number, string] }[]> {
  return (await ask(`query?query=${encodeURIComponent(expr)}`)).result;
}

async function firing(
  alert: string,
): Promise<readonly { labels: Record<string, string>; annotations: Record<string, string> }[]> {
  const { alerts } = await ask('alerts');
  return alerts.filter(
    ({ labels, state }: { labels: Record<string, string>; state: string }) =>
      labels.alertname === alert && state === 'firing',
  );
}

/** The test's own timeout is the bound. */
async function until<Found>(look: () => Promise<Found>, isIt: (found: Found) => boolean): Promise<Found> {
  for (;;) {
    const found = await look();
    if (isIt(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

test('Prometheus takes what the exporter says, with its types and units', async () => {
  await until(
    () => query('millrace_group_lag'),
    (found) => found.length === 2,
  );
  const { activeTargets } = await ask('targets');
  expect(
    activeTargets.map(({ health, lastError }: { health: string; lastError: string }) => [health, lastError]),
  ).toEqual([['up', '']]);
  const metadata = await ask('metadata');
  expect(metadata.millrace_group_record_age_seconds).toEqual([
    expect.objectContaining({
      type: 'gauge',
      unit: 'seconds',
      help: expect.stringMatching(/^How old the next unread/),
    }),
  ]);
  const lags = await query('kafka_consumergroup_group_lag{partition="0"}');
  expect(
    lags.map(({ metric, value }) => [metric.cluster_name, metric.group, metric.topic, value[1]]).toSorted(),
  ).toEqual([
    ['verify', ODD_GROUP, TOPIC, '0'],
    ['verify', GROUP, TOPIC, '700'],
  ]);
  const [age] = await query(`kafka_consumergroup_group_lag_seconds{group="${GROUP}",partition="0"}`);
  expect(Number(age!.value[1])).toBeGreaterThan(0);
  expect((await fetch(`${exporterUrl}/healthz`)).status).toBe(200);
});

test('promtool finds nothing to correct in the text format', async () => {
  const text = await (await fetch(`${exporterUrl}/metrics`)).text();
  expect(text).toContain('millrace_group_verdict');
  const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  expect(`${stdout}${stderr}`).toBe('');
  expect(status).toBe(0);
});

test('a group that is behind by its own threshold has its alert, and none once it has caught up', async () => {
  const [alert] = await until(
    () => firing('MillraceLagWarning'),
    ({ length }) => length > 0,
  );
  expect(alert!.labels).toEqual({
    alertname: 'MillraceLagWarning',
    cluster_name: 'verify',
    consumer: GROUP,
    group: GROUP,
    topic: TOPIC,
    severity: 'warning',
    scope: 'consumer',
  });
  expect(alert!.annotations.description).toContain('First: npx millrace status --env prod');
  expect(await firing('MillraceLagIncident')).toEqual([]);
  await commit(GROUP, [700, 0, 0]);
  await until(
    () => firing('MillraceLagWarning'),
    ({ length }) => length === 0,
  );
});

test('records that are deleted unread are an incident at once, which the counter goes on to tell', async () => {
  await append(1, 50);
  await admin.deleteRecords({ topics: [{ name: TOPIC, partitions: [{ partition: 1, offset: 40n }] }] });
  const [alert] = await until(
    () => firing('MillraceDataLost'),
    (found) => found.some(({ labels }) => labels.group === GROUP),
  );
  expect(alert!.labels).toMatchObject({ severity: 'incident', topic: TOPIC });
  await commit(GROUP, [700, 50, 0]);
  await until(
    () => query(`millrace_group_verdict{verdict="LOST",group="${GROUP}"} == 0`),
    ({ length }) => length === 1,
  );
  const [lost] = await query(`millrace_group_offsets_lost_total{group="${GROUP}"}`);
  expect(lost!.value[1]).toBe('40');
  expect((await firing('MillraceDataLost')).some(({ labels }) => labels.group === GROUP)).toBe(true);
});

test('Ctrl-C ends the exporter, which has said what it serves where, and then its absence is an incident', async () => {
  const ended = new Promise((resolve) => exporter.once('exit', resolve));
  exporter.kill('SIGINT');
  expect(await ended).toBe(0);
  expect(said).toContain(`${exporterUrl}/metrics`);
  expect(said).toContain('Sampling 2 groups every 1 s.');
  await until(
    () => firing('MillraceExporterStale'),
    ({ length }) => length > 0,
  );
});
