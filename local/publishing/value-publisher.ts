import { createEncoder } from '../../runtime/contract/codec.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import type { Random } from '../../runtime/ports.ts';
import { createPublish } from '../../runtime/publish/publish.ts';
import type { OutgoingRecord, Producer } from '../../runtime/topics.ts';
import { poisonRecord } from './poison.ts';

/** Publishes by contract, and adds poison beside it where asked to. */
export interface ValuePublisher<Value> {
  send(
    values: readonly Value[],
  ): Promise<{ readonly refused: readonly Refusal[]; readonly poisoned: number }>;
}

/** A value that broke its contract: its place among those sent, and how. */
export interface Refusal {
  readonly index: number;
  readonly reason: string;
}

export interface ValuePublisherOptions {
  readonly registry: SchemaRegistry;
  readonly producer: Producer;
  /** Bad records for each published one, sent as by a producer that goes round the contract check. */
  readonly poisonShare: number;
  /** Decides which records are poisoned and how. */
  readonly random: Random;
}

export function createValuePublisher<Value>(
  contract: Contract<Value>,
  { registry, producer, poisonShare, random }: ValuePublisherOptions,
): ValuePublisher<Value> {
  const publish = createPublish(contract, { registry, producer });
  const encoder = createEncoder(contract, registry);
  let poisonNumber = 0;

  const poison = async (values: readonly Value[]) => {
    const unlucky = values.filter(() => random.next() < poisonShare);
    return (await encoder.encodeBatch(unlucky)).flatMap((encoded): OutgoingRecord[] =>
      'record' in encoded ? [poisonRecord(contract, encoded.record.value, ++poisonNumber, random)] : [],
    );
  };

  return {
    async send(values) {
      const { refused } = await publish(values);
      const refusals = refused.map(({ index, violations }) => ({
        index,
        reason: violations.map(({ path, reason }) => (path ? `${path}: ${reason}` : reason)).join('; '),
      }));
      if (poisonShare === 0) return { refused: refusals, poisoned: 0 };
      const isRefused = new Set(refused.map(({ index }) => index));
      const bad = await poison(values.filter((_, index) => !isRefused.has(index)));
      if (bad.length > 0) await producer.send(contract.name, bad);
      return { refused: refusals, poisoned: bad.length };
    },
  };
}
