import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { childEnvironment } from '../child-environment.ts';
import { copyNewsdesk, ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

/** The templates of an environment, as bin/app.ts of that project writes them, by their stack's name. */
function synthesize(project: string): Record<string, unknown> {
  const output = join(project, 'cdk.out');
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'bin/app.ts')], {
    cwd: project,
    env: {
      ...childEnvironment(),
      // The CDK's check of every template against CloudFormation takes longer than all else; test/lib/snapshots has it.
      CDK_VALIDATION: 'false',
      CDK_OUTDIR: output,
      CDK_CONTEXT_JSON: JSON.stringify({
        ...JSON.parse(readFileSync(join(project, 'cdk.json'), 'utf8')).context,
        env: 'prod',
      }),
    },
    encoding: 'utf8',
  });
  expect({ status, errors: status === 0 ? '' : stderr }).toEqual({ status: 0, errors: '' });
  const SUFFIX = '.template.json';
  return Object.fromEntries(
    readdirSync(output)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => [name.slice(0, -SUFFIX.length), JSON.parse(readFileSync(join(output, name), 'utf8'))]),
  );
}

const { path: project, remove } = createTemporaryFolder();
afterAll(remove);

test('a folder and a line in the list make a consumer, and leave the other one as it is', () => {
  copyNewsdesk(project);
  const before = synthesize(project);

  const folder = join(project, 'lambdas/reader-history');
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'consumer.ts'),
    `import { pageviews } from '../../contracts/news.pageviews/topic.ts';
     import { defineConsumer } from '${ROOT}runtime/delivery/consumer.ts';

     export const readerHistory = defineConsumer({
       name: 'reader-history',
       topic: pageviews,
       sink: 'postgres',
       async handle() {},
     });`,
  );
  writeFileSync(
    join(folder, 'index.ts'),
    `import { consumerFunction } from '${ROOT}adapters/aws/consumer-function.ts';
     import { readerHistory } from './consumer.ts';

     export const handler = consumerFunction(readerHistory);`,
  );
  const config = join(project, 'millrace.config.ts');
  const edited = readFileSync(config, 'utf8')
    .replace('[editorialAnalytics]', '[editorialAnalytics, readerHistory]')
    .concat("import { readerHistory } from './lambdas/reader-history/consumer.ts';\n");
  writeFileSync(config, edited);
  const after = synthesize(project);

  const name = (part: string) => `millrace-prod-${part}`;
  expect(Object.keys(after).filter((stack) => !(stack in before))).toEqual([name('consumer-reader-history')]);
  const changed = Object.keys(before).filter(
    (stack) => JSON.stringify(after[stack]) !== JSON.stringify(before[stack]),
  );
  // The proxy's rights, its queues and bucket, its tables, its row on the dashboard, the note whether it is paused, and who
  // looks at it each minute.
  expect(changed.toSorted()).toEqual(
    ['database', 'dead-letters', 'health', 'migrations', 'operations', 'operator'].map(name),
  );
});
