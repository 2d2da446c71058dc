import { Command } from 'commander';
import { measureLag } from '../local/lag.ts';
import { notedLedger } from '../local/ledger-origin.ts';
import { existingStateFolder, isStateFolder } from '../local/state-folder.ts';
import { openEmbeddedLog, openKafkaTopics } from '../local/topic-log.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { loadApp } from './app.ts';
import { lagLines } from './lag-view.ts';
import { jsonOption, stateOption } from './options.ts';
import { type KafkaOptions, kafkaAuthOption, kafkaOption, storesOptions } from './outside-options.ts';
import { epilogue, printJson, printLine } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace lag
  millrace lag --partitions
  millrace lag --kafka localhost:9092 --state elsewhere
  millrace lag --json | jq '.[] | select(.level != "ok")'

It works beside a running "millrace up". On a cluster, "up" consumes as a group
of its own, which belongs to the sink's ledger: its lag is that of --state. If
that folder has never run on the cluster, "lag" shows the deployed consumers.`;

export function lagCommand(): Command {
  return new Command('lag')
    .description(
      'Shows how many records each consumer is behind, the worst first, and what its declaration calls that.',
    )
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .option('--partitions', 'show every partition, not only those that are behind')
    .addOption(jsonOption('print an array with an object a consumer'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (options: KafkaOptions & { state: string; partitions?: true; json?: true }) => {
      const { consumers } = await loadApp();
      const { kafka } = storesOptions(options);
      const log = await (kafka
        ? openKafkaTopics(kafka)
        : openEmbeddedLog(existingStateFolder(options.state)));
      try {
        // A cluster has all that a lag is made of: without a folder that ran on it, the groups are the deployed consumers'.
        const ledger =
          kafka && isStateFolder(options.state)
            ? await notedLedger(existingStateFolder(options.state), log)
            : undefined;
        const groupOf = ({ name }: AnyConsumer) => (ledger === undefined ? name : log.groupOf(name, ledger));
        const lags = await Promise.all(
          consumers.map((consumer) => measureLag(log, consumer, groupOf(consumer))),
        );
        if (options.json) printJson(lags);
        else for (const line of lagLines(lags, options.partitions === true)) printLine(line);
      } finally {
        await log.close();
      }
    });
}
