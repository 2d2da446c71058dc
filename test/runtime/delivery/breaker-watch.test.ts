/** Broken code holds records, bad records do not: the breaker with an engine, a memory sink and virtual time. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { createBreakers } from '../../../runtime/delivery/breaker-watch.ts';
import { type AnyConsumer, defineConsumer, type HandlerContext } from '../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { createEngine, type Delivered } from '../../../runtime/delivery/engine.ts';
import { describeFailure, diagnose } from '../../../runtime/delivery/failure.ts';
import { historyWith, newItem } from '../../../runtime/delivery/item.ts';
import { type BatchReport, LOGGED } from '../../../runtime/delivery/metrics.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { createCollector } from '../../../runtime/publish/collect.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';
import { type Event, eventRecord, eventRegistry, events } from '../events.ts';

type Records = readonly ConsumerRecord<Event>[];
type Handle = (records: Records, context: HandlerContext<MemoryTx, Event>) => Promise<void>;

const LEDGER = { consumer: 'tested', epoch: 1 };
const HOLD_MS = 900_000;

/** A topic, and functions that deliver what no group has committed yet: each new code has new processes. */
function createWorld(partitions = 1, breaker: { readonly holdMs?: number } | false = {}) {
  const clock = createFakeClock({ autoAdvance: true });
  const sink = new MemorySink();
  const letters = new Map<string, DeadLetter>();
  const reports: BatchReport[] = [];
  const logged: { level: string; message: string; fields: Record<string, unknown> }[] = [];
  const log =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) =>
      void logged.push({ level, message, fields });
  let onPut = async () => {};
  const next = new Array<number>(partitions).fill(0);
  const committed = new Array<number>(partitions).fill(0);
  const records: RawRecord[] = [];

  const deploy = (handle: Handle, code = 'code-1', firstPartition = 0) => {
    const consumer = defineConsumer({
      name: LEDGER.consumer,
      topic: events,
      sink: 'postgres',
      breaker: breaker && breaker,
      handle: (batch, context) => handle(batch, context as unknown as HandlerContext<MemoryTx, Event>),
    }) as AnyConsumer;
    const engine = createEngine(consumer, {
      clock,
      random: createSeededRandom(1),
      registry: eventRegistry,
      sink,
      deadLetters: {
        async put(put) {
          await onPut();
          for (const letter of put) letters.set(letter.id, letter);
        },
      },
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      metrics: { report: (report) => void reports.push(report), reportRedrive() {} },
      code,
    });
    return {
      engine,
      /** One invocation by what is not committed, of the partitions from the first one on. */
      async poll({ most = 1_000, forMs = 60_000, until = partitions } = {}): Promise<Delivered> {
        const batch = records
          .filter(({ partition }) => partition >= firstPartition && partition < until)
          .filter(
            ({ partition, offset }) =>
              offset >= committed[partition]! && offset < committed[partition]! + most,
          )
          .sort((a, b) => a.partition - b.partition || a.offset - b.offset);
        const endsAt = clock.now() + forMs;
        const delivered = await engine.deliver(batch, {
          requestId: 'request',
          functionName: 'tested',
          functionVersion: '$LATEST',
          remainingMs: () => endsAt - clock.now(),
        });
        for (const [at, outcome] of delivered.outcomes.entries()) {
          const { partition, offset } = batch[at]!;
          if (outcome !== 'returned' && committed[partition] === offset) committed[partition] = offset + 1;
        }
        return delivered;
      },
    };
  };
  return {
    clock,
    sink,
    letters,
    reports,
    logged,
    deploy,
    whileStoring(what: () => Promise<void>) {
      onPut = what;
    },
    /** What a collector sends to. */
    producer: {
      send: async (
        topic: string,
        sent: readonly { readonly key?: Buffer | null; readonly value?: Buffer | null }[],
      ) =>
        sent.map(({ key = null, value = null }) => {
          const partition = (key?.length ?? 0) % partitions;
          const offset = next[partition]!++;
          records.push(eventRecord(partition, offset, { key, value }));
          return { topic, partition, offset };
        }),
    },
    committed: () => [...committed],
    ends: () => [...next],
    produce(count: number, partition = 0, make = (offset: number) => eventRecord(partition, offset)) {
      for (let made = 0; made < count; made++) records.push(make(next[partition]!++));
    },
    incidents: () => logged.filter(({ message }) => message === LOGGED.broken),
    applied: () => (sink.value('applied') as string[] | undefined) ?? [],
    lag: () => next.reduce((sum, end, partition) => sum + end - committed[partition]!, 0),
    heldMs: () => sink.breaker(LEDGER).reduce((sum, { heldMs }) => sum + heldMs, 0),
  };
}

