import { Command } from 'commander';
import { auditCommand } from './dlq/audit.ts';
import { discardCommand } from './dlq/discard.ts';
import { listCommand, showCommand } from './dlq/list.ts';
import { moveCommand } from './dlq/move.ts';
import { withDlqOptions } from './dlq/options.ts';
import { redriveCommand } from './dlq/redrive.ts';
import { exportCommand, importCommand } from './dlq/transfer.ts';
import { triageCommand } from './dlq/triage.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace dlq triage               what went wrong, and how often
  millrace dlq show editorial-analytics/news.pageviews/3/1042
  millrace dlq redrive --where error=HANDLER_FAILED
                                    give these back to the consumer
  millrace dlq triage --env prod    the same on AWS, with your own credentials`;

export function dlqCommand(): Command {
  const dlq = new Command('dlq')
    .description('Shows dead letters, gives them back, or removes them.')
    .addHelpText('after', epilogue(EXAMPLE));
  const commands = [
    triageCommand(),
    listCommand(),
    showCommand(),
    redriveCommand(),
    moveCommand(),
    discardCommand(),
    exportCommand(),
    importCommand(),
    auditCommand(),
  ];
  for (const command of commands) dlq.addCommand(withDlqOptions(command));
  return dlq;
}
