import { Command } from 'commander';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import { letterKey } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { timestampText } from '../../runtime/record.ts';
import { jsonOption, wholeFrom } from '../options.ts';
import { count, plural, printable, printJson, printLine, printNote, table } from '../terminal.ts';
import { letterToJson, openLetter, printLetter, storedToJson, writtenValueOf } from './letter-view.ts';
import { consumerOption, noneMatch, WHERE_HELP, whereOption } from './options.ts';
import { chooseConsumer, type DlqSessionOptions, inDlqSession } from './session.ts';

const LIST_EXAMPLE = `
Example:
  millrace dlq list
  millrace dlq list --where error=HANDLER_FAILED,since=2h --limit 5 --json
${WHERE_HELP}`;

const SHOW_EXAMPLE = `
Example:
  millrace dlq show editorial-analytics/news.pageviews/3/1042

The id is consumer/topic/partition/offset, as "millrace dlq list" shows it.`;

const TABLE_LIMIT = 20;

interface ListOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly limit?: number;
  readonly json?: true;
}

export function listCommand(): Command {
  return new Command('list')
    .description(
      'Lists dead letters, roughly oldest first; copies of a letter as one, with its newest failure.',
    )
    .addOption(consumerOption())
    .addOption(whereOption())
    .option('--limit <n>', 'at most this many (default: 20, all with --json)', wholeFrom(1))
    .addOption(jsonOption('print an array with an object a letter, its value decoded beside its bytes'))
    .addHelpText('after', LIST_EXAMPLE)
    .action(async (options: ListOptions) => {
      const { where, json } = options;
      await inDlqSession(await chooseConsumer(options.consumer), options, async (session) => {
        const letters = new Map<string, StoredLetter>();
        let unreadable = 0;
        for await (const copy of session.resources.reader.scan()) {
          if (!matches(copy, where)) continue;
          if (!('letter' in copy)) unreadable++;
          else {
            const key = letterKey(copy.letter);
            letters.set(key, newer(letters.get(key), copy));
          }
        }
        const shown = [...letters.values()].slice(0, options.limit ?? (json ? letters.size : TABLE_LIMIT));
        if (json) {
          const whole: object[] = [];
          // One after the other: large letters are objects, and a bucket is asked for one at a time.
          for (const stored of shown) whole.push(await storedToJson(stored, session));
          return printJson(whole);
        }
        if (letters.size === 0) printLine(noneMatch(session.consumer.name, where));
        else printTable(shown, letters.size);
        if (unreadable > 0) {
          printNote(`(${plural(unreadable, 'message')} cannot be read: "millrace dlq triage" says why)`);
        }
      });
    });
}

export function showCommand(): Command {
  return new Command('show')
    .description(
      "Shows a dead letter: where it comes from, why and how often it failed, its value by its writer's schema, and its original bytes.",
    )
    .argument('<id>', 'consumer/topic/partition/offset')
    .addOption(
      jsonOption('print one object, with key, value and header values as base64, and the value decoded'),
    )
    .addHelpText('after', SHOW_EXAMPLE)
    .action(async (id: string, options: DlqSessionOptions & { json?: true }) => {
      const [consumer = ''] = id.split('/', 1);
      await inDlqSession(await chooseConsumer(consumer), options, async (session) => {
        let found: StoredLetter | undefined;
        for await (const copy of session.resources.reader.scan()) {
          if ('letter' in copy && copy.letter.id === id) found = newer(found, copy);
        }
        if (!found) throw notFound(id);
        const letter = await openLetter(found, session);
        const written = await writtenValueOf(letter, session);
        if (options.json) printJson(letterToJson(letter, written));
        else printLetter(letter, written);
      });
    });
}

function newer(known: StoredLetter | undefined, copy: StoredLetter): StoredLetter {
  return known && known.letter.failure.lastFailedAt > copy.letter.failure.lastFailedAt ? known : copy;
}

function printTable(letters: readonly StoredLetter[], total: number): void {
  const rows = letters.map(({ letter: { id, failure } }) =>
    [id, failure.stage, failure.code, String(failure.attempts), timestampText(failure.lastFailedAt)].map(
      printable,
    ),
  );
  const titles = ['id', 'stage', 'code', 'attempts', 'failed at'];
  printLine(
    table(
      titles.map((title) => ({ title, align: title === 'attempts' ? 'right' : 'left' })),
      rows,
    ),
  );
  const more = total > letters.length ? ` of ${count(total)}; --limit shows more` : '';
  printNote(`(${plural(letters.length, 'dead letter')}${more}; "millrace dlq show ID" shows one)`);
}

function notFound(id: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_NOT_FOUND',
    `No dead letter has the id ${JSON.stringify(id)}. An id is consumer/topic/partition/offset; "millrace dlq list" shows those there are.`,
    { details: { id } },
  );
}
