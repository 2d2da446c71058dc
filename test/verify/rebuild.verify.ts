/** Rebuilds on a real Kafka and PostgreSQL: starts MILLRACE_TEST_POSTGRES, and brokers of its own. */
import { expect, jest, test } from '@jest/globals';
import { differences } from './differences.ts';
import { rebuildOrders } from './rebuild-of-orders.ts';
import { rebuildPageviews } from './rebuild-of-pageviews.ts';

jest.setTimeout(600_000);

test('a doubled article is rebuilt away with traffic going on, through kills, and readers see no mixture', async () => {
  const run = await rebuildPageviews(20_000, 4, 11);
  expect(run).toMatchObject({ mixtures: [], wentBack: 0, isSame: true, views: run.published });
  expect(run.doubled).toBe(2_000);
  expect(run.looks).toBeGreaterThan(20);
});

test('doubled changes of orders are rebuilt away while keys are parked, and each generation keeps its own', async () => {
  const run = await rebuildOrders(8_000, 2, 5);
  const same = { missing: [], extra: [] };
  expect(run.before.parked.length).toBeGreaterThan(50);
  expect(run.wrong.join().length).toBeGreaterThan(100);

  // What was rebuilt is what a run has that never had the bug, with as many keys waiting.
  expect(differences(run.never.rows, run.rebuilt.rows)).toEqual(same);
  for (const what of ['letters', 'parked', 'seen'] as const) {
    expect(differences(run.never.kept[what], run.rebuilt.kept[what])).toEqual(same);
    expect(run.rebuilt.kept[what].length).toBeGreaterThan(0);
  }
  expect(run.listed).toBe(new Set(run.rebuilt.kept.parked.map(keyOf)).size);

  // The first goes on beside it, and remembers as much. It keeps that when the live one's keys are mended.
  expect(differences(run.before.seen, run.left.seen).missing).toEqual([]);
  expect(run.sentAgain).toMatchObject({ isSame: true });
  expect(run.sentAgain.repeated).toBeGreaterThan(150);
  expect(run.sentAgain.repeated + run.sentAgain.parked).toBe(200);
  expect(run.mended).toMatchObject({ kept: { letters: [], parked: [] }, listed: 0 });
  expect(run.mended.kept.seen.length).toBeGreaterThan(run.rebuilt.kept.seen.length);
  expect(differences(run.reference, run.final)).toEqual(same);
  expect(run.leftLast).toEqual(run.leftThen);
  expect(run.unaccounted).toEqual([0, 0]);

  // A rollback takes the first one up to where the other is, with its keys and letters; a drop of it takes nothing else.
  for (const what of ['letters', 'parked', 'seen'] as const) {
    expect(differences(run.leftLast[what], run.back.kept[what]).missing).toEqual([]);
    expect(differences(run.waiting[what], run.back.kept[what])).toEqual(same);
  }
  expect(run.back.listed).toBe(new Set(run.waiting.parked.map(keyOf)).size);
  expect(run.back.letters).toBe(run.waiting.letters.length);
  expect(differences(run.reference, run.again)).toEqual(same);
  expect(run.dropped).toEqual({ letters: [], parked: [], seen: [] });
  expect(run.kept).toEqual(run.mended.kept);
});

/** Without the offset: "topic,partition,offset,key". */
function keyOf(line: string): string {
  const [topic, partition, , key] = line.split(',');
  return `${topic}/${partition}/${key}`;
}
