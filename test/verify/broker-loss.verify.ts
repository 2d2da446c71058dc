/** Brokers that are lost while records are published and consumed: what was acknowledged is there, once and in order. */
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { Admin } from '@platformatic/kafka';
import avsc from 'avsc';
import pg from 'pg';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { type KafkaNode, startKafka } from '../../local/parts/kafka.ts';
import { type PostgresServer, startPostgres } from '../../local/parts/postgres.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createEncoder } from '../../runtime/contract/codec.ts';
import type { Position } from '../../runtime/record.ts';
import type { OutgoingRecord } from '../../runtime/topics.ts';
import { codeOf } from '../rejection.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { readTopic } from './bare-kafka.ts';
import { millrace, start, until } from './newsroom.ts';

jest.setTimeout(600_000);

const FRAME_BYTES = 18;
let temporary: ReturnType<typeof createTemporaryFolder>;
let processes: Processes;
let nodes: readonly KafkaNode[];
let brokers: string[];

async function startNodes(count: number): Promise<void> {
  temporary = createTemporaryFolder();
  processes = new Processes(temporary.path);
  nodes = await startKafka(processes, { nodes: count });
  brokers = nodes.map(({ address }) => address);
}
/** What a test has begun, also when it fails half-way; last begun, first ended. */
let endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.toReversed()) await end();
  endings = [];
  await processes.endAll();
  temporary.remove();
});

