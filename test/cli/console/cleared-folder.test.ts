/** A plan of the console, and a state folder that somebody cleared before it was started. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { loadApp } from '../../../cli/app.ts';
import { createActions } from '../../../cli/console/actions.ts';
import { placeOf } from '../../../cli/console/context.ts';
import { createFailures } from '../../../cli/console/failures.ts';
import { doDiscard, planDiscard } from '../../../cli/dlq/discard-run.ts';
import { doRedrive, planRedrive } from '../../../cli/dlq/redrive-run.ts';
import { chooseConsumer, inDlqSession } from '../../../cli/dlq/session.ts';
import { doRelease, type PlannedRelease } from '../../../cli/park/release-run.ts';
import type { ActionRequest } from '../../../console/operations.ts';
import { clearStateFolder, openStateFolder } from '../../../local/state-folder.ts';
import { openStores } from '../../../local/stores.ts';
import { encodeDeadLetter } from '../../../runtime/dead-letters/json-envelope.ts';
import { deadLetter } from '../../dead-letters.ts';
import { copyNewsdesk } from '../../newsdesk.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const CONSUMER = 'editorial-analytics';

describe('a plan, once its folder was cleared', () => {
  const before = process.cwd();
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string;
  beforeEach(() => {
    temporary = createTemporaryFolder();
    const project = join(temporary.path, 'project');
    copyNewsdesk(project);
    process.chdir(project);
    state = join(temporary.path, 'state');
    openStateFolder(state);
  });
  afterEach(() => {
    process.chdir(before);
    temporary.remove();
  });

  /** As a run leaves them. */
  const leave = async (partition: number, letters: number) => {
    const consumer = (await loadApp()).consumers.find(({ name }) => name === CONSUMER)!;
    const stores = await openStores(openStateFolder(state));
    await stores.log.id();
    const found = Array.from({ length: letters }, (_, offset) =>
      deadLetter({ consumer: CONSUMER, topic: consumer.topic.name, partition, offset }),
    );
    await stores
      .deadLetterQueueOf(consumer)
      .send(found.map((letter) => ({ body: encodeDeadLetter(letter), attributes: {} })));
    await stores.close();
  };
  const clear = () => clearStateFolder(openStateFolder(state));
  const left = async () =>
    inDlqSession(await chooseConsumer(CONSUMER, { state }), { state }, async ({ resources }) => {
      const copies = await Array.fromAsync(resources.reader.scan());
      return copies.map((copy) => 'letter' in copy && copy.letter.id);
    });
  const open = async () => {
    const app = await loadApp();
    const options = { state, allowActions: true as const };
    const context = { app, options, place: placeOf(app, options) };
    return createActions(context, createFailures(context));
  };
  const REFUSED = {
    code: 'INPUT_INVALID',
    message: expect.stringMatching(
      /was cleared.* since this was planned.* Nothing was done\. Plan it again\.$/,
    ),
  };
  const REQUESTS: readonly ActionRequest[] = [
    { kind: 'discard', consumer: CONSUMER, where: '', reason: 'a test' },
    {
      ...{ kind: 'redrive', consumer: CONSUMER, where: '', allowOvertaken: true },
      ...{ canary: 0, rate: 100, maxFailures: 1 },
    },
  ];

  test.each(REQUESTS)('is refused: $kind', async (request) => {
    await leave(5, 3);
    const actions = await open();
    const { id, count, refusal } = await actions.plan(request);
    expect([count, refusal]).toEqual([3, null]);
    clear();
    await leave(2, 4);
    await expect(actions.start(id, request, CONSUMER)).rejects.toMatchObject(REFUSED);
    expect(actions.list()).toEqual([]);
    expect(await left()).toHaveLength(4);
    // The same letters, planned again, are acted on.
    expect(await actions.plan(request)).toMatchObject({ count: 4, refusal: null });
    await actions.close();
  });

  test('is refused also while nothing has come into the folder again', async () => {
    await leave(5, 3);
    const actions = await open();
    const { id } = await actions.plan(REQUESTS[0]!);
    clear();
    await expect(actions.start(id, REQUESTS[0]!, CONSUMER)).rejects.toMatchObject(REFUSED);
    await actions.close();
  });

  test('is refused by what the commands run, before anything is written', async () => {
    await leave(5, 3);
    const owner = await chooseConsumer(CONSUMER, { state });
    const ask = { state, where: {}, rate: 100, canary: 0, maxFailures: 1, wait: 1 };
    const [discard, redrive] = await inDlqSession(owner, { state }, async (session) => [
      await planDiscard(session, ask),
      await planRedrive(session, (await loadApp()).consumers[0]!, { ...ask, allowOvertaken: true }),
    ]);
    clear();
    await leave(2, 4);
    const hooks = { onNote: () => {}, onProgress: () => {}, steering: () => 'go' as const };
    await inDlqSession(owner, { state }, async (session) => {
      const settings = { state, reason: 'a test', wait: 1 };
      await expect(doDiscard(session, discard, settings, hooks)).rejects.toMatchObject(REFUSED);
      await expect(doRedrive(session, redrive, {}, hooks)).rejects.toMatchObject(REFUSED);
      const release = { folder: discard.folder } as PlannedRelease;
      await expect(doRelease(session, release, settings, () => {})).rejects.toMatchObject(REFUSED);
    });
    expect(await left()).toHaveLength(4);
  });
});
