import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { App as CdkApp, type StageSynthesisOptions } from 'aws-cdk-lib';
import { CloudAssembly, OUTDIR_ENV } from 'aws-cdk-lib/cx-api';
import { requireSoundContracts } from '../adapters/files/contract-files.ts';
import type { App } from '../runtime/app.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { MillraceError } from '../runtime/errors.ts';
import { addEnvironmentStacks } from './environment-stacks.ts';
import { checkTemplates } from './limits.ts';

/**
 * Checks the contracts, then adds the stacks of the environment that the CDK's context names (`-c env=dev`) to a CDK app of
 * its own, which synthesizes when the process ends. `-c rebuild=CONSUMER -c generation=N` adds those of a rebuild's candidate.
 * Needs no account and no network.
 * @param root the folder with millrace.config.ts, package-lock.json and lambdas/, as a path or a file URL
 * @throws ENVIRONMENT_INVALID, CONSUMER_INVALID, CONTRACT_INVALID, CONTRACT_INCOMPATIBLE, CONTRACT_STALE with what to correct;
 * STACK_TOO_LARGE, from synth(), when a stack is over a limit of AWS
 */
export async function synthesize(app: App, root: string | URL): Promise<CdkApp> {
  const cdk = new LimitedApp();
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
  const rebuild = { rebuild: context('rebuild'), generation: context('generation') };
  addEnvironmentStacks(cdk, environment, app, rebuild);
  return cdk;
}

/** Says in a line with a code which template is over which limit. */
class LimitedApp extends CdkApp {
  constructor() {
    super({ autoSynth: false, context: { '@aws-cdk/core:stackResourceLimit': '0' } });
    // The CDK's command line sets it, and reads there what it finds when the process has ended.
    if (OUTDIR_ENV in process.env) process.once('beforeExit', () => this.synthesizeLast());
  }

  override synth(options?: StageSynthesisOptions): CloudAssembly {
    const startedMs = Date.now();
    try {
      const assembly = super.synth(options);
      checkTemplates(assembly);
      return assembly;
    } catch (error) {
      // The CDK's own validation, which projects can turn on, knows some of the limits, and fails when all is written.
      const written = statSync(join(this.outdir, 'manifest.json'), { throwIfNoEntry: false });
      if (written && written.mtimeMs >= startedMs) checkTemplates(new CloudAssembly(this.outdir));
      throw error;
    }
  }

  private synthesizeLast(): void {
    try {
      this.synth({ errorOnDuplicateSynth: false });
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      process.stderr.write(`error: ${error.message} [${error.code}]\n`);
      process.exitCode = 1;
    }
  }
}
