/**
 * What the engine does about an error:
 * - `retry`: try the record again by its consumer's policy, then dead-letter it.
 * - `dead-letter`: no retry would help; dead-letter the record at once.
 * - `hold`: not the record's fault; its partition waits and is tried again until it works. Never dead-letters.
 * - `halt`: a person has to act; nothing is committed and the error surfaces at once.
 */
export type ErrorAction = 'retry' | 'dead-letter' | 'hold' | 'halt';

interface ErrorRow {
  readonly action: ErrorAction;
  readonly summary: string;
}

/** The one table of error codes. `docs/errors.md` lists the same rows; a test holds the two together. */
export const ERRORS = {
  // Declarations: mistakes found before anything runs.
  APP_INVALID: row('halt', 'millrace.config.ts is missing, does not load, or is not usable as written.'),
  CONTRACT_INVALID: row('halt', 'A contract is not usable as declared.'),
  CONTRACT_INCOMPATIBLE: row('halt', 'Two versions of a contract break its compatibility mode.'),
  CONTRACT_STALE: row('halt', 'A generated schema.ts does not match its .avsc files.'),
  CONSUMER_INVALID: row('halt', 'A consumer declaration is not usable as written.'),
  TABLE_INVALID: row('halt', 'A database or a table is not usable as declared.'),
  CAPTURE_REFUSED: row(
    'halt',
    'The source database does not match the declarations, or lacks what capture needs.',
  ),
  ENVIRONMENT_INVALID: row('halt', 'The environment to deploy is unknown or not usable as given.'),
  STACK_TOO_LARGE: row('halt', 'A stack exceeds what AWS takes in one.'),

  // Publishing.
  PUBLISH_FAILED: row('hold', 'The topic did not accept the records; some of them may have been sent.'),
  TOPIC_UNKNOWN: row('halt', 'The topic does not exist.'),

  // What a collector is sent.
  EVENT_REFUSED: row('halt', 'An event breaks the contract of its topic.'),
  REQUEST_UNREADABLE: row('halt', "The request's body is neither an event nor a list of events."),
  REQUEST_TOO_LARGE: row('halt', 'The request has more bytes or events than the collector accepts.'),
  REQUEST_UNSUPPORTED: row('halt', 'The collector does not accept this method, content type or encoding.'),
  ORIGIN_REFUSED: row('halt', "The request comes from a page whose origin is not on the collector's list."),

  // Pages that this machine serves.
  PAGE_REFUSED: row('halt', 'The request does not come from a page that this server opened.'),
  PAGE_UNKNOWN: row('halt', 'The server has no page and no answer at this path.'),

  // Kafka itself.
  KAFKA_UNAVAILABLE: row('hold', 'No Kafka broker could be reached, or none answered in time.'),
  KAFKA_REFUSED: row(
    'halt',
    "Kafka refused the connection or the request: TLS, the login, or the login's permissions.",
  ),
  GROUP_IN_USE: row('halt', 'Another consumer is a member of the consumer group.'),

  // Reading what a record holds.
  RECORD_MALFORMED: row('dead-letter', 'The record did not arrive as Kafka sends one.'),
  VALUE_MISSING: row('dead-letter', 'The record has no value and its contract allows no tombstones.'),
  FRAME_TRUNCATED: row('dead-letter', 'The value ends before its framing header does.'),
  FRAME_UNKNOWN: row('dead-letter', "The value's first byte does not match the contract's framing."),
  FRAME_COMPRESSION_UNKNOWN: row('dead-letter', 'The framing names a compression that does not exist.'),
  FRAME_COMPRESSION_CORRUPT: row('dead-letter', 'The compressed body does not inflate.'),
  FRAME_BODY_TOO_LARGE: row('dead-letter', 'The body inflates to more than a record may hold.'),
  SCHEMA_UNKNOWN: row('dead-letter', "The registry has no schema under the record's schema id."),
  SCHEMA_INVALID: row('dead-letter', 'The registry holds a schema that does not parse as Avro.'),
  SCHEMA_INCOMPATIBLE: row('dead-letter', "The value does not resolve into the reader's schema."),
  JSON_INVALID: row('dead-letter', 'The value is not JSON in UTF-8.'),
  AVRO_TRUNCATED: row('dead-letter', 'The Avro body ends in the middle of a value.'),
  AVRO_TRAILING_BYTES: row('dead-letter', 'The Avro body continues after the value has ended.'),
  AVRO_INVALID: row('dead-letter', 'The Avro body does not decode with its schema.'),
  REGISTRY_UNAVAILABLE: row('hold', 'The schema registry did not answer.'),

  // What the event source hands over.
  EVENT_MALFORMED: row('halt', 'The event is not a Kafka batch as Lambda sends it.'),
  EVENT_FOREIGN_TOPIC: row('halt', "The event holds records of a topic that is not the consumer's."),
  BATCH_INCOMPLETE: row(
    'hold',
    'The batch was not settled completely; the event source must deliver it again.',
  ),
  FUNCTION_UNAVAILABLE: row('hold', 'A deployed function could not be invoked, or did not answer in time.'),
  FUNCTION_MISCONFIGURED: row('halt', 'The function lacks a setting that its stack provides.'),
  UNEXPECTED: row('hold', 'An error without a code of its own, outside the handler.'),

  // The consumer's own code.
  HANDLER_FAILED: row('retry', 'handle() threw an error.'),
  HANDLER_TIMEOUT: row('retry', 'handle() did not return within its share of the time left.'),
  FUNCTION_EXITED: row('hold', "The consumer's function ended by itself in the middle of a batch."),
  HANDLER_REJECTED: row('dead-letter', 'handle() passed the record to fail().'),
  CONSUMER_BROKEN: row(
    'hold',
    'Half of the records or more fail alone in handle() with one fingerprint: the code is broken, not the records.',
  ),
  DEPENDENCY_UNAVAILABLE: row('hold', 'handle() reported that a service it needs is down.'),

  // The sink and its ledger.
  SINK_UNAVAILABLE: row('hold', 'The sink cannot be reached or does not take writes.'),
  SINK_CONFLICT: row(
    'hold',
    'The sink refused the transaction for now: a deadlock, a lock or a serialization failure.',
  ),
  SINK_REJECTED: row('retry', 'The sink refused the data of a record.'),
  SINK_MISCONFIGURED: row('halt', 'The sink lacks a table, a column or a grant that the consumer needs.'),
  TOPIC_RECREATED: row('halt', 'The topic was deleted and created again: its offsets started over.'),

  // Replays and rebuilds.
  REPLAY_REFUSED: row('halt', 'A replay cannot run as it was asked for.'),
  REBUILD_REFUSED: row('halt', 'A generation cannot be promoted, rolled back or dropped as things are.'),

  // Dead letters.
  DEAD_LETTER_STORE_UNAVAILABLE: row('hold', 'The dead-letter store did not accept the letter.'),
  DEAD_LETTER_UNREADABLE: row('halt', 'A stored dead letter cannot be read.'),
  DEAD_LETTER_VERSION_UNKNOWN: row('halt', 'A later major version of the envelope wrote the dead letter.'),
  DEAD_LETTER_PAYLOAD_LOST: row('halt', "The object with a dead letter's bytes is missing or was changed."),
  DEAD_LETTER_FOREIGN: row('halt', 'The dead letter belongs to another consumer or topic.'),
  DEAD_LETTER_NOT_FOUND: row('halt', 'No dead letter has this id.'),
  OVERTAKEN: row('halt', "A newer record of the dead letter's key was applied since."),
  PARK_LIMIT: row('dead-letter', 'As many records wait behind dead letters as parkLimit allows.'),
  BATCH_GIVEN_UP: row('dead-letter', 'The event source gave up on the batch that held the record.'),
  DEAD_LETTERED_ELSEWHERE: row('dead-letter', 'Another tool dead-lettered the record.'),
  QUEUE_UNAVAILABLE: row('hold', 'The queue did not answer, or did not accept a message.'),
  OBJECT_STORE_UNAVAILABLE: row('hold', 'The object store did not answer, or did not accept an object.'),
  REDRIVE_STOPPED: row('halt', 'A redrive stopped early: too many of its records failed again.'),

  // The archive and the warehouse.
  ARCHIVE_BROKEN: row('halt', "An archive's chain of objects has a gap, or an object that cannot be read."),
  WAREHOUSE_FAILED: row('halt', 'Loading, building or testing the warehouse failed.'),
  WAREHOUSE_DIFFERS: row('halt', 'A table of the warehouse differs from its source.'),

  // Running locally, and the command line.
  PREREQUISITE_MISSING: row('halt', 'A program that the command needs is not on this machine.'),
  PART_FAILED: row('halt', 'A program that the command runs did not start, or ended.'),
  STATE_IN_USE: row('halt', "Another process is using the state folder or the sink's database."),
  DISK_FULL: row('halt', 'The disk of the state folder is full.'),
  STATE_UNREADABLE: row('halt', 'The state folder is missing or was written by another version.'),
  INPUT_INVALID: row('halt', 'An input file or an option is not usable.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

const OURS = Symbol.for('millrace.error');

/**
 * The one error class. `message` says what happened, what was allowed and what to do next; it never holds a
 * payload, a schema or a secret.
 */
export class MillraceError extends Error {
  // A function that writes to Kafka has two files, and so two of this class: each knows the other's errors.
  static override [Symbol.hasInstance](value: unknown): boolean {
    try {
      return (
        typeof value === 'object' &&
        value !== null &&
        OURS in value &&
        Object.hasOwn(ERRORS, (value as unknown as MillraceError).code)
      );
    } catch {
      // A proxy can throw at anything it is asked.
      return false;
    }
  }

  readonly code: ErrorCode;
  /** Facts for logs and `--json`: names, numbers, positions; never payloads. */
  readonly details: Readonly<Record<string, unknown>>;
  /** The table's answer for `code`, unless whoever raised the error knows that waiting cannot change it. */
  readonly action: ErrorAction;
  /**
   * The error reads like a fault of the sink or of the code, and a record's data can cause it as well: the record is to
   * blame if others go through.
   */
  readonly isUnclear: boolean;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly details?: Readonly<Record<string, unknown>>;
      readonly action?: ErrorAction;
      readonly isUnclear?: boolean;
    } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'MillraceError';
    this.code = code;
    this.details = options.details ?? {};
    this.action = options.action ?? ERRORS[code].action;
    this.isUnclear = options.isUnclear ?? false;
  }

  get [OURS](): true {
    return true;
  }
}

function row(action: ErrorAction, summary: string): ErrorRow {
  return { action, summary };
}

/** What an error says, in one line: its name where a service gave it one, and not that of a class of ours. */
export function reasonOf({ name, message }: Pick<Error, 'name' | 'message'>): string {
  // The SDK adds a hint for programmers to what it cannot read.
  const [told = ''] = message.split('Deserialization error:');
  const reason = name === 'Error' || name === 'MillraceError' ? told : `${name}: ${told}`;
  return reason.replaceAll(/\s+/g, ' ').trim();
}
