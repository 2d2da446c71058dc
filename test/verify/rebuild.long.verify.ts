/** Half a million records: `npm run verify -- --long` starts MILLRACE_TEST_POSTGRES, and this a broker of its own. */
import { expect, jest, test } from '@jest/globals';
import { rebuildPageviews } from './rebuild-of-pageviews.ts';

jest.setTimeout(3_600_000);

test('500,000 records are rebuilt through 20 kills as a run that never had the bug would have them', async () => {
  const run = await rebuildPageviews(500_000, 20, 12);
  expect(run).toMatchObject({ mixtures: [], wentBack: 0, isSame: true, views: run.published });
  expect(run.doubled).toBe(50_000);
  expect(run.kills).toBeGreaterThanOrEqual(20);
});
