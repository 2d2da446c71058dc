/** Sends a person's decision about a key to the consumer's function, and waits for what comes of it. */
import {
  addReleased,
  type KeyAfter,
  type KeyRelease,
  NOTHING_RELEASED,
  type Released,
} from '../../delivery/release.ts';
import { MillraceError } from '../../errors.ts';
import type { ObjectStore } from '../../objects.ts';
import type { Clock } from '../../ports.ts';
import type { Queue } from '../queue.ts';
import { encodeRelease } from './message.ts';
import { releaseResultKey } from './receive.ts';

export interface ReleasePorts {
  readonly redrive: Queue;
  readonly objects: Pick<ObjectStore, 'get' | 'put'>;
  readonly clock: Clock;
}

const POLL_MS = 250;

/** SQS takes ten messages a request. */
const SEND_BATCH = 10;

export interface SendOptions {
  /** How long to wait for an answer while none comes. */
  readonly patienceMs: number;
  /** How many may be under way at once: 1 where the order counts. @default 1 */
  readonly atOnce?: number;
  readonly onProgress?: (done: number) => void;
}

/**
 * Has the function of `consumer` do the releases. What is sent twice is done once.
 * @returns what they changed in all, and how the key of the last one is
 * @throws FUNCTION_UNAVAILABLE where no answer comes for `patienceMs`: what was sent stays in the redrive queue, and may be done later
 * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE
 */
export async function sendReleases(
  consumer: string,
  id: string,
  releases: readonly KeyRelease[],
  { redrive, objects, clock }: ReleasePorts,
  { patienceMs, atOnce = 1, onProgress = () => {} }: SendOptions,
): Promise<Released & KeyAfter> {
  let total: Released = NOTHING_RELEASED;
  let after: KeyAfter = { blockedBy: null, parked: 0 };
  for (let from = 0; from < releases.length; from += atOnce) {
    const portion = releases.slice(from, from + atOnce);
    for (let at = 0; at < portion.length; at += SEND_BATCH) {
      const messages = portion
        .slice(at, at + SEND_BATCH)
        .map((release, n) => encodeRelease({ id, number: from + at + n, consumer, release }, objects));
      await redrive.send(await Promise.all(messages));
    }
    for (const [at] of portion.entries()) {
      const result = await resultOf(from + at);
      total = addReleased(total, result);
      after = { blockedBy: result.blockedBy, parked: result.parked };
      onProgress(from + at + 1);
    }
  }
  return { ...total, ...after };

  async function resultOf(number: number): Promise<Released & KeyAfter> {
    for (let waitedMs = 0; ; waitedMs += POLL_MS) {
      const body = await objects.get(releaseResultKey(id, number));
      if (body) return JSON.parse(body.toString()) as Released & KeyAfter;
      if (waitedMs >= patienceMs) throw unanswered(consumer, patienceMs);
      await clock.sleep(POLL_MS);
    }
  }
}

function unanswered(consumer: string, patienceMs: number): MillraceError {
  return new MillraceError(
    'FUNCTION_UNAVAILABLE',
    `The function of ${consumer} has not answered for ${patienceMs / 1_000} s. The message stays in its redrive queue, so it may still be done. ` +
      'Look at the function’s log: it may be stopped, held by its sink, or of a version before parking.',
    { details: { consumer } },
  );
}