const apply: Handle = async (records, { tx }) => {
  for (const { value } of records) await tx.append('applied', value.id);
};

/** What a bad deploy does to every record. */
const settleOrders: Handle = async (records) => {
  for (const { value } of records) (value as unknown as { total: { cents: number } }).total.cents.toFixed();
};

const failing =
  (isBad: (record: ConsumerRecord<Event>) => boolean): Handle =>
  async (records, context) => {
    for (const record of records) if (isBad(record)) throw new TypeError('secret payload');
    await apply(records, context);
  };

describe('broken code', () => {
  test('makes at most ten letters in batches of any size, and one incident line that names file and function', async () => {
    for (const size of [1, 3, 40, 700]) {
      const world = createWorld(2);
      const deployed = world.deploy(settleOrders);
      const startedAt = world.clock.now();
      while (world.clock.now() - startedAt < 60_000) {
        world.produce(size, 0);
        world.produce(size, 1);
        await deployed.poll({ most: size, forMs: 10_000 });
      }
      expect(world.letters.size).toBeLessThan(10);
      expect(world.applied()).toEqual([]);
      expect(world.incidents()).toHaveLength(1);
      const [{ level, fields }] = world.incidents() as unknown as [{ level: string; fields: object }];
      expect(level).toBe('error');
      expect(fields).toMatchObject({
        code: 'CONSUMER_BROKEN',
        failing: expect.stringMatching(
          /^TypeError in settleOrders \(delivery\/breaker-watch\.test\.ts:\d+\)$/,
        ),
        file: 'delivery/breaker-watch.test.ts',
        function: 'settleOrders',
      });
      expect(JSON.stringify(world.logged)).not.toContain('total');
      expect(world.reports.at(-1)!.broken).toBeGreaterThan(0);
    }
  });

  test('fixed code goes on by itself: nothing is lost, nothing applied twice', async () => {
    const world = createWorld(2);
    world.produce(300, 0);
    world.produce(300, 1);
    const bad = world.deploy(settleOrders);
    expect((await bad.poll()).heldBy).toMatchObject({ code: 'CONSUMER_BROKEN', action: 'hold' });
    expect(world.letters.size).toBe(0);

    const good = world.deploy(apply, 'code-2');
    expect((await good.poll()).heldBy).toBeNull();

    expect(world.lag()).toBe(0);
    expect(world.applied()).toHaveLength(600);
    expect(new Set(world.applied()).size).toBe(600);
  });

  test('applies what comes before the first record that fails of each partition', async () => {
    const world = createWorld(2);
    world.produce(100, 0);
    world.produce(100, 1);
    const { heldBy, outcomes } = await world.deploy(failing(({ offset }) => offset >= 40)).poll();
    expect(heldBy).toMatchObject({ code: 'CONSUMER_BROKEN' });
    expect(outcomes.filter((outcome) => outcome === 'applied')).toHaveLength(80);
    expect(outcomes.filter((outcome) => outcome === 'returned')).toHaveLength(120);
    expect(world.letters.size).toBe(0);
  });

  test('is held for holdMs in all, however often its functions start anew, and dead-letters then', async () => {
    const world = createWorld(1, { holdMs: HOLD_MS });
    world.produce(50);
    const startedAt = world.clock.now();
    let polls = 0;
    while (world.lag() > 0) {
      // A cold function each time: what it knows comes from the sink.
      await world.deploy(settleOrders).poll({ forMs: 30_000 });
      await world.clock.sleep(5_000);
      expect(++polls).toBeLessThan(200);
    }
    const heldMs = world.clock.now() - startedAt;
    expect(heldMs).toBeGreaterThanOrEqual(HOLD_MS);
    expect(heldMs).toBeLessThan(HOLD_MS + 60_000);
    expect(world.letters.size).toBe(50);

    // The time is used up for this code, and only for this.
    world.produce(50);
    expect((await world.deploy(settleOrders).poll()).heldBy).toBeNull();
    expect(world.letters.size).toBe(100);
    world.produce(50);
    expect((await world.deploy(settleOrders, 'code-2').poll()).heldBy).toMatchObject({
      code: 'CONSUMER_BROKEN',
    });
  });

  test('in two places, one after the other, is held for holdMs in all', async () => {
    const world = createWorld(1, { holdMs: HOLD_MS });
    const first = (value: unknown) => (value as { total: { cents: number } }).total.cents;
    const second = (value: unknown) => (value as { total: { cents: number } }).total.cents;
    const deployed = world.deploy(async (records) => {
      for (const { value, offset } of records)
        Math.floor(offset / 20) % 2 === 0 ? first(value) : second(value);
    });
    world.produce(200);
    const startedAt = world.clock.now();
    while (world.lag() > 0) await deployed.poll({ most: 20, forMs: 30_000 });
    const heldMs = world.clock.now() - startedAt;
    expect(heldMs).toBeGreaterThanOrEqual(HOLD_MS);
    expect(heldMs).toBeLessThan(HOLD_MS + 120_000);
    expect(world.letters.size).toBe(200);
  });

  test('one whole version of ten letters holds for several functions at once, each with its partition', async () => {
    const world = createWorld(4);
    const functions = [0, 1, 2, 3].map((partition) => world.deploy(settleOrders, 'code-1', partition));
    for (let round = 0; round < 20; round++) {
      for (const partition of [0, 1, 2, 3]) world.produce(1, partition);
      await Promise.all(functions.map((each, at) => each.poll({ until: at + 1, forMs: 5_000 })));
    }
    expect(world.letters.size).toBeLessThan(10);
    expect(world.incidents()).toHaveLength(1);
  });

  test('a breakage that goes away by itself ends the hold, and only the time that was held counts', async () => {
    const world = createWorld();
    let isDown = true;
    const handle: Handle = (records, context) => (isDown ? settleOrders : apply)(records, context);
    const deployed = world.deploy(handle);
    world.produce(100);
    await deployed.poll({ forMs: 30_000 });
    isDown = false;
    expect((await deployed.poll()).heldBy).toBeNull();
    const held = world.heldMs();
    expect(held).toBeGreaterThan(10_000);
    expect(held).toBeLessThan(60_000);
    expect(world.applied()).toHaveLength(100);

    for (let hours = 0; hours < 5; hours++) {
      world.produce(100);
      await deployed.poll();
      await world.clock.sleep(3_600_000);
    }
    isDown = true;
    world.produce(100);
    expect((await deployed.poll()).heldBy).toMatchObject({ code: 'CONSUMER_BROKEN' });
    expect(world.letters.size).toBe(0);
  });

  test('a half-open try takes one record that failed, and no other of its partition', async () => {
    const world = createWorld();
    const tried: number[][] = [];
    const deployed = world.deploy(async (records) => {
      tried.push(records.map(({ offset }) => offset));
      return settleOrders(records, undefined as never);
    });
    world.produce(100);
    await deployed.poll({ forMs: 30_000 });
    tried.length = 0;
    await world.clock.sleep(1_000);
    await deployed.poll({ forMs: 30_000 });
    expect(tried.length).toBeGreaterThan(3);
    expect(tried.slice(-3)).toEqual([[0], [0], [0]]);
  });

  test('breaker: false dead-letters all the same', async () => {
    const world = createWorld(1, false);
    world.produce(50);
    expect((await world.deploy(settleOrders).poll()).heldBy).toBeNull();
    expect(world.letters.size).toBe(50);
    expect(world.sink.breaker(LEDGER)).toEqual([]);
  });
});

