import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chooseConsumer, openDlqSession, ownerOfLetter } from '../../../cli/dlq/session.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import { editorialAnalytics } from '../../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

test('on AWS nobody is shown a queue alone where the dead letters are in a topic', async () => {
  const consumer = { ...editorialAnalytics, deadLetter: 'kafka' } as AnyConsumer;
  await expect(openDlqSession(consumer, { state: 'unused', env: 'prod' })).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringMatching(/in the topic news\.pageviews\..+ Give --kafka with its brokers/),
  });
});

describe('on AWS', () => {
  const NAME = 'editorial-analytics';
  const { path, remove } = createTemporaryFolder();
  const before = process.cwd();
  beforeAll(() => {
    const newsdesk = new URL('../../fixtures/newsdesk/millrace.config.ts', import.meta.url).href;
    writeFileSync(
      join(path, 'millrace.config.ts'),
      `import app from '${newsdesk}';
      const { dev, prod } = app.environments;
      const promoted = { ...prod, consumers: { '${NAME}': { generations: [2, 1] } } };
      export default { ...app, environments: { dev, prod: promoted } };`,
    );
    process.chdir(path);
  });
  afterAll(() => {
    process.chdir(before);
    remove();
  });
  const at = (env: string) => ({ state: 'unused', env });

  test('a consumer’s letters are those of its live generation, by the settings', async () => {
    expect(await chooseConsumer(NAME, at('dev'))).toMatchObject({ name: NAME });
    expect(await chooseConsumer(NAME, at('prod'))).toMatchObject({ name: `${NAME}-g2`, named: NAME });
    expect(await chooseConsumer(undefined, at('prod'))).toMatchObject({ name: `${NAME}-g2`, named: NAME });
  });

  test('those of another are found by its own name', async () => {
    expect(await chooseConsumer(`${NAME}-g3`, at('prod'))).toMatchObject({ name: `${NAME}-g3` });
    expect(await chooseConsumer(`${NAME}-g1`, at('prod'))).toMatchObject({ name: NAME, named: `${NAME}-g1` });
    expect(await ownerOfLetter(NAME, at('prod'))).toMatchObject({ name: NAME });
    await expect(chooseConsumer('nobody-g2', at('prod'))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});
