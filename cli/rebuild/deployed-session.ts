import type { Command } from 'commander';
import { awsCalls } from '../../adapters/aws/aws-calls.ts';
import { whoIsAsking } from '../../adapters/aws/deployment-reader.ts';
import { openOperator } from '../../adapters/aws/operator-client.ts';
import { openAwsResources } from '../../adapters/aws/operator-resources.ts';
import { deployedGeneration, openGenerations } from '../../adapters/aws/rebuilding.ts';
import { codeFingerprint } from '../../adapters/files/code-fingerprint.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { generationsIn } from '../../runtime/consumer-in-environment.ts';
import { audited } from '../../runtime/dead-letters/audit-log.ts';
import { generationOf } from '../../runtime/replay/generation.ts';
import { loadApp } from '../app.ts';
import { checkEnvironment } from '../options.ts';
import type { DeployedSession } from './deployed-progress.ts';
import { consumerWithTables } from './session.ts';

/** @throws INPUT_INVALID where there is no such consumer, nobody is signed in, or no region is set */
export async function openDeployedSession(
  name: string,
  env: string,
  command: Command,
): Promise<DeployedSession> {
  const app = await loadApp();
  checkEnvironment(command, env, app.environments);
  const consumer = consumerWithTables(app, name);
  const calls = awsCalls();
  await whoIsAsking(calls);
  return {
    env,
    consumer,
    code: codeFingerprint(app.module, consumer),
    inSettings: generationsIn(app.environments[env]!, name),
    store: openGenerations(env, calls),
    operator: openOperator(env, calls),
    deployed: (number) => deployedGeneration(env, name, number, calls),
    async audited(entry, live, act) {
      const { resources, who } = await openAwsResources(env, generationOf(consumer, live));
      return audited(
        { objects: resources.objects, clock: systemClock },
        { ...entry, consumer: name, who },
        act,
      );
    },
  };
}
