import { Command, Option } from 'commander';
import { createLogUpdate } from 'log-update';
import { awsCalls } from '../adapters/aws/aws-calls.ts';
import { createDeploymentReader, whoIsAsking } from '../adapters/aws/deployment-reader.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { examineTopics } from '../local/doctor.ts';
import { notedLedger } from '../local/ledger-origin.ts';
import { existingStateFolder, isStateFolder } from '../local/state-folder.ts';
import { openEmbeddedLog, openKafkaTopics } from '../local/topic-log.ts';
import { examineBefore, examineDeployment, tally } from '../runtime/doctor/examine.ts';
import { type Line, linesOf, observe } from '../runtime/doctor/line.ts';
import { judgeProbe } from '../runtime/doctor/probe-checks.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { type LoadedApp, loadApp } from './app.ts';
import { CommandFailed } from './command-failed.ts';
import { doctorLines, tallyLine } from './doctor-view.ts';
import { hint } from './hints.ts';
import { checkEnvironment, jsonOption, stateOption } from './options.ts';
import { type KafkaOptions, kafkaAuthOption, kafkaOption, storesOptions } from './outside-options.ts';
import { queryFolder } from './sql.ts';
import { columnsOf, epilogue, printJson, printLine, printNote, styled } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace doctor                       this machine
  millrace doctor --kafka localhost:9092
  millrace doctor --env dev --before    what would stop a first deployment
  millrace doctor --env dev             a deployed environment
  millrace doctor --env dev --probe     and a record's way through it
  millrace doctor --env dev --json | jq '.lines[] | select(.verdict == "fail")'

