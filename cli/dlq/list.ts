import { Command } from 'commander';
import type { DeadLetterReader, StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import { type DeadLetter, letterKey } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { loadApp } from '../app.ts';
import { CommandFailed } from '../command-failed.ts';
import { hint, type Place } from '../hints.ts';
import { jsonOption, wholeFrom } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import {
  columnsOf,
  count,
  epilogue,
  plural,
  printable,
  printJson,
  printLine,
  printNote,
  styled,
  textColumnsOf,
  wrapped,
  wrappedFacts,
} from '../terminal.ts';
import {
  keyText,
  letterLines,
  letterToJson,
  openLetter,
  reasonText,
  storedToJson,
  type View,
  viewOf,
  writtenValueOf,
} from './letter-view.ts';
import { consumerOption, noneMatch, showValuesOption, WHERE_HELP, whereOption } from './options.ts';
import { markedReader, printUnknown } from './overtaken.ts';
import {
  type DlqSessionOptions,
  generationNamed,
  inDlqSession,
  inEachDlqSession,
  ownerOfLetter,
} from './session.ts';
import { beforeRedrive, isBeyondRedrive, moment } from './triage-view.ts';

const LIST_EXAMPLE = `
Examples:
  millrace dlq list
  millrace dlq list --where error=HANDLER_FAILED,since=2h --limit 5 --json
${WHERE_HELP}`;

const SHOW_EXAMPLE = `
Example:
  millrace dlq show editorial-analytics/news.pageviews/3/1042

"millrace dlq list" prints the ids.`;

const TABLE_LIMIT = 20;

interface ListOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly limit?: number;
  readonly showValues?: true;
  readonly json?: true;
}

export function listCommand(): Command {
  return new Command('list')
    .description(
      'Lists dead letters, roughly oldest first. Copies of a letter count as one, with the newest failure.',
    )
    .addOption(consumerOption())
    .addOption(whereOption())
    .option('--limit <n>', 'at most this many (default: 20, all with --json)', wholeFrom(1))
    .addOption(showValuesOption('show keys, values and error texts as they are'))
    .addOption(postgresOption())
    .addOption(jsonOption('print an array with an object a letter, its value decoded beside its bytes'))
    .addHelpText('after', epilogue(LIST_EXAMPLE))
    .action(async (options: ListOptions) => {
      const { where, json } = options;
      const whole: object[] = [];
      const names: string[] = [];
      let seen = 0;
      const { isWhole } = await inEachDlqSession(options.consumer, options, async (session) => {
        const viewOfEach = (stored: StoredLetter) => viewOf(stored, session, options.showValues === true);
        const { reader, problem } = await markedReader(session, options);
        const { letters, unreadable } = await findLetters(reader.scan(), where);
        printUnknown(problem());
        names.push(session.named);
        const limit = options.limit ?? (json ? Number.POSITIVE_INFINITY : TABLE_LIMIT);
        const left = limit - (json ? whole.length : 0);
        const shown = letters.slice(0, Math.max(0, left));
        if (json) {
          // One after the other: large letters are objects, and a bucket is asked for one at a time.
          for (const stored of shown)
            whole.push({
              ...(await storedToJson(stored, session, await viewOfEach(stored))),
              ...markOf(stored),
            });
          return;
        }
        if (letters.length + unreadable === 0) return;
        if (seen > 0) printLine();
        seen += letters.length + unreadable;
        const { named: name } = session;
        if (letters.length > 0) await printLetters(shown, letters.length, name, session.place, viewOfEach);
        if (unreadable > 0) {
          printNote(
            `${plural(unreadable, 'message')} of ${name} cannot be read. To see why: ${hint(['dlq', 'triage', '--consumer', name], session.place)}`,
          );
        }
      });
      if (json) printJson(whole);
      else if (seen === 0) printLine(noneMatch(names, where));
      if (!isWhole) throw new CommandFailed();
    });
}

async function findLetters(scan: ReturnType<DeadLetterReader['scan']>, where: LetterFilter) {
  const letters = new Map<string, StoredLetter>();
  let unreadable = 0;
  for await (const copy of scan) {
    if (!matches(copy, where)) continue;
    if (!('letter' in copy)) unreadable++;
    else {
      const key = letterKey(copy.letter);
      letters.set(key, newer(letters.get(key), copy));
    }
  }
  return { letters: [...letters.values()], unreadable };
}

interface ShowOptions extends DlqSessionOptions, PostgresOptions {
  readonly showValues?: true;
  readonly json?: true;
}

