import { Command } from 'commander';
import { consumers } from '../lambdas/consumers.ts';
import { existingStateFolder } from '../local/state-folder.ts';
import { openStores } from '../local/stores.ts';
import type { DeadLetter } from '../runtime/dead-letter.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { DeadLetterReader } from '../runtime/ports.ts';
import { jsonOption, stateOption, wholeFrom } from './options.ts';
import { count, plural, printable, printJson, printLine, printNote, styled, table } from './terminal.ts';

const LIST_EXAMPLE = `
Example:
  millrace dlq list
  millrace dlq list --consumer editorial-analytics --limit 5 --json`;

const SHOW_EXAMPLE = `
Example:
  millrace dlq show editorial-analytics/news.pageviews/3/1042

The id is consumer/topic/partition/offset, as "millrace dlq list" shows it.`;

const TABLE_LIMIT = 20;
const MAX_BYTES_SHOWN = 1_024;

export function dlqCommand(): Command {
  const list = new Command('list')
    .description('Lists dead letters, oldest first. Looking changes nothing.')
    .option('--consumer <name>', 'only those of this consumer', consumerName)
    .option('--limit <n>', 'at most this many of each consumer (default: 20, all with --json)', wholeFrom(1))
    .addOption(stateOption())
    .addOption(jsonOption('print an array with an object a letter'))
    .addHelpText('after', LIST_EXAMPLE)
    .action(
      async ({
        consumer,
        limit,
        state,
        json,
      }: {
        consumer?: string;
        limit?: number;
        state: string;
        json?: true;
      }) => {
        const names = consumer === undefined ? consumers.map(({ name }) => name) : [consumer];
        await withDeadLetters(state, (letters) =>
          listLetters(letters, names, limit ?? (json ? Number.MAX_SAFE_INTEGER : TABLE_LIMIT), json === true),
        );
      },
    );
  const show = new Command('show')
    .description(
      'Shows a dead letter: where it comes from, why and how often it failed, and its original bytes.',
    )
    .argument('<id>', 'consumer/topic/partition/offset')
    .addOption(stateOption())
    .addOption(jsonOption('print one object, with key, value and header values as base64'))
    .addHelpText('after', SHOW_EXAMPLE)
    .action(async (id: string, { state, json }: { state: string; json?: true }) => {
      await withDeadLetters(state, async (letters) => {
        const letter = await letters.find(id);
        if (!letter) throw notFound(id);
        if (json) printJson(letterToJson(letter));
        else printLetter(letter);
      });
    });
  return new Command('dlq')
    .description('Looks at dead letters.')
    .addCommand(list)
    .addCommand(show)
    .addHelpText('after', LIST_EXAMPLE);
}

function consumerName(name: string): string {
  if (consumers.some((consumer) => consumer.name === name)) return name;
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no consumer ${JSON.stringify(name)}; there is ${consumers.map((consumer) => consumer.name).join(', ')}.`,
    { details: { consumer: name } },
  );
}

async function withDeadLetters(
  state: string,
  work: (letters: DeadLetterReader) => Promise<void>,
): Promise<void> {
  const stores = openStores(existingStateFolder(state));
  try {
    await work(stores.deadLetters);
  } finally {
    stores.close();
  }
}

async function listLetters(
  reader: DeadLetterReader,
  names: readonly string[],
  limit: number,
  isJson: boolean,
): Promise<void> {
  const letters: DeadLetter[] = [];
  let total = 0;
  for (const name of names) {
    letters.push(...(await reader.list(name, { limit })));
    total += await reader.count(name);
  }
  if (isJson) return printJson(letters.map(letterToJson));
  if (letters.length === 0) return printLine('No dead letters.');
  const rows = letters.map(({ id, failure }) => [
    id,
    failure.stage,
    failure.code,
    String(failure.attempts),
    time(failure.lastFailedAt),
  ]);
  const titles = ['id', 'stage', 'code', 'attempts', 'failed at'];
  printLine(
    table(
      titles.map((title) => ({
        title,
        align: title === 'attempts' ? ('right' as const) : ('left' as const),
      })),
      rows,
    ),
  );
  const more = total > letters.length ? ` of ${count(total)}; --limit shows more` : '';
  printNote(`(${plural(letters.length, 'dead letter')}${more}; "millrace dlq show ID" shows one)`);
}

/** The letter with its bytes as base64: the fields of `DeadLetter`, and none left out. */
function letterToJson(letter: DeadLetter) {
  const { record, ...rest } = letter;
  const base64 = (bytes: Buffer | null) => bytes?.toString('base64') ?? null;
  return {
    ...rest,
    record: {
      ...record,
      key: base64(record.key),
      value: base64(record.value),
      headers: record.headers.map(({ name, value }) => ({ name, value: base64(value) })),
    },
  };
}

function printLetter({ id, consumer, epoch, record, schemaId, failure, ...invocation }: DeadLetter): void {
  const fields: [string, string][] = [
    ['consumer', `${consumer}, ledger epoch ${epoch}`],
    ['topic', record.topic],
    ['partition', String(record.partition)],
    ['offset', String(record.offset)],
    ['timestamp', `${time(record.timestamp)} (${record.timestampType})`],
    ['schema id', schemaId ?? 'unreadable'],
    ['stage', failure.stage],
    ['code', failure.code],
    ['reason', `${failure.name}: ${failure.message}`],
    ...failure.causes.map(({ name, message }): [string, string] => ['cause', `${name}: ${message}`]),
    ['attempts', String(failure.attempts)],
    ['first failed', time(failure.firstFailedAt)],
    ['last failed', time(failure.lastFailedAt)],
    ['function', `${invocation.functionName} ${invocation.functionVersion}, request ${invocation.requestId}`],
  ];
  printLine(styled('bold', id));
  for (const [name, text] of fields) printLine(`  ${styled('dim', name.padEnd(13))}${printable(text)}`);
  printBytes('key', record.key);
  printBytes('value', record.value);
  for (const { name, value } of record.headers) printBytes(`header ${printable(name)}`, value);
  printLine(styled('dim', 'stack'));
  // It begins with the name and the message, which stand above.
  for (const line of failure.stack.split('\n').filter((text) => text.startsWith('    at '))) {
    printLine(printable(line.slice(2)));
  }
}

function printBytes(name: string, bytes: Buffer | null): void {
  printLine(`${styled('dim', name)} ${bytes === null ? 'null' : plural(bytes.length, 'byte')}`);
  if (bytes === null) return;
  for (let at = 0; at < Math.min(bytes.length, MAX_BYTES_SHOWN); at += 16) {
    const row = bytes.subarray(at, at + 16);
    const hex = Array.from(row, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    printLine(`  ${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (bytes.length > MAX_BYTES_SHOWN) {
    printLine(`  … ${plural(bytes.length - MAX_BYTES_SHOWN, 'byte')} more: --json has them all`);
  }
}

function notFound(id: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_NOT_FOUND',
    `No dead letter has the id ${JSON.stringify(id)}. An id is consumer/topic/partition/offset; "millrace dlq list" shows those there are.`,
    { details: { id } },
  );
}

function time(epochMs: number): string {
  return epochMs === -1 ? 'none' : new Date(Math.min(epochMs, 8.64e15)).toISOString();
}
