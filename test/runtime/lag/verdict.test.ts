import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ConsumerSample } from '../../../runtime/lag/sample.ts';
import type { LagVerdict } from '../../../runtime/lag/status.ts';
import { judge } from '../../../runtime/lag/verdict.ts';
import { HOUR, MINUTE, SECOND, START_AT, sampleOf, seriesOf, watched } from './samples.ts';

/** What is sampled, what it means, and a word of the first sentence that says why. */
const TABLE: readonly (readonly [string, readonly ConsumerSample[], LagVerdict, RegExp?])[] = [
  // One look.
  ['a topic without records', [sampleOf({ committed: 'none' })], 'IDLE'],
  ['a topic that nobody has published to', [sampleOf({ committed: 'none', ageMs: null })], 'IDLE'],
  ['a topic that does not exist', [{ ...sampleOf({}), partitions: [] }], 'UNKNOWN'],
  ['nothing unread, at one look', [sampleOf({ committed: 9, end: 9 })], 'OK'],
  ['a little unread, at one look', [sampleOf({ committed: 4, end: 9 })], 'OK'],
  ['more than the warning threshold, at one look', [sampleOf({ end: 10_000 })], 'BEHIND', /10,000 unread/],
  ['a group that never committed', [sampleOf({ committed: 'none', end: 20_000 })], 'BEHIND', /20,000/],
  [
    'one record, and nobody runs the consumer',
    [sampleOf({ end: 1, runner: { isRunning: false, who: 'nobody runs it' } })],
    'STALLED',
    /1 unread and nobody runs it/,
  ],
  [
    'nothing unread, and nobody runs the consumer',
    [sampleOf({ committed: 5, end: 5, runner: { isRunning: false } })],
    'OK',
  ],
  [
    'paused with work to do',
    [sampleOf({ end: 3, runner: { paused: { by: 'kim', at: START_AT } } })],
    'STALLED',
    /paused by kim since 2026-11-27 03:00:00Z/,
  ],
  [
    'paused with nothing to do',
    [sampleOf({ committed: 5, end: 5, runner: { paused: { by: 'kim', at: START_AT } } })],
    'OK',
    /paused by kim since 2026-11-27 03:00:00Z/,
  ],
  ['a mapping that is off', [sampleOf({ end: 3, runner: { disabled: 'Disabled' } })], 'STALLED', /Disabled/],
  [
    'held for ten seconds',
    [
      sampleOf({
        end: 3,
        runner: { held: { code: 'SINK_UNAVAILABLE', since: START_AT - 10 * SECOND, tries: 22 } },
      }),
    ],
    'STALLED',
    /held by SINK_UNAVAILABLE since 2026-11-27 02:59:50Z, 22 tries/,
  ],
  [
    'held for a moment',
    [sampleOf({ end: 3, runner: { held: { code: 'SINK_CONFLICT', since: START_AT - SECOND, tries: 1 } } })],
    'OK',
  ],
  [
    'a handle() that hangs',
    [sampleOf({ end: 3, runner: { handling: { runningMs: 31_000, timeoutMs: 60_000 } } })],
    'STALLED',
    /has been running 31 s \(limit 1 min\)/,
  ],
  [
    'the same error at one offset',
    [sampleOf({ committed: 7, end: 9, failing: { offset: 7, times: 3 } })],
    'BLOCKED',
    /Partition 0: offset 7 failed 3 times with DEPENDENCY_UNAVAILABLE/,
  ],
  [
    'a record that broken code holds, at once',
    [sampleOf({ committed: 7, end: 9, failing: { offset: 7, times: 1, code: 'CONSUMER_BROKEN' } })],
    'BLOCKED',
    /Partition 0: offset 7 failed 1 time with CONSUMER_BROKEN/,
  ],
  [
    'records that broken code holds, where no partition is seen',
    [
      sampleOf({
        end: 3,
        runner: {
          held: { code: 'CONSUMER_BROKEN', since: START_AT, tries: 1, why: 'TypeError in settle (a/b.ts:3)' },
        },
      }),
    ],
    'BLOCKED',
    /^held by CONSUMER_BROKEN since 2026-11-27 03:00:00Z: TypeError in settle \(a\/b.ts:3\)\. The code is broken/,
  ],
  [
    'an error at one offset, twice',
    [sampleOf({ committed: 7, end: 9, failing: { offset: 7, times: 2 } })],
    'OK',
  ],
  [
    'errors at an offset that is settled since',
    [sampleOf({ committed: 8, end: 9, failing: { offset: 7, times: 9 } })],
    'OK',
  ],
  [
    'committed below the oldest offset',
    [sampleOf({ committed: 10, start: 40, end: 50 })],
    'LOST',
    /30 unread offsets before .*: 10 is committed, the topic begins at 40/,
  ],
  ['everything unread was deleted', [sampleOf({ committed: 10, start: 50, end: 50, ageMs: null })], 'LOST'],
  ['never committed, and the oldest are gone', [sampleOf({ committed: 'none', start: 40, end: 50 })], 'OK'],
  ['a committed offset that is unknown', [sampleOf({ committed: null, end: 50 })], 'UNKNOWN', /committed/],
  ['an end that is unknown', [sampleOf({ end: null })], 'UNKNOWN', /ends is unknown/],
  ['committed beyond the end', [sampleOf({ committed: 60, end: 50 })], 'UNKNOWN', /created again/],
  [
    'partitions that could not be read',
    [{ ...sampleOf({}), partitions: null, unknown: 'No broker answers.' }],
    'UNKNOWN',
    /No broker answers/,
  ],
  [
    'a metric of lag only',
    [{ ...sampleOf({}), partitions: null, total: { lag: 12_000, nextAt: null } }],
    'BEHIND',
  ],
  // Two looks, as a command takes that ends at once.
  ['two looks without a change', seriesOf(2, 1_500, () => ({ committed: 9, end: 9 })), 'IDLE'],
  [
    'two looks of a busy consumer',
    seriesOf(2, 1_500, (s) => ({ committed: 900 * s, end: 900 * s + 9 })),
    'OK',
  ],
  [
    'two looks without a commit, and a record of yesterday',
    seriesOf(2, 1_500, () => ({ end: 3, ageMs: 24 * HOUR })),
    'BEHIND',
    /1 d old/,
  ],
  [
    'nobody is a member, and offsets are committed all the same',
    seriesOf(2, 1_500, (s) => ({ committed: 10 * s, end: 50, runner: { isRunning: false, who: 'nobody' } })),
    'OK',
  ],
  // Series.
  [
    'steady traffic',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 1_000 * s, end: 1_000 * s + 400 })),
    'OK',
  ],
  [
    'what is on its way in heavy traffic',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 9_000 * s, end: 9_000 * s + 9_000 + (s % 20) })),
    'OK',
  ],
  [
    'a lag that grows by a tenth of the traffic',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 900 * s, end: 1_000 * s })),
    'RISING',
    /grows by 100\/s/,
  ],
  [
    'a backlog that shrinks',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 1_500 * s, end: 1_000 * s + 90_000 })),
    'RECOVERING',
    /shrinks by 500\/s; caught up in 1 min/,
  ],
  [
    'a backlog that stays',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 1_000 * s, end: 1_000 * s + 50_000 })),
    'BEHIND',
  ],
  ['no traffic and nothing unread', seriesOf(10, 10 * SECOND, () => ({ committed: 5, end: 5 })), 'IDLE'],
  [
    'no commit for five minutes, one record',
    seriesOf(31, 10 * SECOND, () => ({ committed: 5, end: 6, ageMs: 5 * MINUTE })),
    'STALLED',
    /1 unread and no commit since 2026-11-27 03:00:00Z/,
  ],
  [
    'a record that has just come to a consumer without work for an hour',
    [
      ...seriesOf(30, 2 * MINUTE, () => ({ committed: 5, end: 5 })),
      sampleOf({ atMs: HOUR, committed: 5, end: 6 }),
    ],
    'OK',
  ],
  [
    'throttled',
    seriesOf(5, 10 * SECOND, () => ({ committed: 5, end: 60, runner: { throttles: 12 } })),
    'STALLED',
    /refused 12 invocations/,
  ],
  [
    'a drain that takes longer than the retention leaves',
    seriesOf(10, 10 * SECOND, (s) => ({ committed: 10 * s, end: 500_000, ageMs: 165 * HOUR })),
    'AT_RISK',
    /in 3 h, and catching up takes 13 h/,
  ],
  [
    'no drain at all, with little of the retention left',
    seriesOf(10, 10 * SECOND, () => ({ committed: 5, end: 9, ageMs: 160 * HOUR })),
    'AT_RISK',
    /never catches up/,
  ],
  [
    'no drain at all, in a topic that keeps everything',
    seriesOf(10, 10 * SECOND, () => ({ committed: 5, end: 9, ageMs: 160 * HOUR, retentionMs: 'forever' })),
    'BEHIND',
  ],
  [
    'lost while the watch looked on',
    [sampleOf({ committed: 10, end: 50 }), sampleOf({ atMs: MINUTE, committed: 10, start: 20, end: 50 })],
    'LOST',
    /10 unread offsets since 2026-11-27 03:00:00Z/,
  ],
  [
    'a producer that stops after twenty minutes',
    seriesOf(151, 10 * SECOND, (s) => ({ committed: 10 * Math.min(s, 1_200), end: 10 * Math.min(s, 1_200) })),
    'SILENT',
    /0\/s come in, and 10\/s are usual/,
  ],
  [
    'a producer that is far below what its source says is usual',
    seriesOf(7, 10 * SECOND, (s) => ({ committed: s, end: s, usualInPerSecond: 100 })),
    'SILENT',
  ],
  [
    'a topic that gets a record an hour',
    seriesOf(60, MINUTE, (s) => ({ committed: Math.floor(s / 3_600), end: Math.floor(s / 3_600) })),
    'IDLE',
  ],
];

