import { Command } from 'commander';
import { readAuditLog } from '../../runtime/dead-letters/audit-log.ts';
import { jsonOption } from '../options.ts';
import { printable, printJson, printLine, table } from '../terminal.ts';
import { consumerOption } from './options.ts';
import { chooseConsumer, type DlqSessionOptions, inDlqSession } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq audit
  millrace dlq audit --json | jq '.[] | select(.action == "discard")'`;

export function auditCommand(): Command {
  return new Command('audit')
    .description('Lists what was done to dead letters: who, when, what was planned, what came of it.')
    .addOption(consumerOption())
    .addOption(jsonOption('print an array with an object an action'))
    .addHelpText('after', EXAMPLE)
    .action(async (options: DlqSessionOptions & { consumer?: string; json?: true }) => {
      await inDlqSession(await chooseConsumer(options.consumer), options, async ({ resources }) => {
        const entries = await readAuditLog(resources.objects);
        if (options.json) return printJson(entries);
        if (entries.length === 0) return printLine('Nothing was done yet.');
        const facts = (of: Readonly<Record<string, unknown>> | null) =>
          Object.entries(of ?? { 'no end': 'killed, or still going on' })
            .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`)
            .join(' ');
        const rows = entries.map(({ begunAt, who, action, plan, result }) =>
          [begunAt, who, action, facts(plan), facts(result)].map(printable),
        );
        printLine(
          table(
            ['when', 'who', 'what', 'planned', 'result'].map((title) => ({ title })),
            rows,
          ),
        );
      });
    });
}
