import { describe, expect, test } from '@jest/globals';
import { openConsumerFunction, openOperator } from '../../../adapters/aws/operator-client.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import { ledgersPage } from '../../../runtime/operator/ledger-pages.ts';
import { answerLogCalls } from '../../../runtime/operator/log-calls.ts';
import type { OperatorRequest } from '../../../runtime/operator/operator.ts';
import type { WholeLedger } from '../../../runtime/replay/ledgers.ts';
import { awsError, payload } from './fake-account.ts';

const ledger = (partition: number, holes = 0): WholeLedger => ({
  partition,
  first: 0,
  next: 10 * (holes + 1),
  maxTimestamp: 1_764_000_000_000,
  deadLettered: Array.from({ length: holes }, (_, index) => ({ from: 10 * index, to: 10 * index + 1 })),
  skipped: [],
  discarded: [],
  overtaken: [],
  parked: [],
  updatedAt: 1_764_000_000_000,
});
const OWNER = { consumer: 'reading', epoch: 1, topic: 'news.pageviews' };

/** An operator function with these ledgers, and what it was asked. */
function account(ledgers: readonly WholeLedger[]) {
  const asked: (OperatorRequest & { readonly to: string })[] = [];
  const log = {
    partitions: async () => 3,
    read: async () => [],
    bounds: async () => ({ start: 0, end: 9 }),
    offsetAt: async () => 4,
    committed: async () => undefined,
  };
  return {
    asked,
    async invoke({ FunctionName = '', Payload }: { FunctionName?: string | undefined; Payload?: unknown }) {
      const request = JSON.parse(Buffer.from(Payload as Uint8Array).toString()) as OperatorRequest;
      asked.push({ ...request, to: FunctionName });
      const answer =
        request.action === 'ledgers'
          ? ledgersPage(ledgers, request.fromPartition)
          : await answerLogCalls(log, (request as Extract<OperatorRequest, { action: 'log' }>).calls);
      expect(JSON.stringify(answer).length).toBeLessThan(6 * 1_048_576);
      return { StatusCode: 200, Payload: payload(answer) };
    },
  };
}

test('ledgers and the log of an environment are its operator function’s', async () => {
  const far = account([ledger(0), ledger(2, 3)]);
  const { ledgers, log } = openOperator('prod', far);
  expect(await ledgers.read(OWNER)).toEqual([ledger(0), ledger(2, 3)]);
  expect(await log.partitions('news.pageviews')).toBe(3);
  expect(far.asked).toEqual([
    { to: 'millrace-prod-operator', action: 'ledgers', of: OWNER, fromPartition: 0 },
    { to: 'millrace-prod-operator', action: 'log', calls: [['partitions', 'news.pageviews']] },
  ]);
});

test('ledgers of more than an answer holds come in pages, each partition whole', async () => {
  const many = Array.from({ length: 5 }, (_, partition) => ledger(partition, 70_000));
  const far = account(many);
  const read = await openOperator('prod', far).ledgers.read(OWNER);
  expect(JSON.stringify(read) === JSON.stringify(many)).toBe(true);
  expect(far.asked.length).toBeGreaterThan(1);
  const huge = account([ledger(0, 300_000)]);
  await expect(openOperator('prod', huge).ledgers.read(OWNER)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringContaining('The ledger of partition 0 has so many ranges'),
  });
});

describe('a consumer’s function', () => {
  const READING = { name: 'reading', timeoutMs: 900_000 };
  const event = encodeKafkaEvent([], { id: 'r1', kind: 'gaps' });

  test('takes what is replayed as its event source brings it, and says what it returns', async () => {
    const asked: unknown[] = [];
    const answer = { batchItemFailures: [{ itemIdentifier: { partition: 't-0', offset: 3 } }] };
    const fn = openConsumerFunction('prod', READING, {
      async invoke({ FunctionName, Payload }, once) {
        // Longer than the function may take, and only once: it must not run a second time beside the first.
        expect(once).toEqual({ timeoutMs: 910_000 });
        asked.push([FunctionName, JSON.parse(Buffer.from(Payload as Uint8Array).toString())]);
        return { StatusCode: 200, Payload: payload(answer) };
      },
    });
    expect(await fn.deliver(event)).toEqual(answer);
    expect(asked).toEqual([['millrace-prod-reading', JSON.parse(JSON.stringify(event))]]);
  });

  test('that threw may be asked again, and one that is not there may not', async () => {
    const failed = openConsumerFunction('prod', READING, {
      invoke: async () => ({
        StatusCode: 200,
        FunctionError: 'Unhandled',
        Payload: payload({ errorType: 'MillraceError', errorMessage: 'The batch was not settled' }),
      }),
    });
    await expect(failed.deliver(event)).rejects.toMatchObject({
      code: 'UNEXPECTED',
      action: 'hold',
      message: 'millrace-prod-reading failed: The batch was not settled.',
    });
    const gone = openConsumerFunction('prod', READING, {
      invoke: () => Promise.reject(awsError('ResourceNotFoundException')),
    });
    await expect(gone.deliver(event)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      action: 'halt',
      message: expect.stringContaining('npx cdk deploy -c env=prod millrace-prod-consumer-reading'),
    });
    const refused = openConsumerFunction('prod', READING, {
      invoke: () => Promise.reject(awsError('AccessDeniedException', 'not authorized')),
    });
    await expect(refused.deliver(event)).rejects.toMatchObject({
      message: expect.stringContaining('It takes lambda:InvokeFunction on this function.'),
    });
  });

  const answered = (name: string, httpStatusCode: number) =>
    Object.assign(awsError(name), { $metadata: { httpStatusCode } });
  test.each([
    answered('TooManyRequestsException', 429),
    answered('ServiceException', 500),
    answered('EC2ThrottledException', 502),
    answered('ResourceNotReadyException', 502),
    answered('ResourceConflictException', 409),
    awsError('TimeoutError'),
    Object.assign(awsError('Error', 'connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
  ])('that cannot be invoked just now may be asked again: $name', async (error) => {
    const fn = openConsumerFunction('prod', READING, { invoke: () => Promise.reject(error) });
    const failure = await fn.deliver(event).catch((caught: Error) => caught);
    expect(failure).toMatchObject({ code: 'FUNCTION_UNAVAILABLE', action: 'hold' });
    expect((failure as Error).message).not.toContain('lambda:InvokeFunction');
  });

  test.each([
    answered('AccessDeniedException', 403),
    answered('ExpiredTokenException', 403),
    awsError('CredentialsProviderError'),
    answered('RequestTooLargeException', 413),
    answered('InvalidRuntimeException', 502),
    answered('KMSDisabledException', 502),
  ])('that no waiting helps may not: $name', async (error) => {
    const fn = openConsumerFunction('prod', READING, { invoke: () => Promise.reject(error) });
    await expect(fn.deliver(event)).rejects.toMatchObject({ code: 'INPUT_INVALID', action: 'halt' });
  });
});
