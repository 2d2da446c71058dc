/** `millrace rebuild --env`: an environment whose functions are here, as its stacks would deploy them. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { deployedGeneration, openGenerations } from '../../adapters/aws/rebuilding.ts';
import {
  dropDeployed,
  listDeployed,
  promoteDeployed,
  rebuildDeployed,
  rollbackDeployed,
} from '../../cli/rebuild/deployed.ts';
import type { DeployedSession } from '../../cli/rebuild/deployed-progress.ts';
import type { Ledger } from '../../runtime/delivery/ledger.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { answerGenerationRequest, declarationOf } from '../../runtime/operator/generation-requests.ts';
import type { Generation, GenerationStore } from '../../runtime/replay/generation.ts';
import { checkLedgers } from '../../runtime/replay/promotion.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { awsError, payload } from '../adapters/aws/fake-account.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';

const NAME = 'editorial-analytics';
const YES = { yes: true } as const;
const CODE = 'c0de';

let printed: string;
beforeEach(() => {
  printed = '';
  for (const stream of [process.stdout, process.stderr]) {
    jest.spyOn(stream, 'write').mockImplementation((text) => {
      printed += text;
      return true;
    });
  }
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** An environment with a consumer whose live ledger has come to 100 in both partitions. */
function environment(declared = editorialAnalytics) {
  const generations: Generation[] = [
    { consumer: NAME, number: 1, state: 'live', rebuildId: null, code: null, createdAt: 0, promotedAt: null },
  ];
  const ledgers: Record<string, readonly [first: number, next: number][]> = {
    [NAME]: [
      [0, 100],
      [0, 100],
    ],
  };
  const code = new Map<number, string | undefined>([[1, undefined]]);
  const oldest = [0, 0];
  const audit: unknown[] = [];
  const set = (number: number, state: Generation['state']) => {
    const at = generations.findIndex((each) => each.number === number);
    generations[at] = { ...generations[at]!, state };
  };
  const ledgersOf = (number: number) =>
    new Map(
      (ledgers[number === 1 ? NAME : `${NAME}-g${number}`] ?? []).map(([first, next], partition) => [
        partition,
        { first, next, maxTimestamp: 1, deadLettered: [], skipped: [] } as Ledger,
      ]),
    );
  const switched = (to: number) => {
    const from = generations.find(({ state }) => state === 'live')!.number;
    set(from, 'previous');
    set(to, 'live');
    const of = (number: number) => generations.find((each) => each.number === number)!;
    return { from: of(from), to: of(to), heldMs: 7 };
  };
  const store: GenerationStore = {
    list: async () => [...generations],
    async create({ name: consumer }, { id: rebuildId, code: of }) {
      const number = generations.length + 1;
      generations.push({
        consumer,
        number,
        state: 'candidate',
        rebuildId,
        code: of,
        createdAt: 1,
        promotedAt: null,
      });
      return generations.at(-1)!;
    },
    async promote({ name }, number, { code: got, mayLose, oldest: starts }) {
      if (got !== generations[number - 1]!.code) throw new MillraceError('REBUILD_REFUSED', 'other code');
      const live = generations.find(({ state }) => state === 'live')!.number;
      checkLedgers(name, ledgersOf(live), ledgersOf(number), { mayLose, oldest: starts });
      return switched(number);
    },
    rollback: async () => switched(generations.findLast(({ state }) => state === 'previous')!.number),
    async drop(_, number) {
      generations.splice(
        generations.findIndex((each) => each.number === number),
        1,
      );
    },
  };
  const invoked: string[] = [];
  const calls = {
    async invoke({ FunctionName = '', Payload }: { FunctionName?: string | undefined; Payload?: unknown }) {
      invoked.push(FunctionName);
      const request = JSON.parse(Buffer.from(Payload as Uint8Array).toString());
      return { StatusCode: 200, Payload: payload(await answerGenerationRequest([declared], store, request)) };
    },
    async getFunctionConfiguration({ FunctionName = '' }: { FunctionName?: string | undefined }) {
      const number = Number(/-g(\d+)$/.exec(FunctionName)?.[1] ?? 1);
      if (!code.has(number)) throw awsError('ResourceNotFoundException');
      const MILLRACE_CODE = code.get(number);
      return { Environment: { Variables: { ...(MILLRACE_CODE !== undefined && { MILLRACE_CODE }) } } };
    },
  };
  const session: DeployedSession = {
    env: 'prod',
    consumer: editorialAnalytics,
    code: CODE,
    inSettings: [1],
    store: openGenerations('prod', calls),
    clock: createFakeClock({ autoAdvance: true }),
    operator: {
      ledgers: {
        read: async ({ consumer }) =>
          (ledgers[consumer] ?? []).map(([first, next], partition) => ({
            partition,
            first,
            next,
            maxTimestamp: 1,
            deadLettered: [],
            skipped: [],
            discarded: [],
            overtaken: [],
            parked: [],
            updatedAt: 1,
          })),
      },
      log: {
        partitions: async () => 2,
        bounds: async ({ partition }) => ({ start: oldest[partition]!, end: 100 }),
      },
    },
    deployed: (number) => deployedGeneration('prod', NAME, number, calls),
    async audited({ action, plan }, live, act) {
      const result = await act();
      audit.push({ action, plan, live, result });
      return result;
    },
  };
  return { session, ledgers, code, oldest, audit, invoked, generations };
}

