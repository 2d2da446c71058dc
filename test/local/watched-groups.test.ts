import { expect, test } from '@jest/globals';
import { type WatchedGroupsOptions, watchGroups } from '../../local/watched-groups.ts';
import { createLagWatch } from '../../runtime/lag/watch.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';

const DECLARED = {
  consumer: 'orders',
  group: 'orders.1a2b',
  topic: 'shop.orders',
  warning: 500,
  incident: 5_000,
  windowMs: 500,
  startingPosition: 'TRIM_HORIZON',
} as const;

/** A cluster with these groups, and the topics that each has committed to. */
function clusterOf(groups: Readonly<Record<string, readonly string[]>>) {
  const asked = { groups: 0, retention: 0 };
  const failing = { groups: false, facts: false };
  const standing: WatchedGroupsOptions['standing'] = {
    async read(wanted) {
      return wanted.map(() => ({
        at: 0,
        partitions: [{ partition: 0, committed: 5, start: 0, end: 7, nextAt: null }],
      }));
    },
    offsetsAt: async () => new Map(),
    async retention(topics) {
      asked.retention++;
      if (failing.facts) throw new Error('No settings.');
      return new Map(topics.map((topic) => [topic, 60_000]));
    },
    runners: async () => () => ({ isRunning: false, who: 'nobody: the group has no members' }),
    async groups() {
      asked.groups++;
      if (failing.groups) throw new Error('No groups.');
      return Object.keys(groups);
    },
    topicsOf: async (of) => of.flatMap((group) => groups[group]!.map((topic) => ({ group, topic }))),
  };
  return { standing, asked, failing };
}

function watched(
  groups: Readonly<Record<string, readonly string[]>>,
  more: Partial<WatchedGroupsOptions> = {},
) {
  const clock = createFakeClock();
  const { standing, asked, failing } = clusterOf(groups);
  const limits = { warning: 10_000, incident: 100_000 };
  return {
    clock,
    asked,
    failing,
    ...watchGroups({ standing, clock, declared: [DECLARED], limits, ...more }),
  };
}

test('without a pattern only the declared consumers are watched, and groups are not listed', async () => {
  const { consumers, asked } = watched({ billing: ['shop.bills'] });
  expect(await consumers()).toEqual([DECLARED]);
  expect(asked.groups).toBe(0);
});

test('others have one name for each topic, and the declared ones come once', async () => {
  const { consumers } = watched(
    {
      'orders.1a2b': ['shop.orders', 'shop.more'],
      billing: ['shop.bills', 'shop.orders'],
      search: ['shop.orders'],
    },
    { others: /^(?:orders|billing|search)/ },
  );
  expect(
    (await consumers()).map(({ consumer, group, topic, warning }) => [consumer, group, topic, warning]),
  ).toEqual([
    ['orders', 'orders.1a2b', 'shop.orders', 500],
    ['billing/shop.bills', 'billing', 'shop.bills', 10_000],
    ['billing/shop.orders', 'billing', 'shop.orders', 10_000],
    ['orders.1a2b', 'orders.1a2b', 'shop.more', 10_000],
    ['search', 'search', 'shop.orders', 10_000],
  ]);
});

test('groups are listed once a minute, and those of before are kept where that fails', async () => {
  const { consumers, asked, failing, clock } = watched({ billing: ['shop.bills'] }, { others: /./ });
  for (let look = 0; look < 4; look++) await consumers();
  expect(asked.groups).toBe(1);
  await clock.advance(60_000);
  failing.groups = true;
  expect((await consumers()).map(({ consumer }) => consumer)).toEqual(['orders', 'billing']);
  expect(asked.groups).toBe(2);
});

test('where nobody can say what a topic keeps, its lag is known all the same', async () => {
  const { source, consumers, failing, clock } = watched({});
  failing.facts = true;
  const watch = createLagWatch({ source, consumers, clock });
  const [status] = await watch.look();
  expect(status).toMatchObject({ consumer: 'orders', lag: 2, headroomMs: null, retentionMs: null });
});

test('of a laptop’s consumers it is known who has paused them, and not that nobody runs them', async () => {
  const pauses = { of: (consumer: string) => (consumer === 'orders' ? { by: 'anna', at: 1 } : undefined) };
  const { source } = watched({}, { pauses });
  const [sample] = await source.sample([DECLARED]);
  expect(sample!.runner).toEqual({ isRunning: null, who: 'unknown', paused: { by: 'anna', at: 1 } });
  const deployed = await watched({}).source.sample([DECLARED]);
  expect(deployed[0]!.runner).toEqual({ isRunning: false, who: 'nobody: the group has no members' });
});
