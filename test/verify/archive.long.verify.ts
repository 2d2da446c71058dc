/** A million records through an archive: `npm run verify -- --long` starts MILLRACE_TEST_KAFKA and MILLRACE_TEST_AWS. */
import { expect, jest, test } from '@jest/globals';
import { archivePageviews } from './archive-of-pageviews.ts';

jest.setTimeout(1_800_000);

const RECORDS = 1_000_000;

test('a million pageviews are read back once each, with the bytes that the topic has', async () => {
  const run = await archivePageviews(RECORDS);
  expect(run).toMatchObject({ readBack: RECORDS, missing: 0, isSame: true, broken: [] });
  expect(run.conflicts).toBeGreaterThan(0);
});
