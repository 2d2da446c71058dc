import { Command, Option } from 'commander';
import { refuseUnasked } from './dlq/confirmation.ts';
import { type EnvironmentOptions, envOption } from './environment-session.ts';
import { jsonOption, pointInTime, recordsPerSecond, stateOption, wholeFrom } from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import type { RebuildOptions } from './rebuild/run.ts';
import { registryOption } from './registry-option.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace rebuild editorial-analytics
  millrace rebuild editorial-analytics --promote
  millrace rebuild editorial-analytics --from 7d --rate 2000
  millrace rebuild promote editorial-analytics
  millrace rebuild rollback editorial-analytics
  millrace rebuild editorial-analytics --env prod

A rebuild fills a new generation of a consumer's tables from the topic, and from
its archive if the app has one, with the code as it is now. Readers see the live
tables until you promote the new ones. It works beside a running "millrace up"
and without one. If it is stopped or killed, the same command continues it.

With --env it makes the tables, prints the command that deploys what fills them,
and after that shows how far it is.`;

const PROMOTE_EXAMPLE = `
It changes what readers see, all at once, and refuses if that would lose
anything. The tables they saw before stay up to date: "rebuild rollback" gives
them back, "rebuild drop" deletes them.`;

interface GivenOptions extends EnvironmentOptions, Omit<RebuildOptions, 'fromMs' | 'recordsPerSecond'> {
  readonly from?: number;
  readonly rate: number;
}

type SwitchOptions = RebuildOptions & EnvironmentOptions;

async function deployedSession(consumer: string, env: string, command: Command) {
  const { openDeployedSession } = await import('./rebuild/deployed-session.ts');
  return openDeployedSession(consumer, env, command);
}

export function rebuildCommand(): Command {
  return new Command('rebuild')
    .description("Rebuilds a consumer's tables from its topic, beside the live ones, and promotes them.")
    .addHelpText('after', epilogue(EXAMPLE))
    .addCommand(startCommand(), { isDefault: true })
    .addCommand(promoteCommand())
    .addCommand(rollbackCommand())
    .addCommand(dropCommand())
    .addCommand(listCommand());
}

/** The options that lead to the consumer's topics and tables. */
function atPlace(command: Command, laptopOnly: readonly string[] = []): Command {
  return command
    .addOption(stateOption())
    .addOption(envOption().conflicts([...laptopOnly]))
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(registryOption());
}

const MAY_LOSE =
  'promote although so many offsets of the live tables are missing, because the log has lost them';

function startCommand(): Command {
  return atPlace(
    new Command('start')
      .description("Fills a new generation of the consumer's tables until it has caught up.")
      .argument('<consumer>', 'whose tables')
      .option('--from <time>', 'leave out older records: 7d, or 2026-11-24T10:00Z', pointInTime)
      .option('--promote', 'let readers see the new tables once they have caught up')
      .option('--may-lose <offsets>', MAY_LOSE, wholeFrom(0))
      .addOption(
        new Option('--rate <n>', 'records a second, at most; or max')
          .argParser(recordsPerSecond)
          .default(Number.POSITIVE_INFINITY, 'max'),
      )
      .option('--yes', 'do not ask for confirmation'),
    ['from', 'promote', 'mayLose', 'rate'],
  )
    .addOption(
      jsonOption(
        'print {consumer, generation, records, promoted, elapsedMs} at the end; with --env ' +
          '{consumer, generation, isDeployed} at once, and behind, isCaughtUp or command; needs --yes',
      ),
    )
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (consumer: string, { from, rate, ...options }: GivenOptions, command: Command) => {
      refuseUnasked(options, command);
      if (options.env !== undefined) {
        const { rebuildDeployed } = await import('./rebuild/deployed.ts');
        return rebuildDeployed(await deployedSession(consumer, options.env, command), options);
      }
      const { runRebuild } = await import('./rebuild/run.ts');
      await runRebuild(consumer, {
        ...options,
        fromMs: from ?? null,
        recordsPerSecond: rate === Number.POSITIVE_INFINITY ? null : rate,
      });
    });
}

function promoteCommand(): Command {
  return atPlace(
    new Command('promote')
      .description('Has readers see the rebuilt tables of a consumer, all at once.')
      .argument('<consumer>', 'whose tables')
      .option('--may-lose <offsets>', MAY_LOSE, wholeFrom(0))
      .option('--yes', 'do not ask for confirmation'),
  )
    .addOption(jsonOption('print {consumer, generation, from, heldMs}; needs --yes'))
    .addHelpText('after', epilogue(PROMOTE_EXAMPLE))
    .action(async (consumer: string, options: SwitchOptions, command: Command) => {
      refuseUnasked(options, command);
      if (options.env !== undefined) {
        const { promoteDeployed } = await import('./rebuild/deployed.ts');
        return promoteDeployed(await deployedSession(consumer, options.env, command), options);
      }
      const { runPromote } = await import('./rebuild/switch.ts');
      await runPromote(consumer, options);
    });
}

function rollbackCommand(): Command {
  return atPlace(
    new Command('rollback')
      .description('Has readers see the tables again that they saw before the last promote.')
      .argument('<consumer>', 'whose tables')
      .option(
        '--may-lose <offsets>',
        'go back although they lack so many offsets of the live ones',
        wholeFrom(0),
      )
      .option('--yes', 'do not ask for confirmation'),
  )
    .addOption(jsonOption('print {consumer, generation, from, heldMs}; needs --yes'))
    .action(async (consumer: string, options: SwitchOptions, command: Command) => {
      refuseUnasked(options, command);
      if (options.env !== undefined) {
        const { rollbackDeployed } = await import('./rebuild/deployed.ts');
        return rollbackDeployed(await deployedSession(consumer, options.env, command), options);
      }
      const { runRollback } = await import('./rebuild/switch.ts');
      await runRollback(consumer, options);
    });
}

function dropCommand(): Command {
  return atPlace(
    new Command('drop')
      .description('Deletes a generation that is not live: its tables, its ledger and its dead letters.')
      .argument('<consumer>', 'whose tables')
      .option(
        '--generation <n>',
        'which one (default: the candidate, or else the previous one)',
        wholeFrom(1),
      )
      .option('--yes', 'do not ask for confirmation'),
  )
    .addOption(jsonOption('print {consumer, generation}; needs --yes'))
    .action(async (consumer: string, options: SwitchOptions & { generation?: number }, command: Command) => {
      refuseUnasked(options, command);
      if (options.env !== undefined) {
        const { dropDeployed } = await import('./rebuild/deployed.ts');
        return dropDeployed(await deployedSession(consumer, options.env, command), options);
      }
      const { runDrop } = await import('./rebuild/switch.ts');
      await runDrop(consumer, options);
    });
}

function listCommand(): Command {
  return atPlace(
    new Command('list')
      .description('Lists the generations of a consumer: which is live, which is being filled.')
      .argument('<consumer>', 'whose tables'),
  )
    .addOption(jsonOption('print an array with an object a generation'))
    .action(async (consumer: string, options: SwitchOptions, command: Command) => {
      if (options.env !== undefined) {
        const { listDeployed } = await import('./rebuild/deployed.ts');
        return listDeployed(await deployedSession(consumer, options.env, command), options);
      }
      const { runList } = await import('./rebuild/switch.ts');
      await runList(consumer, options);
    });
}
