import { fileURLToPath } from 'node:url';
import { App as CdkApp } from 'aws-cdk-lib';
import type { App } from '../runtime/app.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { addEnvironmentStacks } from './environment-stacks.ts';

/**
 * Adds the stacks of the environment that the CDK's context names (`-c env=dev`) to a CDK app of its own, which synthesizes
 * when the process ends. Needs no account and no network.
 * @param root the folder with millrace.config.ts, package-lock.json and lambdas/, as a path or a file URL
 * @throws ENVIRONMENT_INVALID, CONSUMER_INVALID, CONTRACT_INVALID with what to correct
 */
export function synthesize(app: App, root: string | URL): CdkApp {
  const cdk = new CdkApp();
  const context = (name: string): unknown => cdk.node.tryGetContext(name);
  const folder = root instanceof URL ? fileURLToPath(root) : root;
  const environment = resolveEnvironment(
    { ...app, root: folder },
    {
      env: context('env'),
      account: context('account') ?? process.env.CDK_DEFAULT_ACCOUNT,
      region: context('region') ?? process.env.CDK_DEFAULT_REGION,
    },
  );
  addEnvironmentStacks(cdk, environment, app);
  return cdk;
}
