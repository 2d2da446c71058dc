import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { Command } from 'commander';
import {
  isGivenUpBatch,
  type MissingRecords,
  readGivenUpBatch,
} from '../../runtime/dead-letters/given-up-batch.ts';
import { decodeDeadLetter, decodeEnvelope } from '../../runtime/dead-letters/json-envelope.ts';
import { fetchIfKept } from '../../runtime/dead-letters/queue-letters.ts';
import type { ScannedLetter } from '../../runtime/dead-letters/reader.ts';
import type { LetterOwner } from '../../runtime/dead-letters/resources.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { offsetsOfLetters } from '../../runtime/replay/evidence.ts';
import { readRange } from '../../runtime/topics.ts';
import { hint, type Place } from '../hints.ts';
import { jsonOption } from '../options.ts';
import { type PostgresOptions, postgresOption } from '../outside-options.ts';
import { count, epilogue, plural, printableJson, printJson, printLine, printNote } from '../terminal.ts';
import { lineOf, openExport } from './export-file.ts';
import { isGuarded, storedToJson, viewOf } from './letter-view.ts';
import {
  describeFilter,
  oneConsumerOption,
  showValuesOption,
  WHERE_HELP,
  whereOption,
  whereText,
} from './options.ts';
import { chosenReader } from './overtaken.ts';
import {
  auditedAt,
  chooseConsumer,
  type DlqSession,
  type DlqSessionOptions,
  inDlqSession,
} from './session.ts';

const EXPORT_EXAMPLE = `
Examples:
  millrace dlq export --output letters.jsonl
  millrace dlq export --where error=HANDLER_FAILED | jq .failure
${WHERE_HELP}

If the contract tags a field with "pii": true, an export masks it, and cannot be
imported. --show-values writes the original bytes.`;

const IMPORT_EXAMPLE = `
Examples:
  millrace dlq import --input letters.jsonl
  millrace dlq import --input on-failure-document.json

Reads what "export" and "discard" wrote, and the documents that Lambda writes
about batches it gave up on. If such a document names records without holding
them, import reads them from the topic, where the topic can be reached.`;

interface ExportOptions extends DlqSessionOptions, PostgresOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly output?: string;
  readonly showValues?: true;
}

interface ImportOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly input: string;
  readonly json?: true;
}

const PUT_BATCH = 100;

export function exportCommand(): Command {
  return new Command('export')
    .description('Writes whole dead letters as JSON lines, their bytes as base64. Removes none.')
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .addOption(showValuesOption('write the original bytes'))
    .option('--output <file>', 'a new file (default: standard output)')
    .addOption(postgresOption())
    .addHelpText('after', epilogue(EXPORT_EXAMPLE))
    .action(async (options: ExportOptions) => {
      await inDlqSession(await chooseConsumer(options.consumer, options), options, async (session) => {
        const { resources, place } = session;
        let isMasked = false;
        const textOf = async (copy: ScannedLetter) => {
          const view = await viewOf(copy, session, options.showValues === true);
          if (!isGuarded(view)) return lineOf(copy, resources.objects);
          isMasked = true;
          return JSON.stringify(
            'letter' in copy
              ? await storedToJson(copy, session, view)
              : { unreadable: '(hidden: it can hold personal data)', copy: copy.ref },
          );
        };
        const file = options.output === undefined ? undefined : openExport(options.output);
        let exported = 0;
        const reader = await chosenReader(session, options);
        for await (const copy of reader.scan()) {
          if (!matches(copy, options.where)) continue;
          exported++;
          if (file) file.write(await textOf(copy));
          else printLine(printableJson(await textOf(copy)));
        }
        file?.flush();
        file?.close();
        printNote(`(${plural(exported, 'dead letter')}: ${describeFilter(options.where)})`);
        if (isMasked && exported > 0) {
          const whole = wholeExportHint(session.named, options, place);
          printNote(
            `Personal data is masked, so these lines cannot be imported. For an export that can: ${whole}`,
          );
        }
      });
    });
}

/** The same export with its bytes, into a file of another name: an export never writes over a file. */
export function wholeExportHint(
  consumer: string,
  { where, output }: Pick<ExportOptions, 'where' | 'output'>,
  place: Place,
): string {
  const words = ['dlq', 'export', '--consumer', consumer];
  if (Object.keys(where).length > 0) words.push('--where', whereText(where) ?? describeFilter(where));
  if (output !== undefined) {
    const { dir, name, ext } = parse(output);
    words.push('--output', join(dir, `${name}-with-values${ext}`));
  }
  return hint([...words, '--show-values'], place);
}

export function importCommand(): Command {
  return new Command('import')
    .description('Puts letters back among the dead letters, to be redriven from there.')
    .addOption(oneConsumerOption())
    .requiredOption('--input <file>', 'JSON lines, or one JSON document; "-" is standard input')
    .addOption(jsonOption('print {imported}'))
    .addHelpText('after', epilogue(IMPORT_EXAMPLE))
    .action(async (options: ImportOptions) => {
      await inDlqSession(await chooseConsumer(options.consumer, options), options, async (session) => {
        const { resources } = session;
        const { letters, unreadable, parked } = await readInput(options.input, session);
        const plan = { input: options.input, letters: letters.length };
        await auditedAt(session, { id: randomUUID(), action: 'import', plan }, async (note) => {
          for (let at = 0; at < letters.length; at += PUT_BATCH) {
            // A letter that is back was discarded no longer, whatever becomes of it.
            await note({ offsets: offsetsOfLetters(letters.slice(0, at + PUT_BATCH)) });
            await resources.store.put(letters.slice(at, at + PUT_BATCH));
          }
          return { imported: letters.length };
        });
        if (options.json) printJson({ imported: letters.length });
        else printLine(`${count(letters.length)} imported.`);
        if (parked > 0)
          printNote(
            `(${plural(parked, 'parked record')} ${parked === 1 ? 'is' : 'are'} left out: ${parked === 1 ? 'it is' : 'they are'} settled)`,
          );
        if (unreadable > 0)
          printNote(
            `(${plural(unreadable, 'message')} could not be read when exported, and ${unreadable === 1 ? 'is' : 'are'} left out)`,
          );
      });
    });
}

