import { App } from 'aws-cdk-lib';
import { contracts } from '../contracts/index.ts';
import { collected } from '../lambdas/collector/collector.ts';
import { consumers } from '../lambdas/consumers.ts';
import { resolveEnvironment } from '../lib/config/environment.ts';
import { addEnvironmentStacks } from '../lib/environment-stacks.ts';
import { MillraceError } from '../runtime/errors.ts';

const app = new App();
const context = (name: string): unknown => app.node.tryGetContext(name);
try {
  const environment = resolveEnvironment({
    env: context('env'),
    account: context('account') ?? process.env.CDK_DEFAULT_ACCOUNT,
    region: context('region') ?? process.env.CDK_DEFAULT_REGION,
  });
  addEnvironmentStacks(app, environment, contracts, consumers, collected);
} catch (error) {
  if (!(error instanceof MillraceError)) throw error;
  process.stderr.write(`error: ${error.message} [${error.code}]\n`);
  process.exitCode = 1;
}
