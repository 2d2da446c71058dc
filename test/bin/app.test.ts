import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { childEnvironment } from '../child-environment.ts';
import { copyNewsdesk, NEWSDESK, ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

function synthesize(project: string, context: Readonly<Record<string, string>> = {}) {
  const env = {
    ...childEnvironment(),
    CDK_OUTDIR: join(project, 'cdk.out'),
    CDK_CONTEXT_JSON: JSON.stringify(context),
  };
  return spawnSync(process.execPath, [join(ROOT, 'bin/app.ts')], { cwd: project, env, encoding: 'utf8' });
}

const { context } = JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8'));

const { path: project, remove } = createTemporaryFolder();
afterAll(remove);

test('without an environment, the CDK app names those there are and fails without a stack trace', () => {
  const { status, stderr } = synthesize(NEWSDESK);
  expect(stderr).toMatch(/^error: Environment: env is missing; it takes one of dev, staging, prod.*\n$/);
  expect(status).toBe(1);
});

test('a contract that breaks its readers is not synthesized', () => {
  copyNewsdesk(project);
  const newest = join(project, 'contracts/news.pageviews/v2.avsc');
  const schema = readFileSync(newest, 'utf8');
  writeFileSync(newest, schema.replace(/("name": "engagedMs",\s*"type": )"int"/, '$1"string"'));
  expect(readFileSync(newest, 'utf8')).not.toBe(schema);

  const { status, stderr } = synthesize(project, { env: 'dev' });
  expect(stderr).toMatch(/^error: news[.]pageviews .*engagedMs.*\[CONTRACT_INCOMPATIBLE\]\n$/);
  expect(status).toBe(1);
});

test('a stack over a limit of AWS fails in one line, whoever added to it', () => {
  const script = `
    import { CfnOutput } from 'aws-cdk-lib';
    import app from '${join(NEWSDESK, 'millrace.config.ts')}';
    import { synthesize } from '${join(ROOT, 'lib/synthesize.ts')}';
    const cdk = await synthesize(app, '${NEWSDESK}');
    const health = cdk.node.findChild('millrace-dev-health');
    for (let index = 0; index < 201; index++) new CfnOutput(health, 'Output' + index, { value: 'x' });
  `;
  const env = {
    ...childEnvironment(),
    CDK_OUTDIR: join(project, 'large'),
    // As in cdk.json; the CDK reports what its own rules find, and goes on.
    CDK_CONTEXT_JSON: JSON.stringify({ ...context, env: 'dev', 'aws:cdk:bundling-stacks': [] }),
  };
  const args = ['--input-type=module', '--eval', script];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, env, encoding: 'utf8' });
  expect(stderr).toMatch(
    /^error: Stack millrace-dev-health has 201 outputs; AWS takes 200 in one\. .*\[STACK_TOO_LARGE\]\n$/m,
  );
  expect(status).toBe(1);
});
