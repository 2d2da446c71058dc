import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readRange } from '../../runtime/topics.ts';
import { eventRecord } from './events.ts';

test('gives every record of the range that the log has, in whatever parts it gives them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(40), { maxLength: 30 }),
      fc.integer({ min: 1, max: 5 }),
      fc.nat(40),
      fc.nat(40),
      async (offsets, most, from, to) => {
        const kept = offsets.sort((a, b) => a - b);
        const reader = {
          // A log may bring fewer than it is asked for.
          read: async (_: unknown, next: number, maxRecords: number) =>
            kept
              .filter((offset) => offset >= next)
              .slice(0, Math.min(most, maxRecords))
              .map((offset) => eventRecord(0, offset)),
        };
        const read = await Array.fromAsync(readRange(reader, { topic: 't', partition: 0 }, from, to));
        expect(read.map(({ offset }) => offset)).toEqual(
          kept.filter((offset) => offset >= from && offset < to),
        );
      },
    ),
  );
});
