import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { jsonOption, wholeFrom } from '../options.ts';
import { count, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, refuseUnasked } from './confirmation.ts';
import { consumerOption } from './options.ts';
import { auditedAt, chooseConsumer, type DlqSessionOptions, inDlqSession } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq move --rate 20
  millrace dlq move --env prod --consumer editorial-analytics

It is what "Start DLQ redrive" in the SQS console does: no choice, no canary, no results. "millrace dlq redrive" has them.
On a laptop the letters are consumed by the "millrace up" that is running, or by the next one.`;

interface MoveOptions extends DlqSessionOptions {
  readonly consumer?: string;
  readonly rate: number;
  readonly yes?: true;
  readonly json?: true;
}

export function moveCommand(): Command {
  return new Command('move')
    .description('Moves the whole dead-letter queue to the redrive queue, as the SQS console does.')
    .addOption(consumerOption())
    .option('--rate <n>', 'messages a second, up to 500', wholeFrom(1), 100)
    .option('--yes', 'do not ask')
    .addOption(jsonOption('print {moved}; takes --yes'))
    .addHelpText('after', EXAMPLE)
    .action(async (options: MoveOptions, command: Command) => {
      refuseUnasked(options, command);
      await inDlqSession(await chooseConsumer(options.consumer), options, async (session) => {
        const { resources, consumer, at } = session;
        printNote(
          `Every dead letter in the queue of ${consumer.name}, in ${at}, up to ${count(options.rate)} a second`,
        );
        await confirm(options, consumer.name);
        const plan = { maxPerSecond: options.rate };
        const result = await auditedAt(session, { id: randomUUID(), action: 'move', plan }, async () => ({
          ...(await resources.mover.move(plan)),
        }));
        if (options.json) printJson(result);
        else printLine(`${count(result.moved)} moved.`);
      });
    });
}
