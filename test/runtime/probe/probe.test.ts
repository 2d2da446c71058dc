import { expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { judgeProbe } from '../../../runtime/doctor/probe-checks.ts';
import { probes } from '../../../runtime/probe/pipeline.ts';
import { runProbe } from '../../../runtime/probe/probe.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../testing/memory-log.ts';
import { codeOf } from '../../rejection.ts';

const PROBE_ID = '0b0c2f6e-6c0a-4b0e-8f5a-000000000001';

/** A sink that has seen nothing for some looks, and then what is given. */
async function probing(
  looks: readonly (readonly unknown[] | Error)[],
  { hasTopic = true, patienceMs = 1_000 } = {},
) {
  const clock = createFakeClock({ startsAt: 1_000 });
  const log = createMemoryLog({ clock });
  if (hasTopic) await log.createTopic(probes.name, 1);
  const asked: string[] = [];
  const result = runProbe({
    registry: createContractSchemaRegistry([probes]),
    producer: log,
    // Time passes as somebody waits.
    clock: { now: () => clock.now(), sleep: (ms) => clock.advance(ms) },
    probeId: PROBE_ID,
    read: async (sql) => {
      asked.push(sql);
      const look = looks[Math.min(asked.length, looks.length) - 1]!;
      if (look instanceof Error) throw look;
      return look;
    },
    patienceMs,
  });
  return { result, asked, log };
}

test('a record is followed from the topic to the ledger and the sink, with the time of each', async () => {
  const { result, asked, log } = await probing([
    [false, false],
    [false, false],
    [true, true],
  ]);
  expect(await result).toEqual({
    probeId: PROBE_ID,
    topic: 'millrace.probe',
    partition: 0,
    offset: 0,
    publishedMs: 0,
    settledMs: 500,
    appliedMs: 500,
    unread: null,
  });
  expect(asked).toHaveLength(3);
  expect(asked[0]).toContain(`probe_id = '${PROBE_ID}'`);
  expect(asked[0]).toContain(
    "consumer = 'millrace-probe' AND epoch = 1 AND topic = 'millrace.probe' AND partition = 0",
  );
  expect(await log.read({ topic: probes.name, partition: 0 }, 0, 10)).toHaveLength(1);
});

test('a record that does not arrive is given up after its time, and what was seen stays', async () => {
  const { result } = await probing([[true, false]]);
  expect(await result).toMatchObject({ settledMs: 0, appliedMs: null });
});

test('a sink that cannot be read for a while is asked again', async () => {
  const { result } = await probing([new Error('starting up'), [true, true]]);
  expect(await result).toMatchObject({ settledMs: 250, appliedMs: 250, unread: null });
});

test('a sink that cannot be read to the end is the reason why nothing was seen', async () => {
  const { result } = await probing([[false, false], new Error('no route')]);
  expect(await result).toMatchObject({ offset: 0, settledMs: null, appliedMs: null, unread: 'no route' });
});

test('a topic that is not there is the error of who publishes', async () => {
  const { result } = await probing([[false, false]], { hasTopic: false });
  expect(await codeOf(result)).toBe('TOPIC_UNKNOWN');
});

const report = {
  probeId: PROBE_ID,
  topic: 'millrace.probe',
  partition: 0,
  offset: 7,
  publishedMs: 5,
  settledMs: 80,
  appliedMs: 90,
  unread: null,
};

test.each([
  [
    { value: report },
    ['pass: millrace.probe-0 at 7, after 5 ms.', 'pass: Settled after 80 ms.', 'pass: Applied after 90 ms.'],
  ],
  [
    { value: { ...report, settledMs: null, appliedMs: null } },
    [
      'pass: millrace.probe-0 at 7, after 5 ms.',
      'fail: millrace.probe-0 at 7 was not settled in time.',
      'unknown: The record did not come this far.',
    ],
  ],
  [
    { value: { ...report, appliedMs: null } },
    [
      'pass: millrace.probe-0 at 7, after 5 ms.',
      'pass: Settled after 80 ms.',
      'fail: The ledger counts it as settled, and its row is missing.',
    ],
  ],
  [
    { value: { ...report, settledMs: null, appliedMs: null, unread: 'no route' } },
    [
      'pass: millrace.probe-0 at 7, after 5 ms.',
      'fail: The sink could not be read: no route',
      'unknown: The record did not come this far.',
    ],
  ],
  [
    { problem: 'AccessDeniedException: no' },
    [
      'unknown: AccessDeniedException: no',
      'unknown: The record did not come this far.',
      'unknown: The record did not come this far.',
    ],
  ],
  [
    { value: { failure: 'no broker' } },
    [
      'fail: no broker',
      'unknown: The record did not come this far.',
      'unknown: The record did not come this far.',
    ],
  ],
])('each step of %j has a line', (seen, expected) => {
  const lines = judgeProbe(seen, 'look there');
  expect(lines.map(({ verdict, evidence }) => `${verdict}: ${evidence}`)).toEqual(expected);
  expect(lines.map(({ subject }) => subject)).toEqual(['published', 'ledger', 'sink']);
  const fixes = lines.filter(({ verdict }) => verdict === 'fail').map(({ fix }) => fix);
  expect(fixes).toEqual(fixes.map(() => 'look there'));
});
