/**
 * Giving chosen dead letters back to the consumer that failed them: a few first, the rest only if those were applied,
 * each sent before it is taken off the reader, with a journal that a killed redrive goes on from.
 */

import { letterKey } from '../../delivery/dead-letter.ts';
import { MillraceError } from '../../errors.ts';
import type { ObjectStore } from '../../objects.ts';
import type { Clock } from '../../ports.ts';
import type { OutgoingMessage, Queue } from '../queue.ts';
import { REDRIVE_ATTRIBUTE, toMessage } from '../queue-letters.ts';
import type { DeadLetterReader, StoredLetter } from '../reader.ts';
import { type LetterFilter, matches } from '../triage.ts';
import { type LetterResult, redriveResultsReader } from './results.ts';

/** The letters that a redrive gives back, fixed before it begins: what fails again meanwhile is none of them. */
export interface RedrivePlan {
  readonly id: string;
  readonly consumer: string;
  /** By `letterKey`: the copies of the letter that are on the reader. */
  readonly letters: ReadonlyMap<string, readonly string[]>;
}

/** What a redrive has done, kept where it survives the process. Every write is durable when it returns. */
export interface RedriveJournal {
  readonly plan: RedrivePlan;
  /** Of letters that are known to be in the redrive queue, by `letterKey`. */
  readonly sent: ReadonlySet<string>;
  noteSent(keys: readonly string[]): void;
}

export interface RedriveOptions {
  /** Letters a second. */
  readonly ratePerSecond: number;
  /** How many to give back before the others, which follow only if all of these were applied; 0 for all at once. */
  readonly canary: number;
  /** Stops at so many letters that failed again or were refused. */
  readonly maxFailures: number;
  /** How long to wait for results while none come. */
  readonly patienceMs: number;
}

export interface RedrivePorts {
  readonly reader: DeadLetterReader;
  readonly redrive: Queue;
  readonly objects: ObjectStore;
  readonly clock: Clock;
}

export interface RedriveProgress {
  readonly planned: number;
  readonly sent: number;
  readonly applied: number;
  readonly alreadyApplied: number;
  /** Dead letters once more, or refused. */
  readonly failed: number;
  /** Of the planned ones, those without a result. */
  readonly remaining: number;
}

/** SQS takes ten messages a request. */
const SEND_BATCH = 10;
const POLL_MS = 250;

/** The letters on the reader that match, with all their copies. Looks once. */
export async function findLetters(
  reader: DeadLetterReader,
  filter: LetterFilter,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const letters = new Map<string, string[]>();
  const others = new Map<string, string[]>();
  for await (const copy of reader.scan()) {
    if (!('letter' in copy)) continue;
    const key = letterKey(copy.letter);
    // A copy that failed otherwise is a copy all the same: once the record is applied, it is of no use.
    const into = matches(copy, filter) ? letters : others;
    into.set(key, [...(into.get(key) ?? []), copy.ref]);
  }
  return new Map([...letters].map(([key, copies]) => [key, [...copies, ...(others.get(key) ?? [])]]));
}

/**
 * Gives the planned letters back and waits for what becomes of them. A letter is taken off the reader once the redrive
 * queue has it, so a kill between the two sends it twice, and the ledger makes the second harmless (promises 1 and 2).
 * @throws REDRIVE_STOPPED when the canary was not applied, or too many failed; what was not sent is on the reader
 * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE; the same journal goes on later
 */
