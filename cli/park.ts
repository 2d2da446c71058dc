import { Command } from 'commander';
import { withDlqOptions } from './dlq/options.ts';
import { postgresOption } from './outside-options.ts';
import { listCommand } from './park/list.ts';
import { discardCommand, releaseCommand, skipCommand } from './park/release.ts';
import { showCommand } from './park/show.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace park list                which keys wait, the longest first
  millrace park show reader-4711    what a key waits for, and what to do
  millrace park release reader-4711
                                    apply what is parked, without the letter
  millrace park list --env prod     the same on AWS, with your own credentials

A key waits while a dead letter of its own is open. Redriving that letter with
"millrace dlq redrive" applies it, and then what is parked behind it, in order.`;

export function parkCommand(): Command {
  const park = new Command('park')
    .description('Shows keys that wait behind a dead letter, and lets them go on without it.')
    .addHelpText('after', epilogue(EXAMPLE));
  const commands = [listCommand(), showCommand(), releaseCommand(), skipCommand(), discardCommand()];
  for (const command of commands) park.addCommand(withDlqOptions(command).addOption(postgresOption()));
  return park;
}
