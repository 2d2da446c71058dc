import { Command } from 'commander';
import { loadApp } from './app.ts';
import { refuseUnasked } from './dlq/confirmation.ts';
import { envOption } from './environment-session.ts';
import {
  checkEnvironment,
  jsonOption,
  pointInTime,
  recordsPerSecond,
  seconds,
  stateOption,
} from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import { registryOption } from './registry-option.ts';
import type { GapsOptions } from './replay/place.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace replay editorial-analytics --gaps
  millrace replay editorial-analytics --gaps --rate 200 --yes --json
  millrace replay editorial-analytics --gaps --env prod
  millrace replay editorial-analytics --shadow --from 26h --to 2h

--gaps applies what the ledger does not hold: skipped offsets, offsets from before
its first, and all that a database restored from a backup lacks. What was applied
before is never applied again. Records come from the archive, if the app has one
of the topic, and else from the topic. Dead letters are no gaps: redrive them.

--shadow runs the consumer over the records of a time into tables of its own, and
compares those with the live ones: how many rows are the same, changed, missing
from the live ones, or other ones there. Then it drops them.

The plan names each range, and its ends do not move. If a replay is interrupted
or killed, the same command continues it.`;

interface ReplayOptions extends GapsOptions {
  readonly gaps?: true;
  readonly shadow?: true;
  readonly from?: number;
  readonly to?: number;
}

export function replayCommand(): Command {
  return new Command('replay')
    .description('Applies what a consumer has missed, through its own function.')
    .argument('<consumer>', 'the consumer')
    .option('--gaps', 'what the ledger does not hold')
    .option('--shadow', 'into tables of its own, compared with the live ones and dropped')
    .option(
      '--from <time>',
      'with --shadow: records from then on, such as 26h or 2026-11-24T10:00Z',
      pointInTime,
    )
    .option('--to <time>', 'with --shadow: records from before then (default: now)', pointInTime)
    .option('--rate <n>', 'records a second, at most; or max', recordsPerSecond, 1_000)
    .option('--wait <seconds>', 'how long to try again what the consumer does not take', seconds, 60)
    .option('--yes', 'do not ask for confirmation')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(registryOption())
    .addOption(
      jsonOption(
        'end with {consumer, replay, planned, applied, deadLettered, deleted, left}; with --shadow {consumer, records, isWhole, tables}; needs --yes',
      ),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, { gaps, shadow, from, to, ...options }: ReplayOptions, command: Command) => {
      if (gaps && shadow) command.error("error: '--gaps' and '--shadow' are two replays. Give one of them.");
      if (!gaps && !shadow)
        command.error("error: what is to be replayed? Add '--gaps', or '--shadow' with '--from'.");
      if (shadow && from === undefined)
        command.error("error: '--shadow' needs '--from <time>', such as 26h.");
      if (shadow && options.env !== undefined)
        command.error(
          "error: '--shadow' runs on a laptop, and takes no '--env'. Give --kafka and --postgres.",
        );
      if (gaps && (from ?? to) !== undefined)
        command.error("error: '--gaps' takes no '--from' or '--to': it replays every gap. Leave them out.");
      if (options.env !== undefined) checkEnvironment(command, options.env, (await loadApp()).environments);
      refuseUnasked(options, command);
      if (shadow) {
        const { replayShadow } = await import('./replay/shadow.ts');
        const isLimited = command.getOptionValueSource('rate') !== 'default' && Number.isFinite(options.rate);
        await replayShadow(name, {
          ...options,
          fromMs: from!,
          toMs: to ?? Date.now(),
          recordsPerSecond: isLimited ? options.rate : null,
        });
        return;
      }
      const { replayGaps } = await import('./replay/gaps.ts');
      await replayGaps(name, options);
    });
}
