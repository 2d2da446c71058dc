/**
 * A log's reader over single questions and answers, each of limited size. On the far side `answerLogCalls` asks the log
 * itself; on this side `createCallingLog` puts the calls of a moment into one request.
 */
import { MillraceError } from '../errors.ts';
import { encodeKafkaEvent, kafkaEventBytes, parseKafkaEvent } from '../lambda/kafka-event.ts';
import type { RawRecord, TopicPartition } from '../record.ts';
import type { LogReader } from '../topics.ts';
import type { LogAnswer, LogCall } from './operator.ts';

/**
 * Of what an answer may have, 6 MB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-27). The
 * rest is for what is around the records.
 */
const ANSWER_BYTES = 5_500_000;
/** A call that reads nothing comes to less. */
const PLAIN_ANSWER_BYTES = 500;
/** Of one request: the log is asked all of them at once. */
const MOST_CALLS = 200;

/** What an operator reads of a log; it commits nothing. */
export type CallableLog = Pick<
  LogReader,
  'partitions' | 'read' | 'bounds' | 'offsetAt' | 'committed' | 'passed'
>;

/** Asks the log, each call by itself: one that fails does not take the others with it. */
export async function answerLogCalls(
  log: CallableLog,
  calls: readonly LogCall[],
): Promise<readonly LogAnswer[]> {
  let room = ANSWER_BYTES - calls.length * PLAIN_ANSWER_BYTES;
  const answers: LogAnswer[] = [];
  const others = await Promise.all(
    calls.map((call) =>
      call[0] === 'read' ? undefined : answered(async () => ({ value: await plain(log, call) })),
    ),
  );
  // One after the other: each takes what room the others left.
  let hasRead = false;
  for (const [index, call] of calls.entries()) {
    const answer =
      others[index] ??
      (await answered(async (): Promise<LogAnswer> => {
        if (hasRead && room <= 0) return { later: true };
        const [, of, fromOffset, maxRecords] = call as Extract<LogCall, readonly ['read', ...unknown[]]>;
        const records: RawRecord[] = [];
        const page = await log.read(of, fromOffset, maxRecords);
        for (const record of page) {
          const bytes = kafkaEventBytes(record);
          if (bytes > room && (hasRead || records.length > 0)) break;
          if (bytes > ANSWER_BYTES) throw tooLarge(record, bytes);
          records.push(record);
          room -= bytes;
        }
        // Nothing would say that the partition ends here.
        if (page.length > 0 && records.length === 0) return { later: true };
        hasRead = true;
        return { records: encodeKafkaEvent(records) };
      }));
    answers.push(answer);
  }
  return answers;
}

function plain(log: CallableLog, call: LogCall): Promise<unknown> {
  switch (call[0]) {
    case 'partitions':
      return log.partitions(call[1]);
    case 'bounds':
      return log.bounds(call[1]);
    case 'offsetAt':
      return log.offsetAt(call[1], call[2]);
    case 'committed':
      // JSON has no undefined.
      return log.committed(call[1], call[2]).then((offset) => offset ?? null);
    case 'passed':
      return Promise.resolve(log.passed?.(call[1], call[2]) ?? call[2]);
    default:
      throw new MillraceError(
        'INPUT_INVALID',
        `The operator function was asked of the log for ${JSON.stringify(call[0])}. Deploy the environment again, so that it has this version.`,
      );
  }
}

async function answered(work: () => Promise<LogAnswer>): Promise<LogAnswer> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    return { error: { code: error.code, message: error.message } };
  }
}

function tooLarge({ topic, partition, offset }: RawRecord, bytes: number): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `${topic}/${partition}: the record at offset ${offset} takes ${bytes} bytes of an answer, which has room for ${ANSWER_BYTES}. ` +
      'It can only be read from inside the network, with --kafka.',
    { details: { topic, partition, offset } },
  );
}

interface Asked {
  readonly call: LogCall;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * The log on the far side. Calls that are made in the same moment travel together.
 * @param ask takes calls across, and brings their answers in the same order
 */
export function createCallingLog(
  ask: (calls: readonly LogCall[]) => Promise<readonly LogAnswer[]>,
): CallableLog & { passed(of: TopicPartition, fromOffset: number): Promise<number> } {
  let waiting: Asked[] = [];
  const send = async (batch: readonly Asked[]): Promise<void> => {
    try {
      const answers = await ask(batch.map(({ call }) => call));
      const later = batch.filter((asked, index) => !settle(asked, answers[index]));
      if (later.length > 0) await send(later);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };
  const call = <Result>(...of: LogCall): Promise<Result> =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) {
        queueMicrotask(() => {
          const all = waiting;
          waiting = [];
          for (let from = 0; from < all.length; from += MOST_CALLS)
            void send(all.slice(from, from + MOST_CALLS));
        });
      }
      waiting.push({ call: of, resolve: resolve as (value: unknown) => void, reject });
    });
  return {
    partitions: (topic) => call('partitions', topic),
    bounds: (of) => call('bounds', of),
    offsetAt: (of, timestampMs) => call('offsetAt', of, timestampMs),
    committed: async (group, of) => (await call<number | null>('committed', group, of)) ?? undefined,
    passed: (of, fromOffset) => call('passed', of, fromOffset),
    read: (of, fromOffset, maxRecords) => call('read', of, fromOffset, maxRecords),
  };
}

/** @returns false where the call is to be made again */
function settle({ call, resolve, reject }: Asked, answer: LogAnswer | undefined): boolean {
  if (answer === undefined) reject(new Error(`The operator function gave no answer to ${call[0]}.`));
  else if ('later' in answer) return false;
  else if ('error' in answer) {
    const { code, message } = answer.error;
    reject(new MillraceError(code as MillraceError['code'], message));
  } else if ('records' in answer) resolve(parseKafkaEvent(answer.records, (call[1] as TopicPartition).topic));
  else resolve(answer.value);
  return true;
}
