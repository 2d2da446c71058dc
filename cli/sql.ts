import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { queryOwner } from '../local/control-socket.ts';
import type { QueryResult } from '../local/read-only-query.ts';
import {
  existingStateFolder,
  type StateFolder,
  stateInUse,
  tryLockStateFolder,
} from '../local/state-folder.ts';
import { jsonOption, seconds, stateOption } from './options.ts';
import { plural, printable, printJson, printLine, printNote, table } from './terminal.ts';

const EXAMPLE = `
Example:
  millrace sql "select content_id, sum(views) as views from article_minute group by 1 order by 2 desc limit 10"

It works beside a running "millrace up" too, and changes nothing. Consumers wait while a query runs: one that takes longer
than --timeout is stopped, and so is one at Ctrl-C.`;

// Whoever has the folder without answering is starting, ending, or looking itself.
const PATIENCE_MS = 15_000;
const RETRY_MS = 100;
const TIMEOUT_S = 10;

interface SqlOptions {
  readonly state: string;
  readonly timeout: number;
  readonly json?: true;
}

export function sqlCommand(): Command {
  return new Command('sql')
    .description('Runs one SQL statement on the sink, in a read-only transaction.')
    .argument('<statement>', 'a SELECT, in quotes')
    .addOption(stateOption())
    .option('--timeout <seconds>', 'stop the query after this long', seconds, TIMEOUT_S)
    .addOption(jsonOption('print an array with an object a row'))
    .addHelpText('after', EXAMPLE)
    .action(async (statement: string, options: SqlOptions, command: Command) => {
      if (!statement.trim()) command.error("error: argument 'statement' is empty. Give a SELECT, in quotes.");
      const result = await query(existingStateFolder(options.state), statement, options.timeout * 1_000);
      if (options.json) printJson(result.rows.map((row) => toObject(result.columns, row)));
      else printTable(result);
    });
}

/** Asks the process that has the folder, or opens the sink where none has. */
async function query(folder: StateFolder, statement: string, timeoutMs: number): Promise<QueryResult> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
    const answered = await queryOwner(folder, statement, timeoutMs);
    if (answered) return answered;
    const lock = tryLockStateFolder(folder, 'look');
    if (lock) {
      const { querySink } = await import('../local/stack.ts');
      return await querySink(folder, statement, { timeoutMs }).finally(lock.release);
    }
    await sleep(RETRY_MS);
  }
  throw stateInUse(folder);
}

function toObject(columns: readonly string[], row: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(columns.map((name, index) => [name, row[index]]));
}

function printTable({ columns, rows }: QueryResult): void {
  const isNumeric = columns.map((_, index) =>
    rows.every((row) => row[index] === null || typeof row[index] === 'number'),
  );
  const titles = columns.map((title, index) => ({
    title: printable(title),
    align: isNumeric[index] ? ('right' as const) : ('left' as const),
  }));
  printLine(
    table(
      titles,
      rows.map((row) => row.map(cell)),
    ),
  );
  printNote(`(${plural(rows.length, 'row')})`);
}

function cell(value: unknown): string {
  if (value === null) return '';
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value));
}
