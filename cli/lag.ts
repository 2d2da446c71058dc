import { Command } from 'commander';
import { type ConsumerLag, type LagLevel, measureLag } from '../local/lag.ts';
import { notedLedger } from '../local/ledger-origin.ts';
import { existingStateFolder, isStateFolder } from '../local/state-folder.ts';
import { openEmbeddedLog, openKafkaTopics } from '../local/topic-log.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { loadApp } from './app.ts';
import { jsonOption, stateOption } from './options.ts';
import { type KafkaOptions, kafkaAuthOption, kafkaOption, storesOptions } from './outside-options.ts';
import { count, printJson, printLine, styled, table } from './terminal.ts';

const EXAMPLE = `
Example:
  millrace lag
  millrace lag --kafka localhost:9092 --state elsewhere
  millrace lag --json | jq '.[] | select(.level != "ok")'

It works beside a running "millrace up" too. On a cluster, "up" consumes as a group of its own, which goes with the ledger in its
sink: its lag is that of --state. Where that folder has not run on the cluster, it is the deployed consumers'.`;

const LEVEL_STYLES = { ok: 'green', warning: 'yellow', incident: 'red' } as const;

export function lagCommand(): Command {
  return new Command('lag')
    .description(
      'Shows how many records each consumer is behind, by partition, and the level that its declaration gives it.',
    )
    .addOption(stateOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(jsonOption('print an array with an object a consumer'))
    .addHelpText('after', EXAMPLE)
    .action(async (options: KafkaOptions & { state: string; json?: true }) => {
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
        else for (const lag of lags) printLag(lag);
      } finally {
        await log.close();
      }
    });
}

/** The level as a word, in its colour. */
export function styledLevel(level: LagLevel): string {
  return styled(LEVEL_STYLES[level], level);
}

function printLag({ consumer, group, topic, lag, level, warning, incident, partitions }: ConsumerLag): void {
  const policy = `warning at ${count(warning)}, incident at ${count(incident)}`;
  printLine(
    `${styled('bold', consumer)} on ${topic}${group === consumer ? '' : ` as ${group}`}: ${count(lag)} behind, ${styledLevel(level)} (${policy})`,
  );
  const rows = partitions.map((each) => [
    String(each.partition),
    each.committed === null ? '-' : count(each.committed),
    count(each.end),
    count(each.lag),
  ]);
  const columns = ['partition', 'committed', 'end', 'lag'].map((title) => ({
    title,
    align: 'right' as const,
  }));
  printLine(rows.length > 0 ? table(columns, rows) : 'Nothing has been published to the topic yet.');
}
