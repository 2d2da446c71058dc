import { Command } from 'commander';
import { type AuditEntry, readAuditLog } from '../../runtime/dead-letters/audit-log.ts';
import { CommandFailed } from '../command-failed.ts';
import { jsonOption } from '../options.ts';
import {
  columnsOf,
  duration,
  epilogue,
  plural,
  printable,
  printJson,
  printLine,
  styled,
  wrapped,
} from '../terminal.ts';
import { consumerOption } from './options.ts';
import { type DlqSessionOptions, inEachDlqSession } from './session.ts';
import { moment } from './triage-view.ts';

const EXAMPLE = `
Examples:
  millrace dlq audit
  millrace dlq audit --json | jq '.[] | select(.action == "discard")'`;

export function auditCommand(): Command {
  return new Command('audit')
    .description(
      'Lists what people did to a consumer and its dead letters: who, when, what they planned and what came of it.',
    )
    .addOption(consumerOption())
    .addOption(jsonOption('print an array with an object an action'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DlqSessionOptions & { consumer?: string; json?: true }) => {
      const entries: AuditEntry[] = [];
      const { isWhole } = await inEachDlqSession(options.consumer, options, async ({ auditLogs }) => {
        for (const objects of auditLogs) entries.push(...(await readAuditLog(objects)));
      });
      entries.sort((a, b) => a.begunAt.localeCompare(b.begunAt));
      if (options.json) printJson(entries);
      else if (entries.length === 0) printLine('Nobody has done anything to dead letters yet.');
      else {
        for (const entry of entries) for (const line of auditLines(entry, columnsOf())) printLine(line);
      }
      if (!isWhole) throw new CommandFailed();
    });
}

/** `09:33:10  root@vm  redrive of 31 letters of orders (all)`, and below it what came of it. */
export function auditLines(entry: AuditEntry, columns: number, nowMs = Date.now()): readonly string[] {
  const { begunAt, who, action, result } = entry;
  const head = `${moment(Date.parse(begunAt), nowMs)}  ${who}  ${action} ${planText(entry)}`;
  const [first = '', ...rest] = wrapped(printable(head), columns, 4);
  return [
    styled('bold', first),
    ...rest,
    ...wrapped(printable(`→ ${resultText(entry)}`), columns - 4, 2).map((line) =>
      result === null || 'error' in result ? `    ${styled('yellow', line)}` : `    ${line}`,
    ),
  ];
}

/** What is done to letters; the rest is done to the consumer itself. */
const LETTER_ACTIONS: readonly AuditEntry['action'][] = ['redrive', 'move', 'discard', 'import'];

function planText(
  // A list of offsets is for `millrace audit`.
  { action, consumer, plan: { where, letters, input, reason, offsets: _, ...others } }: AuditEntry,
): string {
  const isOfLetters = LETTER_ACTIONS.includes(action);
  const subject =
    typeof letters === 'number' ? `of ${plural(letters, 'letter')} ` : isOfLetters ? 'of all letters ' : '';
  return [
    `${subject}of ${consumer}`,
    where === undefined ? '' : ` (${where})`,
    input === undefined ? '' : ` from ${input}`,
    reason === undefined ? '' : `, because: ${reason}`,
    Object.keys(others).length === 0 ? '' : `; ${factsOf(others)}`,
  ].join('');
}

function resultText({ result }: AuditEntry): string {
  if (result === null) return 'no end: it was killed, or is still running';
  if ('error' in result) return `${result.message} [${result.error}]`;
  return factsOf(result);
}

/** `ratePerSecond: 100` as `rate per second 100`. */
function factsOf(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(([name, value]) => {
      const words = name.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      if (name.endsWith('Ms')) return `${words} ${duration(Number(value))}`;
      return `${words} ${typeof value === 'object' ? JSON.stringify(value) : value}`;
    })
    .join(', ');
}
