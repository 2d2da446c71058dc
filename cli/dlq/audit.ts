import { Command } from 'commander';
import { type AuditEntry, readAuditLog, type UnreadableEntry } from '../../runtime/dead-letters/audit-log.ts';
import { CommandFailed } from '../command-failed.ts';
import { jsonOption } from '../options.ts';
import {
  columnsOf,
  epilogue,
  printable,
  printJson,
  printLine,
  printNote,
  styled,
  wrapped,
} from '../terminal.ts';
import { planText, resultText, unreadableText } from './audit-words.ts';
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
      const unreadable: UnreadableEntry[] = [];
      const { isWhole } = await inEachDlqSession(options.consumer, options, async ({ auditLogs }) => {
        for (const objects of auditLogs) {
          const log = await readAuditLog(objects);
          entries.push(...log.entries);
          unreadable.push(...log.unreadable);
        }
      });
      entries.sort((a, b) => a.begunAt.localeCompare(b.begunAt));
      if (options.json) printJson(entries);
      else if (entries.length + unreadable.length === 0)
        printLine('Nobody has done anything to a consumer or its dead letters yet.');
      else {
        for (const entry of entries) for (const line of auditLines(entry, columnsOf())) printLine(line);
      }
      for (const entry of unreadable) printNote(unreadableText(entry));
      if (!isWhole || unreadable.length > 0) throw new CommandFailed();
    });
}

/** `09:33:10  root@vm  redrive of 31 letters of orders (all)`, and below it what came of it. */
export function auditLines(entry: AuditEntry, columns: number, nowMs = Date.now()): readonly string[] {
  const { begunAt, who, result } = entry;
  const head = `${moment(Date.parse(begunAt), nowMs)}  ${who}  ${planText(entry)}`;
  const [first = '', ...rest] = wrapped(printable(head), columns, 4);
  return [
    styled('bold', first),
    ...rest,
    ...wrapped(printable(`→ ${resultText(entry)}`), columns - 4, 2).map((line) =>
      result === null || 'error' in result ? `    ${styled('yellow', line)}` : `    ${line}`,
    ),
  ];
}
