/** Random histories of a world whose records share keys, and what must hold of each key: promise 3 of docs/delivery.md. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import {
  acceptable,
  type Batch,
  batch,
  calm,
  deliver,
  discard,
  holdsAfterEachStep,
  type Mode,
  nature,
  redrive,
  trouble,
} from './delivery-histories.ts';
import type { Nature, Trouble, World, WorldDeclaration } from './delivery-world.ts';

/** Few keys, some of them frequent. Two are not UTF-8 and read the same as text; one is empty, which is not none. */
const key = fc.oneof(
  { weight: 5, arbitrary: fc.constant('a') },
  { weight: 2, arbitrary: fc.constantFrom('b', 'c') },
  { weight: 1, arbitrary: fc.constantFrom('\xff', '\xfe', '') },
  { weight: 1, arbitrary: fc.constant(null) },
);

const throwing: fc.Arbitrary<Nature> = fc.oneof(
  { weight: 1, arbitrary: nature },
  { weight: 3, arbitrary: fc.constant({ kind: 'throws' } as const) },
);

const partitionsOf = (nature: fc.Arbitrary<Nature>, maxLength: number) =>
  fc.array(
    fc.record({
      records: fc.array(fc.record({ nature, key }), { minLength: 1, maxLength }),
      startsAt: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) }),
    }),
    { minLength: 1, maxLength: 2 },
  );

/** @param isBroken whether most records make the handler throw */
export const keyedPartitions = (isBroken: boolean) =>
  (isBroken ? partitionsOf(throwing, 40) : partitionsOf(nature, 16)).map((partitions) =>
    partitions.map(({ records, startsAt }) => ({
      natures: records.map(({ nature }) => nature),
      keys: records.map(({ key }) => (key === null ? null : Buffer.from(key, 'latin1'))),
      startsAt,
    })),
  );

/** Little room, so that histories come to the limit. */
const parkLimit = fc
  .record({
    perKey: fc.integer({ min: 1, max: 4 }),
    more: fc.nat(4),
    end: fc.constantFrom('dead-letter' as const, 'hold' as const),
  })
  // biome-ignore lint/suspicious/noThenProperty: a word of the declaration.
  .map(({ perKey, more, end }) => ({ perKey, total: perKey + more, totalBytes: 2 ** 30, then: end }));
const roomy = fc.constant({ onDeadLetter: 'park-key' } as const);
export const parking = fc.oneof(
  roomy,
  parkLimit.map((limit) => ({ onDeadLetter: 'park-key' as const, parkLimit: limit })),
);
/** Often without an end of the hold in sight, and sometimes with one that comes within an invocation. */
export const breaking = fc.record({
  onDeadLetter: fc.constantFrom('park-key' as const, 'continue' as const),
  breaker: fc.record({ holdMs: fc.constantFrom(1_000, 30_000, 900_000) }),
});
/** As what is given, of a topic whose events may be sent twice in a row; their times keep within the window. */
export const sentTwice = (shape: ReturnType<typeof keyedPartitions>) =>
  fc.tuple(shape, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 })).map(([partitions, isCopy]) =>
    partitions.map(({ natures, keys, startsAt }) => {
      const sentAt: number[] = [];
      for (const at of natures.keys()) sentAt.push(at > 0 && isCopy[at] ? sentAt[at - 1]! : at);
      const calmed = natures.map((nature): Nature => (nature.kind === 'odd' ? { kind: 'good' } : nature));
      return {
        natures: sentAt.map((at) => calmed[at]!),
        keys: sentAt.map((at) => keys[at]!),
        sentAt,
        startsAt,
      };
    }),
  );
export const ONCE = { once: { windowMs: 3_600_000 } } as const;

export const continuing = fc.constant({ onDeadLetter: 'continue' } as const);

const redriving = fc.record({
  op: fc.constant('redrive' as const),
  /** One that is picked twice is there in two copies. */
  picks: fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }),
  mayBeOvertaken: fc.oneof(
    { weight: 6, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  trouble,
});
const releasing = fc.record({
  op: fc.constant('release' as const),
  pick: fc.nat(20),
  of: fc.constantFrom('letter' as const, 'discarded letter' as const, 'discarded record' as const),
  trouble,
});
const delivering = fc.record({ op: fc.constant('deliver' as const), batch });

/** @param deploys what may be declared from some moment on */
export const keyedOperation = (deploys: fc.Arbitrary<WorldDeclaration>) =>
  fc.oneof(
    { weight: 5, arbitrary: delivering },
    { weight: 3, arbitrary: redriving },
    // Several instances of the function at once.
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('together' as const),
        of: fc.array(
          fc.oneof(
            { weight: 3, arbitrary: fc.oneof(delivering, redriving) },
            { weight: 1, arbitrary: releasing },
          ),
          { minLength: 2, maxLength: 3 },
        ),
      }),
    },
    { weight: 1, arbitrary: releasing },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('expire' as const),
        partition: fc.nat(1),
        size: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('deploy' as const),
        isMended: fc.boolean(),
        declaration: deploys,
      }),
    },
  );
