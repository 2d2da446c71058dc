/** What commands about ledgers and records see of a deployed environment, with the person's own credentials. */
import { InvalidArgumentError, Option } from 'commander';
import { awsCalls } from '../adapters/aws/aws-calls.ts';
import { whoIsAsking } from '../adapters/aws/deployment-reader.ts';
import { type EnvironmentEvidence, openEnvironmentEvidence } from '../adapters/aws/environment-evidence.ts';
import { liveGenerationIn } from '../runtime/consumer-in-environment.ts';
import { loadApp } from './app.ts';

export interface EnvironmentOptions {
  readonly env?: string;
}

/** An environment has its own topics, sink, archives and registry. */
const ELSEWHERE = ['kafka', 'kafkaAuth', 'postgres', 'archive', 'archiveEndpoint', 'registry'];

export function envOption(): Option {
  return new Option('--env <name>', 'an environment on AWS, by your own credentials, instead of --state')
    .argParser((text: string) => {
      if (text !== '') return text;
      throw new InvalidArgumentError("Give an environment's name, such as prod.");
    })
    .conflicts(ELSEWHERE);
}

/**
 * Of a consumer, what readers see: its live generation.
 * @throws INPUT_INVALID where nobody is signed in, or no region is set
 */
export async function openEnvironment(env: string): Promise<EnvironmentEvidence> {
  const { environments } = await loadApp();
  const calls = awsCalls();
  await whoIsAsking(calls);
  const evidence = openEnvironmentEvidence(env, calls);
  const settings = environments[env] ?? {};
  return { ...evidence, of: (consumer) => evidence.of(liveGenerationIn(settings, consumer)) };
}
