import { Command } from 'commander';
import { jsonOption, seconds } from '../options.ts';
import { postgresOption } from '../outside-options.ts';
import { epilogue, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, printPlan, refuseUnasked } from './confirmation.ts';
import {
  type DiscardAsk,
  type DiscardSettings,
  discardEndLines,
  discardWords,
  doDiscard,
  planDiscard,
} from './discard-run.ts';
import { noneMatch, oneConsumerOption, WHERE_HELP, whereOption } from './options.ts';
import { chooseConsumer, type DlqSession, inDlqSession } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq discard --where error=FRAME_UNKNOWN --reason "from a load test"
${WHERE_HELP}

Nothing is lost: Millrace first writes the letters to a file, which
"millrace dlq import --input FILE" reads. The file holds the original bytes, personal data
included; only its owner can read it. "millrace audit" and "millrace find" then
say that these records were discarded.`;

interface DiscardOptions extends DiscardAsk, DiscardSettings {
  readonly consumer?: string;
  readonly yes?: true;
  readonly json?: true;
}

export function discardCommand(): Command {
  return new Command('discard')
    .description('Removes dead letters that nobody wants applied, and keeps them in a file.')
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('--export <file>', 'the file that keeps them (default: a new one in the state folder)')
    .option('--yes', 'do not ask for confirmation')
    .option('--wait <seconds>', 'how long to wait for a consumer that parks', seconds, 60)
    .addOption(postgresOption())
    .addOption(jsonOption('print {discarded, export}; needs --yes'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DiscardOptions, command: Command) => {
      if (!options.reason.trim())
        command.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, command);
      await inDlqSession(await chooseConsumer(options.consumer, options), options, (session) =>
        discard(session, options),
      );
    });
}

async function discard(session: DlqSession, options: DiscardOptions): Promise<void> {
  const planned = await planDiscard(session, options);
  if (planned.copies.size === 0) {
    if (options.json) return printJson({ discarded: 0, export: null });
    return printLine(noneMatch(session.named, options.where));
  }
  printPlan(discardWords(planned, session));
  await confirm(options, session.named);
  const end = await doDiscard(session, planned, options, { onNote: printNote });
  if (options.json) return printJson(end);
  for (const line of discardEndLines(end, planned, session)) printLine(line);
}
