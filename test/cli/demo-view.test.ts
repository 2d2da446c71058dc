import { expect, test } from '@jest/globals';
import { demoLine, demoView } from '../../cli/capture/demo-view.ts';
import { widthOf } from '../../cli/terminal.ts';
import type { DemoState } from '../../local/capture-demo/capture-demo.ts';

const state: DemoState = {
  phase: 'waiting for the mart',
  changes: 1_234_567,
  inTopics: 2_345_678,
  duplicatesInTopics: 12_345,
  archived: 2_345_678,
  toArchive: 1_234,
  martRows: 345_678,
  freshnessMs: 41_000,
  freshnessP95Ms: 52_000,
  runs: 1_234,
  compared: {
    rows: 345_678,
    missing: 1,
    extra: 2,
    different: 3,
    unsettled: 4_567,
    examples: ['articles 1741 differs in body'],
  },
  events: [
    'articles has a new column with a default: nobody hears of rows that stay as they are',
    'a snapshot of articles is asked for, by a signal',
    ...Array.from({ length: 9 }, () => 'newsroom.public.articles has 6 partitions instead of 3'),
  ],
};

test('the picture of the demo fits a terminal of 80 columns and 24 lines', () => {
  const lines = demoView(state, 3_723_000, 80).split('\n');
  expect(lines.length).toBeLessThanOrEqual(24);
  expect(lines.filter((line) => widthOf(line) > 80)).toEqual([]);
  expect(lines.join('\n')).toContain('no: 1 missing, 2 too many, 3 different');
});

test('a mart that is equal says so, and how many rows are still changing', () => {
  const compared = { ...state.compared!, missing: 0, extra: 0, different: 0, examples: [] };
  expect(demoLine({ ...state, compared })).toContain(
    'yes, row by row; 4,567 rows changed less than a minute ago',
  );
  expect(demoLine({ ...state, compared, freshnessMs: undefined })).toContain('not built yet');
});
