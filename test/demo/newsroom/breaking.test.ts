import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isBreaking } from '../../../demo/newsroom/breaking.ts';

const MINUTES = 60;
const steady = (views: number) => new Array<number>(MINUTES).fill(views);
/** The newest minutes have other values. */
const ending = (values: readonly number[], end: readonly number[]) => [
  ...values.slice(0, values.length - end.length),
  ...end,
];
const plus = (site: readonly number[], article: readonly number[]) =>
  site.map((views, at) => views + article[at]!);

describe('breaks', () => {
  test('an article that is read three times as much as ever', () => {
    const article = ending(steady(100), [300, 320]);
    expect(isBreaking(article, plus(steady(2_000), article), 1)).toBe(true);
  });

  test('a new article, on a site that was read before', () => {
    const article = ending(steady(0), [150, 400]);
    expect(isBreaking(article, plus(steady(2_000), article), 0.5)).toBe(true);
  });

  test('a new article for its first ten minutes', () => {
    const article = ending(steady(0), new Array<number>(10).fill(200));
    expect(isBreaking(article, plus(steady(2_000), article), 1)).toBe(true);
  });

  test('an article whose newest minute has just begun, by the minute before', () => {
    const article = ending(steady(100), [420, 3]);
    expect(isBreaking(article, plus(ending(steady(2_000), [2_000, 20]), article), 0.01)).toBe(true);
  });

  test('an article that still rises after twenty minutes, which the usual minute does not follow', () => {
    const article = ending(steady(50), new Array<number>(20).fill(400));
    expect(isBreaking(article, plus(steady(2_000), article), 1)).toBe(true);
  });
});

describe('does not break', () => {
  test('an article that is read as always, however little of the newest minute is over', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (views, share) => {
          const article = ending(steady(views), [views, Math.round(views * share)]);
          const site = plus(ending(steady(1_000), [1_000, Math.round(1_000 * share)]), article);
          expect(isBreaking(article, site, share)).toBe(false);
        },
      ),
    );
  });

  test('a new article that has been read as much for a quarter of an hour', () => {
    const article = ending(steady(0), [900, 500, ...new Array<number>(13).fill(120)]);
    expect(isBreaking(article, plus(steady(2_000), article), 1)).toBe(false);
  });

  test('a quiet article that a few more people read', () => {
    const article = ending(steady(1), [6, 7]);
    expect(isBreaking(article, plus(steady(200), article), 1)).toBe(false);
  });

  test('a small part of what a large site reads', () => {
    const article = ending(steady(1), [60, 60]);
    expect(isBreaking(article, plus(steady(50_000), article), 1)).toBe(false);
  });

  test('any article while everything rises alike, as in the morning', () => {
    const article = ending(steady(100), [500, 520]);
    const others = ending(steady(2_000), [10_000, 10_200]);
    expect(isBreaking(article, plus(others, article), 1)).toBe(false);
  });

  test('anything in the first minutes of a site, whose usual rate nobody knows', () => {
    const article = [...new Array<number>(57).fill(0), 20, 300, 400];
    const site = [...new Array<number>(57).fill(0), 500, 2_000, 2_100];
    expect(isBreaking(article, site, 1)).toBe(false);
    expect(isBreaking(steady(0), steady(0), 1)).toBe(false);
  });

  test('what comes back after minutes that nobody watched', () => {
    // The pipeline was not run for half an hour: these zeros are no rate.
    const gap = (views: number) => steady(views).map((each, at) => (at >= 25 && at < 57 ? 0 : each));
    expect(isBreaking(gap(100), gap(2_000), 1)).toBe(false);
  });

  test('an article of which one partition of a replay is ahead of the others', () => {
    const site = ending(steady(2_000), [120, 130]);
    const article = ending(steady(100), [100, 110]);
    expect(isBreaking(article, site, 1)).toBe(false);
  });

  test('what happens by chance: counts of a steady rate', () => {
    // Poisson counts of the same mean, by the product of uniform numbers.
    const poisson = (mean: number, uniform: () => number) => {
      const limit = Math.exp(-mean);
      let [count, product] = [0, uniform()];
      while (product > limit) {
        count++;
        product *= uniform();
      }
      return count;
    };
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 30 }), (seed, mean) => {
        let state = seed >>> 0;
        const uniform = () => {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
          return (state + 1) / 2 ** 32;
        };
        const article = steady(0).map(() => poisson(mean, uniform));
        expect(isBreaking(article, plus(steady(mean * 5), article), 1)).toBe(false);
      }),
    );
  });
});
