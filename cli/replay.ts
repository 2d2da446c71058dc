import { Command } from 'commander';
import { refuseUnasked } from './dlq/confirmation.ts';
import { jsonOption, recordsPerSecond, seconds, stateOption } from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import { registryOption } from './registry-option.ts';
import type { GapsOptions } from './replay/gaps.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace replay editorial-analytics --gaps
  millrace replay editorial-analytics --gaps --rate 200 --yes --json

--gaps applies what the ledger does not hold: skipped offsets, offsets from before
its first, and all that a database restored from a backup lacks. What was applied
before is never applied again. Records come from the archive, if the app has one
of the topic, and else from the topic. Dead letters are no gaps: redrive them.

The plan names each range, and its ends do not move. If a replay is interrupted
or killed, the same command continues it.`;

export function replayCommand(): Command {
  return new Command('replay')
    .description('Applies what a consumer has missed, through its own function.')
    .argument('<consumer>', 'the consumer')
    .option('--gaps', 'what the ledger does not hold')
    .option('--rate <n>', 'records a second, at most; or max', recordsPerSecond, 1_000)
    .option('--wait <seconds>', 'how long to try again what the consumer does not take', seconds, 60)
    .option('--yes', 'do not ask for confirmation')
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(registryOption())
    .addOption(
      jsonOption('end with {consumer, replay, planned, applied, deadLettered, deleted, left}; needs --yes'),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (name: string, options: GapsOptions & { gaps?: true }, command: Command) => {
      if (!options.gaps) command.error("error: what is to be replayed? Add '--gaps'.");
      refuseUnasked(options, command);
      const { replayGaps } = await import('./replay/gaps.ts');
      await replayGaps(name, options);
    });
}
