import { type ErrorCode, MillraceError } from './errors.ts';
import { type Header, type RawRecord, recordId, TIMESTAMP_TYPES } from './record.ts';

/** Where a record failed: reading its bytes, in the handler, or writing to the sink. */
export type FailureStage = 'decode' | 'handle' | 'write';

export interface FailureCause {
  readonly name: string;
  readonly message: string;
}

/** Why a record failed, and how often it was tried. Times are epoch milliseconds. */
export interface Failure {
  readonly stage: FailureStage;
  readonly code: ErrorCode;
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** The `cause` chain, nearest first. */
  readonly causes: readonly FailureCause[];
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** A failed record with its original bytes and everything needed to understand and redrive it. */
export interface DeadLetter {
  /** `consumer/topic/partition/offset`: the same record failing again makes a letter with the same id. */
  readonly id: string;
  readonly consumer: string;
  /** The ledger epoch the record was delivered in; a redrive settles it there. */
  readonly epoch: number;
  readonly record: RawRecord;
  /** The id in the record's framing, null where the framing could not be read. */
  readonly schemaId: string | null;
  readonly failure: Failure;
  /** The invocation that gave up on the record. */
  readonly functionName: string;
  readonly functionVersion: string;
  readonly requestId: string;
}

export function deadLetterId(consumer: string, record: RawRecord): string {
  return `${consumer}/${recordId(record)}`;
}

const FORMAT_VERSION = 1;

/**
 * The letter as JSON, for a queue's message body. Every byte of key, value and header values is kept, as base64;
 * null stays null. Shape: `{"v": 1, id, consumer, epoch, record: {topic, partition, offset, timestamp,
 * timestampType, key, value, headers: [{name, value}]}, schemaId, failure: {…}, functionName, functionVersion,
 * requestId}`, the names being those of `DeadLetter`.
 */
export function encodeDeadLetter(letter: DeadLetter): string {
  const { record } = letter;
  return JSON.stringify({
    v: FORMAT_VERSION,
    id: letter.id,
    consumer: letter.consumer,
    epoch: letter.epoch,
    record: {
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      timestamp: record.timestamp,
      timestampType: record.timestampType,
      key: toBase64(record.key),
      value: toBase64(record.value),
      headers: record.headers.map(({ name, value }) => ({ name, value: toBase64(value) })),
    },
    schemaId: letter.schemaId,
    failure: letter.failure,
    functionName: letter.functionName,
    functionVersion: letter.functionVersion,
    requestId: letter.requestId,
  });
}

/**
 * The letter that `encodeDeadLetter` wrote; fields it does not know are left out.
 * @throws DEAD_LETTER_UNREADABLE when the text is not such a letter, naming the field
 */
export function decodeDeadLetter(text: string): DeadLetter {
  const letter = new Fields('', parseJson(text));
  letter.check('v', FORMAT_VERSION);
  const failure = letter.object('failure');
  const consumer = letter.text('consumer');
  const record = decodeRecord(letter.object('record'));
  letter.check('id', deadLetterId(consumer, record));
  return {
    id: letter.text('id'),
    consumer,
    epoch: letter.whole('epoch', 1),
    record,
    schemaId: letter.textOrNull('schemaId'),
    failure: {
      stage: failure.oneOf('stage', FAILURE_STAGES),
      // Any code is read, so that a letter outlives a rollback to a version whose table lacks it.
      code: failure.text('code') as ErrorCode,
      name: failure.text('name'),
      message: failure.text('message'),
      stack: failure.text('stack'),
      causes: failure.objects('causes').map((cause) => ({
        name: cause.text('name'),
        message: cause.text('message'),
      })),
      attempts: failure.whole('attempts', 0),
      firstFailedAt: failure.whole('firstFailedAt', 0),
      lastFailedAt: failure.whole('lastFailedAt', 0),
    },
    functionName: letter.text('functionName'),
    functionVersion: letter.text('functionVersion'),
    requestId: letter.text('requestId'),
  };
}

const FAILURE_STAGES: readonly FailureStage[] = ['decode', 'handle', 'write'];

function decodeRecord(record: Fields): RawRecord {
  return {
    topic: record.text('topic'),
    partition: record.whole('partition', 0),
    offset: record.whole('offset', 0),
    timestamp: record.whole('timestamp', -1),
    timestampType: record.oneOf('timestampType', TIMESTAMP_TYPES),
    key: record.bytesOrNull('key'),
    value: record.bytesOrNull('value'),
    headers: record.objects('headers').map(
      (header): Header => ({
        name: header.text('name'),
        value: header.bytesOrNull('value'),
      }),
    ),
  };
}

/** Reads a JSON object's fields, each checked, and names the path of the one that does not fit. */
class Fields {
  readonly #path: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(path: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw unreadable(path || 'the letter', value, 'an object');
    }
    this.#path = path;
    this.#fields = value as Record<string, unknown>;
  }

  check(name: string, expected: string | number): void {
    this.#read(name, JSON.stringify(expected), (value) => (value === expected ? expected : undefined));
  }
  text(name: string): string {
    return this.#read(name, 'a string', (value) => (typeof value === 'string' ? value : undefined));
  }
  textOrNull(name: string): string | null {
    return this.#fields[name] === null ? null : this.text(name);
  }
  whole(name: string, from: number): number {
    const isWhole = (value: unknown): value is number =>
      Number.isSafeInteger(value) && (value as number) >= from;
    return this.#read(name, `a whole number from ${from}`, (value) => (isWhole(value) ? value : undefined));
  }
  oneOf<Name extends string>(name: string, allowed: readonly Name[]): Name {
    return this.#read(name, allowed.join(', '), (value) => allowed.find((each) => each === value));
  }
  bytesOrNull(name: string): Buffer | null {
    if (this.#fields[name] === null) return null;
    return this.#read(name, 'base64 or null', (value) => {
      if (typeof value !== 'string') return undefined;
      const bytes = Buffer.from(value, 'base64');
      // Node skips what is not base64, so only the way back tells whether anything was lost.
      return bytes.toString('base64') === value ? bytes : undefined;
    });
  }
  object(name: string): Fields {
    return new Fields(this.#pathOf(name), this.#fields[name]);
  }
  objects(name: string): Fields[] {
    const items = this.#read(name, 'a list', (value) =>
      Array.isArray(value) ? (value as unknown[]) : undefined,
    );
    return items.map((item, index) => new Fields(`${this.#pathOf(name)}[${index}]`, item));
  }

  #pathOf(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name;
  }
  #read<Value>(name: string, allowed: string, accept: (value: unknown) => Value | undefined): Value {
    const accepted = accept(this.#fields[name]);
    if (accepted === undefined) throw unreadable(this.#pathOf(name), this.#fields[name], allowed);
    return accepted;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Without its cause: JSON.parse quotes the text, which holds the record's payload.
    throw unreadable('the letter', text, 'JSON');
  }
}

function unreadable(field: string, got: unknown, allowed: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_UNREADABLE',
    `A stored dead letter cannot be read: ${field} is ${kindOf(got)}; it takes ${allowed}. Millrace did not write it in this form: look at the message in its queue.`,
    { details: { field } },
  );
}

/** What kind of value it is, never the value: it may be a payload. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `another ${typeof value}`;
}

function toBase64(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('base64');
}
