import { Command } from 'commander';
import { jsonOption, recordsPerSecond, share, stateOption, wholeFrom } from './options.ts';
import { KAFKA_HELP, kafkaAuthOption, kafkaOption } from './outside-options.ts';
import type { PublishOptions } from './publish-run.ts';
import { REGISTRY_HELP, registryOption } from './registry-option.ts';
import { epilogue } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace publish news.pageviews --input access.log.gz
  millrace publish news.pageviews --input access.log.gz --kafka localhost:9092
  zcat pageviews.jsonl.gz | millrace publish news.pageviews --input -

A file holds one JSON object a line. For the topic of the app's demo it may also
hold what the demo reads. Millrace refuses a value that breaks the contract, names
its line, publishes the rest and ends with exit code 1. It works beside a running
"millrace up".
${KAFKA_HELP}
${REGISTRY_HELP}`;

export function publishCommand(): Command {
  return new Command('publish')
    .description("Publishes files to a topic, each value checked by the topic's contract. Consumes nothing.")
    .argument('<topic>', 'the name of a contract, such as news.pageviews')
    .requiredOption('--input <file...>', 'the files to publish; "-" is standard input')
    .option('--rate <n>', 'values a second, or "max" (default: max)', recordsPerSecond)
    .option('--poison <share>', 'add this share of records that break the contract', share, 0)
    .option('--seed <n>', 'repeat the poison of another run (default: a new seed)', wholeFrom(0))
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption())
    .addOption(jsonOption('print the counts as one JSON object'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (topic: string, options: PublishOptions) => {
      const { runPublish } = await import('./publish-run.ts');
      await runPublish(topic, options);
    });
}
