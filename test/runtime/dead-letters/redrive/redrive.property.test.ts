/**
 * Promises 1, 2 and 5 of docs/delivery.md, over histories in which records are dead-lettered, given back by a person or
 * by the SQS console, discarded and imported again, while functions and redrives are killed and letters exist twice.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { failureDocument } from '../../../../local/event-source/failure-document.ts';
import { GIVEN_UP_PREFIX } from '../../../../runtime/dead-letters/given-up-letters.ts';
import type { Queue } from '../../../../runtime/dead-letters/queue.ts';
import { fetchPayload } from '../../../../runtime/dead-letters/queue-letters.ts';
import { copyName, discardLetters, type StoredLetter } from '../../../../runtime/dead-letters/reader.ts';
import { chooseLetters } from '../../../../runtime/dead-letters/redrive/plan.ts';
import {
  type RedriveJournal,
  runRedrive,
  type Steering,
} from '../../../../runtime/dead-letters/redrive/send.ts';
import { deadLetterResources } from '../../../../runtime/dead-letters/resources.ts';
import { type LetterFilter, matches } from '../../../../runtime/dead-letters/triage.ts';
import { defineConsumer } from '../../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../../runtime/errors.ts';
import { createFakeClock } from '../../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../../testing/memory-queue.ts';
import { POLLING_MODES } from '../../../polling-modes.ts';
import { runs } from '../../../runs.ts';
import { type Nature, type Trouble, World } from '../../delivery/delivery-world.ts';
import { Stopped } from '../../delivery/stopping.ts';
import { events } from '../../events.ts';

const VISIBILITY_MS = 1_000;

const nature: fc.Arbitrary<Nature> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'good' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'garbage' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'throws' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'rejected' } as const) },
);
const trouble: fc.Arbitrary<Trouble> = fc.record({
  stopAt: fc.option(fc.integer({ min: 0, max: 30 }), { freq: 2 }),
  sinkRefusals: fc.constantFrom(0, 0, 0, 40),
  letterRefusals: fc.constantFrom(0, 0, 0, 40),
  delayMs: fc.constant(0),
  remainingMs: fc.constantFrom(60_000, 60_000, 1_000),
});
const calm: Trouble = { stopAt: null, sinkRefusals: 0, letterRefusals: 0, delayMs: 0, remainingMs: 60_000 };

const filter: fc.Arbitrary<LetterFilter> = fc.constantFrom<LetterFilter>(
  {},
  { error: 'HANDLER_FAILED' },
  { error: 'HANDLER_REJECTED' },
  { error: 'BATCH_GIVEN_UP' },
  { stage: 'decode' },
  { partition: 0 },
  { offset: { from: 0, to: 3 } },
);

const operation = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('deliver' as const),
      size: fc.integer({ min: 1, max: 6 }),
      trouble,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('give up' as const), size: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('consume' as const),
      times: fc.integer({ min: 1, max: 4 }),
      trouble,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('redrive' as const),
      filter,
      canary: fc.integer({ min: 0, max: 2 }),
      killAt: fc.option(fc.integer({ min: 0, max: 12 })),
      /** What a person wants each time that it is asked for; `go` from then on. */
      steering: fc.array(fc.constantFrom<Steering>('go', 'go', 'go', 'pause', 'cancel'), { maxLength: 8 }),
      trouble,
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('move' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('discard' as const), filter }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('import' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('copy' as const), pick: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('mend' as const), isMended: fc.boolean() }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

type Mode = (typeof POLLING_MODES)[number];

class Killed extends Error {}

class DlqSession {
  readonly clock = createFakeClock({ autoAdvance: true });
  readonly queues = createMemoryQueues({ clock: this.clock });
  readonly objects = createMemoryObjects({ clock: this.clock });
  readonly deadLetters = this.queues.queue('dead-letters');
  readonly redriveQueue = this.queues.queue('redrive', {
    deadLetterQueue: 'dead-letters',
    // Fewer than there are in truth, so that it happens.
    maxReceiveCount: 3,
  });
  readonly resources = deadLetterResources(consumer, {
    deadLetters: this.deadLetters,
    redrive: this.redriveQueue,
    mover: this.queues.mover('dead-letters', 'redrive'),
    objects: this.objects,
  });
  readonly world: World;
  readonly exported: DeadLetter[] = [];
  /** Every letter ever discarded. */
  readonly discarded = new Set<string>();
  #journal: (RedriveJournal & { readonly sent: Set<string> }) | undefined;
  readonly #partialResponses: boolean;
  #redrives = 0;
  #batches = 0;

  constructor(shape: readonly { natures: readonly Nature[] }[], seed: number, mode: Mode) {
    this.#partialResponses = mode === 'provisioned';
    this.world = new World(
      shape.map(({ natures }) => ({ natures, startsAt: 0 })),
      seed,
      this.resources.store,
    );
  }

