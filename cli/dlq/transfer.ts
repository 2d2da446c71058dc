import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import {
  isGivenUpBatch,
  type MissingRecords,
  readGivenUpBatch,
} from '../../runtime/dead-letters/given-up-batch.ts';
import { decodeDeadLetter } from '../../runtime/dead-letters/json-envelope.ts';
import { type LetterFilter, matches } from '../../runtime/dead-letters/triage.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { readRange } from '../../runtime/topics.ts';
import { jsonOption } from '../options.ts';
import { count, plural, printableJson, printJson, printLine, printNote } from '../terminal.ts';
import { lineOf, openExport } from './export-file.ts';
import { consumerOption, describeFilter, WHERE_HELP, whereOption } from './options.ts';
import {
  auditedAt,
  chooseConsumer,
  type DlqSession,
  type DlqSessionOptions,
  inDlqSession,
} from './session.ts';

const EXPORT_EXAMPLE = `
Example:
  millrace dlq export --output letters.jsonl
  millrace dlq export --where error=HANDLER_FAILED | jq .failure
${WHERE_HELP}`;

const IMPORT_EXAMPLE = `
Example:
  millrace dlq import --input letters.jsonl
  millrace dlq import --input on-failure-document.json

It takes what "export" and "discard" wrote, and the documents that Lambda writes about batches it gave up on. Where such
a document names records without having them, they are read from the topic, if it can be reached from here.`;

interface ExportOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly where: LetterFilter;
  readonly output?: string;
}

interface ImportOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly input: string;
  readonly json?: true;
}

const PUT_BATCH = 100;

export function exportCommand(): Command {
  return new Command('export')
    .description('Writes dead letters as JSON lines, whole, with their bytes as base64. Takes none away.')
    .addOption(consumerOption())
    .addOption(whereOption())
    .option('--output <file>', 'a new file (default: standard output)')
    .addHelpText('after', EXPORT_EXAMPLE)
    .action(async (options: ExportOptions) => {
      await inDlqSession(await chooseConsumer(options.consumer), options, async ({ resources }) => {
        const file = options.output === undefined ? undefined : openExport(options.output);
        let exported = 0;
        for await (const copy of resources.reader.scan()) {
          if (!matches(copy, options.where)) continue;
          exported++;
          if (file) await file.write(copy, resources.objects);
          else printLine(printableJson(await lineOf(copy, resources.objects)));
        }
        file?.flush();
        file?.close();
        printNote(`(${plural(exported, 'dead letter')}: ${describeFilter(options.where)})`);
      });
    });
}

export function importCommand(): Command {
  return new Command('import')
    .description('Puts letters among the dead letters, from where they can be redriven.')
    .addOption(consumerOption())
    .requiredOption('--input <file>', 'JSON lines, or one JSON document; "-" is standard input')
    .addOption(jsonOption('print {imported}'))
    .addHelpText('after', IMPORT_EXAMPLE)
    .action(async (options: ImportOptions) => {
      await inDlqSession(await chooseConsumer(options.consumer), options, async (session) => {
        const { resources } = session;
        const { letters, unreadable } = await readInput(options.input, session);
        const plan = { input: options.input, letters: letters.length };
        await auditedAt(session, { id: randomUUID(), action: 'import', plan }, async () => {
          for (let at = 0; at < letters.length; at += PUT_BATCH) {
            await resources.store.put(letters.slice(at, at + PUT_BATCH));
          }
          return { imported: letters.length };
        });
        if (options.json) printJson({ imported: letters.length });
        else printLine(`${count(letters.length)} imported.`);
        if (unreadable > 0)
          printNote(`(${plural(unreadable, 'message')} could not be read before, and were left out)`);
      });
    });
}

/** All of the input is read and checked before any of it is put anywhere. */
async function readInput(path: string, session: DlqSession) {
  const letters: DeadLetter[] = [];
  let unreadable = 0;
  for (const { text, where } of documentsOf(path)) {
    try {
      if (isUnreadableLine(text)) unreadable++;
      else letters.push(...(await lettersIn(text, session)));
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      throw new MillraceError('INPUT_INVALID', `${where}: ${error.message} Nothing was imported.`, {
        cause: error,
        details: { input: path },
      });
    }
  }
  return { letters, unreadable };
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

/** What an export has in place of a letter that could not be read: no letter, and none of the reader's mistakes. */
function isUnreadableLine(text: string): boolean {
  return /^\{"unreadable":/.test(text) && isJson(text);
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
  const letter = decodeDeadLetter(text);
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
  return [letter];
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

function ownerOf({ name, epoch, topic }: AnyConsumer) {
  return { consumer: name, epoch, topic: topic.name };
}
