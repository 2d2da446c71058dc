/** The generations of a deployed environment, for a person with credentials of their own: its migrations function has them. */
import { deployedName, SETTINGS } from '../../runtime/deployment.ts';
import { MillraceError, reasonOf } from '../../runtime/errors.ts';
import {
  declarationOf,
  type GenerationAnswer,
  type GenerationRequest,
} from '../../runtime/operator/generation-requests.ts';
import {
  type Generation,
  type GenerationStore,
  generationName,
  type Switched,
} from '../../runtime/replay/generation.ts';
import type { AwsCalls } from './aws-calls.ts';
import { invoke } from './operator-client.ts';

/** Every method throws INPUT_INVALID where the function cannot be asked, and what the store inside the network throws. */
export function openGenerations(env: string, calls: Pick<AwsCalls, 'invoke'>): GenerationStore {
  const functionName = deployedName(env, 'migrations');
  const ask = async (request: GenerationRequest): Promise<unknown> => {
    const answer = (await invoke(calls, functionName, request, {
      missing: `${env} has no migrations function. Deploy it: npx cdk deploy -c env=${env} --all`,
      allowed: `The policy ${deployedName(env, 'rebuild')} allows it.`,
    })) as GenerationAnswer | { readonly applied: unknown } | null;
    if (answer && 'done' in answer) return answer.done;
    if (answer && 'refused' in answer) throw new MillraceError(answer.refused.code, answer.refused.message);
    throw new MillraceError(
      'INPUT_INVALID',
      `${functionName} is of an earlier version, which knows no generations: it migrated, and changed nothing else. Deploy the environment first.`,
      { details: { env } },
    );
  };
  return {
    async list(consumer) {
      if (consumer !== undefined) return (await ask({ action: 'generations', consumer })) as Generation[];
      throw new MillraceError(
        'INPUT_INVALID',
        'An environment is asked for the generations of one consumer.',
      );
    },
    create: async (consumer, { id, code }) =>
      (await ask({
        action: 'create',
        consumer: consumer.name,
        declaration: declarationOf(consumer),
        rebuild: { id, code },
      })) as Generation,
    promote: async ({ name: consumer }, number, { code, mayLose = 0, oldest = new Map() }) =>
      (await ask({
        action: 'promote',
        consumer,
        number,
        code,
        mayLose,
        oldest: [...oldest],
      })) as Switched,
    rollback: async ({ name: consumer }) => (await ask({ action: 'rollback', consumer })) as Switched,
    async drop({ name: consumer }, number) {
      await ask({ action: 'drop', consumer, number });
    },
  };
}

/** A generation's function, and what tells its code from others: null where its stack does not say, as that of a first one. */
export interface DeployedGeneration {
  readonly code: string | null;
}

/** @returns null where it is not deployed. @throws INPUT_INVALID where AWS refuses to say */
export async function deployedGeneration(
  env: string,
  consumer: string,
  number: number,
  calls: Pick<AwsCalls, 'getFunctionConfiguration'>,
): Promise<DeployedGeneration | null> {
  const FunctionName = deployedName(env, generationName(consumer, number));
  try {
    const { Environment } = await calls.getFunctionConfiguration({ FunctionName });
    return { code: Environment?.Variables?.[SETTINGS.code] ?? null };
  } catch (cause) {
    if ((cause as Error).name === 'ResourceNotFoundException') return null;
    throw new MillraceError(
      'INPUT_INVALID',
      `Nobody knows whether ${FunctionName} is deployed: ${reasonOf(cause as Error).replace(/\.?$/, '.')} It takes lambda:GetFunctionConfiguration.`,
      { cause, details: { env, consumer } },
    );
  }
}
