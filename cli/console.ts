import { Command } from 'commander';
import { awsCalls } from '../adapters/aws/aws-calls.ts';
import { whoIsAsking } from '../adapters/aws/deployment-reader.ts';
import { consoleAssets } from '../console/assets.ts';
import { serveConsole } from '../console/server.ts';
import { loadApp } from './app.ts';
import type { ConsoleOptions } from './console/context.ts';
import { createOperations } from './console/operations.ts';
import { CONSOLE_PORT } from './console/thread.ts';
import { envOption } from './environment-session.ts';
import { watchInterrupts } from './interrupts.ts';
import { checkEnvironment, jsonOption, stateOption, tcpPort } from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import { registryOption } from './registry-option.ts';
import { epilogue, printJson, printLine, printNote } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace console
  millrace console --allow-actions
  millrace console --kafka localhost:9092
  millrace console --env prod

The page is for this machine's browser alone, and its URL holds a token. It only
looks, unless you allow actions. Each action shows the command that does the same,
asks for the consumer's name, and goes to the audit log under your name. "up"
serves the same console.`;

interface CommandOptions extends ConsoleOptions {
  readonly port?: number;
  readonly json?: true;
}

export function consoleCommand(): Command {
  return new Command('console')
    .description('Serves a web page that starts from what is wrong, and leads to the safe action.')
    .option(
      '--port <n>',
      `where it listens on 127.0.0.1 (default: ${CONSOLE_PORT}, or any free one)`,
      tcpPort,
    )
    .option('--allow-actions', 'let the page redrive, discard and release')
    .option('--show-values', 'let the page reveal personal data, too')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(jsonOption('print {url} in one line when it listens'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: CommandOptions, command: Command) => {
      const app = await loadApp();
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      if (options.env !== undefined) await whoIsAsking(awsCalls());
      const interrupts = watchInterrupts();
      const operations = await createOperations(app, options);
      const listening = { port: options.port ?? CONSOLE_PORT, orAnyPort: options.port === undefined };
      const server = await serveConsole({ operations, assets: await consoleAssets(), ...listening });
      try {
        if (options.json) printJson({ url: server.url });
        else {
          printLine(`Console: ${server.url}`);
          printNote(
            `It looks at ${(await operations.place()).at}${options.allowActions ? '' : ', and changes nothing'}. Ctrl-C ends it.`,
          );
        }
        await interrupts.first;
      } finally {
        interrupts.ignore();
        await server.close();
        await operations.close();
      }
    });
}
