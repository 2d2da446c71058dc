/** The key that a command is about, and what waits with it. Keys are bytes: they are given, and shown, as text or as base64. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { openLedgerSession } from '../../local/ledger-session.ts';
import { deadLetterId } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import { allPages, type WaitingKey, type WaitingKeyReader } from '../../runtime/replay/waiting-keys.ts';
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
  readonly letter?: string;
  readonly partition?: number;
}

/** A key by its bytes, or by the id of the letter that it waits for: whoever must not see it, or cannot type it, has that. */
export type KeyName = Buffer | { readonly letter: string };

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
    .option('--letter <id>', 'the letter it waits for, where the key is hidden or very long')
    .option('--partition <n>', 'its partition, where the key waits in several', wholeFrom(0));
}

/** The key that the command line names. */
export function keyOf(
  text: string | undefined,
  { keyBase64, letter }: KeyOptions,
  command: Command,
): KeyName {
  const given: readonly (KeyName | undefined)[] = [
    text === undefined ? undefined : Buffer.from(text, 'utf8'),
    keyBase64,
    letter === undefined ? undefined : { letter },
  ];
  const [name, another] = given.filter((each) => each !== undefined);
  if (name && !another) return name;
  return command.error(
    name
      ? "error: the key is named twice. Give one of: the key, '--key-base64', '--letter'."
      : "error: which key? Name it, or give '--key-base64' or '--letter'. \"millrace park list\" shows them.",
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
  key: KeyName,
  session: DlqSession,
  { partition }: Pick<KeyOptions, 'partition'>,
): Promise<WaitingKey> {
  const owner = ledgerOwner(session.consumer);
  const found = Buffer.isBuffer(key)
    ? await keys.find(owner, key)
    : (await allPages((from) => keys.list(owner, from))).filter(
        (each) => letterIdOf(each, session) === key.letter,
      );
  const waiting = found.filter((each) => partition === undefined || each.partition === partition);
  const [first] = waiting;
  if (first && waiting.length === 1) return first;
  const which = Buffer.isBuffer(key) ? 'with this key' : `for the letter ${JSON.stringify(key.letter)}`;
  throw new MillraceError(
    'INPUT_INVALID',
    first
      ? `The key waits in several partitions of ${first.topic}: ${either(waiting.map((each) => `--partition ${each.partition}`))}.`
      : `No record of ${session.named} waits ${which}${partition === undefined ? '' : ` in partition ${partition}`}. To see the keys that wait: ` +
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

/** The words by which a command names a key that waits; undefined where nobody may see it, and it waits for no letter. */
export function waitingWords(
  waiting: WaitingKey,
  view: View,
  session: Pick<DlqSession, 'consumer'>,
): readonly string[] | undefined {
  const letter = letterIdOf(waiting, session);
  return keyWords(waiting, view) ?? (letter === null ? undefined : ['--letter', letter]);
}

/** By its bytes, unless they are personal data, or very many. */
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
