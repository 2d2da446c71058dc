/**
 * Giving chosen dead letters back to the consumer that failed them: a few first, the rest only if those were applied,
 * each sent before it is taken off the reader, with a journal that a killed redrive goes on from, and steered while it runs.
 */

import { letterKey } from '../../delivery/dead-letter.ts';
import { MillraceError } from '../../errors.ts';
import type { ObjectStore } from '../../objects.ts';
import type { Clock } from '../../ports.ts';
import type { OutgoingMessage, Queue } from '../queue.ts';
import { attributesForRedrive, toMessage } from '../queue-letters.ts';
import { copyName, type DeadLetterReader, type StoredLetter } from '../reader.ts';
import type { RedrivePlan } from './plan.ts';
import { type LetterResult, redriveResultsReader } from './results.ts';

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
  /** What a person wants of the redrive now; asked before anything is sent. @default always `go` */
  readonly steering?: () => Steering;
}

/**
 * - `go`: it goes on.
 * - `pause`: nothing is sent; results still come in.
 * - `cancel`: nothing is sent any more, whatever is said later. What was sent cannot be taken back.
 */
export type Steering = 'go' | 'pause' | 'cancel';

/** `planned` is the sum of `applied`, `alreadyApplied`, `failed`, `overtaken` and `remaining`. */
export interface RedriveProgress {
  /** All that matched, those left out included. */
  readonly planned: number;
  readonly sent: number;
  readonly applied: number;
  readonly alreadyApplied: number;
  /** Dead letters once more, or refused. */
  readonly failed: number;
  /** Left out, or refused since: a newer record of their key was applied. They are dead letters still. */
  readonly overtaken: number;
  /** Of the planned ones, those without a result. */
  readonly remaining: number;
  /** Of the remaining ones, those not sent because an earlier letter of their key was not applied. */
  readonly heldBack: number;
}

/** What a redrive has come to. */
export interface RedriveEnd extends RedriveProgress {
  /** Present where it was cancelled before everything was sent. What was not sent is on the reader. */
  readonly cancelled?: true;
}

