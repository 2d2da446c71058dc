import { createInterface, type ReadLineOptions } from 'node:readline/promises';
import type { Command } from 'commander';
import { CommandFailed } from '../command-failed.ts';
import { columnsOf, printNote, wrapped } from '../terminal.ts';

/** What is about to be done: a line that says all, and facts by a word each. A fact without one goes on with the one before. */
export interface PlanWords {
  readonly head: string;
  readonly facts: readonly (readonly [name: string, text: string])[];
}

/** Columns before a fact. */
const INDENT = 10;

/** Shows the plan that the person is about to confirm. */
export function printPlan({ head, facts }: PlanWords): void {
  const room = columnsOf(process.stderr) - INDENT;
  const lines = facts.flatMap(([name, text]) =>
    name === ''
      ? wrapped(text, room).map((line) => ' '.repeat(INDENT) + line)
      : [`  ${name.padEnd(INDENT - 2)}${text}`],
  );
  printNote([head, ...lines].join('\n'));
}

interface Confirmable {
  readonly yes?: true;
  readonly json?: true;
}

/** Refuses at once what would have to ask where nobody answers. */
export function refuseUnasked({ yes, json }: Confirmable, command: Command): void {
  if (yes || (!json && process.stdin.isTTY)) return;
  command.error("error: nobody can be asked here. Add --yes, or run it in a terminal and without '--json'.");
}

/**
 * Has the person type the consumer's name, unless `--yes` was given.
 * @throws CommandFailed when something else was typed
 */
export async function confirm(
  { yes }: Confirmable,
  consumer: string,
  streams: ReadLineOptions = { input: process.stdin, output: process.stderr },
): Promise<void> {
  if (yes) return;
  const terminal = createInterface(streams);
  let typed = '';
  try {
    typed = (await terminal.question("Type the consumer's name to go on: ")).trim();
    if (typed === consumer) return;
  } catch (error) {
    // Ctrl-C and Ctrl-D are answers, too.
    if ((error as Error).name !== 'AbortError') throw error;
    printNote('');
  } finally {
    terminal.close();
  }
  printNote(
    typed === ''
      ? 'Nothing was done.'
      : `You typed ${JSON.stringify(typed.slice(0, 60))}, not ${JSON.stringify(consumer)}: nothing was done.`,
  );
  throw new CommandFailed();
}
