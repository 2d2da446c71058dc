import { expect, test } from '@jest/globals';
import { auditLines } from '../../cli/audit-view.ts';
import type { OffsetRange } from '../../runtime/delivery/offset-ranges.ts';
import { auditPartition, type PartitionFacts } from '../../runtime/replay/audit.ts';
import { millrace } from './millrace.ts';

const CONSUMER = 'editorial-analytics';

/** The ledger has offsets 0 to 99, and the log ends at `end`. */
function auditWith(end: number, skipped: readonly OffsetRange[] = []) {
  const facts: PartitionFacts = {
    partition: 0,
    ledger: { first: 0, next: 100, deadLettered: [], skipped, parked: [], discarded: [] } as never,
    start: 0,
    end,
    committed: 50,
    begins: 0,
    letters: [],
    discards: [],
  };
  const partitions = [auditPartition(facts)];
  return { consumer: CONSUMER, topic: 't', unaccounted: partitions[0]!.unaccounted, partitions };
}

test('what the log never had is said to be that, and no replay is offered for it', () => {
  const audit = auditWith(60);
  expect(audit.unaccounted).toBe(40);
  const text = auditLines(audit, {}, 40).join(' ');
  expect(text).toContain('The log never had the unaccounted offsets');
  expect(text).not.toContain('--gaps');
});

test('a replay is offered for what else is missing', () => {
  const audit = auditWith(60, [{ from: 3, to: 5 }]);
  const text = auditLines(audit, {}, audit.unaccounted).join(' ');
  expect(text).toContain('The log never had');
  expect(text).toContain(`npx millrace replay ${CONSUMER} --gaps`);
});

test.each([
  ['100', '50', /--from is 100 and --to is 50.*an offset after --from/s],
  ['7', '7', /--from is 7 and --to is 7/],
  ['2h', '26h', /--from is 20\S+Z and --to is 20\S+Z.*a time after --from/s],
])('from %s to %s is nothing to account for', async (from, to, said) => {
  const { code, stdout, stderr } = await millrace(['audit', CONSUMER, '--from', from, '--to', to]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(said);
  expect(stderr).toContain('[INPUT_INVALID]');
});
