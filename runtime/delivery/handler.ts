/** The consumer's own code: running it on records, and what its failure says of them. */

import { MillraceError } from '../errors.ts';
import type { Clock, Logger } from '../ports.ts';
import type { ConsumerRecord } from '../record.ts';
import type { AnyConsumer } from './consumer.ts';
import type { Failure } from './dead-letter.ts';
import { type Diagnosis, describeFailure, diagnose, legible } from './failure.ts';
import type { Verdict } from './isolate.ts';
import { historyWith, type Item } from './item.ts';
import type { Replay } from './ledger.ts';

export interface HandlerPorts {
  readonly consumer: AnyConsumer;
  readonly clock: Clock;
  readonly log: Logger;
  /** Calls `onEscaped` with what escapes the handler while it runs; what it returns ends that. */
  watchEscapes(onEscaped: (error: unknown) => void): () => void;
}

/** Records that the handler gave to `fail`. */
export type Rejected = ReadonlyMap<Item, Failure>;

/** Runs the handler on records that can be read. */
export async function runHandler(
  items: readonly Item[],
  tx: unknown,
  handlerTime: AbortSignal,
  abandon: AbortSignal,
  context: HandlerPorts,
  replay: Replay | undefined,
): Promise<Rejected> {
  const failures = new Map<Item, Failure>();
  const itemOf = new Map(items.map((item) => [item.record!, item]));
  const fail = (record: ConsumerRecord<unknown>, error: unknown) => {
    const item = itemOf.get(record);
    if (!item) {
      throw new MillraceError(
        'HANDLER_FAILED',
        'fail() takes a record of this handle() call; it got another.',
      );
    }
    const diagnosis = diagnose('handle', error, 'HANDLER_REJECTED');
    failures.set(item, describeFailure(diagnosis, historyWith(item, context.clock.now())));
  };
  // Both end with the call: a transaction may have thousands of calls, and each would leave a listener behind.
  const interrupted = Promise.withResolvers<never>();
  const onAbandon = () => interrupted.reject(abandon.reason);
  if (abandon.aborted) onAbandon();
  else abandon.addEventListener('abort', onAbandon, { once: true });
  const stopWatching = context.watchEscapes((error) => interrupted.reject(legible(error)));
  try {
    const handled = context.consumer.handle([...itemOf.keys()], {
      tx,
      signal: handlerTime,
      log: context.log,
      fail,
      ...(replay && { replay }),
    });
    await Promise.race([handled, interrupted.promise]);
  } catch (thrown) {
    const error = legible(thrown);
    // What it throws because its time is over says nothing but that, unless it knows better: a service that is down.
    if (handlerTime.aborted && !isHold(error)) throw handlerTime.reason;
    throw error;
  } finally {
    stopWatching();
    abandon.removeEventListener('abort', onAbandon);
  }
  // A copy: fail() called by something that the handler did not wait for comes too late to make a letter.
  return new Map(failures);
}

function isHold(error: unknown): boolean {
  return diagnose('handle', error, 'HANDLER_FAILED').action === 'hold';
}

/** Whether a single record may be what a failed `handle` failed for. */
export function mayBeARecords({ action, code, isUnclear }: Diagnosis): boolean {
  if (isUnclear) return true;
  if (action === 'hold') return !code.startsWith('SINK_') && code !== 'UNEXPECTED';
  return action !== 'halt';
}

/**
 * What a record's failure on its own means, by the table and its consumer's policy. One that failed behind a record
 * which is to be tried again may owe its failure to that one, so that this try is never its last.
 */
export function judgeFailure(
  item: Item,
  diagnosis: Diagnosis,
  { consumer, clock }: HandlerPorts,
  isForShow = false,
): Verdict {
  if (diagnosis.action === 'hold') return 'hold';
  const history = historyWith(item, clock.now());
  const { attempts } = consumer.retry;
  if (isForShow) {
    if (item.tries < attempts - 1) item.history = history;
    item.tries = Math.min(item.tries + 1, Math.max(1, attempts - 1));
    return 'retry';
  }
  item.tries++;
  if (diagnosis.action === 'retry' && item.tries < attempts) {
    item.history = history;
    return 'retry';
  }
  item.failure = describeFailure(diagnosis, history);
  return 'failed';
}
