/** The exporter as a process of its own, at a cluster that is down. */
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { parseExposition } from '../runtime/prometheus/parse-exposition.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { start, until } from './millrace.ts';

jest.setTimeout(60_000);

test('a cluster that is down at the start is UNKNOWN, and the exporter goes on', async () => {
  const temporary = createTemporaryFolder();
  // Nothing listens on port 1.
  const child = start([
    'exporter',
    '--kafka',
    '127.0.0.1:1',
    '--listen',
    '127.0.0.1:0',
    '--interval',
    '1',
    '--state',
    join(temporary.path, 's'),
  ]);
  let said = '';
  for (const output of [child.stdout!, child.stderr!]) {
    output.setEncoding('utf8').on('data', (text) => {
      said += text;
    });
  }
  try {
    await until(async () => /No sample: .*127\.0\.0\.1:1/.test(said) && said.includes('/metrics'));
    const url = /http:\S+(?=\/metrics)/.exec(said)![0];
    const scrape = async () =>
      parseExposition(await (await fetch(`${url}/metrics`)).text(), 'text').flatMap(({ samples }) => samples);
    await until(async () =>
      (await scrape()).some(({ labels, value }) => labels.verdict === 'UNKNOWN' && value === 1),
    );
    const [unknown] = (await scrape()).filter(({ labels }) => labels.verdict === 'UNKNOWN');
    expect(unknown!.labels).toMatchObject({ cluster_name: '127.0.0.1:1', consumer: 'editorial-analytics' });
    expect((await fetch(`${url}/healthz`)).status).toBe(503);
    expect(child.exitCode).toBeNull();
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    temporary.remove();
  }
});