export function showCommand(): Command {
  return new Command('show')
    .description(
      "Shows a dead letter: where it comes from, why and how often it failed, its value by its writer's schema, and its original bytes.",
    )
    .argument('<id>', 'consumer/topic/partition/offset')
    .addOption(showValuesOption('show the record as it is'))
    .addOption(postgresOption())
    .addOption(
      jsonOption('print one object, with key, value and header values as base64, and the value decoded'),
    )
    .addHelpText('after', epilogue(SHOW_EXAMPLE))
    .action(async (id: string, options: ShowOptions) => {
      const [consumer = ''] = id.split('/', 1);
      await inDlqSession(await ownerOfLetter(consumer, options), options, async (session) => {
        const { reader, problem } = await markedReader(session, options);
        const found = await letterWithId(id, reader, session.place);
        printUnknown(problem());
        const letter = await openLetter(found, session);
        const view = await viewOf(found, session, options.showValues === true);
        const written = await writtenValueOf(letter, session);
        if (options.json) return printJson({ ...letterToJson(letter, view, written), ...markOf(found) });
        for (const line of letterLines(letter, written, view, textColumnsOf())) printLine(line);
        const { consumers } = await loadApp();
        if (!generationNamed(consumer, consumers)) return;
        printLine(styled('dim', 'next'));
        for (const line of beforeRedrive(letter.failure.code)) printLine(`  ${line}`);
        if (found.overtakenBy !== undefined) {
          for (const line of overtakenLines(found.overtakenBy, textColumnsOf())) printLine(`  ${line}`);
        }
        printLine(`  ${hint(actionOn(letter, session.named), session.place)}`);
      });
    });
}

/** The copy with the newest failure. @throws DEAD_LETTER_NOT_FOUND */
export async function letterWithId(
  id: string,
  reader: Pick<DeadLetterReader, 'scan'>,
  place: Place,
): Promise<StoredLetter> {
  let found: StoredLetter | undefined;
  for await (const copy of reader.scan()) {
    if ('letter' in copy && copy.letter.id === id) found = newer(found, copy);
  }
  if (!found) throw notFound(id, place);
  return found;
}

/** The command that does something about one letter, as words. */
export function actionOn({ id, failure }: DeadLetter, consumer: string): readonly string[] {
  const words = ['--consumer', consumer, '--where', `id=${id}`];
  return isBeyondRedrive(failure.code)
    ? ['dlq', 'discard', ...words, '--reason', 'sent by mistake']
    : ['dlq', 'redrive', ...words];
}

/** A mark that is only there where it is known. */
function markOf({ overtakenBy }: StoredLetter): { readonly overtakenBy?: number } {
  return overtakenBy === undefined ? {} : { overtakenBy };
}

function overtakenLines(by: number, columns: number): readonly string[] {
  return wrapped(
    `Overtaken: the newer record of its key at offset ${by} was applied since. A redrive refuses it. To apply it nevertheless, add --allow-overtaken.`,
    columns - 2,
  );
}

function newer(known: StoredLetter | undefined, copy: StoredLetter): StoredLetter {
  return known && known.letter.failure.lastFailedAt > copy.letter.failure.lastFailedAt ? known : copy;
}

async function printLetters(
  letters: readonly StoredLetter[],
  total: number,
  consumer: string,
  place: Place,
  viewOfEach: (stored: StoredLetter) => Promise<View>,
): Promise<void> {
  const columns = columnsOf();
  for (const stored of letters) {
    for (const line of listLines(stored, await viewOfEach(stored), columns)) printLine(line);
  }
  const more = total > letters.length ? ` of ${count(total)}; --limit shows more` : '';
  printNote(
    `${plural(letters.length, 'dead letter')} of ${consumer}${more}. To see one: ${hint(['dlq', 'show', 'ID'], place)}`,
  );
}

/** A letter in two lines or three: which, what went wrong and when; then its key and the reason. */
export function listLines(
  { letter: { id, record, failure }, payload, overtakenBy }: StoredLetter,
  view: View,
  columns: number,
  nowMs = Date.now(),
): readonly string[] {
  const { stage, code, attempts, lastFailedAt } = failure;
  const facts = [
    payload ? '' : `key ${keyText(record.key, view)}`,
    `${stage} ${code}`,
    plural(attempts, 'attempt'),
    moment(lastFailedAt, nowMs),
    overtakenBy === undefined ? '' : `overtaken by offset ${overtakenBy}`,
  ];
  const [reason = '', ...others] = wrapped(printable(reasonText(failure, view)), columns - 6);
  return [
    styled('bold', printable(id)),
    ...wrappedFacts(facts.map(printable), columns - 4).map((line) => `    ${line}`),
    `    ${reason}${others.length > 0 ? ' …' : ''}`,
  ];
}

function notFound(id: string, place: Place): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_NOT_FOUND',
    `No dead letter has the id ${JSON.stringify(id)}. An id is consumer/topic/partition/offset. To see them: ${hint(['dlq', 'list'], place)}`,
    { details: { id } },
  );
}
