import { describe, expect, test } from '@jest/globals';
import { union } from '../../runtime/delivery/offset-ranges.ts';
import { MemorySink, type MemoryTx } from '../../testing/memory-sink.ts';
import { breakerSuite } from '../ports/breaker-suite.ts';
import { keySuite } from '../ports/key-suite.ts';
import { seenSuite } from '../ports/seen-suite.ts';
import { sinkSuite } from '../ports/sink-suite.ts';

sinkSuite<MemoryTx>(
  'MemorySink',
  async () => {
    const sink = new MemorySink();
    return {
      sink,
      add: (tx, counter, by) => tx.increment(counter, by),
      counter: async (name) => (sink.value(name) as number | undefined) ?? 0,
      ledger: async (key, of) => {
        const ledger = sink.ledger(key, of);
        if (!ledger) return undefined;
        const { first, next, maxTimestamp, deadLettered, skipped } = ledger;
        return { first, next, maxTimestamp, deadLettered, skipped };
      },
      close: async () => {},
    };
  },
  { transactions: 'many' },
);

breakerSuite('MemorySink', async () => new MemorySink(), { transactions: 'many' });

keySuite('MemorySink', async () => {
  const sink = new MemorySink();
  return {
    sink,
    async whole(key, of) {
      const { letters, parked, discarded } = sink.keys.of(key, of);
      return {
        discarded,
        parked: union([...parked.keys()].map((offset) => ({ from: offset, to: offset + 1 }))),
        overtaken: [...letters.values()]
          .toSorted((a, b) => a.offset - b.offset)
          .flatMap(({ offset, overtakenBy }) =>
            overtakenBy === null ? [] : [[offset, overtakenBy] as const],
          ),
      };
    },
  };
});

seenSuite('MemorySink', async () => {
  const sink = new MemorySink();
  return { sink, kept: async (key, partition) => sink.seen.of(key, { topic: 't', partition }).size };
});

describe('MemorySink as a store', () => {
  test('a handler sees its own changes before the commit, and nobody else does', async () => {
    const sink = new MemorySink();
    await sink.transaction(async ({ tx }) => {
      await tx.set('title', 'draft');
      await tx.append('edits', 1);
      await tx.append('edits', 2);
      await tx.increment('views');
      expect([await tx.get('title'), await tx.get('edits'), await tx.get('views')]).toEqual([
        'draft',
        [1, 2],
        1,
      ]);
      expect(sink.values().size).toBe(0);
    });
    expect(Object.fromEntries(sink.values())).toEqual({ title: 'draft', edits: [1, 2], views: 1 });
  });

  test('changes of transactions that run at the same time add up', async () => {
    const sink = new MemorySink();
    await sink.transaction(async (outer) => {
      await outer.tx.increment('views', 2);
      await sink.transaction((inner) => inner.tx.increment('views', 3));
    });
    expect(sink.value('views')).toBe(5);
  });
});
