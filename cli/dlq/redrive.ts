import { Command } from 'commander';
import type { RedriveProgress, Steering } from '../../runtime/dead-letters/redrive/send.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { CommandFailed } from '../command-failed.ts';
import { watchInterrupts } from '../interrupts.ts';
import { jsonOption, seconds, wholeFrom } from '../options.ts';
import { postgresOption } from '../outside-options.ts';
import { progressLine } from '../progress-line.ts';
import { epilogue, printJson, printLine, printNote } from '../terminal.ts';
import { confirm, printPlan, refuseUnasked } from './confirmation.ts';
import { oneConsumerOption, WHERE_HELP, whereOption } from './options.ts';
import {
  doRedrive,
  goingOnText,
  nothingLines,
  type PlannedRedrive,
  planRedrive,
  progressText,
  type RedriveAsk,
  redriveEndLines,
  redriveWords,
  whyText,
} from './redrive-run.ts';
import { chooseConsumer, type DlqSession, inDlqSession, requireDeclared } from './session.ts';

const EXAMPLE = `
Example:
  millrace dlq redrive --where error=HANDLER_FAILED
  millrace dlq redrive --where error=HANDLER_FAILED,partition=3 --yes --json
  millrace dlq redrive --env prod --where stage=write,since=2h
${WHERE_HELP}

Ctrl-C cancels: nothing more is sent, and the command waits for the results of
what was. A second Ctrl-C quits at once. If a redrive is killed, the same command
continues it. A letter that was applied
before changes nothing, so redriving too many does no harm.

A letter is overtaken once a newer record of its key was applied: its effects
would come too late, and may overwrite newer ones. Without --allow-overtaken it
stays a dead letter. A consumer with onOvertaken: 'apply' has none.`;

interface RedriveCommandOptions extends RedriveAsk {
  readonly consumer?: string;
  readonly yes?: true;
  readonly json?: true;
}

/** As a shell counts it. */
const INTERRUPTED = 130;

export function redriveCommand(): Command {
  return new Command('redrive')
    .description(
      'Gives dead letters back to the consumer that failed them: a few first, then the others if those were applied.',
    )
    .addOption(oneConsumerOption())
    .addOption(whereOption())
    .option('--rate <n>', 'letters a second, at most', wholeFrom(1), 100)
    .option('--canary <n>', 'how many letters to try first; 0 for none', wholeFrom(0), 5)
    .option('--max-failures <n>', 'stop when this many have failed again', wholeFrom(1), 20)
    .option('--wait <seconds>', 'how long to wait for a result', seconds, 60)
    .option('--allow-overtaken', 'also letters after which a newer record of their key was applied')
    .option('--yes', 'do not ask for confirmation')
    .addOption(postgresOption())
    .addOption(
      jsonOption('print {planned, applied, alreadyApplied, failed, overtaken, remaining}; needs --yes'),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: RedriveCommandOptions, command: Command) => {
      refuseUnasked(options, command);
      const owner = await chooseConsumer(options.consumer, options);
      const declared = await requireDeclared(owner, options);
      await inDlqSession(owner, options, (session) => redrive(session, declared, options));
    });
}

async function redrive(
  session: DlqSession,
  declared: AnyConsumer,
  options: RedriveCommandOptions,
): Promise<void> {
  const planned = await planRedrive(session, declared, options);
  const { chosen, killed } = planned;
  if (killed) printNote(goingOnText(killed));
  if (chosen.letters.size === 0) {
    const { leftOut } = chosen;
    if (options.json) printJson({ ...NOTHING_DONE, planned: leftOut, overtaken: leftOut });
    else for (const line of nothingLines(planned, session)) printLine(line);
    if (leftOut === 0) return;
    throw new CommandFailed();
  }
  printPlan(redriveWords(planned));
  await confirm(options, session.named);
  await run(session, planned, options);
}

async function run(
  session: DlqSession,
  planned: PlannedRedrive,
  options: RedriveCommandOptions,
): Promise<void> {
  const line = progressLine();
  const interrupts = watchInterrupts();
  let wanted: Steering = 'go';
  interrupts.first.then(() => {
    wanted = 'cancel';
    line.end();
    printNote('Cancelling: nothing more is sent. Waiting for the results of what was; Ctrl-C quits at once.');
  });
  try {
    const end = await Promise.race([
      doRedrive(session, planned, options, {
        onProgress: (progress) => line.show(progressText(progress, planned)),
        steering: () => wanted,
      }),
      interrupts.second,
    ]);
    line.end();
    if (!end) {
      printNote('Quit. What was sent is in the redrive queue, and the consumer goes on with it.');
      throw new CommandFailed(INTERRUPTED);
    }
    const { redrive, cancelled, failed, overtaken, remaining } = end;
    if (options.json) printJson({ ...summary(end), redrive, ...(cancelled && { cancelled }) });
    else for (const text of redriveEndLines(end, planned, session)) printLine(text);
    if (failed + overtaken + remaining > 0) throw new CommandFailed();
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'REDRIVE_STOPPED') {
      line.end();
      const progress = error.details as unknown as RedriveProgress & { readonly redrive: string };
      if (options.json) printJson({ ...summary(progress), redrive: progress.redrive });
      else printNote(whyText(session));
    }
    throw error;
  } finally {
    interrupts.ignore();
    line.end();
  }
}

const NOTHING_DONE = {
  planned: 0,
  applied: 0,
  alreadyApplied: 0,
  failed: 0,
  overtaken: 0,
  remaining: 0,
};

function summary({ planned, applied, alreadyApplied, failed, overtaken, remaining }: RedriveProgress) {
  return { planned, applied, alreadyApplied, failed, overtaken, remaining };
}
