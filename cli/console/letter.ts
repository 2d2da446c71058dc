/** One letter as the console shows it: shapes and sizes until somebody reveals it, which the audit log has first. */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { BytesView, LetterAnswer } from '../../console/operations.ts';
import { parseAvro } from '../../runtime/avro/avro-type.ts';
import { differencesOf } from '../../runtime/avro/differences.ts';
import { parseShape } from '../../runtime/avro/schema-parser.ts';
import { createValidator } from '../../runtime/avro/validator.ts';
import { createDecoder } from '../../runtime/contract/codec.ts';
import type { Topic } from '../../runtime/contract/contract.ts';
import { audited } from '../../runtime/dead-letters/audit-log.ts';
import type { WrittenValue } from '../../runtime/dead-letters/decode-value.ts';
import { maskAll } from '../../runtime/dead-letters/personal-data.ts';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import { framesOf } from '../../runtime/delivery/own-frame.ts';
import { type ErrorCode, MillraceError } from '../../runtime/errors.ts';
import { timestampText } from '../../runtime/record.ts';
import {
  bytesRows,
  HIDDEN,
  hidesEveryField,
  isGuarded,
  isKeyHidden,
  jsonOf,
  keyText,
  openLetter,
  quotesNothing,
  shownValue,
  type View,
  viewOf,
  withWriter,
  writtenValueOf,
} from '../dlq/letter-view.ts';
import { actionOn, letterWithId } from '../dlq/list.ts';
import { whereText } from '../dlq/options.ts';
import { contractOf, ownerOfLetter } from '../dlq/session.ts';
import { beforeRedrive, isBeyondRedrive } from '../dlq/triage-view.ts';
import { hint } from '../hints.ts';
import { count, plural } from '../terminal.ts';
import type { ConsoleContext } from './context.ts';
import { problemText } from './errors.ts';
import type { Failures } from './failures.ts';
import { historyOf } from './letter-history.ts';
import { type LetterSession, type SnapshotLetter, UNREVEALED } from './letter-snapshot.ts';
import { type LetterSource, letterSource } from './snapshots.ts';

const MAX_BYTES_SHOWN = 4_096;
const MAX_HEADERS_SHOWN = 50;
const MAX_DECODED_CHARS = 262_144;
const MAX_TEXT_CHARS = 20_000;
const MAX_NAME_CHARS = 200;

/**
 * The letter with this id, its newest copy. A reveal is in the audit log before it shows anything; personal data stays masked
 * unless the console was started with --show-values.
 * @throws DEAD_LETTER_NOT_FOUND, DEAD_LETTER_PAYLOAD_LOST; INPUT_INVALID where a reveal would show nothing
 */
export async function showLetter(
  id: string,
  reveal: boolean,
  context: ConsoleContext,
  failures: Failures,
  source: LetterSource = letterSource(context),
): Promise<LetterAnswer> {
  const located = failures.locate(id);
  if (located?.letter.stage === 'unreadable') throw unreadable(located.letter);
  const [consumer = ''] = id.split('/', 1);
  const owner = located?.owner ?? (await ownerOfLetter(consumer, context.options));
  return source.inSession(owner, async (session) => {
    const stored = await find(id, located?.letter, session, failures);
    const letter = await openLetter(stored, session);
    const hidden = await viewOf(stored, session, false);
    const written = await writtenIfKnown(letter, session);
    const guarded = withWriter(hidden, written);
    const revealed: View = { ...guarded, showsValues: context.options.showValues === true };
    const showsMore = !isGuarded(revealed) || ('value' in written && !hidesEveryField(revealed));
    if (reveal) {
      if (!showsMore) throw nothingToReveal(id);
      await noteReveal(id, revealed, session);
    }
    return answerOf(stored, letter, written, session, {
      view: reveal ? revealed : guarded,
      isRevealed: reveal,
      isRevealable: !reveal && showsMore,
    });
  });
}

/** Where it was seen last, if the store can be asked for one letter; else by a scan. */
async function find(
  id: string,
  seen: SnapshotLetter | undefined,
  { resources, marked, named, place }: LetterSession,
  failures: Failures,
): Promise<StoredLetter> {
  const copy = seen && (await resources.reader.find?.(seen.ref));
  if (copy && 'letter' in copy && copy.letter.id === id)
    return { ...copy, ...(seen.overtakenBy !== null && { overtakenBy: seen.overtakenBy }) };
  return failures.alone(named, () => letterWithId(id, marked.reader, place));
}