type Invoked =
  | { readonly op: 'deliver'; readonly batch: Batch }
  | {
      readonly op: 'redrive';
      readonly picks: readonly number[];
      readonly mayBeOvertaken: boolean;
      readonly trouble: Trouble;
    }
  | {
      readonly op: 'release';
      readonly pick: number;
      readonly of: 'letter' | 'discarded letter' | 'discarded record';
      readonly trouble: Trouble;
    };
export type KeyedOperation = ReturnType<typeof keyedOperation> extends fc.Arbitrary<infer T> ? T : never;

/** A world with what an operator has done in it, on purpose, to the order of its keys. */
export class KeyedWorld {
  readonly world: World;
  /** Records that may be out of their key's order: somebody permitted it. By the ids of their letters. */
  readonly permitted = new Set<string>();
  /** Records that their key was told not to wait for. */
  readonly skipped = new Set<string>();
  #declaration: WorldDeclaration;

  constructor(world: World, declaration: WorldDeclaration) {
    this.world = world;
    this.#declaration = declaration;
  }

  get isHolding(): boolean {
    const { onDeadLetter, parkLimit, breaker } = this.#declaration;
    return Boolean(breaker) || (onDeadLetter === 'park-key' && parkLimit?.then === 'hold');
  }

  get parkLimit() {
    return this.#declaration.parkLimit;
  }

  async run(operation: KeyedOperation, mode: Mode): Promise<void> {
    const { world } = this;
    if (operation.op === 'together') {
      await Promise.all(operation.of.map((each) => this.#invoke(each, mode)));
    } else if (operation.op === 'expire') {
      // Retention was faster than the consumer: nobody sees these records again.
      discard(world, operation.partition, operation.size);
    } else if (operation.op === 'deploy') {
      world.isMended = operation.isMended;
      this.#declaration = operation.declaration;
      world.deploy(operation.declaration);
    } else {
      await this.#invoke(operation, mode);
    }
  }

  async #invoke(operation: Invoked, mode: Mode): Promise<void> {
    if (operation.op === 'deliver') return deliver(this.world, operation.batch, mode);
    if (operation.op === 'release') return this.#release(operation);
    const pool = [...this.world.letters.values()];
    const letters = operation.picks.flatMap((pick) => pool[pick % pool.length] ?? []);
    await this.redrive(letters, operation.trouble, operation.mayBeOvertaken);
  }

  /** Letters that keys wait for. */
  #waitedFor(): { partition: number; offset: number }[] {
    return this.world.partitions.flatMap((_, partition) =>
      [...this.world.remembered(partition).letters]
        .filter(([, { isWaitedFor }]) => isWaitedFor)
        .map(([offset]) => ({ partition, offset })),
    );
  }

