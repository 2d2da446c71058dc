/** The key that a command is about, and what waits with it. Keys are bytes: they are given, and shown, as text or as base64. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { openLedgerSession } from '../../local/ledger-session.ts';
import { deadLetterId } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import type { WaitingKey, WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
import { isKeyHidden, type View } from '../dlq/letter-view.ts';
import type { DlqSession, DlqSessionOptions } from '../dlq/session.ts';
import { openEnvironment } from '../environment-session.ts';
import { hint } from '../hints.ts';
import { wholeFrom } from '../options.ts';
import { type PostgresOptions, storesOptions } from '../outside-options.ts';
import { either, printable } from '../terminal.ts';

export interface ParkOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly json?: true;
}

export interface KeyOptions extends ParkOptions {
  readonly keyBase64?: Buffer;
  readonly partition?: number;
}

/** Adds the argument and the options that name a key. */
export function withKey(command: Command): Command {
  return command
    .argument('[key]', 'the key, as text')
    .addOption(
      new Option('--key-base64 <base64>', 'the key, where it is no text').argParser((text) => {
        const bytes = Buffer.from(text, 'base64');
        if (bytes.toString('base64') === text) return bytes;
        throw new InvalidArgumentError('Give base64, as "millrace park list" shows it.');
      }),
    )
    .option('--partition <n>', 'its partition, where the key waits in several', wholeFrom(0));
}

/** The key that the command line names, by its bytes. */
export function keyOf(text: string | undefined, { keyBase64 }: KeyOptions, command: Command): Buffer {
  if (text !== undefined && keyBase64 === undefined) return Buffer.from(text, 'utf8');
  if (text === undefined && keyBase64 !== undefined) return keyBase64;
  return command.error(
    text === undefined
      ? 'error: which key? Name it, or give \'--key-base64\'. "millrace park list" shows them.'
      : "error: the key is given twice. Name it, or give '--key-base64'.",
  );
}

/** Has the reader of waiting keys for the work: of the session's sink, or of its environment. */
export async function withWaitingKeys<Result>(
  session: DlqSession,
  options: ParkOptions,
  work: (keys: WaitingKeyReader) => Promise<Result>,
): Promise<Result> {
  if (options.env !== undefined) return work((await openEnvironment(options.env)).keys);
  const { keys, close } = await openLedgerSession(session.folder, {
    ...storesOptions(options),
    postgres: options.postgres,
  });
  try {
    return await work(keys);
  } finally {
    await close();
  }
}

/**
 * What waits with this key.
 * @throws INPUT_INVALID if no record of the key waits, or if the key waits in several partitions and --partition is missing
 */
export async function findKey(
  keys: WaitingKeyReader,
  key: Buffer,
  session: DlqSession,
  { partition }: Pick<KeyOptions, 'partition'>,
): Promise<WaitingKey> {
  const waiting = (await keys.find(ledgerOwner(session.consumer), key)).filter(
    (each) => partition === undefined || each.partition === partition,
  );
  const [found] = waiting;
  if (found && waiting.length === 1) return found;
  throw new MillraceError(
    'INPUT_INVALID',
    found
      ? `The key waits in several partitions of ${found.topic}: ${either(waiting.map((each) => `--partition ${each.partition}`))}.`
      : `No record of ${session.named} waits with this key${partition === undefined ? '' : ` in partition ${partition}`}. To see the keys that wait: ` +
          hint(['park', 'list', '--consumer', session.named], session.place),
    { details: { consumer: session.named } },
  );
}

/** Whether the key is text that a person can read and type. */
function isText(key: Buffer): boolean {
  const text = key.toString('utf8');
  return key.length > 0 && Buffer.from(text).equals(key) && printable(text) === text;
}

/** The key for programs: as text, and as base64 too where the text does not say all. Null where it is personal data. */
function keyJson(key: Buffer, view: View): { readonly key: string | null; readonly keyBase64?: string } {
  if (isKeyHidden(view)) return { key: null };
  return { key: key.toString('utf8'), ...(!isText(key) && { keyBase64: key.toString('base64') }) };
}

/** The words by which a command names the key again. Its bytes are left out where they are personal data, or very many. */
export function keyWords(
  { key, partition }: Pick<WaitingKey, 'key' | 'partition'>,
  view: View,
): readonly string[] | undefined {
  if (isKeyHidden(view) || key.length > MOST_BYTES) return undefined;
  const named =
    isText(key) && !key.toString().startsWith('-')
      ? [key.toString()]
      : ['--key-base64', key.toString('base64')];
  return [...named, '--partition', String(partition)];
}

/** Of a key that is still worth a command line. */
const MOST_BYTES = 1_000;

/** The id of the letter that the key waits for. */
export function letterIdOf(
  { topic, partition, blockedBy }: WaitingKey,
  { consumer }: Pick<DlqSession, 'consumer'>,
): string | null {
  return blockedBy === null ? null : deadLetterId(consumer.name, { topic, partition, offset: blockedBy });
}

/** What `park list --json` prints of a key: scripts rely on it. */
export function waitingJson(waiting: WaitingKey, session: DlqSession, view: View, nowMs: number) {
  const { topic, partition, records, oldestAt } = waiting;
  return {
    consumer: session.named,
    topic,
    partition,
    ...keyJson(waiting.key, view),
    records,
    oldestAgeMs: oldestAt === null ? null : Math.max(0, nowMs - oldestAt),
    blockedBy: letterIdOf(waiting, session),
  };
}