async function noteReveal(id: string, { showsValues }: View, session: LetterSession): Promise<void> {
  const plan = { letter: id, personalData: showsValues ? 'shown' : 'masked' };
  const entry = {
    id: randomUUID(),
    action: 'reveal' as const,
    consumer: session.consumer.name,
    who: session.who,
  };
  await audited(
    { objects: session.resources.objects, clock: systemClock },
    { ...entry, plan },
    async () => ({}),
  );
}

interface Showing {
  readonly view: View;
  readonly isRevealed: boolean;
  readonly isRevealable: boolean;
}

async function answerOf(
  { overtakenBy }: StoredLetter,
  letter: DeadLetter,
  written: WrittenValue,
  session: LetterSession,
  { view, isRevealed, isRevealable }: Showing,
): Promise<LetterAnswer> {
  const { id, record, failure } = letter;
  const { named, place, isDeclared } = session;
  const isHidden = isGuarded(view);
  const isShown = (isOwn: boolean) => !isHidden && (isRevealed || isOwn);
  const textOf = (message: string, isOwn = false) => {
    if (isShown(isOwn)) return cut(message, MAX_TEXT_CHARS);
    return isHidden ? HIDDEN : UNREVEALED;
  };
  const isOwn = quotesNothing(failure);
  const message = textOf(failure.message, isOwn);
  const topic = contractOf(record.topic, session);
  return {
    id,
    consumer: named,
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    timestamp: timestampText(record.timestamp),
    key: keyText(record.key, view),
    code: failure.code,
    stage: failure.stage,
    attempts: failure.attempts,
    firstFailedAt: failure.firstFailedAt,
    lastFailedAt: failure.lastFailedAt,
    overtakenBy: overtakenBy ?? null,
    reason: `${failure.name}${isShown(isOwn) ? ':' : ''} ${message}`,
    ...(await schemaFacts(letter, topic, session)),
    isMasked: !isRevealed || isHidden,
    isRevealed,
    isRevealable,
    ...decodedOf(written, view, isRevealed),
    bytes: bytesOf(record, view, isRevealed),
    error: {
      name: failure.name,
      message,
      // Another tool's stack repeats the message.
      stack: framesOf(failure, isHidden || !isRevealed).map((line) => cut(line.trim(), MAX_TEXT_CHARS)),
    },
    causes: failure.causes.map((cause) => ({ name: cause.name, message: textOf(cause.message) })),
    earlier: failure.earlier.map((each) => ({
      at: timestampText(each.failedAt),
      stage: each.stage,
      code: each.code,
      message: textOf(each.message, quotesNothing(each)),
    })),
    function: `${letter.functionName} ${letter.functionVersion}, request ${letter.requestId}`,
    wouldPass: await wouldPass(letter, topic, session),
    isBeyondRedrive: isBeyondRedrive(failure.code),
    before: beforeRedrive(failure.code),
    history: await historyOf(letter, session),
    where: whereText({ id }) ?? `id=${id}`,
    command: hint(isDeclared ? actionOn(letter, named) : ['dlq', 'show', id], place),
  };
}

/** An outage of the registry hides the value, and nothing else. */
async function writtenIfKnown(letter: DeadLetter, session: LetterSession): Promise<WrittenValue> {
  try {
    return await writtenValueOf(letter, session);
  } catch (error) {
    if (error instanceof MillraceError) return { problem: problemText(error) };
    throw error;
  }
}

function decodedOf(
  written: WrittenValue,
  view: View,
  isRevealed: boolean,
): Pick<LetterAnswer, 'decoded' | 'decodeProblem'> {
  if ('problem' in written) return { decoded: null, decodeProblem: written.problem };
  const shown = isRevealed ? shownValue(written, view) : maskAll(written.value, written.writer);
  return { decoded: cut(JSON.stringify(jsonOf(shown), null, 2), MAX_DECODED_CHARS), decodeProblem: null };
}

