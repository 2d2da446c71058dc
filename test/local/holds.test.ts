import { expect, test } from '@jest/globals';
import { createHolds, heldFacts } from '../../local/holds.ts';
import { LOGGED } from '../../runtime/delivery/metrics.ts';

const LINE = { consumer: 'orders', stage: 'handle', action: 'hold', errorName: 'MillraceError' };

function open() {
  const clock = { ms: 1_000_000 };
  const over: string[] = [];
  const holds = createHolds(
    [],
    () => clock.ms,
    ({ consumer, code }) => over.push(`${consumer} ${code}`),
  );
  const note = (fields: object) => holds.note(LOGGED.held, { ...LINE, ...fields });
  return { clock, over, holds, note };
}

test('tries at one record are counted from the first, and those of another offset begin anew', () => {
  const { clock, holds, note } = open();
  const at = (offset: number) => ({ code: 'DEPENDENCY_UNAVAILABLE', records: [{ partition: 3, offset }] });
  for (const offset of [7, 7, 7, 9]) {
    note(at(offset));
    clock.ms += 1_000;
  }
  note(at(9));
  expect(holds.list()).toMatchObject([
    { since: 1_000_000, tries: 5, records: [{ partition: 3, offset: 9, times: 2, since: 1_003_000 }] },
  ]);
});

test('records of a hold are what fails, and a hold without records holds all of the consumer', () => {
  const { holds, note } = open();
  note({ code: 'DEPENDENCY_UNAVAILABLE', records: [{ partition: 3, offset: 7 }], errorMessage: 'No tax.' });
  note({ code: 'SINK_UNAVAILABLE' });
  const { held, failing } = heldFacts(holds.list());
  expect(held).toMatchObject({
    held: { code: 'SINK_UNAVAILABLE', tries: 1, why: 'the sink does not answer' },
  });
  expect(failing.get(3)).toMatchObject({
    offset: 7,
    code: 'DEPENDENCY_UNAVAILABLE',
    times: 1,
    why: 'No tax',
  });
});

test('a record of which nothing is heard any more no longer waits, while others of the hold do', () => {
  const { clock, over, holds, note } = open();
  const at = (partition: number) => ({ code: 'DEPENDENCY_UNAVAILABLE', records: [{ partition, offset: 1 }] });
  note(at(1));
  clock.ms += 10_000;
  note(at(2));
  clock.ms += 5_000;
  expect(holds.list()[0]!.records.map(({ partition }) => partition)).toEqual([2]);
  clock.ms += 20_000;
  expect(holds.list()).toEqual([]);
  expect(over).toEqual(['orders DEPENDENCY_UNAVAILABLE']);
});

test('other lines are no hold', () => {
  const { holds } = open();
  expect(holds.note(LOGGED.deadLettered, LINE)).toBe(false);
  expect(holds.list()).toEqual([]);
});

test('records that broken code holds say where it fails', () => {
  const { holds, note } = open();
  note({
    code: 'CONSUMER_BROKEN',
    records: [{ partition: 3, offset: 7 }],
    failing: 'TypeError in settleOrders (orders/consumer.ts:29)',
  });
  expect(heldFacts(holds.list()).failing.get(3)).toMatchObject({
    code: 'CONSUMER_BROKEN',
    why: 'TypeError in settleOrders (orders/consumer.ts:29)',
  });
});
