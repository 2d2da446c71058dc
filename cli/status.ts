import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import { loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { envOption } from './environment-session.ts';
import { watchInterrupts } from './interrupts.ts';
import { type LagSessionOptions, openLagSession } from './lag-session.ts';
import { checkEnvironment, jsonOption, stateOption } from './options.ts';
import { kafkaAuthOption, kafkaOption } from './outside-options.ts';
import { exitCodeOf, statusJson, statusLines } from './status-view.ts';
import { columnsOf, epilogue, isLiveTerminal, printJson, printLine } from './terminal.ts';

export const VERDICTS_HELP = `
Exit code, by the worst consumer: 2 for LOST, AT_RISK, BLOCKED, STALLED, and a
lag over the incident threshold; 3 for UNKNOWN, and where it could not look, with
the error on stderr; 1 for RISING, BEHIND and SILENT; 0 for OK, IDLE and
RECOVERING. docs/lag.md has what each means.`;

const EXAMPLE = `
Examples:
  millrace status
  millrace status --watch
  millrace status --kafka localhost:9092
  millrace status --env prod
  millrace status --json | jq '.consumers[] | select(.verdict == "STALLED")'

It works beside a running "millrace up", and asks it: "up" has looked for longer
than a command that ends at once. With --env it asks CloudWatch, Lambda, SQS and
SSM, and what they do not know is UNKNOWN, with the reason.
${VERDICTS_HELP}`;

const LOOK_MS = 2_000;

export function statusCommand(): Command {
  return new Command('status')
    .description('Shows how each consumer is, the worst first, with why.')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .option('--watch', 'look again every 2 seconds, until Ctrl-C')
    .addOption(jsonOption('print {"consumers": […]}; with --watch a line a look'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: LagSessionOptions & { watch?: true; json?: true }, command: Command) => {
      const app = await loadApp();
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      const session = await openLagSession(app, options, { isOnce: options.watch !== true });
      try {
        const statuses = await (options.watch
          ? watchUntilInterrupted(() => session.look(), options.json === true)
          : session.look());
        if (!options.watch) print(statuses, options.json === true);
        const code = exitCodeOf(statuses);
        if (code !== 0) throw new CommandFailed(code);
      } finally {
        await session.close();
      }
    });
}

function print(statuses: readonly ConsumerStatus[], isJson: boolean): void {
  if (isJson) printJson({ consumers: statuses.map(statusJson) });
  else for (const line of statusLines(statuses, columnsOf())) printLine(line);
}

/** @returns the last look */
async function watchUntilInterrupted(
  look: () => Promise<readonly ConsumerStatus[]>,
  isJson: boolean,
): Promise<readonly ConsumerStatus[]> {
  const interrupts = watchInterrupts();
  const picture = createLogUpdate(process.stdout);
  const isLive = isLiveTerminal() && !isJson;
  let statuses: readonly ConsumerStatus[] = [];
  try {
    for (let isOver = false; !isOver; ) {
      statuses = await look();
      if (isLive) picture(statusLines(statuses, columnsOf()).join('\n'));
      else print(statuses, isJson);
      const waiting = new AbortController();
      isOver = await Promise.race([
        interrupts.first.then(() => true),
        sleep(LOOK_MS, false, { signal: waiting.signal }),
      ]);
      waiting.abort();
    }
  } finally {
    interrupts.ignore();
    if (isLive) picture.done();
  }
  return statuses;
}
