import { Command } from 'commander';
import { loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { consumerNamed } from './consumers.ts';
import { envOption } from './environment-session.ts';
import { type LagSessionOptions, openLagSession } from './lag-session.ts';
import { explainLines, lagLines } from './lag-view.ts';
import { checkEnvironment, jsonOption, stateOption } from './options.ts';
import { kafkaAuthOption, kafkaOption } from './outside-options.ts';
import { VERDICTS_HELP } from './status.ts';
import { exitCodeOf } from './status-view.ts';
import { columnsOf, epilogue, printJson, printLine } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace lag
  millrace lag editorial-analytics --partitions
  millrace lag explain editorial-analytics
  millrace lag --env prod
  millrace lag --kafka localhost:9092 --state elsewhere
  millrace lag --json | jq '.[] | select(.verdict != "OK")'

It works beside a running "millrace up". On a cluster, "up" consumes as a group
of its own, which belongs to the sink's ledger: its lag is that of --state. If
that folder has never run on the cluster, "lag" shows the deployed consumers.
${VERDICTS_HELP}`;

const EXPLAIN_EXAMPLE = `
Examples:
  millrace lag explain editorial-analytics
${VERDICTS_HELP}`;

export function lagCommand(): Command {
  return new Command('lag')
    .description('Shows how far behind each consumer is, the worst first: by partition, with a verdict.')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .option('--partitions', 'show every partition, not only those that are behind')
    .addOption(jsonOption('print an array with an object a consumer'))
    .addHelpText('after', epilogue(EXAMPLE))
    .addCommand(explainCommand())
    .argument('[consumer]', 'only this one (default: every consumer)')
    .action(
      async (
        name: string | undefined,
        options: LagSessionOptions & { partitions?: true; json?: true },
        command: Command,
      ) => {
        const statuses = await lookOnce(name, options, command);
        if (options.json) printJson(statuses);
        else for (const line of lagLines(statuses, options.partitions === true, columnsOf())) printLine(line);
        failBy(statuses);
      },
    );
}

function explainCommand(): Command {
  return new Command('explain')
    .description('Shows the samples behind the verdict on one consumer, and the command that comes next.')
    .argument('<consumer>', 'its name')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(jsonOption('print its object'))
    .addHelpText('after', epilogue(EXPLAIN_EXAMPLE))
    .action(async (name: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<LagSessionOptions & { json?: true }>();
      const found = await lookOnce(name, options, command);
      for (const status of found) {
        if (options.json) printJson(status);
        else for (const line of explainLines(status, options, columnsOf())) printLine(line);
      }
      failBy(found);
    });
}

/** @throws INPUT_INVALID where the app has no consumer of that name */
async function lookOnce(name: string | undefined, options: LagSessionOptions, command: Command) {
  const app = await loadApp();
  if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
  const consumers = name === undefined ? app.consumers : [consumerNamed(name, app.consumers)];
  const session = await openLagSession(app, options, { isOnce: true });
  try {
    const names = new Set(consumers.map((each) => each.name));
    return (await session.look()).filter(({ consumer }) => names.has(consumer));
  } finally {
    await session.close();
  }
}

function failBy(statuses: Parameters<typeof exitCodeOf>[0]): void {
  const code = exitCodeOf(statuses);
  if (code !== 0) throw new CommandFailed(code);
}
