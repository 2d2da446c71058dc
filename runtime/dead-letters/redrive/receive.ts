/**
 * Dead letters on their way back: the messages of a redrive queue, settled by the very engine that settles deliveries,
 * so that a letter's hole in the ledger closes with its effects.
 */

import { type DeadLetter, letterKey } from '../../delivery/dead-letter.ts';
import type { Engine } from '../../delivery/engine.ts';
import type { Outcome } from '../../delivery/item.ts';
import type { Metrics } from '../../delivery/metrics.ts';
import type { Invocation } from '../../delivery/settle.ts';
import { ERRORS, MillraceError } from '../../errors.ts';
import type { ReceivedMessage } from '../../lambda/queue-event.ts';
import type { ObjectStore } from '../../objects.ts';
import type { Logger } from '../../ports.ts';
import { decodeEnvelope, type Envelope } from '../json-envelope.ts';
import { isReleaseMessage } from '../parking/message.ts';
import { settleReleases } from '../parking/receive.ts';
import { ALLOW_OVERTAKEN_ATTRIBUTE, fetchPayload, REDRIVE_ATTRIBUTE } from '../queue-letters.ts';
import { type LetterResult, writeRedriveResults } from './results.ts';

export interface RedrivePorts {
  readonly engine: Engine;
  readonly objects: Pick<ObjectStore, 'get' | 'put'>;
  readonly metrics: Metrics;
  readonly log: Logger;
}

const mayBeOvertaken = ({ attributes }: ReceivedMessage) => attributes[ALLOW_OVERTAKEN_ATTRIBUTE] === 'true';
const redriveOf = ({ attributes }: ReceivedMessage): string | undefined => attributes[REDRIVE_ATTRIBUTE];

/** `early` and `returned` have no result yet: their messages are delivered again. */
const RESULT_OF: Readonly<Partial<Record<Outcome, LetterResult>>> = {
  applied: 'applied',
  duplicate: 'already-applied',
  repeated: 'already-applied',
  deadLettered: 'failed-again',
  overtaken: 'overtaken',
};

/**
 * Settles the letters of the messages, as the engine's `redrive` does, and gives the ids of those that are to be
 * delivered again: their letter is not settled, cannot be read, or is another consumer's or topic's. The queue puts what comes
 * again too often among the dead letters. Of every other message the letter is applied, was applied before, or is
 * durable among the dead letters once more, and where somebody waits for the result it is written. Messages that release
 * keys are done as `settleReleases` says.
 * @throws whatever the engine's `redrive` throws; all messages are delivered again then
 */
export async function settleMessages(
  messages: readonly ReceivedMessage[],
  { engine, objects, metrics, log }: RedrivePorts,
  invocation: Invocation,
): Promise<readonly string[]> {
  const releases = messages.filter(({ body }) => isReleaseMessage(body));
  const redriven = messages.filter((message) => !releases.includes(message));
  const handedBack =
    redriven.length === 0 ? [] : await settleLetters(redriven, { engine, objects, metrics, log }, invocation);
  // After the letters: one of them may be what the key waits for.
  return [...handedBack, ...(await settleReleases(releases, { engine, objects, log }, invocation))];
}

async function settleLetters(
  messages: readonly ReceivedMessage[],
  { engine, objects, metrics, log }: RedrivePorts,
  invocation: Invocation,
): Promise<readonly string[]> {
  const handedBack = new Set<string>();
  const results = new Map<string, Map<string, LetterResult>>();
  const note = (message: ReceivedMessage, letter: DeadLetter, result: LetterResult) => {
    const redriveId = redriveOf(message);
    // Nobody waits for the results of a move by the SQS console.
    if (redriveId === undefined) return;
    results.set(redriveId, (results.get(redriveId) ?? new Map()).set(letterKey(letter), result));
  };
  const opened: { readonly message: ReceivedMessage; readonly letter: DeadLetter }[] = [];
  for (const message of messages) {
    let envelope: Envelope | undefined;
    try {
      envelope = decodeEnvelope(message.body);
      opened.push({ message, letter: await open(envelope, engine, objects) });
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      log.error('Message handed back', { messageId: message.id, ...ERRORS[error.code], error });
      handedBack.add(message.id);
      // An outage refuses nothing.
      if (envelope && error.action !== 'hold') note(message, envelope.letter, 'refused');
    }
  }
  const refused = handedBack.size;

  const permitted = new Set(
    opened.flatMap(({ message, letter }) => (mayBeOvertaken(message) ? [letter] : [])),
  );
  const outcomes = await engine.redrive(
    opened.map(({ letter }) => letter),
    invocation,
    (letter) => permitted.has(letter),
  );
  for (const [index, { message, letter }] of opened.entries()) {
    const { id } = letter;
    const outcome = outcomes[index]!;
    const result = RESULT_OF[outcome];
    if (outcome === 'overtaken') log.warn(ERRORS.OVERTAKEN.summary, { id, outcome, code: 'OVERTAKEN' });
    else log.info(result ? 'Redriven' : 'Not redriven yet', { id, outcome });
    if (result) note(message, letter, result);
    else handedBack.add(message.id);
  }

  for (const [redriveId, ofRedrive] of results) {
    try {
      await writeRedriveResults(objects, redriveId, invocation.requestId, ofRedrive);
    } catch (error) {
      // Its letters are settled: when they are delivered again, that is what is found and written.
      log.warn('Results not written: their messages are delivered again', { redriveId, error });
      for (const { message } of opened) if (redriveOf(message) === redriveId) handedBack.add(message.id);
    }
  }

  const count = (outcome: Outcome) => outcomes.filter((each) => each === outcome).length;
  metrics.reportRedrive({
    consumer: engine.consumer,
    topic: engine.topic,
    applied: count('applied'),
    alreadyApplied: count('duplicate') + count('repeated'),
    failedAgain: count('deadLettered'),
    overtaken: count('overtaken'),
    refused,
    returned: count('early') + count('returned'),
  });
  return [...handedBack];
}

/** @throws DEAD_LETTER_*, OBJECT_STORE_UNAVAILABLE where the message holds no letter of this consumer */
async function open(
  envelope: Envelope,
  { consumer, topic }: Engine,
  objects: Pick<ObjectStore, 'get'>,
): Promise<DeadLetter> {
  const { id, record, ...letter } = envelope.letter;
  if (letter.consumer === consumer && record.topic === topic) return fetchPayload(envelope, objects);
  throw new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${id} is in the redrive queue of ${JSON.stringify(consumer)}, which reads ${JSON.stringify(topic)}. ` +
      'Redrive it to the consumer that failed it.',
    { details: { id, consumer, topic } },
  );
}
