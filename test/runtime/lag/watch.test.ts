import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ConsumerSample } from '../../../runtime/lag/sample.ts';
import { thinned } from '../../../runtime/lag/series.ts';
import { createLagWatch } from '../../../runtime/lag/watch.ts';
import { MINUTE, SECOND, START_AT, sampleOf, seriesOf, watched } from './samples.ts';

/** Looks once at each of the samples; a sample that is an error is what the source rejects with. */
async function looksAt(samples: readonly (ConsumerSample | Error)[]) {
  const left = [...samples];
  const clock = { now: () => START_AT + (samples.length - left.length - 1) * 10 * SECOND };
  const watch = createLagWatch({
    clock,
    consumers: () => [watched],
    source: {
      async sample() {
        const next = left.shift()!;
        if (next instanceof Error) throw next;
        return [next];
      },
    },
  });
  const found = [];
  for (const _ of samples) found.push((await watch.look())[0]!);
  return found;
}

const behind = (looks: number) =>
  seriesOf(looks, 10 * SECOND, (s) => ({ committed: 1_000 * s, end: 1_000 * s + 50_000 }));

const odd: Readonly<Record<string, (sample: ConsumerSample) => ConsumerSample | Error>> = {
  'a commit that is read too early': (sample) => changed(sample, { committed: 0 }),
  'a commit at the end': (sample) => changed(sample, { committed: sample.partitions![0]!.end }),
  'an unknown end': (sample) => changed(sample, { end: null }),
  'nobody runs it': (sample) => ({ ...sample, runner: { isRunning: false, who: 'nobody' } }),
  'a source that fails': () => new Error('No broker answers.'),
};

function changed(sample: ConsumerSample, change: object): ConsumerSample {
  return { ...sample, partitions: [{ ...sample.partitions![0]!, ...change }] };
}

describe('a verdict does not flap', () => {
  test.each(Object.entries(odd))('one odd look of many: %s', async (_, make) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 4, max: 28 }), async (at) => {
        const samples: (ConsumerSample | Error)[] = behind(30);
        samples[at] = make(samples[at] as ConsumerSample);
        const verdicts = (await looksAt(samples)).map(({ verdict }) => verdict);
        expect(new Set(verdicts)).toEqual(new Set(['BEHIND']));
      }),
      { numRuns: 25 },
    );
  });

  test('two looks that find something else change it, and the first says so', async () => {
    const stopped = behind(6).map((sample, index) => (index < 4 ? sample : changed(sample, { end: null })));
    const found = await looksAt(stopped);
    expect(found.map(({ verdict }) => verdict)).toEqual([...Array(5).fill('BEHIND'), 'UNKNOWN']);
    expect(found[4]).toMatchObject({
      lag: null,
      evidence: expect.arrayContaining([
        'This look alone says UNKNOWN; another that does changes the verdict.',
      ]),
    });
  });

  test('records that are lost are said at once', async () => {
    const samples = [...behind(4), sampleOf({ atMs: MINUTE, committed: 30_000, start: 40_000, end: 90_000 })];
    expect((await looksAt(samples)).at(-1)?.verdict).toBe('LOST');
  });
});

test('a source that gives earlier samples too is judged by all of them at the first look', async () => {
  const samples = seriesOf(31, 10 * SECOND, () => ({ committed: 5, end: 6 }));
  const watch = createLagWatch({
    clock: { now: () => START_AT },
    consumers: () => [watched],
    source: { sample: async () => samples },
  });
  expect(await watch.look()).toMatchObject([{ verdict: 'STALLED' }]);
});

test('the worst consumer comes first, and one without a sample is unknown', async () => {
  const consumers = ['a', 'b', 'c', 'd'].map((consumer) => ({ ...watched, consumer }));
  const watch = createLagWatch({
    clock: { now: () => START_AT },
    consumers: () => consumers,
    source: {
      sample: async () => [
        { ...sampleOf({ committed: 9, end: 9 }), consumer: 'a' },
        { ...sampleOf({ end: 20_000 }), consumer: 'b' },
        { ...sampleOf({ end: 60_000 }), consumer: 'd' },
      ],
    },
  });
  const found = await watch.look();
  expect(found.map(({ consumer, verdict }) => [consumer, verdict])).toEqual([
    ['d', 'BEHIND'],
    ['b', 'BEHIND'],
    ['c', 'UNKNOWN'],
    ['a', 'OK'],
  ]);
});

test('of a day of looks every ten seconds some seventy are remembered, from the whole day', () => {
  let kept: { readonly at: number }[] = [];
  for (let at = 0; at < 86_400_000; at += 10 * SECOND)
    kept = thinned([...kept, { at }], { keptMs: 86_400_000, leastGapMs: 2 * SECOND });
  expect(kept.length).toBeGreaterThan(40);
  expect(kept.length).toBeLessThan(100);
  expect(kept[0]!.at).toBeLessThan(4 * 3_600_000);
  expect(kept.at(-1)!.at).toBe(86_390_000);
});

test('a clock that steps back does not freeze what is known', async () => {
  const before = seriesOf(4, 10 * SECOND, () => ({ committed: 5, end: 20_000 }));
  const hour = 60 * MINUTE;
  const after = seriesOf(4, 10 * SECOND, (s) => ({ committed: 5, end: 20_000 + 1_000 * s })).map(
    (sample) => ({
      ...sample,
      at: sample.at - hour,
    }),
  );
  const found = await looksAt([...before, ...after]);
  expect(found.slice(4).map(({ lag }) => lag)).toEqual([19_995, 29_995, 39_995, 49_995]);
  expect(found.at(-1)).toMatchObject({ verdict: 'RISING', inPerSecond: 1_000 });
});