const DEPLOY =
  'npx cdk deploy -c env=prod -c rebuild=editorial-analytics -c generation=2 --exclusively ' +
  'millrace-prod-dead-letters-editorial-analytics-g2 millrace-prod-consumer-editorial-analytics-g2';

describe('rebuild --env', () => {
  test('makes tables by the migrations function and says how to deploy what fills them', async () => {
    const { session, audit, invoked, generations } = environment();
    await rebuildDeployed(session, YES);
    expect(printed).toContain(`\n  ${DEPLOY}\n`);
    expect(printed).toContain('npx millrace rebuild editorial-analytics --env prod');
    expect(generations).toMatchObject([{ state: 'live' }, { number: 2, state: 'candidate', code: CODE }]);
    expect(audit).toEqual([
      { action: 'rebuild', plan: { env: 'prod', code: CODE }, live: 1, result: { generation: 2 } },
    ]);
    expect(new Set(invoked)).toEqual(new Set(['millrace-prod-migrations']));
    // Once more, it makes none.
    printed = '';
    await rebuildDeployed(session, { yes: true, json: true });
    expect(JSON.parse(printed)).toEqual({
      consumer: NAME,
      generation: 2,
      isDeployed: false,
      command: DEPLOY,
    });
    expect(generations).toHaveLength(2);
  });

  test('watches a candidate that is deployed until it has caught up', async () => {
    const { session, code, ledgers, oldest } = environment();
    await rebuildDeployed(session, YES);
    code.set(2, CODE);
    oldest[0] = 40;
    ledgers[`${NAME}-g2`] = [[40, 70]];
    printed = '';
    await rebuildDeployed(session, { yes: true, json: true });
    expect(JSON.parse(printed)).toEqual({
      consumer: NAME,
      generation: 2,
      isDeployed: true,
      behind: 130,
      isCaughtUp: false,
    });
    printed = '';
    const { read } = session.operator.ledgers;
    let looks = 0;
    session.operator.ledgers.read = async (of) => {
      if (of.consumer !== NAME && ++looks === 3)
        ledgers[`${NAME}-g2`] = [
          [40, 100],
          [0, 100],
        ];
      return read(of);
    };
    await rebuildDeployed(session, YES, () => ({ first: new Promise(() => {}), ignore() {} }) as never);
    expect(printed.match(/130 of 160 records behind the live tables \(18% done\)/g)).toHaveLength(2);
    expect(printed).toContain('npx millrace rebuild promote editorial-analytics --env prod');
  });

  test('goes on with the code alone that it was begun with', async () => {
    const { session, code } = environment();
    await rebuildDeployed(session, YES);
    await expect(rebuildDeployed({ ...session, code: 'other' }, YES)).rejects.toMatchObject({
      code: 'REBUILD_REFUSED',
      message: expect.stringContaining('This project has other'),
    });
    code.set(2, 'another');
    await expect(rebuildDeployed(session, YES)).rejects.toMatchObject({
      message: expect.stringContaining('Its function was deployed with another'),
    });
  });

  test('is refused where the deployed migrations are others', async () => {
    const { session, generations } = environment({ ...editorialAnalytics, migrations: [] });
    expect(declarationOf(editorialAnalytics)).not.toBe(
      declarationOf({ ...editorialAnalytics, migrations: [] }),
    );
    await expect(rebuildDeployed(session, YES)).rejects.toMatchObject({
      code: 'REBUILD_REFUSED',
      message: expect.stringContaining('Deploy the stack of the migrations first'),
    });
    expect(generations).toHaveLength(1);
  });

  test('says so where the migrations function is too old to be asked', async () => {
    const { session } = environment();
    const old = openGenerations('prod', {
      invoke: async () => ({ StatusCode: 200, Payload: payload({ applied: [] }) }),
    });
    await expect(rebuildDeployed({ ...session, store: old }, YES)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('of an earlier version, which knows no generations'),
    });
  });
});

