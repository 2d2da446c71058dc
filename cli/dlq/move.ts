import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { jsonOption, wholeFrom } from '../options.ts';
import { count, epilogue, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { oneConsumerOption } from './options.ts';
import {
  auditedAt,
  chooseConsumer,
  type DlqSessionOptions,
  inDlqSession,
  requireDeclared,
} from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq move --rate 20
  millrace dlq move --env prod --consumer editorial-analytics

This is what "Start DLQ redrive" in the SQS console does: you cannot choose
letters, try a few first, or see results. "millrace dlq redrive" can.
On a laptop the running "millrace up" consumes the letters, or the next one.`;

interface MoveOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly rate: number;
  readonly yes?: true;
  readonly json?: true;
}

export function moveCommand(): Command {
  return new Command('move')
    .description('Moves the whole dead-letter queue to the redrive queue, as the SQS console does.')
    .addOption(oneConsumerOption())
    .option('--rate <n>', 'messages a second, up to 500', wholeFrom(1), 100)
    .option('--yes', 'do not ask for confirmation')
    .addOption(jsonOption('print {moved}; needs --yes'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: MoveOptions, command: Command) => {
      refuseUnasked(options, command);
      const owner = await chooseConsumer(options.consumer, options);
      await requireDeclared(owner, options);
      await inDlqSession(owner, options, async (session) => {
        const { resources, named, at } = session;
        printNote(
          `Move every dead letter in the queue of ${named} (${at}), at most ${count(options.rate)} a second`,
        );
        await confirm(options, named);
        const plan = { maxPerSecond: options.rate };
        const result = await auditedAt(session, { id: randomUUID(), action: 'move', plan }, async () => ({
          ...(await resources.mover.move(plan)),
        }));
        if (options.json) printJson(result);
        else printLine(`${count(result.moved)} moved.`);
      });
    });
}