describe('three brokers', () => {
  const TOPIC = pageviews.name;
  const PARTITIONS = Array.from({ length: pageviews.partitions }, (_, partition) => partition);
  const BATCH = 200;
  const PAUSE_MS = 20;

  interface Loss {
    readonly what: string;
    readonly lose: (node: KafkaNode) => unknown;
    readonly bringBack: (node: KafkaNode) => unknown;
    readonly withinMs: number;
  }
  const LOSSES: readonly Loss[] = [
    {
      what: 'is lost',
      lose: (node) => node.kill(),
      bringBack: (node) => node.start(),
      withinMs: Number.POSITIVE_INFINITY,
    },
    { what: 'hangs', lose: (node) => node.hang(), bringBack: (node) => node.resume(), withinMs: 60_000 },
  ];

  test('go on taking and giving records when one is lost, and when one hangs: a leader, the coordinator', async () => {
    await startNodes(3);
    const server = await startPostgres(processes);
    const log = openKafkaLog({ connection: { brokers }, clock: systemClock });
    endings.push(() => log.close());
    await log.prepareTopic(pageviews);
    const where = ['--kafka', brokers.join(','), '--postgres', server.url];
    const up = start(['up', '--no-publish', '--state', join(temporary.path, 'state'), ...where]);
    let stderr = '';
    up.stderr!.on('data', (text) => {
      stderr += text;
    });
    up.stdout!.resume();
    const upEnded = once(up, 'exit');
    endings.push(() => up.kill('SIGKILL'));

    const publisher = publishing((records) => log.send(TOPIC, records));
    endings.push(() => publisher.stop().catch(() => {}));
    const goesOn = async (when: string, records: number, withinMs = Number.POSITIVE_INFINITY) => {
      const target = publisher.sent() + records;
      const from = performance.now();
      await until(async () => {
        if (up.exitCode !== null) throw new Error(`up ended by itself: ${stderr}`);
        publisher.check();
        return (await applied(server)) >= target;
      });
      const tookMs = Math.round(performance.now() - from);
      say(`${when}: ${records} records further after ${tookMs} ms`);
      expect(tookMs).toBeLessThan(withinMs);
    };
    await goesOn('all three there', 5_000);

    for (const { what, lose, bringBack, withinMs } of LOSSES) {
      for (const role of ['leader', 'coordinator'] as const) {
        await until(isWhole);
        const id = await (role === 'coordinator' ? coordinator() : leaderOfTheFirst());
        const lost = nodes.find((node) => node.id === id)!;
        await lose(lost);
        await goesOn(`${role} ${what}`, 10_000, withinMs);
        await bringBack(lost);
        await goesOn(`${role} back`, 5_000);
      }
    }

    const sent = await publisher.stop();
    say(`${sent.length} records published, the slowest batch in ${publisher.slowestMs()} ms`);
    expect(publisher.slowestMs()).toBeLessThan(60_000);
    await until(async () => (await applied(server)) >= sent.length);
    up.kill('SIGINT');
    expect(await upEnded).toEqual([0, null]);

    // Each where its acknowledgement says, nothing else, and each partition in the order of sending.
    const found = await idsOf(TOPIC);
    expect(found).toHaveLength(sent.length);
    const placeOf = new Map(found.map(({ partition, offset, id }) => [id, `${partition}/${offset}`]));
    expect(
      sent.filter(({ id, position }) => placeOf.get(id) !== `${position.partition}/${position.offset}`),
    ).toEqual([]);
    for (const partition of PARTITIONS) {
      const offsets = sent.flatMap(({ position }) =>
        position.partition === partition ? [position.offset] : [],
      );
      expect(offsets).toEqual(Array.from(offsets, (_, n) => n));
    }

    const [views, ledger] = await query(server, [
      `SELECT sum(views)::int AS n FROM "editorial-analytics-reader".article_minute`,
      "SELECT sum(next - first)::int AS n FROM millrace_ledger WHERE dead_lettered = '{}' AND passed_over = '{}'",
    ]);
    expect([views!.n, ledger!.n]).toEqual([sent.length, sent.length]);
  });

  interface Sent {
    readonly id: string;
    readonly position: Position;
  }

  /** Two batches under way at any time, at a pace that leaves the machine time for the rest. */
  function publishing(send: (records: readonly OutgoingRecord[]) => Promise<readonly Position[]>) {
    const traffic = createTraffic(createSeededRandom(3));
    const encoder = createEncoder(pageviews, createContractSchemaRegistry([pageviews]));
    const sent: Sent[] = [];
    let slowestMs = 0;
    let isStopping = false;
    let failure: unknown;
    const sendBatch = async () => {
      const views: Pageview[] = Array.from({ length: BATCH }, () => traffic.next(Date.now()));
      const encoded = await encoder.encodeBatch(views);
      const from = performance.now();
      const positions = await send(encoded.flatMap((each) => ('record' in each ? [each.record] : [])));
      slowestMs = Math.max(slowestMs, Math.round(performance.now() - from));
      sent.push(...views.map(({ eventId: id }, index) => ({ id, position: positions[index]! })));
    };
    const run = async () => {
      let before: Promise<void> = Promise.resolve();
      while (!isStopping) {
        const next = sendBatch();
        await before;
        before = next;
        await sleep(PAUSE_MS);
      }
      await before;
    };
    const done = run().catch((error) => {
      failure = error;
    });
    const check = () => {
      if (failure) throw failure;
    };
    return {
      check,
      sent: () => sent.length,
      slowestMs: () => slowestMs,
      async stop(): Promise<readonly Sent[]> {
        isStopping = true;
        await done;
        check();
        return sent;
      },
    };
  }

  const withAdmin = async <Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> => {
    const admin = new Admin({ clientId: 'verify', bootstrapBrokers: brokers });
    try {
      return await work(admin);
    } finally {
      await admin.close();
    }
  };
  const partitionsOf = (topic: string) =>
    withAdmin(async (admin) => {
      const { topics } = await admin.metadata({ topics: [topic], forceUpdate: true });
      return topics.get(topic)!.partitions;
    });
  const leaderOfTheFirst = async () => (await partitionsOf(TOPIC))[0]!.leader;
  const coordinator = () =>
    withAdmin(async (admin) => {
      const where = ['--state', join(temporary.path, 'state'), '--kafka', brokers.join(',')];
      const [{ group }] = JSON.parse((await millrace(['lag', '--json', ...where])).stdout);
      const [found] = await admin.findCoordinator({ keys: [group], keyType: 0 });
      return found!.nodeId;
    });
  /** Where a second broker is lost before, partitions are left with fewer replicas than they take records with. */
  const isWhole = async () => (await partitionsOf(TOPIC)).every(({ isr }) => isr.length === 3);
});

test('a producer with a function’s patience passes by one that hangs', async () => {
  await startNodes(3);
  const patient = openKafkaLog({ connection: { brokers }, clock: systemClock });
  endings.push(() => patient.close());
  await patient.createTopic('verify', 3);
  // As adapters/aws/msk.ts has it: less than the client itself gives a request.
  const log = openKafkaLog({ connection: { brokers }, clock: systemClock, timeoutMs: 6_000 });
  endings.push(() => log.close());
  const send = () =>
    log.send(
      'verify',
      Array.from({ length: 30 }, (_, n) => ({ key: Buffer.from(`k${n}`), value: Buffer.from('x') })),
    );
  await send();
  // The first that is asked, and the leader of some partitions.
  nodes[0]!.hang();
  const from = performance.now();
  let failures = 0;
  for (let isTaken = false; !isTaken; ) {
    try {
      await send();
      isTaken = true;
    } catch (error) {
      expect(error).toMatchObject({ code: expect.stringMatching(/^(PUBLISH_FAILED|KAFKA_UNAVAILABLE)$/) });
      failures++;
    }
  }
  const tookMs = Math.round(performance.now() - from);
  say(`a function's sends: ${failures} failed, the next was taken after ${tookMs} ms`);
  expect(tookMs).toBeLessThan(60_000);
  for (let n = 0; n < 5; n++) await send();
});