describe('a candidate', () => {
  async function filled() {
    const all = environment();
    await rebuildDeployed(all.session, YES);
    all.code.set(2, CODE);
    all.ledgers[`${NAME}-g2`] = [
      [0, 100],
      [0, 100],
    ];
    printed = '';
    return all;
  }

  test('is promoted, and rolled back, and says which settings go with that', async () => {
    const { session, audit } = await filled();
    await promoteDeployed(session, YES);
    expect(printed).toContain('Readers see editorial-analytics-g2 now; batches waited 7 ms.');
    expect(printed).toContain('consumers: { "editorial-analytics": { generations: [2, 1] } }');
    printed = '';
    await rollbackDeployed(session, YES);
    expect(printed).toContain('generations: [1, 2]');
    expect(audit.slice(1)).toMatchObject([
      { action: 'promote', live: 1, result: { from: 1, to: 2 } },
      { action: 'rollback', live: 2, result: { from: 2, to: 1 } },
    ]);
  });

  test('is not promoted where it lacks something, and is where what it lacks has been deleted', async () => {
    const { session, ledgers, oldest } = await filled();
    ledgers[`${NAME}-g2`] = [[0, 100]];
    await expect(promoteDeployed(session, YES)).rejects.toMatchObject({
      code: 'REBUILD_REFUSED',
      message: expect.stringContaining('behind the live tables in partition 1'),
    });
    oldest[1] = 100;
    await expect(promoteDeployed(session, YES)).rejects.toMatchObject({
      message: expect.stringContaining('lack 100 offsets'),
    });
    await promoteDeployed(session, { ...YES, mayLose: 100 });
  });

  test('is not promoted while nobody runs it, nor after other code has run it', async () => {
    const { session, code } = await filled();
    code.set(2, 'another');
    await expect(promoteDeployed(session, YES)).rejects.toMatchObject({
      code: 'REBUILD_REFUSED',
      message: 'other code',
    });
    code.delete(2);
    await expect(promoteDeployed(session, YES)).rejects.toMatchObject({
      message: expect.stringContaining(`is not deployed in prod. Nothing has changed. Deploy it: ${DEPLOY}`),
    });
  });

  test('is dropped when its stack is gone, and not before', async () => {
    const { session, code, generations } = await filled();
    await expect(dropDeployed(session, YES)).rejects.toMatchObject({
      code: 'REBUILD_REFUSED',
      message: expect.stringContaining(
        'aws cloudformation delete-stack --stack-name millrace-prod-consumer-editorial-analytics-g2',
      ),
    });
    await expect(dropDeployed({ ...session, inSettings: [1, 2] }, YES)).rejects.toMatchObject({
      message: expect.stringContaining('First take 2 out of consumers.editorial-analytics.generations'),
    });
    expect(generations).toHaveLength(2);
    code.delete(2);
    await dropDeployed(session, YES);
    expect(generations).toHaveLength(1);
    expect(printed).toContain('--stack-name millrace-prod-dead-letters-editorial-analytics-g2');
  });

  test('is listed with whether its function is deployed', async () => {
    const { session, code } = await filled();
    code.delete(2);
    await listDeployed(session, { json: true });
    expect(JSON.parse(printed)).toMatchObject([
      { number: 1, state: 'live', isDeployed: true },
      { number: 2, state: 'candidate', isDeployed: false },
    ]);
    printed = '';
    await listDeployed(session, {});
    expect(printed).toMatch(/editorial-analytics-g2 +candidate .* not deployed/);
  });

  test('that was never made is refused, with the command that makes one', async () => {
    const { session } = environment();
    await expect(promoteDeployed(session, YES)).rejects.toMatchObject({
      message: expect.stringContaining('To make one: npx millrace rebuild editorial-analytics --env prod'),
    });
  });
});
