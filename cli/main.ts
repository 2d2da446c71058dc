import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { MillraceError } from '../runtime/errors.ts';
import { CommandFailed } from './command-failed.ts';
import { epilogue, printNote, styled } from './terminal.ts';

interface CommandEntry {
  readonly summary: string;
  /** Imports the command's file: what a command does not use is not loaded. */
  load(): Promise<Command>;
  /** What a failure ends with. @default 1 */
  readonly failure?: number;
}

const FAILURE = 1;
const USAGE_ERROR = 2;
/** Where 1 and 2 are verdicts: whoever could not look knows nothing. */
const NOT_LOOKED = 3;

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  up: {
    summary: 'run the whole pipeline on this machine and watch it',
    load: async () => (await import('./up.ts')).upCommand(),
  },
  publish: {
    summary: 'publish a file to a topic; the contract checks each value',
    load: async () => (await import('./publish.ts')).publishCommand(),
  },
  add: {
    summary: 'write a contract, a consumer or an environment, and list it',
    load: async () => (await import('./add.ts')).addCommand(),
  },
  contracts: {
    summary: 'check, generate, list and register contracts',
    load: async () => (await import('./contracts.ts')).contractsCommand(),
  },
  status: {
    summary: 'show how each consumer is, and why',
    load: async () => (await import('./status.ts')).statusCommand(),
    failure: NOT_LOOKED,
  },
  lag: {
    summary: 'show how far behind each consumer is, by partition',
    load: async () => (await import('./lag.ts')).lagCommand(),
    failure: NOT_LOOKED,
  },
  audit: {
    summary: 'account for every offset of a consumer',
    load: async () => (await import('./audit.ts')).auditCommand(),
  },
  find: {
    summary: 'find records by key or value, and what became of them',
    load: async () => (await import('./find.ts')).findCommand(),
  },
  replay: {
    summary: 'apply what a consumer has missed',
    load: async () => (await import('./replay.ts')).replayCommand(),
  },
  pause: {
    summary: 'stop a consumer from reading its topic',
    load: async () => (await import('./pause.ts')).pauseCommand('pause'),
  },
  resume: {
    summary: 'let a paused consumer read again',
    load: async () => (await import('./pause.ts')).pauseCommand('resume'),
  },
  console: {
    summary: 'look at everything in a browser, starting from what is wrong',
    load: async () => (await import('./console.ts')).consoleCommand(),
  },
  exporter: {
    summary: 'serve the lag of consumer groups to Prometheus',
    load: async () => (await import('./exporter.ts')).exporterCommand(),
  },
  alerts: {
    summary: 'write alerting rules for Prometheus, and a Grafana dashboard',
    load: async () => (await import('./alerts.ts')).alertsCommand(),
  },
  doctor: {
    summary: 'check an environment or this machine, with a fix for what is wrong',
    load: async () => (await import('./doctor.ts')).doctorCommand(),
  },
  dlq: {
    summary: 'triage, redrive, discard, export and import dead letters',
    load: async () => (await import('./dlq.ts')).dlqCommand(),
  },
  park: {
    summary: 'see keys that wait behind a dead letter, and let them go on',
    load: async () => (await import('./park.ts')).parkCommand(),
  },
  rebuild: {
    summary: "rebuild a consumer's tables from its topic, and promote them",
    load: async () => (await import('./rebuild.ts')).rebuildCommand(),
  },
  warehouse: {
    summary: 'build captured tables in Snowflake, DuckDB or PostgreSQL',
    load: async () => (await import('./warehouse.ts')).warehouseCommand(),
  },
  capture: {
    summary: 'prepare, check and show the capture of PostgreSQL tables',
    load: async () => (await import('./capture.ts')).captureCommand(),
  },
  cost: {
    summary: 'estimate what an environment costs, and what it can take',
    load: async () => (await import('./cost.ts')).costCommand(),
  },
  sql: {
    summary: 'query the sink, read-only',
    load: async () => (await import('./sql.ts')).sqlCommand(),
  },
};

const EXAMPLES = `
Examples:
  millrace up                           run with generated traffic until Ctrl-C
  millrace up --input access.log.gz --exit-when-drained
                                        run once, with a web server's log
  millrace sql '\\dt'                    list what the consumers have written

"millrace <command> --help" explains the options, with examples.`;

/**
 * Runs the command line and gives the exit code: 0, 1 for a failure (3 where 1 is a verdict), 2 for a command line that makes
 * no sense.
 * Never rejects, never exits the process.
 */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    await (await createProgram(argv)).parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has printed its help or its complaint already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_ERROR;
    if (error instanceof CommandFailed) return error.exitCode;
    printError(error);
    return COMMANDS[commandIn(argv) ?? '']?.failure ?? FAILURE;
  }
}

function commandIn(argv: readonly string[]): string | undefined {
  return argv.find((word) => !word.startsWith('-'));
}

async function createProgram(argv: readonly string[]): Promise<Command> {
  const { version } = JSON.parse(readFileSync(new URL(import.meta.resolve('millrace/package.json')), 'utf8'));
  const program = new Command('millrace')
    .description('Kafka pipelines from Avro contracts and small TypeScript handlers.')
    .version(version)
    .helpCommand(false)
    .addHelpText('after', epilogue(EXAMPLES));
  const named = commandIn(argv);
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    program.addCommand(name === named ? (await load()).summary(summary) : new Command(name).summary(summary));
  }
  throwInsteadOfExiting(program, 'millrace');
  return program;
}

function throwInsteadOfExiting(command: Command, path: string): void {
  command.exitOverride().showHelpAfterError(`Run "${path} --help" for its options.`);
  for (const sub of command.commands) throwInsteadOfExiting(sub, `${path} ${sub.name()}`);
}

function printError(error: unknown): void {
  const label = styled('red', 'error:', process.stderr);
  if (error instanceof MillraceError) {
    process.stderr.write(`${label} `);
    printNote(`${error.message} [${error.code}]`);
    return;
  }
  const detail = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${label} `);
  printNote(`This is a bug in Millrace. Please report it with these lines:\n${detail}`);
}
