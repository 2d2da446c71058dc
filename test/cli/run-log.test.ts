import { expect, test } from '@jest/globals';
import { createRunLog } from '../../cli/run-log.ts';
import { type BatchReport, LOGGED } from '../../runtime/delivery/metrics.ts';

function open() {
  const clock = { ms: 1_000_000 };
  return { clock, ...createRunLog([], () => clock.ms) };
}

const DEAD = {
  consumer: 'order-totals',
  topic: 'shop.orders',
  partition: 9,
  offset: 0,
  stage: 'handle',
  code: 'HANDLER_FAILED',
  attempts: 3,
  errorName: 'ReferenceError',
  errorMessage: 'valeu is not defined',
  location: 'order-totals/consumer.ts:17',
};
const HELD = {
  consumer: 'c',
  stage: 'write',
  code: 'SINK_UNAVAILABLE',
  action: 'hold',
  errorName: 'MillraceError',
};
const WENT_THROUGH = { consumer: 'c', applied: 5, returned: 0 } as BatchReport;

test('names a thrown error and its line, and says once that the types may show it', () => {
  const { log, events } = open();
  log.warn('Record dead-lettered', DEAD);
  log.warn('Record dead-lettered', { ...DEAD, offset: 1 });
  expect(events().map(({ text, count }) => [text, count])).toEqual([
    ['"npx tsc" may find this mistake before it runs', 1],
    ['order-totals  ReferenceError: valeu is not defined (order-totals/consumer.ts:17)  shop.orders/9/1', 2],
  ]);
});

test('two lines that throw are two events', () => {
  const { log, events } = open();
  log.warn('Record dead-lettered', { ...DEAD, errorName: 'Error' });
  log.warn('Record dead-lettered', {
    ...DEAD,
    offset: 1,
    errorName: 'Error',
    location: 'order-totals/consumer.ts:18',
  });
  expect(events()).toHaveLength(2);
});

test('a record that a function dead-letters again after a crash is one', () => {
  const { log, events } = open();
  log.warn('Record dead-lettered', DEAD);
  log.warn('Record dead-lettered', DEAD);
  expect(events()[0]).toMatchObject({ count: 1 });
});

test('a record that cannot be read is named by its code', () => {
  const { log, events } = open();
  const { errorMessage: _, location: __, ...fields } = DEAD;
  log.warn('Record dead-lettered', { ...fields, code: 'FRAME_UNKNOWN', errorName: 'MillraceError' });
  expect(events()[0]!.text).toBe('order-totals  FRAME_UNKNOWN  shop.orders/9/0');
});

test('tries while a consumer waits are one hold, which ends with the first batch that gets through', () => {
  const { clock, log, holds, events, onReport } = open();
  for (let tries = 0; tries < 22; tries++) {
    log.warn('Line held: trying again', { ...HELD, holds: tries });
    clock.ms += 1_500;
  }
  expect(holds()).toMatchObject([
    { consumer: 'c', code: 'SINK_UNAVAILABLE', why: 'the sink does not answer', since: 1_000_000, tries: 22 },
  ]);
  expect(events()).toEqual([]);
  onReport({ ...WENT_THROUGH, consumer: 'other' });
  onReport({ ...WENT_THROUGH, returned: 5 });
  expect(holds()).toHaveLength(1);
  onReport(WENT_THROUGH);
  expect(holds()).toEqual([]);
  expect(events()).toMatchObject([{ level: 'info', text: 'c  goes on after 33 s (SINK_UNAVAILABLE)' }]);
});

test('what holds one partition is over when nothing is heard of it, whatever the others do', () => {
  const { clock, log, holds, onReport } = open();
  log.warn('Line held: trying again', {
    ...HELD,
    code: 'DEPENDENCY_UNAVAILABLE',
    errorMessage: 'The tax service does not answer.',
  });
  onReport(WENT_THROUGH);
  expect(holds()).toMatchObject([{ code: 'DEPENDENCY_UNAVAILABLE', why: 'The tax service does not answer' }]);
  clock.ms += 20_000;
  expect(holds()).toEqual([]);
});

test('says of skipped offsets that their records are not in the tables', () => {
  const { log, events } = open();
  log.error(LOGGED.skipped, { consumer: 'c', topic: 't', offsets: 3 });
  expect(events().map(({ text }) => text)).toEqual([expect.stringContaining('NOT in the tables')]);
});

test('shows a letter that fails again in a redrive, and not the same failure twice', () => {
  const { log, events } = open();
  for (const attempts of [3, 3, 6]) log.warn(LOGGED.deadLettered, { ...DEAD, attempts });
  expect(events().find(({ text }) => text.includes('valeu'))?.count).toBe(2);
});

test('a consumer that waits long between tries is held until it goes on', () => {
  const clock = { ms: 1_000_000 };
  const { log, holds } = createRunLog(
    [{ retry: { attempts: 3, baseMs: 100, maxMs: 30_000 } }],
    () => clock.ms,
  );
  log.warn(LOGGED.held, HELD);
  clock.ms += 31_000;
  expect(holds()).toHaveLength(1);
  clock.ms += 60_000;
  expect(holds()).toHaveLength(0);
});

test('broken code is one event, with what fails and until when its records are held', () => {
  const { log, events } = open();
  const failing = 'TypeError in settleOrders (orders/consumer.ts:29)';
  const fields = {
    consumer: 'orders',
    code: 'CONSUMER_BROKEN',
    failing,
    file: 'orders/consumer.ts',
    failed: 10,
  };
  for (const heldUntil of ['2026-11-27T10:15:00.000Z', '2026-11-27T10:45:00.000Z'])
    log.error(LOGGED.broken, { ...fields, heldUntil });
  expect(events()).toMatchObject([
    {
      level: 'error',
      count: 2,
      text: `orders  broken code: ${failing}; its records are held until 2026-11-27T10:45:00.000Z`,
    },
  ]);
});