/** SQS takes ten messages a request. */
const SEND_BATCH = 10;
const POLL_MS = 250;

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
  onProgress: (progress: RedriveProgress, isCanary: boolean) => void = () => {},
): Promise<RedriveEnd> {
  const { plan } = journal;
  const { reader, redrive, objects, clock, steering = () => 'go' } = ports;
  const readResults = redriveResultsReader(objects, plan.id);
  const letterOf = new Map(
    [...plan.letters].flatMap(([key, copies]) => copies.map((copy) => [copy, key] as const)),
  );
  /** Undefined where the copy is none of the plan's, were it at the place of one. */
  const plannedAs = (copy: StoredLetter): string | undefined => {
    // Plans of earlier versions name copies by their refs alone.
    const key = letterOf.get(copyName(copy)) ?? letterOf.get(copy.ref);
    return key === letterKey(copy.letter) ? key : undefined;
  };
  let nextSendAt = clock.now();
  let results: ReadonlyMap<string, LetterResult> = new Map();
  let heldBack = 0;
  /** How many were sent when no result came any more. */
  let gaveUpAt = -1;
  let isCanary = options.canary > 0 && plan.letters.size > options.canary;
  let isCancelled = false as boolean;
  const steered = (): Steering => {
    const wanted = isCancelled ? 'cancel' : steering();
    isCancelled = wanted === 'cancel';
    return wanted;
  };

  const progress = async (): Promise<RedriveProgress> => {
    results = new Map([...(await readResults())].filter(([key]) => plan.letters.has(key)));
    const all = [...results.values()];
    const count = (...wanted: LetterResult[]) => all.filter((result) => wanted.includes(result)).length;
    const now: RedriveProgress = {
      planned: plan.letters.size + plan.leftOut,
      sent: journal.sent.size,
      applied: count('applied'),
      alreadyApplied: count('already-applied'),
      failed: count('failed-again', 'refused'),
      overtaken: plan.leftOut + count('overtaken'),
      remaining: plan.letters.size - all.length,
      heldBack,
    };
    onProgress(now, isCanary);
    return now;
  };

  const stopAtFailures = (now: RedriveProgress, maxFailures: number) => {
    if (now.failed >= maxFailures && steered() !== 'cancel')
      throw stopped(plan, now, `${now.failed} of ${now.sent} failed again`);
  };

  /** Whether a letter has to wait for an earlier one of its key: one that is neither applied nor known to be gone. */
  const isHeldBack = (key: string, onReader: ReadonlySet<string> | undefined) => {
    const before = plan.behind.get(key);
    if (before === undefined) return false;
    const result = results.get(before);
    if (result !== undefined) return result === 'failed-again' || result === 'refused';
    return journal.sent.has(before) || !onReader || onReader.has(before);
  };

  /**
   * Sends letters until so many are sent in all, and takes every copy of what is sent off the reader.
   * @param before the letters that the last pass has found; undefined where there was none
   * @returns the letters that this one has found; undefined where a pause or a cancel ended it
   */
  const pass = async (
    limit: number,
    maxFailures: number,
    before: ReadonlySet<string> | undefined,
  ): Promise<ReadonlySet<string> | undefined> => {
    const found = new Set<string>();
    const waiting = new Set<string>();
    /** Copies to take away, and of each letter among them that is yet to be sent, one. */
    let batch: StoredLetter[] = [];
    const fresh = new Map<string, StoredLetter>();
    /** False where nothing may be sent now. */
    const flush = async (): Promise<boolean> => {
      if (fresh.size > 0) {
        const messages = await Promise.all(
          [...fresh.values()].map((stored) => messageOf(stored, plan, objects)),
        );
        await clock.sleep(Math.max(0, nextSendAt - clock.now()));
        if (steered() !== 'go') return false;
        nextSendAt = clock.now() + (fresh.size * 1_000) / options.ratePerSecond;
        await redrive.send(messages);
        journal.noteSent([...fresh.keys()]);
        fresh.clear();
      }
      await reader.remove(batch);
      batch = [];
      return true;
    };
    const batchSize = Math.max(1, Math.min(SEND_BATCH, Math.floor(options.ratePerSecond)));
    for await (const copy of reader.scan()) {
      if (!('letter' in copy)) continue;
      const key = plannedAs(copy);
      if (key === undefined) continue;
      found.add(key);
      if (!journal.sent.has(key) && !fresh.has(key)) {
        if (journal.sent.size + fresh.size >= limit) continue;
        if (isHeldBack(key, before)) {
          waiting.add(key);
          continue;
        }
        fresh.set(key, copy);
      }
      batch.push(copy);
      if (batch.length < batchSize) continue;
      // A scan is not kept waiting: on SQS, what it has shown is hidden from others for as long as it lasts.
      if (!(await flush())) return undefined;
      stopAtFailures(await progress(), maxFailures);
    }
    if (batch.length > 0 && !(await flush())) return undefined;
    heldBack = waiting.size;
    return found;
  };

  /** Waits while it is paused. False where it is cancelled. */
  const mayGoOn = async (maxFailures: number): Promise<boolean> => {
    while (steered() === 'pause') {
      await clock.sleep(POLL_MS);
      stopAtFailures(await progress(), maxFailures);
    }
    return !isCancelled;
  };

  /** In passes, as what the next ones wait for is applied: of each key a letter at a time. */
  const sendUpTo = async (limit: number, maxFailures: number) => {
    let found: ReadonlySet<string> | undefined;
    while (await mayGoOn(maxFailures)) {
      const sentBefore = journal.sent.size;
      const hasLooked = found !== undefined;
      found = await pass(limit, maxFailures, found);
      if (!found) continue;
      if (heldBack === 0 || (hasLooked && journal.sent.size === sentBefore)) return;
      stopAtFailures(await waitForResults(), maxFailures);
      if (journal.sent.size === gaveUpAt) return;
    }
  };

  /** Waits until what was sent has a result, or none has come for so long. */
  const waitForResults = async (): Promise<RedriveProgress> => {
    let now = await progress();
    for (let quietMs = 0; results.size < journal.sent.size; quietMs += POLL_MS) {
      if (quietMs >= options.patienceMs) gaveUpAt = journal.sent.size;
      if (gaveUpAt === journal.sent.size) break;
      await clock.sleep(POLL_MS);
      const before = now;
      now = await progress();
      // Whoever pauses wants it to wait.
      if (now.remaining < before.remaining || steered() === 'pause') quietMs = 0;
    }
    return now;
  };

  /** Sends so many before the others; those that turn out to be overtaken show nothing, so others go in their place. */
  const tryFirst = async () => {
    let now = await progress();
    for (let shown = -1; shown !== now.overtaken && journal.sent.size < plan.letters.size; ) {
      shown = now.overtaken;
      const wanted = options.canary + now.overtaken - plan.leftOut;
      await sendUpTo(Math.max(wanted, journal.sent.size), 1);
      now = await waitForResults();
      if (steered() === 'cancel') return;
      stopAtFailures(now, 1);
      if (results.size < journal.sent.size) {
        throw stopped(
          plan,
          now,
          `no result of the first ${now.sent} arrived for ${options.patienceMs / 1_000} s`,
        );
      }
    }
  };

  if (isCanary) await tryFirst();
  isCanary = false;
  await progress();
  await sendUpTo(plan.letters.size, options.maxFailures);
  const wasCut = isCancelled && journal.sent.size < plan.letters.size;
  return { ...(await waitForResults()), ...(wasCut && { cancelled: true as const }) };
}

/** A message goes back as it stands in its queue, so what a later minor version wrote into it is kept. */
async function messageOf(
  stored: StoredLetter,
  { id, mayBeOvertaken }: RedrivePlan,
  objects: ObjectStore,
): Promise<OutgoingMessage> {
  const { body, attributes = {} } = stored.message ?? (await toMessage(stored.letter, objects));
  return { body, attributes: attributesForRedrive(attributes, id, mayBeOvertaken) };
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