describe('bad records', () => {
  test('5,000 hostile events among 5,000 good ones: the breaker stays closed, the good ones are applied', async () => {
    const world = createWorld(4);
    for (let index = 0; index < 10_000; index++) {
      world.produce(1, index % 4, (offset) => {
        const kind = Math.floor(offset / 2) % 3;
        if (offset % 2 === 0) return eventRecord(index % 4, offset);
        if (kind === 0) return eventRecord(index % 4, offset, { value: Buffer.from('junk') });
        const name = kind === 1 ? 'refused' : 'rejected';
        return eventRecord(index % 4, offset, { headers: [{ name, value: null }] });
      });
    }
    const is = (record: ConsumerRecord<Event>, kind: string) =>
      record.headers.some(({ name }) => name === kind);
    const deployed = world.deploy(async (records, context) => {
      if (records.some((record) => is(record, 'refused')))
        throw new MillraceError('SINK_REJECTED', 'The sink refused the data.');
      for (const record of records) if (is(record, 'rejected')) context.fail(record, new TypeError('no'));
      await apply(
        records.filter((record) => !is(record, 'rejected')),
        context,
      );
    });
    while (world.lag() > 0) await deployed.poll({ most: 2_500, forMs: 600_000 });
    expect(world.applied()).toHaveLength(5_000);
    expect(world.letters.size).toBe(5_000);
    expect(world.incidents()).toEqual([]);
    expect(world.sink.breaker(LEDGER)).toEqual([]);
  });

  test('40 % that fail with one fingerprint are not half', async () => {
    const world = createWorld();
    const deployed = world.deploy(failing(({ offset }) => offset % 5 < 2));
    for (let round = 0; round < 20; round++) {
      world.produce(50);
      expect((await deployed.poll()).heldBy).toBeNull();
    }
    expect(world.letters.size).toBe(400);
    expect(world.applied()).toHaveLength(600);
  });

  test('one partition of bad records waits no longer than it takes to see that the others go through', async () => {
    const world = createWorld(4);
    const deployed = world.deploy(failing(({ partition }) => partition === 0));
    for (const partition of [0, 1, 2, 3]) world.produce(200, partition);
    const startedAt = world.clock.now();
    expect((await deployed.poll({ forMs: 600_000 })).heldBy).toBeNull();
    expect(world.clock.now() - startedAt).toBeLessThan(60_000);
    expect(world.letters.size).toBe(200);
    expect(world.applied()).toHaveLength(600);
  });

  test('names of errors that come from records make no new fingerprints', async () => {
    const world = createWorld(1, { holdMs: 60_000 });
    const deployed = world.deploy(async (records) => {
      for (const { value } of records) throw Object.assign(new Error('x'), { name: `Error${value.id}` });
    });
    const startedAt = world.clock.now();
    for (let round = 0; round < 10; round++) {
      world.produce(20);
      while (world.lag() > 0) await deployed.poll({ forMs: 30_000 });
    }
    expect(world.clock.now() - startedAt).toBeLessThan(5 * 60_000);
    expect(world.sink.breaker(LEDGER)).toHaveLength(1);
  });

  test('what an error quotes of a record is no place in the code, and is neither logged nor kept', async () => {
    for (const isChanged of [false, true]) {
      const world = createWorld(1, { holdMs: 60_000 });
      const deployed = world.deploy(async (records) => {
        for (const { offset } of records) {
          const error = new Error(
            `${'x'.repeat(5_000)}\n    at jane_doe_${Math.floor(offset / 20)} (card/4111.ts:1:1)`,
          );
          expect(error.stack).toContain('jane_doe');
          if (isChanged) error.message = 'no such customer';
          throw error;
        }
      });
      for (let round = 0; round < 5; round++) {
        world.produce(20);
        while (world.lag() > 0) await deployed.poll({ forMs: 30_000 });
      }
      expect(world.incidents().length).toBeGreaterThan(0);
      expect(world.sink.breaker(LEDGER)).toHaveLength(1);
      expect(JSON.stringify([world.logged, world.sink.breaker(LEDGER)])).not.toMatch(/jane_doe|4111/);
    }
  });

  test('a redrive of letters that fail again neither counts nor is held', async () => {
    const world = createWorld(1, { holdMs: 1_000 });
    world.produce(30);
    const deployed = world.deploy(settleOrders);
    while (world.lag() > 0) await deployed.poll();
    const before = world.sink.breaker(LEDGER);
    const endsAt = world.clock.now() + 60_000;
    const outcomes = await world.deploy(settleOrders, 'code-2').engine.redrive([...world.letters.values()], {
      requestId: 'request',
      functionName: 'tested',
      functionVersion: '$LATEST',
      remainingMs: () => endsAt - world.clock.now(),
    });
    expect(new Set(outcomes)).toEqual(new Set(['deadLettered']));
    expect(world.sink.breaker(LEDGER)).toEqual(before);
  });
});

