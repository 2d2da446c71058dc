/** An environment's functions, for a person with credentials of their own: its operator function, and a consumer's to replay into. */
import { deployedName, operatorFunctionName } from '../../runtime/deployment.ts';
import { MillraceError, reasonOf } from '../../runtime/errors.ts';
import type { BatchResponse } from '../../runtime/lambda/kafka-batch.ts';
import { createCallingKeys } from '../../runtime/operator/key-calls.ts';
import { createCallingLedgers } from '../../runtime/operator/ledger-pages.ts';
import { type CallableLog, createCallingLog } from '../../runtime/operator/log-calls.ts';
import type { LedgersAnswer, LogAnswer, OperatorRequest } from '../../runtime/operator/operator.ts';
import type { LedgerReader } from '../../runtime/replay/ledgers.ts';
import type { ReplayFunction } from '../../runtime/replay/run.ts';
import type { WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
import type { AwsCalls } from './aws-calls.ts';

export interface Operator {
  readonly log: CallableLog & Required<Pick<CallableLog, 'passed'>>;
  readonly ledgers: LedgerReader;
  readonly keys: WaitingKeyReader;
}

/** What topics and ledgers of an environment say, from inside its network. Every method throws INPUT_INVALID where the function may not be asked, FUNCTION_UNAVAILABLE where it does not answer. */
export function openOperator(env: string, calls: Pick<AwsCalls, 'invoke'>): Operator {
  const ask = async (request: OperatorRequest) =>
    (await invoke(calls, operatorFunctionName(env), request, {
      missing: `${env} has no operator function. Leave "operator: false" out of its settings, and deploy it: npx cdk deploy -c env=${env} ${deployedName(env, 'operator')}`,
      allowed: `The policy ${deployedName(env, 'operator')} allows it.`,
    })) as unknown;
  return {
    log: createCallingLog(async (logCalls) => (await ask({ action: 'log', calls: logCalls })) as LogAnswer[]),
    ledgers: createCallingLedgers(async (request) => (await ask(request)) as LedgersAnswer),
    keys: createCallingKeys((of, call) => ask({ action: 'keys', of, call })),
  };
}

/** What an answer takes on its way, after the function has ended. */
const WAY_MS = 10_000;

/** A deployed consumer's own function, invoked as its event source does. @param consumer with the time that its function has */
export function openConsumerFunction(
  env: string,
  { name: consumer, timeoutMs }: { readonly name: string; readonly timeoutMs: number },
  calls: Pick<AwsCalls, 'invoke'>,
): ReplayFunction {
  return {
    async deliver(event) {
      const answer = await invoke(calls, deployedName(env, consumer), event, {
        missing: `${env} has no function of ${consumer}. Deploy it: npx cdk deploy -c env=${env} ${deployedName(env, `consumer-${consumer}`)}`,
        allowed: 'It takes lambda:InvokeFunction on this function.',
        // Asked again before it has ended, it would run twice at once.
        once: { timeoutMs: timeoutMs + WAY_MS },
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
  how: {
    readonly missing: string;
    readonly allowed: string;
    readonly once?: { readonly timeoutMs: number };
  },
): Promise<unknown> {
  const { FunctionError, Payload } = await calls
    .invoke({ FunctionName, Payload: Buffer.from(JSON.stringify(payload)) }, how.once)
    .catch((cause: Error) => {
      throw notInvoked(FunctionName, cause, how);
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

/** Of the credentials, not of the function: https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html (2026-11-27). */
const NOT_ALLOWED =
  /^(?:AccessDenied(?:Exception)?|NotAuthorized|ExpiredToken(?:Exception)?|UnrecognizedClientException|CredentialsProviderError|TokenProviderError|InvalidSignatureException|InvalidClientTokenId|IncompleteSignature|MissingAuthenticationToken)$/;
/** Answers with 502 that no waiting changes: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors (2026-11-27) */
const BROKEN =
  /^(?:Invalid\w+Exception|EC2AccessDeniedException|EFSMount\w+Exception|KMS(?:AccessDenied|Disabled|InvalidState|NotFound)Exception)$/;

/** Throttling, what is the service's fault, a conflict with a deployment, and no answer at all pass by themselves. */
function notInvoked(
  name: string,
  cause: Error & { readonly $metadata?: { readonly httpStatusCode?: number }; readonly code?: unknown },
  { missing, allowed }: { readonly missing: string; readonly allowed: string },
): MillraceError {
  if (cause instanceof MillraceError) return cause;
  if (cause.name === 'ResourceNotFoundException') return refused(missing, cause);
  const told = `${name} cannot be invoked: ${sentence(cause)}`;
  if (NOT_ALLOWED.test(cause.name)) return refused(`${told} ${allowed}`, cause);
  const status = cause.$metadata?.httpStatusCode;
  const isAnswer = status !== undefined && status >= 400 && status < 500 && status !== 409 && status !== 429;
  if (isAnswer || BROKEN.test(cause.name)) return refused(told, cause);
  return new MillraceError('FUNCTION_UNAVAILABLE', `${told} It may pass: try again.`, {
    cause,
    details: { function: name },
  });
}

function sentence(error: Pick<Error, 'name' | 'message'>): string {
  return reasonOf(error).replace(/\.?$/, '.');
}

function refused(message: string, cause: unknown): MillraceError {
  return new MillraceError('INPUT_INVALID', message, { cause });
}