  async run(operation: Operation): Promise<void> {
    switch (operation.op) {
      case 'deliver':
        return this.deliver(operation.size, operation.trouble);
      case 'give up':
        return this.giveUp(operation.size);
      case 'consume':
        for (let left = operation.times; left > 0; left--) await this.consume(operation.trouble);
        return;
      case 'redrive':
        return this.redrive(operation);
      case 'move':
        await this.resources.mover.move({ maxPerSecond: 1_000 });
        return;
      case 'discard':
        return this.discard(operation.filter);
      case 'import':
        await this.resources.store.put(this.exported);
        this.exported.length = 0;
        return;
      case 'copy':
        return this.copy(operation.pick);
      case 'wait':
        await this.clock.sleep(VISIBILITY_MS);
        return;
      case 'mend':
        this.world.isMended = operation.isMended;
    }
  }

  async deliver(size: number, trouble: Trouble): Promise<void> {
    const stretches = this.world.partitions.map(({ records, cursor }) =>
      records.slice(cursor, cursor + size),
    );
    const answer = await this.world.deliver(stretches.flat(), trouble, this.#partialResponses);
    if ('error' in answer) return acceptable(answer.error);
    const failed = answer.result.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
    stretches.forEach((stretch, partition) => {
      const of = this.world.partitions[partition]!;
      const firstFailed = failed.find((item) => item.partition === `${events.name}-${partition}`)?.offset;
      of.cursor = firstFailed ?? of.cursor + stretch.length;
    });
  }

  /** As the event source does when its retries run out: the batch is put into the bucket, and skipped. */
  async giveUp(size: number): Promise<void> {
    for (const of of this.world.partitions) {
      const records = of.records.slice(of.cursor, of.cursor + size);
      if (records.length === 0) continue;
      const request = {
        requestId: 'r',
        functionArn: 'arn:aws:lambda:::function:world',
        condition: 'RetryAttemptsExhausted' as const,
        approximateInvokeCount: 3,
      };
      const document = failureDocument(
        records,
        { requestContext: request, responseContext: null },
        this.clock.now(),
      );
      await this.objects.put(`${GIVEN_UP_PREFIX}${this.#batches++}`, Buffer.from(JSON.stringify(document)));
      of.cursor += records.length;
    }
  }

  /** One invocation by the redrive queue. False where there was nothing to do. */
  async consume(trouble: Trouble): Promise<boolean> {
    const messages = await this.redriveQueue.receive({ maxMessages: 10, visibilityMs: VISIBILITY_MS });
    if (messages.length === 0) return false;
    const settled = await this.world.settle(messages, this.objects, trouble);
    if ('error' in settled) {
      acceptable(settled.error);
      return true;
    }
    const back = new Set(settled.result);
    await this.redriveQueue.delete(messages.filter(({ id }) => !back.has(id)).map(({ receipt }) => receipt));
    return true;
  }

  /** By the redriver, while the function consumes. One that was killed is gone on with. */
  async redrive({
    filter,
    canary,
    killAt,
    steering,
    trouble,
  }: Extract<Operation, { op: 'redrive' }>): Promise<void> {
    this.#journal ??= await this.plan(filter);
    const journal = this.#journal;
    let calls = 0;
    let asked = 0;
    const mayBeKilled = async <Result>(call: () => Promise<Result>): Promise<Result> => {
      if (calls++ === killAt) throw new Killed();
      const result = await call();
      if (calls++ === killAt) throw new Killed();
      return result;
    };
    const { reader } = this.resources;
    const redrive: Queue = {
      ...this.redriveQueue,
      send: (messages) => mayBeKilled(() => this.redriveQueue.send(messages)),
    };
    let isOver = false;
    const consuming = (async () => {
      while (!isOver) {
        await this.consume(trouble);
        await this.clock.sleep(100);
      }
    })();
    try {
      await runRedrive(
        {
          plan: journal.plan,
          sent: journal.sent,
          noteSent: (ids) => {
            if (calls++ === killAt) throw new Killed();
            journal.noteSent(ids);
          },
        },
        {
          reader: {
            scan: () => reader.scan(),
            remove: (copies) => mayBeKilled(() => reader.remove(copies)),
          },
          redrive,
          objects: this.objects,
          clock: this.clock,
          steering: () => steering[asked++] ?? 'go',
        },
        { ratePerSecond: 10, canary, maxFailures: 2, patienceMs: 2_000 },
      );
      this.#journal = undefined;
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'REDRIVE_STOPPED') this.#journal = undefined;
      else if (!(error instanceof Killed)) throw error;
    } finally {
      isOver = true;
      await consuming;
    }
  }