  async #release({ pick, of, trouble }: Invoked & { readonly op: 'release' }): Promise<void> {
    const isParked = of === 'discarded record';
    const pool = isParked ? this.#parked() : this.#waitedFor();
    const picked = pool[pick % pool.length];
    if (picked) await this.skip({ ...picked, of, trouble });
  }

  #parked(): { partition: number; offset: number }[] {
    return this.world.partitions.flatMap((_, partition) =>
      [...this.world.remembered(partition).parked.keys()].map((offset) => ({ partition, offset })),
    );
  }

  /** As an operator's `park release`, and a discard of a letter or of what is parked. */
  async skip({
    partition,
    offset,
    of,
    trouble,
  }: {
    readonly partition: number;
    readonly offset: number;
    readonly of: 'letter' | 'discarded letter' | 'discarded record';
    readonly trouble: Trouble;
  }): Promise<void> {
    const key = this.world.partitions[partition]!.records[offset]!.key!;
    const itself = [{ from: offset, to: offset + 1 }];
    // A key that is released waits for none of its letters up to this one.
    const before = of === 'letter' ? this.#waitedFor() : [{ partition, offset }];
    for (const each of before) {
      const isOfKey = isSameKey(this.world.partitions[each.partition]!.records[each.offset]!.key, key);
      if (each.partition === partition && each.offset <= offset && isOfKey)
        this.skipped.add(this.world.letterId(partition, each.offset));
    }
    const answer = await this.world.release(
      {
        partition,
        key,
        below: of === 'letter' ? offset + 1 : null,
        discardedLetters: of === 'discarded letter' ? itself : [],
        discardedParked: of === 'discarded record' ? itself : [],
      },
      trouble,
    );
    if ('error' in answer) acceptableOfRelease(answer.error);
  }

  async redrive(letters: readonly DeadLetter[], trouble: Trouble, mayBeOvertaken = false): Promise<void> {
    if (letters.length === 0) return;
    if (mayBeOvertaken) for (const { id } of letters) this.permitted.add(id);
    const outcomes = await redrive(this.world, letters, trouble, mayBeOvertaken);
    for (const [at, outcome] of outcomes?.entries() ?? []) {
      if (outcome === 'overtaken') assert.ok(this.isOvertaken(letters[at]!), `${letters[at]!.id} is refused`);
    }
  }

  /** Whether a newer record of the letter's key was applied. */
  isOvertaken({ record: { partition, offset, key } }: DeadLetter): boolean {
    const { records } = this.world.partitions[partition]!;
    return this.world
      .effects(partition)
      .some((other) => other > offset && isSameKey(records[other]!.key, key));
  }

  /** Each key's effects are in order, but for what somebody permitted, and for what was delivered late. */
  holds(): void {
    holdsAfterEachStep(this.world);
    if (this.#declaration.once) this.#appliesEachEventOnce();
    this.world.partitions.forEach((of, partition) => {
      const isExempt = (offset: number) =>
        of.everDiscarded.has(offset) || this.permitted.has(this.world.letterId(partition, offset));
      const ofKeys = Map.groupBy(this.world.effects(partition), (offset) => keyText(of.records[offset]!.key));
      for (const [key, effects] of ofKeys) {
        if (key === null) continue;
        const inOrder = effects.filter((offset) => !isExempt(offset));
        assert.deepEqual(
          inOrder,
          inOrder.toSorted((a, b) => a - b),
          `effects of key ${JSON.stringify(key)}`,
        );
      }
      this.#remembersWhatIs(partition);
    });
  }

  #appliesEachEventOnce(): void {
    this.world.partitions.forEach(({ sentAt }, partition) => {
      const events = this.world.effects(partition).map((offset) => sentAt[offset]);
      assert.equal(new Set(events).size, events.length, `an event of ${partition} was applied twice`);
    });
  }

  /** What the sink remembers is what the ledger and the effects say. */
  #remembersWhatIs(partition: number): void {
    const { records } = this.world.partitions[partition]!;
    const { letters, parked, isDraining } = this.world.remembered(partition);
    const deadLettered = (this.world.ledger(partition)?.deadLettered ?? []).flatMap(({ from, to }) =>
      Array.from({ length: to - from }, (_, n) => from + n),
    );
    assert.deepEqual(
      [...letters.keys()].toSorted((a, b) => a - b),
      deadLettered.filter((offset) => records[offset]!.key !== null),
      'letters are the holes of records with a key',
    );
    const effects = new Set(this.world.effects(partition));
    for (const [offset, { key, overtakenBy, isWaitedFor }] of letters) {
      assert.ok(isSameKey(key, records[offset]!.key));
      if (overtakenBy === null) continue;
      assert.equal(isWaitedFor, false, `${partition}/${offset} is overtaken, and its key waits for it`);
      assert.ok(
        overtakenBy > offset && effects.has(overtakenBy) && isSameKey(key, records[overtakenBy]!.key),
      );
    }
    for (const [offset, raw] of parked) {
      const { topic, timestamp, timestampType, key, value, headers } = raw;
      assert.deepEqual(
        {
          topic,
          partition: raw.partition,
          offset: raw.offset,
          timestamp,
          timestampType,
          key,
          value,
          headers,
        },
        records[offset],
      );
      const waits = [...letters].some(
        ([at, { key, isWaitedFor }]) => isWaitedFor && at < offset && isSameKey(key, raw.key),
      );
      assert.ok(waits || isDraining, `${partition}/${offset} is parked, and nothing will ever release it`);
    }
  }

  /** With `park-key` from the beginning: nothing of a key is applied before what comes first, and one letter is waited for. */
  holdsWhileParking(): void {
    this.world.partitions.forEach((of, partition) => {
      const isLate = (offset: number) => of.everDiscarded.has(offset);
      const isSkipped = (offset: number) => this.skipped.has(this.world.letterId(partition, offset));
      const seen = new Set<number>();
      for (const offset of this.world.effects(partition)) {
        seen.add(offset);
        const key = of.records[offset]!.key;
        if (key === null || isLate(offset)) continue;
        for (let before = 0; before < offset; before++) {
          if (!isSameKey(of.records[before]!.key, key) || isLate(before) || isSkipped(before)) continue;
          assert.ok(
            seen.has(before) || this.world.isRepeated(partition, before, seen),
            `${partition}/${offset} was applied before ${before}, which has its key`,
          );
        }
      }
      const { letters, parked } = this.world.remembered(partition);
      // Where there is no room, what has to wait becomes a letter too.
      const mayOverflow = this.parkLimit?.then === 'dead-letter';
      const waitedFor = [...letters].filter(([offset, { isWaitedFor }]) => isWaitedFor && !isLate(offset));
      for (const [key, { length }] of Map.groupBy(waitedFor, ([, letter]) => keyText(letter.key))) {
        if (!mayOverflow) assert.equal(length, 1, `letters of key ${JSON.stringify(key)}`);
      }
      const { perKey = Number.POSITIVE_INFINITY, total = Number.POSITIVE_INFINITY } = this.parkLimit ?? {};
      assert.ok(parked.size <= total);
      for (const each of Map.groupBy(parked.values(), ({ key }) => keyText(key)).values()) {
        assert.ok(each.length <= perKey);
      }
    });
  }

  /** Calm returns: all is delivered, the handler is fixed, and letters are redriven until none goes through any more. */
  async windUp(mode: Mode): Promise<void> {
    const { world } = this;
    world.partitions.forEach((of, partition) => {
      world.append(of, partition, { kind: 'good' }, null);
    });
    const rest = () => world.partitions.flatMap(({ records, cursor }) => records.slice(cursor));
    if (!this.isHolding) {
      // Promise 4, never stuck: without trouble one invocation settles everything, bad records and all.
      assert.deepEqual(await world.deliver(rest(), calm, mode === 'provisioned'), {
        result: { batchItemFailures: [] },
      });
      for (const of of world.partitions) of.cursor = of.records.length;
      this.holds();
    }
    world.isMended = true;
    await this.#redriveAll(mode, rest);
    // What cannot be decoded is in the way of its key until somebody says that it is not.
    for (let waitedFor = this.#waitedFor(); waitedFor.length > 0; waitedFor = this.#waitedFor()) {
      const { partition, offset } = waitedFor.toSorted((a, b) => a.offset - b.offset)[0]!;
      // Nothing else may be: a key that no redrive opens would wait for ever.
      const { kind } = world.partitions[partition]!.natures[offset]!;
      assert.equal(kind, 'garbage', `${partition}/${offset} is waited for, and no redrive settles it`);
      await this.skip({ partition, offset, of: 'letter', trouble: calm });
      await this.#redriveAll(mode, rest);
    }
  }

  /** At the end nothing is parked, and what is not applied was overtaken, or cannot be decoded. */
  async holdsAtTheEnd(): Promise<void> {
    const { world } = this;
    world.partitions.forEach((_, partition) => {
      const { parked, letters } = world.remembered(partition);
      assert.equal(parked.size, 0);
      for (const { isWaitedFor } of letters.values()) assert.equal(isWaitedFor, false);
    });
    const isGarbage = ({ record: { partition, offset } }: DeadLetter) =>
      world.partitions[partition]!.natures[offset]!.kind === 'garbage';
    const left = [...world.letters.values()].filter((letter) => !isGarbage(letter));
    for (const letter of left) assert.ok(this.isOvertaken(letter), `${letter.id} is still a letter`);
    await this.redrive(left, calm, true);

    const isDropped = (partition: number, offset: number) =>
      world.mayBeDropped.has(world.letterId(partition, offset));
    world.partitions.forEach(({ natures, records, everDiscarded }, partition) => {
      const applied = new Set(world.effects(partition));
      const { letters, isDraining } = world.remembered(partition);
      for (const [offset, { kind }] of natures.entries()) {
        if (kind === 'garbage') assert.equal(applied.has(offset), false);
        else if (
          !everDiscarded.has(offset) &&
          !isDropped(partition, offset) &&
          !world.isRepeated(partition, offset, applied)
        )
          assert.ok(applied.has(offset), `${partition}/${offset} is lost`);
      }
      for (const offset of letters.keys()) {
        assert.equal(natures[offset]!.kind, 'garbage');
        assert.notEqual(records[offset]!.key, null);
      }
      assert.equal(isDraining, false);
    });
  }

  async #redriveAll(mode: Mode, rest: () => readonly RawRecord[]): Promise<void> {
    const { world } = this;
    let before = -1;
    const settled = () =>
      world.partitions.reduce((all, { cursor }, at) => all + cursor + world.effects(at).length, 0);
    while (before !== settled()) {
      before = settled();
      await this.redrive([...world.letters.values()], calm);
      const everything = { back: [0, 0, 0], size: [99, 99, 99], trouble: calm };
      if (rest().length > 0) await deliver(world, everything, mode);
      this.holds();
    }
  }
}

/** A release says what the sink says: it is asked again then. */
function acceptableOfRelease(error: unknown): void {
  if (error instanceof MillraceError && error.code === 'SINK_UNAVAILABLE') return;
  acceptable(error);
}

function isSameKey(a: Buffer | null, b: Buffer | null): boolean {
  return a !== null && b !== null && a.equals(b);
}

function keyText(key: Buffer | null): string | null {
  return key === null ? null : key.toString('latin1');
}