/** All of the input is read and checked before any of it is put anywhere. */
async function readInput(path: string, session: DlqSession) {
  const letters: DeadLetter[] = [];
  let unreadable = 0;
  let parked = 0;
  for (const { text, where } of documentsOf(path)) {
    if (isParkedLine(text)) {
      parked++;
      continue;
    }
    try {
      const found = isUnreadableLine(text) ? await readAgain(text, session) : await lettersIn(text, session);
      if (found) letters.push(...found);
      else unreadable++;
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      throw new MillraceError('INPUT_INVALID', `${where}: ${error.message} Nothing was imported.`, {
        cause: error,
        details: { input: path },
      });
    }
  }
  return { letters, unreadable, parked };
}

function documentsOf(path: string): readonly { readonly text: string; readonly where: string }[] {
  let text: string;
  try {
    text = withoutMark(readFileSync(path === '-' ? 0 : path, 'utf8'));
  } catch (cause) {
    throw new MillraceError(
      'INPUT_INVALID',
      `${path} cannot be read: ${(cause as Error).message}. Name a file.`,
      {
        cause,
        details: { input: path },
      },
    );
  }
  if (isJson(text)) return [{ text, where: path }];
  return text
    .split('\n')
    .map((line, index) => ({ text: withoutMark(line), where: `${path}, line ${index + 1}` }))
    .filter((line) => line.text.trim() !== '');
}

/** Tools on Windows begin a file with a byte order mark. */
function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, '');
}

/** A parked record that was discarded: "millrace park discard" exports it, and it is settled. */
function isParkedLine(text: string): boolean {
  return /^\{"parked":\{/.test(text);
}

/** What an export has in place of a letter that could not be read: no letter, and none of the reader's mistakes. */
function isUnreadableLine(text: string): boolean {
  return /^\{"unreadable":/.test(text) && isJson(text);
}

/** The letter of such a line; undefined where this version cannot read it either. */
async function readAgain(text: string, session: DlqSession): Promise<readonly DeadLetter[] | undefined> {
  const { unreadable } = JSON.parse(text);
  if (typeof unreadable !== 'string') return undefined;
  let letter: DeadLetter | undefined;
  try {
    letter = await fetchIfKept(decodeEnvelope(unreadable), session.resources.objects);
  } catch (error) {
    if (error instanceof MillraceError && error.code.startsWith('DEAD_LETTER_')) return undefined;
    throw error;
  }
  return letter && [checkOwner(letter, session)];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function lettersIn(text: string, session: DlqSession): Promise<readonly DeadLetter[]> {
  const { consumer } = session;
  const document = isJson(text) ? JSON.parse(text) : undefined;
  if (isGivenUpBatch(document)) {
    const { letters, missing } = readGivenUpBatch(document, ownerOf(consumer));
    return [...letters, ...(await fetchMissing(missing, document, session))];
  }
  if (document?.masked === true) {
    throw new MillraceError(
      'DEAD_LETTER_UNREADABLE',
      `This export is masked: it has no original bytes. Export again with --show-values.`,
    );
  }
  return [checkOwner(decodeDeadLetter(text), session)];
}

function checkOwner(letter: DeadLetter, { consumer }: DlqSession): DeadLetter {
  if (letter.consumer !== consumer.name) {
    throw new MillraceError(
      'DEAD_LETTER_FOREIGN',
      `The letter ${letter.id} is not ${consumer.name}'s. Import it with --consumer ${letter.consumer}.`,
    );
  }
  if (letter.record.topic !== consumer.topic.name) {
    throw new MillraceError(
      'DEAD_LETTER_FOREIGN',
      `The letter ${letter.id} is of topic ${letter.record.topic}; ${consumer.name} reads ${consumer.topic.name}.`,
    );
  }
  return letter;
}

/** The records that a document names and does not have, from the topic itself. */
async function fetchMissing(
  missing: readonly MissingRecords[],
  document: unknown,
  { log, consumer }: DlqSession,
): Promise<readonly DeadLetter[]> {
  if (missing.length === 0) return [];
  if (!log) {
    throw new MillraceError(
      'DEAD_LETTER_UNREADABLE',
      "The document names records without having them, and the topic's brokers cannot be reached from here. Import the " +
        "document in the consumer's bucket, which has the records.",
    );
  }
  const records: RawRecord[] = [];
  for (const { topic, partition, from, to } of missing) {
    const found = await Array.fromAsync(readRange(log, { topic, partition }, from, to));
    if (found.length === 0) {
      throw new MillraceError(
        'DEAD_LETTER_UNREADABLE',
        `${topic}/${partition} keeps no record from ${from} to ${to - 1} any more.`,
      );
    }
    records.push(...found);
  }
  const whole = { ...(document as object), payload: encodeKafkaEvent(records) };
  return readGivenUpBatch(whole, ownerOf(consumer)).letters;
}

function ownerOf({ name, epoch, topic }: LetterOwner) {
  return { consumer: name, epoch, topic: topic.name };
}