  async plan(filter: LetterFilter) {
    const sent = new Set<string>();
    const chosen = await chooseLetters(this.resources, { filter, mayBeOvertaken: false, inOrder: true });
    return {
      plan: { id: `redrive-${this.#redrives++}`, consumer: 'world', mayBeOvertaken: false, ...chosen },
      sent,
      noteSent: (ids: readonly string[]) => {
        for (const id of ids) sent.add(id);
      },
    };
  }

  async discard(filter: LetterFilter): Promise<void> {
    const { reader } = this.resources;
    const names = new Set<string>();
    for await (const copy of reader.scan())
      if ('letter' in copy && matches(copy, filter)) names.add(copyName(copy));
    await discardLetters(reader, names, async (copies) => {
      for (const copy of copies as readonly StoredLetter[]) {
        this.exported.push(await fetchPayload(copy, this.objects));
        this.discarded.add(copy.letter.id);
      }
    });
  }

  /** SQS delivers at least once: what was deleted or moved may be there all the same. */
  async copy(pick: number): Promise<void> {
    const messages = await Array.fromAsync(this.deadLetters.scan());
    const message = messages[pick % messages.length];
    if (message) await this.deadLetters.send([message]);
  }

  /** The ids of all letters, wherever they are. */
  async everywhere(): Promise<Set<string>> {
    const ids = new Set(this.exported.map(({ id }) => id));
    for await (const copy of this.resources.reader.scan()) if ('letter' in copy) ids.add(copy.letter.id);
    for await (const { body } of this.redriveQueue.scan()) ids.add(JSON.parse(body).id);
    return ids;
  }

  async holds(): Promise<void> {
    const letters = await this.everywhere();
    this.world.partitions.forEach(({ cursor }, partition) => {
      const effects = this.world.effects(partition);
      const applied = new Set(effects);
      // Promise 2, effects once.
      expect(effects).toHaveLength(applied.size);
      // Promise 1, nothing lost.
      for (let offset = 0; offset < cursor; offset++) {
        const isKept = applied.has(offset) || letters.has(this.world.letterId(partition, offset));
        if (!isKept) throw new Error(`${partition}/${offset} is lost`);
      }
      // Promise 5, no silent skip: what is not applied is a hole.
      const ledger = this.world.ledger(partition);
      for (let offset = ledger?.first ?? 0; offset < (ledger?.next ?? 0); offset++) {
        const isHole = ledger!.holes.some(({ from, to }) => offset >= from && offset < to);
        if (isHole === applied.has(offset)) throw new Error(`${partition}/${offset}: hole ${isHole}`);
      }
    });
  }

  /** Calm returns: all is delivered, the handler is fixed, and all letters are redriven until none is left to. */
  async windUp(): Promise<void> {
    this.world.partitions.forEach((of, partition) => {
      this.world.append(of, partition, { kind: 'good' });
    });
    this.world.isMended = true;
    await this.deliver(Number.MAX_SAFE_INTEGER, calm);
    for (let round = 0; round < 3; round++) {
      if (round === 1) await this.resources.mover.move({ maxPerSecond: 1_000 });
      if (round === 2) {
        this.#journal = undefined;
        await this.redrive({
          op: 'redrive',
          filter: {},
          canary: 0,
          killAt: null,
          steering: [],
          trouble: calm,
        });
      }
      await this.clock.sleep(VISIBILITY_MS);
      while (await this.consume(calm));
    }
  }
}

function acceptable(error: unknown): void {
  if (error instanceof Stopped) return;
  if (!(error instanceof MillraceError)) throw error;
  expect(error.code).toBe('BATCH_INCOMPLETE');
}

const consumer = defineConsumer({ name: 'world', topic: events, sink: 'postgres', handle: async () => {} });

describe.each(POLLING_MODES)('dead letters given back, over random histories, %s', (mode) => {
  test('nothing is lost, nothing is applied twice, nothing is skipped in silence', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ natures: fc.array(nature, { minLength: 1, maxLength: 10 }) }), {
          minLength: 1,
          maxLength: 2,
        }),
        fc.array(operation, { maxLength: 14 }),
        fc.nat(),
        async (shape, operations, seed) => {
          const session = new DlqSession(shape, seed, mode);
          for (const operation of operations) {
            await session.run(operation);
            await session.holds();
          }
          await session.windUp();
          await session.holds();

          // In the end a record is applied, unless it never can be or a person did not want it.
          const letters = await session.everywhere();
          session.world.partitions.forEach(({ natures }, partition) => {
            const applied = new Set(session.world.effects(partition));
            natures.forEach(({ kind }, offset) => {
              const id = session.world.letterId(partition, offset);
              if (kind === 'garbage') expect(applied.has(offset)).toBe(false);
              else if (!session.discarded.has(id)) expect(applied.has(offset)).toBe(true);
              // What is applied has no letter left but those that were exported, and copies of a moment ago.
              if (!applied.has(offset)) expect(letters.has(id)).toBe(true);
            });
          });
        },
      ),
      { numRuns: runs(750) },
    );
  }, 120_000);
});
