import { Command } from 'commander';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { type RawRecord, timestampText } from '../../runtime/record.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import type { WaitingKey } from '../../runtime/replay/waiting-keys.ts';
import { keyText, reasonText, type View, viewOf } from '../dlq/letter-view.ts';
import { oneConsumerOption, showValuesOption } from '../dlq/options.ts';
import { chooseConsumer, type DlqSession, inDlqSession } from '../dlq/session.ts';
import { hint } from '../hints.ts';
import { jsonOption } from '../options.ts';
import {
  count,
  duration,
  epilogue,
  plural,
  printable,
  printJson,
  printLine,
  styled,
  textColumnsOf,
  wrapped,
} from '../terminal.ts';
import {
  findKey,
  type KeyOptions,
  keyOf,
  letterIdOf,
  waitingJson,
  waitingWords,
  withKey,
  withWaitingKeys,
} from './keys.ts';
import { lettersOfKey } from './release-run.ts';

const EXAMPLE = `
Examples:
  millrace park show reader-4711
  millrace park show --key-base64 AAH/ --json
  millrace park show --letter order-status/shop.orders/3/1041`;

/** More of them say nothing new. */
const RECORDS_SHOWN = 10;

export function showCommand(): Command {
  return withKey(new Command('show'))
    .description('Shows a key that waits: its dead letter, what is parked behind it, and what to do.')
    .addOption(oneConsumerOption())
    .addOption(showValuesOption('show the key and the error as they are'))
    .addOption(jsonOption('print what "list" has of a key, with its letters and the first parked records'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(
      async (text: string | undefined, options: KeyOptions & { showValues?: true }, command: Command) => {
        const key = keyOf(text, options, command);
        await inDlqSession(await chooseConsumer(options.consumer, options), options, (session) =>
          withWaitingKeys(session, options, async (keys) => {
            const waiting = await findKey(keys, key, session, options);
            const { items } = await keys.records(ledgerOwner(session.consumer), waiting, 0);
            const letters = await lettersOfKey(waiting, session);
            const view: View = { topic: session.consumer.topic, showsValues: options.showValues === true };
            const parked = items.slice(0, RECORDS_SHOWN).map(parkedJson);
            if (options.json) {
              // Copies of a letter are one.
              const ids = [...new Set(letters.map(({ letter }) => letter.id))];
              return printJson({ ...waitingJson(waiting, session, view, Date.now()), letters: ids, parked });
            }
            await print(waiting, items, letters, session, view);
          }),
        );
      },
    );
}

function parkedJson({ offset, timestamp, value }: RawRecord) {
  return { offset, timestamp, valueBytes: value?.length ?? null };
}

async function print(
  waiting: WaitingKey,
  parked: readonly RawRecord[],
  letters: readonly StoredLetter[],
  session: DlqSession,
  view: View,
): Promise<void> {
  const { topic, partition, records, oldestAt, blockedBy, key } = waiting;
  const columns = textColumnsOf();
  const say = (name: string, text: string) => {
    for (const [at, line] of wrapped(printable(text), columns - 13).entries())
      printLine(`  ${styled('dim', (at === 0 ? name : '').padEnd(11))}${line}`);
  };
  printLine(styled('bold', printable(keyText(key, view))));
  say('consumer', session.named);
  say('topic', `${topic}, partition ${partition}`);
  const age = oldestAt === null ? '' : `, the oldest for ${duration(Math.max(0, Date.now() - oldestAt))}`;
  say('parked', `${plural(records, 'record')}${age}`);
  for (const each of parked.slice(0, RECORDS_SHOWN))
    say(
      '',
      `offset ${each.offset}, ${timestampText(each.timestamp)}, ${plural(each.value?.length ?? 0, 'byte')}`,
    );
  if (records > RECORDS_SHOWN) say('', `… and ${count(records - RECORDS_SHOWN)} more`);
  const letter = letters.find((each) => each.letter.record.offset === blockedBy);
  if (blockedBy === null)
    say('waits for', 'no letter: the next delivery to its partition applies what is parked');
  else {
    say('waits for', letterIdOf(waiting, session)!);
    say(
      '',
      letter
        ? reasonText(letter.letter.failure, await viewOf(letter, session, view.showsValues))
        : LETTER_GONE,
    );
  }
  const later = new Set(letters.map((each) => each.letter.record.offset));
  later.delete(blockedBy ?? -1);
  if (later.size > 0) say('', `and ${plural(later.size, 'later letter')} of the key: parkLimit was reached`);
  printLine(styled('dim', 'next'));
  for (const line of nextSteps(waiting, letter !== undefined, session, view)) printLine(`  ${line}`);
}

const LETTER_GONE =
  'It is no longer among the dead letters: it expired, was purged, or is being redriven right now.';

/** Commands that let the key go on, the best first. */
function nextSteps(
  waiting: WaitingKey,
  hasLetter: boolean,
  session: DlqSession,
  view: View,
): readonly string[] {
  const { named, place } = session;
  const id = letterIdOf(waiting, session);
  const key = waitingWords(waiting, view, session) ?? ['KEY', '--partition', String(waiting.partition)];
  const about = ['--consumer', named, ...key];
  const redrive =
    id !== null && hasLetter ? [['dlq', 'redrive', '--consumer', named, '--where', `id=${id}`]] : [];
  const skip = id === null ? [] : [['park', 'skip', ...about, '--reason', 'sent by mistake']];
  return [...redrive, ...skip, ['park', 'release', ...about]].map((words) => hint(words, place));
}
