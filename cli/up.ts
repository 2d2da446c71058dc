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
import { KAFKA_HELP, kafkaAuthOption, kafkaOption, postgresOption } from './outside-options.ts';
import { REGISTRY_HELP, registryOption } from './registry-option.ts';
import { newSeed } from './seeds.ts';
import type { UpOptions } from './up-run.ts';

const EXAMPLES = `
Examples:
  millrace up                                          traffic at 200 values a second, a few records bad
  millrace up --rate 5000 --poison 0.01                more of both
  millrace up --input access.log.gz --exit-when-drained --json --fresh
  millrace up --input access.log.gz --redeliver 0.3 --crash 0.1 --sink-outage 2
  millrace up --input access.log.gz --fail contentId=/about --exit-when-drained
  millrace up --kafka localhost:9092 --postgres postgres://me@localhost/news

An input holds JSON, one value a line, or what the app's demo reads: for the newsroom, a web server's access log.
An app without a demo publishes generated values of all its contracts.
While it runs it takes events by HTTP, too; not with --exit-when-drained, where the end of the input is the end.
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
      'Runs the whole pipeline on this machine: publishes, consumes into PostgreSQL, and shows what happens.\nCtrl-C drains what is published and sums up; what is not drained comes in the next run.',
    )
    .option('--input <file...>', 'publish these files, once, instead of traffic; "-" is standard input')
    .option('--no-publish', 'only consume what the topics hold already')
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
      'pages of these origins may send events to it; "*" is all',
      webOrigin,
    )
    .option('--exit-when-drained', 'end when all is published and consumed')
    .option('--duration <seconds>', 'publish for this long, then drain and end', seconds)
    .addOption(stateOption())
    .option('--fresh', 'clear the state folder first')
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption())
    .addOption(postgresOption())
    .addOption(jsonOption('print the summary as one JSON object, as the last line'))
    .optionsGroup('Faults, to see that nothing is lost or counted twice:')
    .option('--redeliver <share>', 'deliver this share of batches twice; batches are then small', share, 0)
    .option('--crash <share>', 'let this share of invocations die around their commit; likewise', share, 0)
    .option('--sink-outage <seconds>', 'the sink is down for this long, from its first batch on', seconds, 0)
    .option(
      '--dead-letter-outage <seconds>',
      'the dead-letter store is down for this long, from its first letter on',
      seconds,
      0,
    )
    .option('--fail <field=value>', 'the handler throws at records like this: a bug, for good', fieldValue)
    .addOption(
      new Option('--seed <n>', 'repeat the randomness of a run (default: another one each time)').argParser(
        wholeFrom(0),
      ),
    )
    .addHelpText('after', EXAMPLES)
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
  }: GivenOptions,
  command: Command,
) {
  const refuse = (problem: string) => command.error(`error: ${problem}`);
  if (!publish && input)
    refuse("options '--no-publish' and '--input' cannot be used together. Leave one out.");
  if (!publish && rate !== undefined)
    refuse("option '--rate' sets how fast to publish, which '--no-publish' rules out.");
  if (!publish && poison !== undefined)
    refuse("option '--poison' publishes, which '--no-publish' rules out.");
  if (crash === 1)
    refuse("option '--crash' at 1 lets no invocation end, so nothing would ever drain. Give less.");
  if (exitWhenDrained && (collectorPort !== undefined || collectorOrigin))
    refuse("the collector does not run with '--exit-when-drained': its events have no end. Leave one out.");
  if (exitWhenDrained && publish && !input && duration === undefined) {
    refuse(
      "option '--exit-when-drained' needs an end, and traffic has none. Add --duration, --input or --no-publish.",
    );
  }
}
