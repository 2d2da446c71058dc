/** What `millrace doctor` can tell of a laptop, or of a Kafka cluster that it uses. Creates and changes nothing. */
import type { App } from '../runtime/app.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { type Line, linesOf, observe } from '../runtime/doctor/line.ts';
import { measureLag } from './lag.ts';
import type { TopicLog } from './topic-log.ts';

export interface LocalExamination {
  readonly app: Pick<App, 'contracts' | 'consumers'>;
  readonly log: TopicLog;
  readonly groupOf: (consumer: AnyConsumer) => string;
  /** What has to be added to a command so that it looks at the same place. */
  readonly placed: (words: string) => string;
  readonly onProgress: (what: string) => void;
}

export async function examineTopics({
  app: { contracts, consumers },
  log,
  groupOf,
  placed,
  onProgress,
}: LocalExamination): Promise<readonly Line[]> {
  const lines: Line[] = [];
  onProgress('topics');
  for (const contract of contracts) {
    const of = linesOf('topic', contract.name);
    const seen = await observe(() => log.compareTopic(contract));
    if ('problem' in seen) {
      lines.push(of.unknown(seen.problem, 'Check that the brokers can be reached from here, and the login.'));
    } else if (seen.value === null) {
      lines.push(
        of.unknown(
          'There is no such topic yet.',
          `${placed('npx millrace up')} creates it; so does the first publish.`,
        ),
      );
    } else if (seen.value.length > 0) {
      lines.push(
        of.fail(
          `${seen.value.join('; ')}.`,
          "Change the topic with your cluster's tools, or the contract: Millrace changes no topic that exists.",
        ),
      );
    } else lines.push(of.pass('As its contract says.'));
  }
  onProgress('lag');
  for (const consumer of consumers) lines.push(await lagLine(consumer));
  return lines;

  async function lagLine(consumer: AnyConsumer): Promise<Line> {
    const of = linesOf('lag', consumer.name);
    const seen = await observe(() => measureLag(log, consumer, groupOf(consumer)));
    if ('problem' in seen) {
      return of.unknown(seen.problem, 'Check that the brokers can be reached from here, and the login.');
    }
    const { lag, level, warning, incident } = seen.value;
    const evidence = `${lag} messages behind; warning from ${warning}, incident from ${incident}.`;
    return level === 'ok' ? of.pass(evidence) : of.fail(evidence, placed('npx millrace lag --partitions'));
  }
}