describe('samples and the verdict that they mean', () => {
  test.each(TABLE)('%s', (_, samples, verdict, because = /^/) => {
    const status = judge(watched, samples);
    expect([status.verdict, status.evidence[0]]).toEqual([verdict, expect.stringMatching(because)]);
  });

  test('every verdict is in the table', () => {
    const found = new Set(TABLE.map(([, , verdict]) => verdict));
    expect([...found].toSorted()).toEqual([
      'AT_RISK',
      'BEHIND',
      'BLOCKED',
      'IDLE',
      'LOST',
      'OK',
      'RECOVERING',
      'RISING',
      'SILENT',
      'STALLED',
      'UNKNOWN',
    ]);
  });
});

describe('numbers', () => {
  test('lag, age, rates, drain and headroom', () => {
    const samples = seriesOf(7, 10 * SECOND, (s) => ({
      committed: 1_500 * s,
      end: 1_000 * s + 90_000,
      ageMs: HOUR,
    }));
    expect(judge(watched, samples)).toMatchObject({
      lag: 60_000,
      ageMs: HOUR,
      inPerSecond: 1_000,
      outPerSecond: 1_500,
      drain: { lowMs: 120_000, highMs: 120_000 },
      drainMs: 120_000,
      headroomMs: 167 * HOUR,
      lost: 0,
      lastProgressAt: START_AT + MINUTE,
    });
  });

  test('a lag that does not shrink is never drained', () => {
    const samples = seriesOf(3, 10 * SECOND, () => ({ end: 20_000 }));
    expect(judge(watched, samples)).toMatchObject({ drain: 'never', drainMs: null });
  });

  test('what retention deletes is not drained', () => {
    const samples = seriesOf(7, 10 * SECOND, (s) => ({ committed: 0, start: 50 * s, end: 9_000 + 10 * s }));
    expect(judge(watched, samples)).toMatchObject({
      verdict: 'LOST',
      lag: 6_600,
      drain: 'never',
      drainMs: null,
    });
  });

  test('a consumer that goes on behind what was deleted has not read it', () => {
    const samples = seriesOf(9, 5 * SECOND, (s) => ({
      committed: s < 10 ? 0 : 1_000_000 + 10 * (s - 5),
      start: 1_000_000,
      end: 1_200_000 + 100 * s,
    }));
    const status = judge(watched, samples);
    expect(status).toMatchObject({ verdict: 'RISING', lost: 0, drain: 'never', inPerSecond: 100 });
    expect(status.outPerSecond).toBeCloseTo(350 / 40);
  });

  test('retention reads nothing for a group that never committed', () => {
    const samples = seriesOf(40, 10 * SECOND, (s) => ({
      committed: 'none',
      start: 100 * s,
      end: 90_000 + 50 * s,
      runner: { isRunning: false, who: 'nobody runs it' },
    }));
    expect(judge(watched, samples)).toMatchObject({
      verdict: 'STALLED',
      evidence: expect.arrayContaining([expect.stringContaining('nobody runs it')]),
      drain: 'never',
      outPerSecond: 0,
      lastProgressAt: null,
    });
  });

  test('one odd gap between samples moves neither the drain nor the verdict', () => {
    const retentionMs = HOUR;
    for (let odd = 1; odd < 30; odd++) {
      let committed = 0;
      const samples = seriesOf(30, 2 * SECOND, (s) => {
        committed += s / 2 === odd ? 1 : 2_000;
        return { committed, end: 600_000, ageMs: 30 * MINUTE, retentionMs };
      });
      const { verdict, drainMs, lag } = judge(watched, samples);
      expect([odd, verdict]).toEqual([odd, 'RECOVERING']);
      // A thousand a second.
      expect(Math.abs(drainMs! - lag!)).toBeLessThan(lag! / 10);
    }
  });

  test('what a new partition holds did not come in just now', () => {
    const samples = seriesOf(8, 10 * SECOND, (s) => ({ committed: 100 * s, end: 100 * s })).map(
      (sample, at) => ({
        ...sample,
        partitions:
          at < 4
            ? sample.partitions
            : [...sample.partitions!, { ...sample.partitions![0]!, partition: 1, committed: 0, end: 50_000 }],
      }),
    );
    expect(judge(watched, samples)).toMatchObject({ verdict: 'BEHIND', lag: 50_000, inPerSecond: 100 });
  });

  test('what stands still drains never, whatever it did before', () => {
    const held = { code: 'SINK_UNAVAILABLE', since: START_AT + 60 * SECOND, tries: 3 };
    const samples = seriesOf(8, 10 * SECOND, (s) => ({
      committed: 1_000 * Math.min(s, 60),
      end: 100_000,
      ...(s > 60 && { runner: { held } }),
    }));
    expect(judge(watched, samples)).toMatchObject({ verdict: 'STALLED', drain: 'never', drainMs: null });
  });

  test('with a partition that gets nowhere it never drains, however fast the others are', () => {
    const samples = seriesOf(7, 10 * SECOND, (s) => ({ committed: 100 * s, end: 9_000 + 10 * s })).map(
      (sample) => ({
        ...sample,
        partitions: [
          ...sample.partitions!,
          {
            ...sampleOf({ committed: 7, end: 9, failing: { offset: 7, times: 3 } }).partitions![0]!,
            partition: 1,
          },
        ],
      }),
    );
    const status = judge(watched, samples);
    expect(status).toMatchObject({ verdict: 'BLOCKED', lag: 3_602, drain: 'never', drainMs: null });
    expect(status.partitions.map(({ drain }) => drain)).toEqual([{ lowMs: 40_000, highMs: 40_000 }, 'never']);
  });

  test('a group that never committed lags by what it will read', () => {
    const from = (begins?: number) =>
      judge(watched, [
        sampleOf({ committed: 'none', start: 40, end: 50, ...(begins !== undefined && { begins }) }),
      ]).lag;
    expect([from(), from(50), from(44)]).toEqual([10, 0, 6]);
  });

  test('deleted offsets are lost and no longer lag', () => {
    expect(judge(watched, [sampleOf({ committed: 10, start: 40, end: 50 })])).toMatchObject({
      lag: 10,
      lost: 30,
    });
  });

  test('one partition of two without a commit decides, and is named', () => {
    const looks = seriesOf(40, 10 * SECOND, (s) => ({ committed: 1_000 * s, end: 1_000 * s }));
    const samples = looks.map((sample) => ({
      ...sample,
      partitions: [...sample.partitions!, { ...sample.partitions![0]!, partition: 1, committed: 3, end: 4 }],
    }));
    const status = judge(watched, samples);
    expect(status).toMatchObject({ verdict: 'STALLED', lag: 1 });
    expect(status.evidence[0]).toMatch(/^Partition 1: 1 unread and no commit since/);
    expect(status.partitions.map(({ verdict }) => verdict)).toEqual(['OK', 'STALLED']);
  });
});

