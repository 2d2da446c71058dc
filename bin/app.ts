import { App } from 'aws-cdk-lib';
import { loadApp } from '../cli/app.ts';
import { addEnvironmentStacks } from '../lib/environment-stacks.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { MillraceError } from '../runtime/errors.ts';

const cdk = new App();
const context = (name: string): unknown => cdk.node.tryGetContext(name);
try {
  const app = await loadApp();
  const environment = resolveEnvironment(app, {
    env: context('env'),
    account: context('account') ?? process.env.CDK_DEFAULT_ACCOUNT,
    region: context('region') ?? process.env.CDK_DEFAULT_REGION,
  });
  addEnvironmentStacks(cdk, environment, app);
} catch (error) {
  if (!(error instanceof MillraceError)) throw error;
  process.stderr.write(`error: ${error.message} [${error.code}]\n`);
  process.exitCode = 1;
}
