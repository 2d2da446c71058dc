/** Letting a key go on: without its letter, without it for good, or without anything that is parked. */
import { Command } from 'commander';
import { CommandFailed } from '../command-failed.ts';
import { confirm, printPlan, refuseUnasked } from '../dlq/confirmation.ts';
import { oneConsumerOption } from '../dlq/options.ts';
import { chooseConsumer, type DlqSession, inDlqSession, requireDeclared } from '../dlq/session.ts';
import { jsonOption, seconds } from '../options.ts';
import { progressLine } from '../progress-line.ts';
import { count, epilogue, plural, printJson, printLine } from '../terminal.ts';
import { type KeyName, type KeyOptions, keyOf, withKey, withWaitingKeys } from './keys.ts';
import {
  doRelease,
  planRelease,
  type ReleaseSettings,
  releaseEndLines,
  releaseWords,
  type Verb,
} from './release-run.ts';

interface ReleaseOptions extends KeyOptions, ReleaseSettings {
  readonly yes?: true;
}

const RELEASE_EXAMPLE = `
Example:
  millrace park release reader-4711

The letter stays a dead letter. It counts as overtaken from now on, so a redrive
applies it only with --allow-overtaken. If its letter expired or was purged, this
is how a key goes on. If parkLimit was reached, the same goes for the dead letters
that later records of the key became.`;

const SKIP_EXAMPLE = `
Example:
  millrace park skip reader-4711 --reason "a test order"

Millrace first writes the letter to a file: "millrace dlq import --input FILE"
takes it back. If parkLimit was reached, later records of the key are dead letters
too: the key then waits for the next of them, and a redrive applies it.`;

const DISCARD_EXAMPLE = `
Example:
  millrace park discard reader-4711 --reason "a load test"

Millrace first writes the letters and the parked records to a file, as JSON lines
with their bytes as base64. Discarded records count as settled: no redrive and no
replay applies them. What arrives for the key from then on is applied.`;

export function releaseCommand(): Command {
  return command(
    'release',
    'Applies what is parked behind a key’s dead letter, in order. The letter stays one.',
  )
    .addOption(jsonOption('print {released, discarded, parked, blockedBy, export}; needs --yes'))
    .addHelpText('after', epilogue(RELEASE_EXAMPLE));
}

export function skipCommand(): Command {
  return discarding(
    'skip',
    'Discards the dead letter that a key waits for, and applies what is parked behind it.',
  ).addHelpText('after', epilogue(SKIP_EXAMPLE));
}

export function discardCommand(): Command {
  return discarding(
    'discard',
    'Discards all dead letters that a key waits for, and all that is parked behind them.',
  ).addHelpText('after', epilogue(DISCARD_EXAMPLE));
}

function discarding(verb: Verb, description: string): Command {
  return command(verb, description)
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option(
      '--export <file>',
      'the file that keeps what is discarded (default: a new one in the state folder)',
    )
    .addOption(jsonOption('print {released, discarded, parked, blockedBy, export}; needs --yes'));
}

function command(verb: Verb, description: string): Command {
  return withKey(new Command(verb))
    .description(description)
    .addOption(oneConsumerOption())
    .option('--wait <seconds>', 'how long to wait for the consumer’s function', seconds, 60)
    .option('--yes', 'do not ask for confirmation')
    .action(async (text: string | undefined, options: ReleaseOptions, self: Command) => {
      const key = keyOf(text, options, self);
      if (verb !== 'release' && !options.reason?.trim())
        self.error("error: option '--reason' is empty. Say why, for whoever asks later.");
      refuseUnasked(options, self);
      const owner = await chooseConsumer(options.consumer, options);
      await requireDeclared(owner, options);
      await inDlqSession(owner, options, (session) => release(verb, key, session, options));
    });
}

async function release(
  verb: Verb,
  key: KeyName,
  session: DlqSession,
  options: ReleaseOptions,
): Promise<void> {
  const planned = await withWaitingKeys(session, options, (keys) =>
    planRelease(verb, key, session, keys, options),
  );
  printPlan(releaseWords(planned, session));
  await confirm(options, session.named);
  const line = progressLine();
  try {
    const end = await doRelease(session, planned, options, (done, messages) =>
      line.show(`${count(done)} of ${plural(messages, 'message')} done`),
    );
    line.end();
    if (options.json) printJson(end.result);
    else for (const text of releaseEndLines(end, planned, session)) printLine(text);
    if (end.result.blockedBy !== null) throw new CommandFailed();
  } finally {
    line.end();
  }
}