With --env it asks AWS's APIs, with your credentials and from outside the network.
AWS_PROFILE and AWS_REGION choose the account and the region. It changes nothing;
--probe writes to a topic and a table of its own, never to yours.
Every line says what was seen, and every failure how to correct it. What could not
be seen, or does not decide it, is marked "?" and never passes. The exit code is
1 when a line fails, else 0. docs/doctor.md lists the checks and the permissions.`;

interface DoctorOptions extends KafkaOptions {
  readonly env?: string;
  readonly before?: true;
  readonly probe?: true;
  readonly state: string;
  readonly json?: true;
}

const SINK_TIMEOUT_MS = 10_000;
/** The embedded PostgreSQL starts in seconds; a cluster may have to create the topic. */
const PROBE_PATIENCE_MS = 30_000;

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('Checks an environment, or this machine, and says how to correct what is wrong.')
    .addOption(
      new Option('--env <name>', 'a deployed environment, such as dev; else this machine').conflicts([
        'kafka',
        'kafkaAuth',
        'state',
      ]),
    )
    .addOption(
      new Option('--before', 'check what a first deployment of --env needs').conflicts(['probe', 'kafka']),
    )
    .option('--probe', "send a record through a topic of Millrace's own, and follow it to the sink")
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(jsonOption('print one object with all lines'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: DoctorOptions, command: Command) => {
      const app = await loadApp();
      if (options.env === undefined && options.before) {
        command.error("error: option '--before' needs '--env', which says what is to be deployed.");
      }
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      const progress = startProgress(options.json === true);
      const { environment, about, lines } = await examine(app, options, progress.note).finally(progress.stop);
      const counts = tally(lines);
      if (options.json) printJson({ environment, lines, ...counts });
      else {
        printLine(styled('bold', about));
        for (const line of doctorLines(lines, Math.min(columnsOf(), 100))) printLine(line);
        printLine(tallyLine(counts));
      }
      if (counts.failed > 0) throw new CommandFailed(1);
    });
}

interface Examined {
  readonly environment: string;
  readonly about: string;
  readonly lines: readonly Line[];
}

async function examine(
  app: LoadedApp,
  options: DoctorOptions,
  onProgress: (what: string) => void,
): Promise<Examined> {
  if (options.env === undefined) return examineHere(app, options, onProgress);
  const calls = awsCalls();
  onProgress('credentials');
  const { account, region, who } = await whoIsAsking(calls);
  const examination = {
    app,
    environment: resolveEnvironment({ environments: app.environments, root: app.root }, { env: options.env }),
    reader: createDeploymentReader(calls, systemClock),
    onProgress,
    probes: options.probe === true,
  };
  const lines = await (options.before ? examineBefore(examination) : examineDeployment(examination));
  return { environment: options.env, about: `${options.env} in ${region}, as ${who} (${account})`, lines };
}

async function examineHere(
  app: LoadedApp,
  options: DoctorOptions,
  onProgress: (what: string) => void,
): Promise<Examined> {
  const { kafka } = storesOptions(options);
  const place = {
    state: options.state,
    ...(options.kafka && { kafka: options.kafka }),
    ...(options.kafkaAuth && { kafkaAuth: options.kafkaAuth }),
  };
  const placed = (words: string) => hint(words.replace(/^npx millrace /, '').split(' '), place);
  onProgress('contracts');
  const lines: Line[] = [...(await contractLines(app))];
  if (options.probe) {
    onProgress('a record on its way');
    const { probeHere } = await import('../local/probe.ts');
    const seen = await observe(() => probeHere(kafka ? { kafka } : {}, PROBE_PATIENCE_MS));
    // Here nobody stands between: what it threw, it threw.
    const told = 'problem' in seen ? { value: { failure: seen.problem } } : seen;
    lines.push(...judgeProbe(told, 'npm start, and look at what holds its consumer.'));
  }
  const hasFolder = isStateFolder(options.state);
  const of = linesOf('state', options.state);
  if (!hasFolder && !kafka) {
    lines.push(of.unknown('Nothing has run here yet.', 'npm start'));
    return { environment: 'local', about: `${app.name} on this machine`, lines };
  }
  if (hasFolder) {
    onProgress('sink');
    lines.push(await sinkLine(options.state));
  }
  const log = await (kafka ? openKafkaTopics(kafka) : openEmbeddedLog(existingStateFolder(options.state)));
  try {
    const ledger =
      kafka && hasFolder ? await notedLedger(existingStateFolder(options.state), log) : undefined;
    const examined = await examineTopics({
      app,
      log,
      clock: systemClock,
      groupOf: ({ name }) => (ledger === undefined ? name : log.groupOf(name, ledger)),
      isOwn: !kafka || ledger !== undefined,
      placed,
      onProgress,
    });
    return {
      environment: kafka ? `kafka ${kafka.brokers.join(',')}` : 'local',
      about: `${app.name}, topics in ${log.at}`,
      lines: [...lines, ...examined],
    };
  } finally {
    await log.close();
  }
}

async function contractLines({ root, contracts }: LoadedApp): Promise<readonly Line[]> {
  const { checkContracts, contractsDirOf } = await import('../adapters/files/contract-files.ts');
  const problems = await checkContracts(contractsDirOf(root), contracts);
  const of = linesOf('contracts', 'contracts/');
  if (problems.length === 0) return [of.pass(`${contracts.length} checked, no problem.`)];
  return problems.map((problem) =>
    linesOf('contracts', problem.topic).fail(problem.message, 'npx millrace contracts check'),
  );
}

async function sinkLine(state: string): Promise<Line> {
  const of = linesOf('sink', state);
  const seen = await observe(() =>
    queryFolder(existingStateFolder(state), 'SELECT count(*) FROM millrace_ledger', SINK_TIMEOUT_MS),
  );
  return 'problem' in seen
    ? of.unknown(seen.problem, 'npx millrace sql "select 1"')
    : of.pass(`It answers; its ledger has ${seen.value.rows[0]?.[0] ?? 0} partitions.`);
}

/** One line that changes, on a terminal; else a line each. Nothing with `--json`. */
function startProgress(isQuiet: boolean) {
  const update = process.stderr.isTTY ? createLogUpdate(process.stderr) : undefined;
  return {
    note(what: string) {
      if (isQuiet) return;
      if (update) update(`Looking at ${what} …`);
      else printNote(`Looking at ${what} …`);
    },
    stop() {
      update?.clear();
    },
  };
}
