import { Command } from 'commander';
import { jsonOption, recordsPerSecond, share, stateOption, wholeFrom } from './options.ts';
import { KAFKA_HELP, kafkaAuthOption, kafkaOption } from './outside-options.ts';
import type { PublishOptions } from './publish-run.ts';
import { REGISTRY_HELP, registryOption } from './registry-option.ts';

const EXAMPLE = `
Examples:
  millrace publish news.pageviews --input access.log.gz
  millrace publish news.pageviews --input access.log.gz --kafka localhost:9092
  zcat pageviews.jsonl.gz | millrace publish news.pageviews --input -

A file holds JSON, one object a line, or, for the topic of the app's demo, what that reads. What breaks the contract is
refused, named by its line, and the rest is published; the exit code is 1 then. It works beside a running "millrace up".
${KAFKA_HELP}
${REGISTRY_HELP}`;

export function publishCommand(): Command {
  return new Command('publish')
    .description("Publishes files to a topic, each value checked by the topic's contract. Consumes nothing.")
    .argument('<topic>', 'the name of a contract, such as news.pageviews')
    .requiredOption('--input <file...>', 'what to publish; "-" is standard input')
    .option('--rate <n>', 'values a second, or "max" (default: max)', recordsPerSecond)
    .option('--poison <share>', 'add this share of records that break the contract', share, 0)
    .option('--seed <n>', 'repeat the poison of another run (default: another one each time)', wholeFrom(0))
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(registryOption())
    .addOption(jsonOption('print the counts as one JSON object'))
    .addHelpText('after', EXAMPLE)
    .action(async (topic: string, options: PublishOptions) => {
      const { runPublish } = await import('./publish-run.ts');
      await runPublish(topic, options);
    });
}