describe('while letters are stored', () => {
  /** Whether the state could be locked, each time that letters were stored. */
  const watch = (world: ReturnType<typeof createWorld>) => {
    const found: boolean[] = [];
    world.whileStoring(async () => {
      const timer = new AbortController();
      const over = new AbortController();
      void world.clock.sleep(100, timer.signal).then(() => over.abort(new Error('locked')));
      const locked = world.sink.transaction(({ breaker }) => breaker!.read(LEDGER), over.signal);
      found.push(
        await locked.then(
          () => true,
          () => false,
        ),
      );
      timer.abort();
    });
    return found;
  };

  test('no function keeps the others from counting, where a few records fail for good', async () => {
    const world = createWorld();
    const found = watch(world);
    const deployed = world.deploy(failing(({ offset }) => offset % 100 === 0));
    for (let round = 0; round < 5; round++) {
      world.produce(500);
      expect((await deployed.poll({ forMs: 600_000 })).heldBy).toBeNull();
    }
    expect(world.letters.size).toBe(25);
    expect(found.length).toBeGreaterThan(0);
    expect(found).not.toContain(false);
    expect(world.sink.breaker(LEDGER)).toMatchObject([{ failed: 5, handled: 500 }]);
  });

  test('no function does once the time is used up', async () => {
    const world = createWorld(1, { holdMs: 1_000 });
    const deployed = world.deploy(settleOrders);
    world.produce(20);
    while (world.lag() > 0) await deployed.poll();
    const found = watch(world);
    world.produce(50);
    expect((await world.deploy(settleOrders).poll()).heldBy).toBeNull();
    expect(world.letters.size).toBe(70);
    expect(found.length).toBeGreaterThan(0);
    expect(found).not.toContain(false);
  });
});

