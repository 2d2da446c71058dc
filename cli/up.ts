import { Command, Option } from 'commander';
import {
  fieldValue,
  jsonOption,
  recordsPerSecond,
  seconds,
  share,
  stateOption,
  tcpPort,
  webOrigin,
  wholeFrom,
} from './options.ts';
import {
  archiveEndpointOption,
  archiveOption,
  KAFKA_HELP,
  kafkaAuthOption,
  kafkaOption,
  postgresOption,
} from './outside-options.ts';
import { REGISTRY_HELP, registryOption } from './registry-option.ts';
import { newSeed } from './seeds.ts';
import { epilogue } from './terminal.ts';
import type { UpOptions } from './up-run.ts';

const EXAMPLES = `
Examples:
  millrace up                              200 values a second, a few bad
  millrace up --rate 5000 --poison 0.01    more of both
  millrace up --input access.log.gz --exit-when-drained --json --fresh
  millrace up --input access.log.gz --redeliver 0.3 --crash 0.1 --sink-outage 2
  millrace up --input access.log.gz --fail contentId=/about --exit-when-drained
  millrace up --polling on-demand          as Lambda polls in dev
  millrace up --kafka localhost:9092 --postgres postgres://me@localhost/news

An input holds one JSON value a line, or whatever the app's demo reads: for the
newsroom, a web server's access log. An app without a demo publishes generated
values of all its contracts. While "up" runs, it also takes events by HTTP, and
serves the console and the demo's page, but not with --exit-when-drained. With
--json, the first line on stdout has the addresses. For a script, run npx millrace
up --json: "npm start" prints two lines of its own first, unless it is --silent.
${KAFKA_HELP}
${REGISTRY_HELP}`;

const TRAFFIC_RATE = 200;
const TRAFFIC_POISON = 0.002;

/** Rate and poison have other defaults for traffic than for files. */
type GivenOptions = Omit<UpOptions, 'rate' | 'poison' | 'seed'> &
  Partial<Pick<UpOptions, 'rate' | 'poison' | 'seed'>>;

export function upCommand(): Command {
  return new Command('up')
    .description(
      'Runs the whole pipeline on this machine: publishes, consumes into PostgreSQL, and shows what happens.\nCtrl-C drains what is published and sums up. The next run consumes what is left.',
    )
    .option('--input <file...>', 'publish these files once, instead of traffic; "-" is standard input')
    .option('--no-publish', 'only consume what the topics already hold')
    .option(
      '--rate <n>',
      `values a second, or "max" (default: ${TRAFFIC_RATE} for traffic, max for files)`,
      recordsPerSecond,
    )
    .option(
      '--poison <share>',
      `add this share of records that break the contract (default: ${TRAFFIC_POISON} for traffic, 0 for files)`,
      share,
    )
    .option(
      '--collector-port <n>',
      'where the collector listens on 127.0.0.1 (default: 4180, or any free one)',
      tcpPort,
    )
    .option(
      '--collector-origin <origin...>',
      'origins whose pages may send events to it; "*" allows all',
      webOrigin,
    )
    .option(
      '--page-port <n>',
      "where the app's page listens on 127.0.0.1 (default: 4182, or any free one)",
      tcpPort,
    )
    .option(
      '--console-port <n>',
      'where the console listens on 127.0.0.1 (default: 4181, or any free one)',
      tcpPort,
    )
    .option('--allow-actions', 'let the console redrive, discard and release')
    .option('--exit-when-drained', 'end when everything is published and consumed')
    .option('--duration <seconds>', 'publish for this long, then drain and end', seconds)
    .addOption(stateOption())
    .option('--fresh', 'clear the state folder first')
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption())
    .addOption(postgresOption())
    .addOption(archiveOption())
    .addOption(archiveEndpointOption())
    .addOption(
      new Option('--polling <mode>', 'poll as Lambda does in this mode')
        .choices(['on-demand', 'provisioned'])
        .default('provisioned'),
    )
    .addOption(jsonOption('print the summary as one JSON object, as the last line'))
    .optionsGroup('Faults, to check that nothing is lost or counted twice:')
    .option('--redeliver <share>', 'deliver this share of batches twice, in small batches', share, 0)
    .option(
      '--crash <share>',
      'kill this share of invocations around their commit, in small batches',
      share,
      0,
    )
    .option(
      '--sink-outage <seconds>',
      'take the sink down for this long, from its first batch on',
      seconds,
      0,
    )
    .option(
      '--dead-letter-outage <seconds>',
      'take the dead-letter store down for this long, from its first letter on',
      seconds,
      0,
    )
    .option('--fail <field=value>', 'make the handler throw at records with this value', fieldValue)
    .addOption(
      new Option('--seed <n>', 'repeat the random choices of a run (default: a new seed)').argParser(
        wholeFrom(0),
      ),
    )
    .addHelpText('after', epilogue(EXAMPLES))
    .action(async (options: GivenOptions, command: Command) => {
      refuseContradictions(options, command);
      const { runUp } = await import('./up-run.ts');
      const isTraffic = options.publish && !options.input;
      await runUp({
        ...options,
        rate: options.rate ?? (isTraffic ? TRAFFIC_RATE : Number.POSITIVE_INFINITY),
        poison: options.poison ?? (isTraffic ? TRAFFIC_POISON : 0),
        seed: options.seed ?? newSeed(),
      });
    });
}

function refuseContradictions(
  {
    input,
    publish,
    rate,
    poison,
    crash,
    exitWhenDrained,
    duration,
    collectorPort,
    collectorOrigin,
    pagePort,
    consolePort,
    allowActions,
  }: GivenOptions,
  command: Command,
) {
  const refuse = (problem: string) => command.error(`error: ${problem}`);
  if (!publish && input)
    refuse("options '--no-publish' and '--input' cannot be used together. Leave one out.");
  if (!publish && rate !== undefined)
    refuse("option '--rate' cannot be used with '--no-publish'. Leave one out.");
  if (!publish && poison !== undefined)
    refuse("option '--poison' cannot be used with '--no-publish'. Leave one out.");
  if (crash === 1) refuse("with '--crash 1' no invocation ends, so nothing would ever drain. Give less.");
  if (exitWhenDrained && (collectorPort !== undefined || collectorOrigin))
    refuse(
      "the collector does not run with '--exit-when-drained', because its events never end. Leave one out.",
    );
  if (exitWhenDrained && (consolePort !== undefined || allowActions))
    refuse("no console is served with '--exit-when-drained', because nobody would see it. Leave one out.");
  if (exitWhenDrained && pagePort !== undefined)
    refuse("no page is served with '--exit-when-drained', because nobody would see it. Leave one out.");
  if (exitWhenDrained && publish && !input && duration === undefined) {
    refuse(
      "option '--exit-when-drained' needs an end, and traffic has none. Add --duration, --input or --no-publish.",
    );
  }
}
