/** What the package exports is kept: whoever changes it changes this list, and the CHANGELOG. */
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { apiReports } from '../../scripts/api-report.mjs';

const PACKAGE = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

test.each([
  [
    '.',
    'runtime/index',
    [
      'MillraceError',
      'defineApp',
      'defineArchive',
      'defineConsumer',
      'defineDatabase',
      'defineTable',
      'defineTopic',
    ],
  ],
  [
    './lambda',
    'adapters/aws/index',
    ['archiveFunction', 'collectorFunction', 'consumerFunction', 'migrationFunction'],
  ],
  ['./cdk', 'lib/index', ['MskConnector', 'synthesize']],
  [
    './testing',
    'testing/index',
    [
      'FAULTS',
      'assertDeadLettered',
      'assertEffectsOnce',
      'assertNothingLost',
      'assertOrderPerKey',
      'harness',
      'poison',
      'record',
      'recordsOf',
      'tombstone',
    ],
  ],
])('the entry %s', async (entry, file, names) => {
  // A checkout runs the sources, without a build.
  expect(PACKAGE.exports[entry]).toEqual({
    'millrace-source': `./${file}.ts`,
    default: `./dist/${file}.js`,
  });
  const exported = await import(new URL(`../../${file}.ts`, import.meta.url).href);
  expect(Object.keys(exported).sort()).toEqual(names);
});

test('there is no other entry', () => {
  expect(Object.keys(PACKAGE.exports)).toEqual(['.', './lambda', './cdk', './testing', './package.json']);
});

test.each(Object.entries(apiReports()))('the types of %s are those of test/api/', (name, report) => {
  // Where the change is meant: npm run api, and a line in CHANGELOG.md.
  expect(report).toBe(readFileSync(new URL(`../api/${name}.d.ts.txt`, import.meta.url), 'utf8'));
});