test('records that were applied before count until a transaction with them is committed', async () => {
  const sink = new MemorySink();
  const consumer = defineConsumer({
    name: LEDGER.consumer,
    topic: events,
    sink: 'postgres',
    handle: async () => {},
  }) as AnyConsumer;
  const nothing = () => {};
  const breaker = createBreakers(consumer, {
    clock: createFakeClock(),
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    sink,
    code: 'code-1',
  })(LEDGER, 'delivery');
  const itemsOf = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) =>
      newItem(eventRecord(0, from + at), { attempts: 0, firstFailedAt: null, earlier: [] }),
    );
  const applied = itemsOf(0, 15);
  for (const item of applied) item.outcome = 'applied';
  await breaker.settled(applied, 1_000);
  const failed = itemsOf(15, 10);
  for (const item of failed) {
    const diagnosis = breaker.diagnose(item, diagnose('handle', new TypeError('no'), 'HANDLER_FAILED'));
    item.failure = describeFailure(diagnosis, historyWith(item, 1));
  }
  const admit = (isCommitted: boolean) =>
    sink.transaction(async (transaction) => {
      const broken = await breaker.admit(transaction, failed, { views: [], patches: [] });
      await breaker.count(transaction);
      if (!isCommitted) throw new Error('rolled back');
      return broken;
    });
  await expect(admit(false)).rejects.toThrow('rolled back');
  expect(await admit(true)).toBeNull();
  expect(sink.breaker(LEDGER)).toMatchObject([{ failed: 10, handled: 25 }]);
});

