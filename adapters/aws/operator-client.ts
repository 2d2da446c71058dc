/** An environment's functions, for a person with credentials of their own: its operator function, and a consumer's to replay into. */
import { deployedName, operatorFunctionName } from '../../runtime/deployment.ts';
import { MillraceError, reasonOf } from '../../runtime/errors.ts';
import type { BatchResponse } from '../../runtime/lambda/kafka-batch.ts';
import { createCallingLedgers } from '../../runtime/operator/ledger-pages.ts';
import { type CallableLog, createCallingLog } from '../../runtime/operator/log-calls.ts';
import type { LedgersAnswer, LogAnswer, OperatorRequest } from '../../runtime/operator/operator.ts';
import type { LedgerReader } from '../../runtime/replay/ledgers.ts';
import type { ReplayFunction } from '../../runtime/replay/run.ts';
import type { AwsCalls } from './aws-calls.ts';

export interface Operator {
  readonly log: CallableLog & Required<Pick<CallableLog, 'passed'>>;
  readonly ledgers: LedgerReader;
}

/** What topics and ledgers of an environment say, from inside its network. Every method throws INPUT_INVALID where the function cannot be asked. */
export function openOperator(env: string, calls: Pick<AwsCalls, 'invoke'>): Operator {
  const ask = async (request: OperatorRequest) =>
    (await invoke(calls, operatorFunctionName(env), request, {
      missing: `${env} has no operator function. Leave "operator: false" out of its settings, and deploy it: npx cdk deploy -c env=${env} ${deployedName(env, 'operator')}`,
      allowed: `The policy ${deployedName(env, 'operator')} allows it.`,
    })) as unknown;
  return {
    log: createCallingLog(async (logCalls) => (await ask({ action: 'log', calls: logCalls })) as LogAnswer[]),
    ledgers: createCallingLedgers(async (request) => (await ask(request)) as LedgersAnswer),
  };
}

/** A deployed consumer's own function, invoked as its event source does. */
export function openConsumerFunction(
  env: string,
  consumer: string,
  calls: Pick<AwsCalls, 'invoke'>,
): ReplayFunction {
  return {
    async deliver(event) {
      const answer = await invoke(calls, deployedName(env, consumer), event, {
        missing: `${env} has no function of ${consumer}. Deploy it: npx cdk deploy -c env=${env} ${deployedName(env, `consumer-${consumer}`)}`,
        allowed: 'It takes lambda:InvokeFunction on this function.',
      });
      return (answer ?? { batchItemFailures: [] }) as BatchResponse;
    },
  };
}

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (2026-11-27): `FunctionError` where it threw, and the error as the payload. */
export async function invoke(
  calls: Pick<AwsCalls, 'invoke'>,
  FunctionName: string,
  payload: unknown,
  { missing, allowed }: { readonly missing: string; readonly allowed: string },
): Promise<unknown> {
  const { FunctionError, Payload } = await calls
    .invoke({ FunctionName, Payload: Buffer.from(JSON.stringify(payload)) })
    .catch((cause: Error) => {
      throw cause.name === 'ResourceNotFoundException'
        ? refused(missing, cause)
        : refused(`${FunctionName} cannot be invoked: ${sentence(cause)} ${allowed}`, cause);
    });
  const text = Buffer.from(Payload ?? []).toString('utf8');
  const answer = text === '' ? null : JSON.parse(text);
  if (FunctionError === undefined) return answer;
  const { errorType = FunctionError, errorMessage = 'no message' } = answer ?? {};
  const told = sentence({ name: String(errorType), message: String(errorMessage) });
  // Its code is not told across, so whether it passes neither: who called may try again.
  throw new MillraceError('UNEXPECTED', `${FunctionName} failed: ${told}`, {
    details: { function: FunctionName },
  });
}

function sentence(error: Pick<Error, 'name' | 'message'>): string {
  return reasonOf(error).replace(/\.?$/, '.');
}

function refused(message: string, cause: unknown): MillraceError {
  return new MillraceError('INPUT_INVALID', message, { cause });
}
