import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ConsumerSample } from '../../../runtime/lag/sample.ts';
import { thinned } from '../../../runtime/lag/series.ts';
import { createLagWatch } from '../../../runtime/lag/watch.ts';
import { MINUTE, SECOND, START_AT, sampleOf, seriesOf, watched } from './samples.ts';

/** What a watch says at each of the samples; a sample that is an error is what the source rejects with. */
async function statusesAt(samples: readonly (ConsumerSample | Error)[]) {
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

const behind = (samples: number) =>
  seriesOf(samples, 10 * SECOND, (s) => ({ committed: 1_000 * s, end: 1_000 * s + 50_000 }));

const odd: Readonly<Record<string, (sample: ConsumerSample) => ConsumerSample | Error>> = {
  'a commit that is read too early': (sample) => changed(sample, { committed: 0 }),
  'a commit at the end': (sample) => changed(sample, { committed: sample.partitions![0]!.end }),
  'an unknown end': (sample) => changed(sample, { end: null }),
  'nobody runs it': (sample) => ({ ...sample, runner: { isRunning: false, who: 'nobody' } }),
  'a hold that has just begun': (sample) => held(sample, 1),
  'a source that fails': () => new Error('No broker answers.'),
};

function held(sample: ConsumerSample, seconds: number): ConsumerSample {
  const since = sample.at - seconds * SECOND;
  return {
    ...sample,
    runner: {
      ...sample.runner,
      held: { code: 'SINK_UNAVAILABLE', since, tries: 9, why: 'the sink is down' },
    },
  };
}

function changed(sample: ConsumerSample, change: object): ConsumerSample {
  return { ...sample, partitions: [{ ...sample.partitions![0]!, ...change }] };
}

describe('a verdict does not flap', () => {
  test.each(Object.entries(odd))('one odd sample of many: %s', async (_, make) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 4, max: 28 }), async (at) => {
        const samples: (ConsumerSample | Error)[] = behind(30);
        samples[at] = make(samples[at] as ConsumerSample);
        const verdicts = (await statusesAt(samples)).map(({ verdict }) => verdict);
        expect(new Set(verdicts)).toEqual(new Set(['BEHIND']));
      }),
      { numRuns: 25 },
    );
  });

  test('two samples that say something else change it, and the first says so', async () => {
    const stopped = behind(6).map((sample, index) => (index < 4 ? sample : changed(sample, { end: null })));
    const found = await statusesAt(stopped);
    expect(found.map(({ verdict }) => verdict)).toEqual([...Array(5).fill('BEHIND'), 'UNKNOWN']);
    expect(found[4]).toMatchObject({
      lag: null,
      evidence: expect.arrayContaining([
        'This sample alone says UNKNOWN; the verdict changes with the next one that agrees.',
      ]),
    });
  });

  test('the reason of the verdict that stands comes first, before what a sample alone says', async () => {
    const samples = behind(6);
    samples[5] = changed(samples[5]!, { committed: samples[5]!.partitions![0]!.end });
    const found = await statusesAt(samples);
    expect(found[5]).toMatchObject({ verdict: 'BEHIND', lag: 0 });
    expect(found[5]!.evidence.slice(0, 2)).toEqual([
      found[4]!.evidence[0],
      expect.stringMatching(/^This sample alone says (?:OK|IDLE|RECOVERING);/),
    ]);
  });

  test('samples of one moment count as one, as when several ask', async () => {
    const at = (atMs: number, end: number) => sampleOf({ atMs, committed: 5, end });
    const odd = [at(0, 6), at(10_000, 20_000), at(10_010, 20_000), at(10_020, 20_000)];
    const verdicts = (await statusesAt(odd)).map(({ verdict }) => verdict);
    expect(new Set(verdicts).size).toBe(1);
    const next = await statusesAt([...odd, at(11_000, 20_000)]);
    expect(next.at(-1)!.verdict).not.toBe(verdicts[0]);
  });

  test('records that are lost are said at once', async () => {
    const samples = [...behind(4), sampleOf({ atMs: MINUTE, committed: 30_000, start: 40_000, end: 90_000 })];
    expect((await statusesAt(samples)).at(-1)?.verdict).toBe('LOST');
  });
});

describe('an outage that the runner reports', () => {
  /** A consumer that keeps up for three seconds, is held for eight, and catches up. */
  const outage = () => [
    ...[0, 1, 2, 3].map((s) => sampleOf({ atMs: s * SECOND, committed: 100 * s, end: 100 * s + 10 })),
    ...[4, 5, 6, 7, 8, 9, 10, 11].map((s) =>
      held(sampleOf({ atMs: s * SECOND, committed: 300, end: 100 * s + 10 }), s - 3),
    ),
    ...[12, 13].map((s) => sampleOf({ atMs: s * SECOND, committed: 100 * s, end: 100 * s + 10 })),
  ];

  test('stalls the consumer with the sample at which it has lasted two seconds', async () => {
    const verdicts = (await statusesAt(outage())).map(({ verdict }) => verdict);
    expect(verdicts).toEqual([...Array(5).fill('OK'), ...Array(7).fill('STALLED'), 'OK', 'OK']);
  });

  test('is over with the first commit, and not while only the hold is gone', async () => {
    const samples = outage();
    samples[12] = sampleOf({ atMs: 12 * SECOND, committed: 300, end: 1_210 });
    const found = await statusesAt(samples);
    expect(found.slice(11).map(({ verdict }) => verdict)).toEqual(['STALLED', 'STALLED', 'OK']);
    expect(found[12]!.evidence[0]).toMatch(/held by SINK_UNAVAILABLE/);
  });

  test('stalls it too where the last commit before it is seen late', async () => {
    const samples = outage();
    samples[4] = held(sampleOf({ atMs: 4 * SECOND, committed: 310, end: 410 }), 1);
    for (const at of [5, 6]) samples[at] = changed(samples[at]!, { committed: 310 });
    expect((await statusesAt(samples))[6]).toMatchObject({ verdict: 'STALLED' });
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
  const found = await statusesAt([...before, ...after]);
  expect(found.slice(4).map(({ lag }) => lag)).toEqual([19_995, 29_995, 39_995, 49_995]);
  expect(found.at(-1)).toMatchObject({ verdict: 'RISING', inPerSecond: 1_000 });
});