const anySeries = fc
  .record({
    stepMs: fc.integer({ min: 1_000, max: 30_000 }),
    steps: fc.array(
      fc.record({ produced: fc.nat(50_000), consumed: fc.nat(50_000), ageMs: fc.nat(10 * HOUR) }),
      { minLength: 1, maxLength: 30 },
    ),
  })
  .map(({ stepMs, steps }) => {
    let [committed, end] = [0, 0];
    return steps.map(({ produced, consumed, ageMs }, index) => {
      end += produced;
      committed = Math.min(end, committed + consumed);
      return { atMs: index * stepMs, committed, end, ageMs };
    });
  });

describe('whatever the samples are', () => {
  test('offsets that all begin elsewhere give the same verdict', () => {
    fc.assert(
      fc.property(anySeries, fc.integer({ min: 1, max: 1e12 }), (shapes, by) => {
        const moved = shapes.map((shape) =>
          sampleOf({ ...shape, start: by, committed: shape.committed + by, end: shape.end + by }),
        );
        const { verdict, lag, drainMs } = judge(watched, shapes.map(sampleOf));
        expect(judge(watched, moved)).toMatchObject({ verdict, lag, drainMs });
      }),
    );
  });

  test('offsets and thresholds that are all ten times as large give the same verdict', () => {
    fc.assert(
      fc.property(anySeries, (shapes) => {
        const larger = shapes.map(({ committed, end, ...rest }) =>
          sampleOf({ ...rest, committed: committed * 10, end: end * 10 }),
        );
        const { verdict, lag } = judge(watched, shapes.map(sampleOf));
        expect(judge({ ...watched, warning: 100_000, incident: 1_000_000 }, larger)).toMatchObject({
          verdict,
          lag: lag! * 10,
        });
      }),
    );
  });

  test('what is unknown is never 0, and no consumer with something unknown is well', () => {
    const unknown = fc.constantFrom('committed' as const, 'end' as const, 'start' as const);
    fc.assert(
      fc.property(anySeries, unknown, (shapes, field) => {
        const samples = shapes.map(sampleOf);
        const last = { ...shapes.at(-1)!, [field]: null };
        const status = judge(watched, [...samples.slice(0, -1), sampleOf(last)]);
        expect(status).toMatchObject({ verdict: 'UNKNOWN', lag: null, ageMs: null, drain: null, lost: null });
        expect(status.evidence).not.toEqual([]);
      }),
    );
  });

  test('an age that is unknown gives no headroom', () => {
    fc.assert(
      fc.property(anySeries, (shapes) => {
        const status = judge(
          watched,
          shapes.map((shape) => sampleOf({ ...shape, ageMs: null })),
        );
        expect(status.headroomMs).toBeNull();
        expect(status.ageMs).toBe(status.lag === 0 ? 0 : null);
      }),
    );
  });
});

test('a consumer that was just paused never drains, whatever it did before', () => {
  const samples = [
    sampleOf({ committed: 0, end: 900 }),
    sampleOf({ atMs: 2 * SECOND, committed: 600, end: 900, runner: { paused: { by: 'kim', at: START_AT } } }),
  ];
  expect(judge(watched, samples)).toMatchObject({ drain: 'never', drainMs: null, isPaused: true });
});
