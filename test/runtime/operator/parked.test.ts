import { expect, test } from '@jest/globals';
import { MillraceError } from '../../../runtime/errors.ts';
import { parkedOf, type SampledConsumer } from '../../../runtime/operator/operator.ts';

const sampled = (consumer: string, parks: boolean | undefined): SampledConsumer => ({
  consumer,
  topic: 't',
  warning: 1,
  incident: 2,
  windowMs: 500,
  startingPosition: 'TRIM_HORIZON',
  retentionMs: null,
  ...(parks !== undefined && { parkedInEpoch: 3, parks }),
});

test('what a consumer has parked is told while it parks, and afterwards while anything is left', async () => {
  const records: Readonly<Record<string, number>> = { 'parks-none': 0, 'parked-some': 2, 'parked-none': 0 };
  const asked: object[] = [];
  const unknown: string[] = [];
  const parked = await parkedOf(
    [
      sampled('parks-none', true),
      sampled('parked-some', false),
      sampled('parked-none', false),
      sampled('silent', true),
      sampled('not-counted', undefined),
    ],
    async () => ({
      async totals(of) {
        asked.push(of);
        const found = records[of.consumer];
        if (found === undefined) throw new MillraceError('SINK_UNAVAILABLE', 'down');
        return { keys: found, records: found, oldestAt: null };
      },
    }),
    (consumer) => unknown.push(consumer),
  );
  expect([...parked.keys()]).toEqual(['parks-none', 'parked-some']);
  expect(unknown).toEqual(['silent']);
  expect(asked).toHaveLength(4);
  expect(asked[0]).toEqual({ consumer: 'parks-none', epoch: 3, topic: 't' });
});