describe('the one broker there is', () => {
  const TOPIC = 'verify';
  const PARTITIONS = 3;
  const LOST_AFTER = 200;

  /** Many calls that do not wait for one another, so that some are under way at any time. */
  async function publishThrough(timeoutMs: number, lose: () => Promise<void>) {
    const log = openKafkaLog({ connection: { brokers }, clock: systemClock, timeoutMs });
    endings.push(() => log.close());
    await log.createTopic(TOPIC, PARTITIONS);
    const calls: Promise<readonly Position[]>[] = [];
    const send = (n: number) => {
      const call = log.send(TOPIC, [{ key: Buffer.from(`k${n % 7}`), value: Buffer.from(String(n)) }]);
      calls.push(call);
      // It is lost while others are under way.
      call.then(
        () => {
          if (++acknowledged === LOST_AFTER) lose().finally(() => (isBack = true));
        },
        () => {},
      );
    };
    let acknowledged = 0;
    let isBack = false;
    for (let n = 0; !isBack; n++) {
      send(n);
      if (n % 10 === 0) await sleep(5);
    }
    const outcomes = await Promise.allSettled(calls);
    // The producer is not the worse for it.
    send(calls.length);
    outcomes.push(...(await Promise.allSettled(calls.slice(-1))));
    const found = await idsOf(TOPIC, (value) => value.toString());
    return { outcomes, found };
  }

  test.each<[string, () => Promise<void>]>([
    ['restarted', () => nodes[0]!.restart()],
    [
      'hung for longer than a request takes',
      async () => {
        nodes[0]!.hang();
        await sleep(15_000);
        nodes[0]!.resume();
      },
    ],
  ])('%s, and back in time: everything is there, once', async (_, lose) => {
    await startNodes(1);
    const { outcomes, found } = await publishThrough(60_000, lose);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(found).toHaveLength(outcomes.length);
    expectAcknowledged(outcomes, found);
  });

  test('away for longer: what was acknowledged is there, and each of the others is told', async () => {
    await startNodes(1);
    const { outcomes, found } = await publishThrough(4_000, async () => {
      await nodes[0]!.kill();
      await sleep(8_000);
      await nodes[0]!.start();
    });
    const rejected = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    const codes = await Promise.all(rejected.map((reason) => codeOf(Promise.reject(reason))));
    expect(new Set(codes)).toEqual(new Set(['PUBLISH_FAILED']));
    expect(outcomes.at(-1)!.status).toBe('fulfilled');
    expectAcknowledged(outcomes, found);
    // Only what was under way may be there beside it, and once at most.
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length);
  });

  function expectAcknowledged(
    outcomes: readonly PromiseSettledResult<readonly Position[]>[],
    found: Awaited<ReturnType<typeof idsOf>>,
  ) {
    const byPlace = new Map(found.map(({ partition, offset, id }) => [`${partition}/${offset}`, id]));
    const acknowledged = outcomes.flatMap((outcome, n) =>
      outcome.status === 'fulfilled' ? [{ n, ...outcome.value[0]! }] : [],
    );
    expect(acknowledged.length).toBeGreaterThanOrEqual(LOST_AFTER);
    expect(
      acknowledged.filter(({ n, partition, offset }) => byPlace.get(`${partition}/${offset}`) !== String(n)),
    ).toEqual([]);
  }
});

const type = avsc.Type.forSchema(pageviews.latest.schema as never);
const eventIdOf = (value: Buffer): string => type.fromBuffer(value.subarray(FRAME_BYTES)).eventId;

async function idsOf(topic: string, idOf = eventIdOf) {
  const found: { readonly partition: number; readonly offset: number; readonly id: string }[] = [];
  const { records } = await readTopic(brokers, topic);
  for await (const { partition, offset, value } of records) {
    found.push({ partition, offset, id: idOf(value) });
  }
  return found;
}

async function query(server: PostgresServer, statements: readonly string[]) {
  const client = new pg.Client({ connectionString: server.url });
  // A server that ends says so on its own.
  client.on('error', () => {});
  await client.connect();
  try {
    const rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows.push((await client.query(statement)).rows[0]);
    return rows;
  } finally {
    await client.end();
  }
}

/** Zero, too, before there is a table. */
async function applied(server: PostgresServer): Promise<number> {
  try {
    const [row] = await query(server, [
      'SELECT coalesce(sum(next - first), 0)::int AS n FROM millrace_ledger',
    ]);
    return row!.n as number;
  } catch {
    return 0;
  }
}

function say(what: string): void {
  process.stderr.write(`broker-loss: ${what}\n`);
}