describe('an outsider who sends anything through the collector', () => {
  const SLACK_MS = 30_000;
  const holdMs = 120_000;

  /** Two places where the code fails, and names of errors that a record decides. */
  const handle: Handle = async (records, context) => {
    for (const { value } of records) {
      const [kind, of] = value.id.split(':');
      if (kind === 'throw') settle(of!);
      if (kind === 'named') throw Object.assign(new Error(of), { name: of });
      if (kind === 'refused') throw new MillraceError('SINK_REJECTED', 'The sink refused the data.');
    }
    for (const record of records)
      if (record.value.id.startsWith('fail')) context.fail(record, new Error('no'));
    const good = records.filter(({ value }) => !value.id.startsWith('fail'));
    for (const { value } of good) await context.tx.append('applied', value.id);
  };
  const settle = (of: string) => (of as unknown as { total: { cents: number } }).total.cents;

  const step = fc.record({
    kind: fc.constantFrom('throw', 'named', 'refused', 'fail', 'ok', 'junk'),
    events: fc.integer({ min: 1, max: 30 }),
    polls: fc.integer({ min: 0, max: 3 }),
  });

  test('holds no partition for longer than holdMs, and loses and repeats nothing', () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const world = createWorld(2, { holdMs });
        const deployed = world.deploy(handle);
        const collector = createCollector([events as never], {
          registry: eventRegistry,
          producer: world.producer,
        });
        const movedAt = [world.clock.now(), world.clock.now()];
        let longestMs = 0;
        const poll = async () => {
          const before = world.committed();
          await deployed.poll({ forMs: 15_000 });
          await world.clock.sleep(500);
          const now = world.clock.now();
          for (const [partition, offset] of world.committed().entries()) {
            if (offset !== before[partition] || offset === world.ends()[partition]) movedAt[partition] = now;
            longestMs = Math.max(longestMs, now - movedAt[partition]!);
          }
        };
        let sent = 0;
        let accepted = 0;
        for (const { kind, events: count, polls } of steps) {
          const ids = Array.from({ length: count }, () => `${kind}:${'x'.repeat(sent % 2)}${sent++}`);
          const body = ids.map((id) => (kind === 'junk' ? '{"id":' : JSON.stringify({ id }))).join('\n');
          const answer = await collector.collect({
            topic: events.name,
            format: 'ndjson',
            body: Buffer.from(body),
          });
          accepted += answer.accepted;
          for (let polled = 0; polled < polls; polled++) await poll();
        }
        for (let polls = 0; world.lag() > 0; polls++) {
          if (polls > 1_000) throw new Error('It never ends.');
          await poll();
        }
        expect(longestMs).toBeLessThanOrEqual(holdMs + SLACK_MS);
        expect(new Set(world.applied()).size).toBe(world.applied().length);
        expect(world.applied().every((id) => id.startsWith('ok'))).toBe(true);
        expect(world.applied().length + world.letters.size).toBe(accepted);
        expect(world.sink.breaker(LEDGER).length).toBeLessThanOrEqual(2);
      }),
      { numRuns: runs(25) },
    ));
});
