import { expect, test } from '@jest/globals';
import { parseWhere } from '../../../cli/dlq/options.ts';
import { wholeExportHint } from '../../../cli/dlq/transfer.ts';

test('the hint after a masked export has the same letters, and a file that the export did not write', () => {
  const where = parseWhere('error=HANDLER_FAILED,since=2026-11-24T10:00:00.000Z');
  expect(wholeExportHint('orders', { where, output: '/tmp/my letters.jsonl' }, { env: 'prod' })).toBe(
    'npx millrace dlq export --consumer orders --where error=HANDLER_FAILED,since=2026-11-24T10:00:00.000Z ' +
      "--output '/tmp/my letters-with-values.jsonl' --show-values --env prod",
  );
  expect(wholeExportHint('orders', { where: {} }, {})).toBe(
    'npx millrace dlq export --consumer orders --show-values',
  );
});
