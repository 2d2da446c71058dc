import { fileURLToPath } from 'node:url';
import { App as CdkApp } from 'aws-cdk-lib';
import { requireSoundContracts } from '../adapters/files/contract-files.ts';
import type { App } from '../runtime/app.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { addEnvironmentStacks } from './environment-stacks.ts';

/**
 * Checks the contracts, then adds the stacks of the environment that the CDK's context names (`-c env=dev`) to a CDK app of
 * its own, which synthesizes when the process ends. Needs no account and no network.
 * @param root the folder with millrace.config.ts, package-lock.json and lambdas/, as a path or a file URL
 * @throws ENVIRONMENT_INVALID, CONSUMER_INVALID, CONTRACT_INVALID, CONTRACT_INCOMPATIBLE, CONTRACT_STALE with what to correct
 */
export async function synthesize(app: App, root: string | URL): Promise<CdkApp> {
  const cdk = new CdkApp();
  const context = (name: string): unknown => cdk.node.tryGetContext(name);
  const folder = root instanceof URL ? fileURLToPath(root) : root;
  // A deployment registers schemas for good, so it is the last place to find out that one breaks its readers.
  await requireSoundContracts({ root: folder, contracts: app.contracts });
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