export async function runRedrive(
  journal: RedriveJournal,
  ports: RedrivePorts,
  options: RedriveOptions,
  onProgress: (progress: RedriveProgress) => void = () => {},
): Promise<RedriveProgress> {
  const { plan } = journal;
  const { reader, redrive, objects, clock } = ports;
  const readResults = redriveResultsReader(objects, plan.id);
  const letterOf = new Map(
    [...plan.letters].flatMap(([key, copies]) => copies.map((copy) => [copy, key] as const)),
  );
  let nextSendAt = clock.now();

  const progress = async (): Promise<RedriveProgress> => {
    const results = [...(await readResults())]
      .filter(([key]) => plan.letters.has(key))
      .map(([, result]) => result);
    const count = (...wanted: LetterResult[]) => results.filter((result) => wanted.includes(result)).length;
    const now: RedriveProgress = {
      planned: plan.letters.size,
      sent: journal.sent.size,
      applied: count('applied'),
      alreadyApplied: count('already-applied'),
      failed: count('failed-again', 'refused'),
      remaining: plan.letters.size - results.length,
    };
    onProgress(now);
    return now;
  };

  const stopAtFailures = (now: RedriveProgress, maxFailures: number) => {
    if (now.failed >= maxFailures) throw stopped(plan, now, `${now.failed} of ${now.sent} failed again`);
  };

  /** Sends letters until so many are sent in all, and takes every copy of what is sent off the reader. */
  const sendUpTo = async (limit: number, maxFailures: number) => {
    /** Copies to take away, and of each letter among them that is yet to be sent, one. */
    let batch: StoredLetter[] = [];
    const fresh = new Map<string, StoredLetter>();
    const flush = async () => {
      if (fresh.size > 0) {
        await clock.sleep(Math.max(0, nextSendAt - clock.now()));
        nextSendAt = clock.now() + (fresh.size * 1_000) / options.ratePerSecond;
        const messages = [...fresh.values()].map((stored) => messageOf(stored, plan.id, objects));
        await redrive.send(await Promise.all(messages));
        journal.noteSent([...fresh.keys()]);
        fresh.clear();
      }
      await reader.remove(batch);
      batch = [];
    };
    const batchSize = Math.max(1, Math.min(SEND_BATCH, Math.floor(options.ratePerSecond)));
    for await (const copy of reader.scan()) {
      const key = letterOf.get(copy.ref);
      if (key === undefined || !('letter' in copy)) continue;
      if (!journal.sent.has(key) && !fresh.has(key)) {
        if (journal.sent.size + fresh.size >= limit) continue;
        fresh.set(key, copy);
      }
      batch.push(copy);
      if (batch.length < batchSize) continue;
      await flush();
      stopAtFailures(await progress(), maxFailures);
    }
    if (batch.length > 0) await flush();
  };

  /** Waits until what was sent has a result, or none has come for so long. */
  const waitForResults = async (): Promise<RedriveProgress> => {
    let now = await progress();
    for (let quietMs = 0; now.planned - now.remaining < journal.sent.size; quietMs += POLL_MS) {
      if (quietMs >= options.patienceMs) break;
      await clock.sleep(POLL_MS);
      const before = now;
      now = await progress();
      if (now.remaining < before.remaining) quietMs = 0;
    }
    return now;
  };

  if (options.canary > 0 && journal.sent.size < plan.letters.size && plan.letters.size > options.canary) {
    await sendUpTo(Math.max(options.canary, journal.sent.size), 1);
    const now = await waitForResults();
    stopAtFailures(now, 1);
    if (now.planned - now.remaining < journal.sent.size) {
      throw stopped(
        plan,
        now,
        `no result of the first ${now.sent} arrived for ${options.patienceMs / 1_000} s`,
      );
    }
  }
  await sendUpTo(plan.letters.size, options.maxFailures);
  return waitForResults();
}

/** A message goes back as it stands in its queue, so what a later minor version wrote into it is kept. */
async function messageOf(
  stored: StoredLetter,
  redriveId: string,
  objects: ObjectStore,
): Promise<OutgoingMessage> {
  const { body, attributes } = stored.message ?? (await toMessage(stored.letter, objects));
  return { body, attributes: { ...attributes, [REDRIVE_ATTRIBUTE]: redriveId } };
}

function stopped(
  { id, consumer, letters }: RedrivePlan,
  now: RedriveProgress,
  reason: string,
): MillraceError {
  return new MillraceError(
    'REDRIVE_STOPPED',
    `Redrive ${id} to ${consumer} stopped: ${reason}. ${now.sent} of ${letters.size} were sent; the others are untouched. ` +
      'Find out why, fix it, and run the same command again.',
    { details: { redrive: id, consumer, ...now } },
  );
}
