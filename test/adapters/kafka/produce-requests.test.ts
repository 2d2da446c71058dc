import { describe, expect, test } from '@jest/globals';
import { type Call, confirm, takeRound } from '../../../adapters/kafka/produce-requests.ts';
import type { OutgoingRecord } from '../../../runtime/topics.ts';

const NOW = 1_000;

function call(records: readonly (Partial<OutgoingRecord> & { to?: number })[], topic = 't'): Call {
  return {
    topic,
    records: records.map(({ to: _, ...record }) => ({ key: null, value: null, ...record })),
    partitions: records.map(({ to = 0 }) => to),
    isSettled: false,
    taken: 0,
    confirmed: 0,
    positions: [],
    resolve() {},
    reject() {},
  };
}
const shape = (round: ReturnType<typeof takeRound>) =>
  round.map((request) =>
    request.map(({ call: { topic }, index, partition }) => `${topic}/${partition}#${index}`),
  );

describe('a round', () => {
  test('has a request a partition, each in the order of the calls', () => {
    const queue = [call([{ to: 1 }, { to: 0 }, { to: 1 }]), call([{ to: 1 }], 'u'), call([{ to: 1 }])];
    expect(shape(takeRound(queue, NOW))).toEqual([['t/1#0', 't/1#2', 't/1#0'], ['t/0#1'], ['u/1#0']]);
    expect(takeRound(queue, NOW)).toEqual([]);
  });

  test('takes what fits, and one record that is too large for any alone', () => {
    const queue = [
      call([{ value: Buffer.alloc(600_000) }, { value: Buffer.alloc(300_000) }]),
      call([{ value: Buffer.alloc(2_000_000) }]),
      call(Array.from({ length: 6_000 }, () => ({}))),
    ];
    const sizes: number[] = [];
    for (let round = takeRound(queue, NOW); round.length > 0; round = takeRound(queue, NOW))
      sizes.push(round.flat().length);
    expect(sizes).toEqual([2, 1, 5_000, 1_000]);
  });

  test('ends before a record whose time is too far from its partition’s first: the client would write it wrong', () => {
    const far = 2 ** 31;
    const queue = [
      call([{ timestamp: 0 }, { timestamp: far, to: 1 }, { timestamp: far - 1 }, { timestamp: far }, {}]),
    ];
    expect(takeRound(queue, NOW).flat()).toHaveLength(3);
    expect(takeRound(queue, far).flat()).toHaveLength(2);
  });

  test('leaves a call whose partitions are not known yet, and all behind it', () => {
    const queue = [call([{}]), { ...call([{}]), partitions: undefined }, call([{}])];
    expect(takeRound(queue, NOW).flat()).toHaveLength(1);
  });
});

test('records that are confirmed stand behind one another, each with its own call', () => {
  const queue = [call([{}, { to: 1 }, {}]), call([{}])];
  const [first] = takeRound(queue, NOW);
  confirm(first!, 40);
  expect(queue.map(({ confirmed, taken }) => [confirmed, taken])).toEqual([
    [2, 3],
    [1, 1],
  ]);
  expect(queue[0]!.positions.map((position) => position?.offset)).toEqual([40, undefined, 41]);
  expect(queue[1]!.positions).toEqual([{ topic: 't', partition: 0, offset: 42 }]);
});
