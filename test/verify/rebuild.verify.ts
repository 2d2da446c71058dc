/** A rebuild on a real Kafka and PostgreSQL: starts MILLRACE_TEST_POSTGRES, and a broker of its own. */
import { expect, jest, test } from '@jest/globals';
import { rebuildPageviews } from './rebuild-of-pageviews.ts';

jest.setTimeout(600_000);

test('a doubled article is rebuilt away with traffic going on, through kills, and readers see no mixture', async () => {
  const run = await rebuildPageviews(20_000, 4, 11);
  expect(run).toMatchObject({ mixtures: [], wentBack: 0, isSame: true, views: run.published });
  expect(run.doubled).toBe(2_000);
  expect(run.looks).toBeGreaterThan(20);
});
