/** An archive on a real Kafka and S3's API: `npm run verify` starts both, MILLRACE_TEST_KAFKA and MILLRACE_TEST_AWS. */
import { expect, jest, test } from '@jest/globals';
import { archivePageviews } from './archive-of-pageviews.ts';

jest.setTimeout(600_000);

const RECORDS = 60_000;

test('two groups that race, die and are delivered to again archive every record once, byte by byte', async () => {
  const run = await archivePageviews(RECORDS);
  expect(run).toMatchObject({ readBack: RECORDS, missing: 0, isSame: true, broken: [] });
  // Or nothing of it was tried.
  expect(run.conflicts).toBeGreaterThan(0);
  expect(run.crashes).toBeGreaterThan(0);
  expect(run.redelivered).toBeGreaterThan(0);
});