function bytesOf(
  { key, value, headers }: DeadLetter['record'],
  view: View,
  isRevealed: boolean,
): readonly BytesView[] {
  const isHidden = !isRevealed || isGuarded(view);
  const left = headers.slice(MAX_HEADERS_SHOWN);
  return [
    // What the page's head says of it, too.
    bytesView('key', key, isKeyHidden(view)),
    bytesView('value', value, isHidden),
    ...headers
      .slice(0, MAX_HEADERS_SHOWN)
      .map((header) => bytesView(`header ${cut(header.name, MAX_NAME_CHARS)}`, header.value, isHidden)),
    ...(left.length === 0
      ? []
      : [
          {
            name: `${count(left.length)} more ${left.length === 1 ? 'header' : 'headers'}`,
            size: left.reduce((sum, each) => sum + (each.value?.length ?? 0), 0),
            rows: [],
            isCut: true,
          },
        ]),
  ];
}

function bytesView(name: string, bytes: Buffer | null, isHidden: boolean): BytesView {
  if (bytes === null) return { name, size: null, rows: [], isCut: false };
  const rows = isHidden ? [] : bytesRows(bytes, MAX_BYTES_SHOWN);
  return { name, size: bytes.length, rows, isCut: !isHidden && bytes.length > MAX_BYTES_SHOWN };
}

async function schemaFacts(
  { schemaId }: DeadLetter,
  topic: Topic<never> | undefined,
  { registry }: LetterSession,
): Promise<Pick<LetterAnswer, 'schemaId' | 'schemaVersion' | 'readerVersion' | 'schemaDifferences'>> {
  const latest = topic?.format === 'avro' ? topic.latest : undefined;
  const readerVersion = latest?.version ?? null;
  const unknown = { schemaId, schemaVersion: null, readerVersion, schemaDifferences: [] };
  if (schemaId === null || !topic || !latest) return unknown;
  // While the registry is out of reach nobody knows.
  const schema = await registry.schemaById(schemaId).catch(ifMillrace);
  if (schema === undefined) return unknown;
  const version = topic.versions.find((each) => isDeepStrictEqual(each.schema, schema))?.version ?? null;
  const [writer, reader] = [parseShape(schema), parseShape(latest.schema)];
  return {
    schemaId,
    schemaVersion: version,
    readerVersion,
    schemaDifferences:
      writer && reader
        ? differencesOf(
            { name: version === null ? "the writer's schema" : `v${version}`, node: writer },
            { name: `v${latest.version}`, node: reader },
          )
        : [],
  };
}

/** Decodes and checks by today's contract; says nothing of what the value holds. */
async function wouldPass(
  { record }: DeadLetter,
  topic: Topic<never> | undefined,
  { registry, isDeclared, named }: LetterSession,
): Promise<LetterAnswer['wouldPass']> {
  const failing = (text: string) => ({ isPassing: false, text });
  if (!topic) return failing(`The app no longer declares ${record.topic}, so nothing decodes its records.`);
  if (!isDeclared) return failing(`The app no longer declares ${named}, so nothing handles its records.`);
  try {
    const [result] = await createDecoder(topic as Topic<unknown>, registry).decodeBatch([record]);
    const { error, held, record: read } = { error: undefined, held: undefined, record: undefined, ...result };
    if (held) return failing(`Nobody knows: ${problemText(held)}`);
    if (error) return failing(problemText(error));
    const by = topic.format === 'json' ? 'as JSON' : `by v${topic.latest.version}, today's contract`;
    if (topic.format === 'avro' && read!.value !== null) {
      const violations = createValidator(parseAvro(topic.latest.schema))(read!.value);
      if (violations.length > 0)
        return failing(`It decodes ${by}, and breaks it in ${plural(violations.length, 'place')}.`);
    }
    return { isPassing: true, text: `It decodes ${by}. The handler was not run.` };
  } catch (error) {
    if (error instanceof MillraceError) return failing(problemText(error));
    throw error;
  }
}

function ifMillrace(error: unknown): undefined {
  if (!(error instanceof MillraceError)) throw error;
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}… ${count(text.length - most)} more characters` : text;
}

function unreadable({ errorCode, reason }: SnapshotLetter): MillraceError {
  return new MillraceError(errorCode as ErrorCode, reason);
}

function nothingToReveal(id: string): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `Nothing of ${id} can be revealed: the contract tags its fields as personal data, or nobody knows which it tags. To see it, start the console with --show-values.`,
  );
}
