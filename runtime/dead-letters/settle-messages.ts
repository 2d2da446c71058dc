/**
 * Dead letters on their way back: the messages of a redrive queue, settled by the very engine that settles deliveries,
 * so that a letter's hole in the ledger closes with its effects.
 */
import type { Engine, Invocation } from '../engine.ts';
import { ERRORS, MillraceError } from '../errors.ts';
import type { Logger, Metrics, ObjectStore } from '../ports.ts';
import type { Outcome } from '../settle.ts';
import type { DeadLetter } from './dead-letter.ts';
import { parseJson } from './fields.ts';
import { isGivenUpBatch, readGivenUpBatch } from './given-up-batch.ts';
import { decodeEnvelope } from './json-envelope.ts';
import { fetchPayload } from './queue-message.ts';
import { createRedriveResults, type LetterResult } from './redrive-results.ts';

export interface RedriveMessage {
  readonly id: string;
  readonly body: string;
  /** The redrive whose results are waited for; null where nobody waits, as with the SQS console's. */
  readonly redriveId: string | null;
}

export interface RedrivePorts {
  readonly engine: Engine;
  readonly objects: ObjectStore;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** A message that was read, and what became of its letters. */
interface Opened {
  readonly message: RedriveMessage;
  readonly letters: readonly DeadLetter[];
}

/** `early` and `returned` have no result yet: their messages come again. */
const RESULT_OF: Readonly<Partial<Record<Outcome, LetterResult>>> = {
  applied: 'applied',
  duplicate: 'already-applied',
  'dead-lettered': 'failed-again',
};

/**
 * Settles the letters of the messages, as the engine's `redrive` does, and gives the ids of those that are to be
 * delivered again: their letters are not settled, cannot be read, or are another consumer's. The queue puts what comes
 * again too often among the dead letters. Of every other message each letter is applied, was applied before, or is
 * durable among the dead letters once more, and where somebody waits for the results they are written.
 *
 * A message may also hold a whole batch that Lambda gave up on, as it writes them to S3.
 * @throws whatever the engine's `redrive` throws; all messages come again then
 */
export async function settleMessages(
  messages: readonly RedriveMessage[],
  { engine, objects, metrics, log }: RedrivePorts,
  invocation: Invocation,
): Promise<readonly string[]> {
  const handedBack = new Set<string>();
  const results = new Map<string, Map<string, LetterResult>>();
  const note = ({ redriveId }: RedriveMessage, letterId: string, result: LetterResult) => {
    if (redriveId === null) return;
    results.set(redriveId, (results.get(redriveId) ?? new Map()).set(letterId, result));
  };

  const opened: Opened[] = [];
  for (const message of messages) {
    try {
      opened.push({ message, letters: await open(message, engine, objects) });
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      log.error('Message handed back', { messageId: message.id, ...ERRORS[error.code], error });
      handedBack.add(message.id);
    }
  }
  const refused = handedBack.size;

  const letters = opened.flatMap((each) => each.letters);
  const outcomes = await engine.redrive(letters, invocation);
  let at = 0;
  for (const { message, letters } of opened) {
    for (const { id } of letters) {
      const outcome = outcomes[at++]!;
      const result = RESULT_OF[outcome];
      if (result) note(message, id, result);
      else handedBack.add(message.id);
      log.info(result ? 'Redriven' : 'Not redriven yet', { id, outcome });
    }
  }

  for (const [redriveId, ofRedrive] of results) {
    try {
      await createRedriveResults(objects).write(redriveId, invocation.requestId, ofRedrive);
    } catch (error) {
      // Its letters are settled: when they come again, that is what is found and written.
      log.warn('Results not written: their messages come again', { redriveId, error });
      for (const { message } of opened) if (message.redriveId === redriveId) handedBack.add(message.id);
    }
  }

  const count = (outcome: Outcome) => outcomes.filter((each) => each === outcome).length;
  metrics.reportRedrive({
    consumer: engine.consumer,
    topic: engine.topic,
    applied: count('applied'),
    alreadyApplied: count('duplicate'),
    failedAgain: count('dead-lettered'),
    refused,
    returned: count('early') + count('returned'),
  });
  return [...handedBack];
}

/** @throws DEAD_LETTER_*, EVENT_*, OBJECT_STORE_UNAVAILABLE where the message holds no letter of this consumer */
async function open(
  { body }: RedriveMessage,
  engine: Engine,
  objects: ObjectStore,
): Promise<readonly DeadLetter[]> {
  const document = parseJson(body);
  if (isGivenUpBatch(document)) {
    const { letters, missing } = readGivenUpBatch(document, {
      consumer: engine.consumer,
      epoch: engine.epoch,
      topic: engine.topic,
    });
    if (missing.length === 0) return letters;
    throw new MillraceError(
      'DEAD_LETTER_UNREADABLE',
      'The message is what Lambda says of a batch it gave up on, without its records. Redrive the object in the ' +
        "consumer's bucket that has them, or read them from the topic: millrace dlq import.",
      { details: { missing } },
    );
  }
  const { letter, payload } = decodeEnvelope(body);
  if (letter.consumer === engine.consumer) return [await fetchPayload({ letter, payload }, objects)];
  throw new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${letter.id} is in the redrive queue of ${JSON.stringify(engine.consumer)}. Redrive it to the consumer that ` +
      'failed it.',
    { details: { id: letter.id, consumer: engine.consumer } },
  );
}
