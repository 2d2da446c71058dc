/** What `millrace doctor` can tell of a laptop, or of a Kafka cluster that it uses. Creates and changes nothing. */
import type { App } from '../runtime/app.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { type Line, linesOf, observe } from '../runtime/doctor/line.ts';
import type { ConsumerStatus, LagVerdict } from '../runtime/lag/status.ts';
import type { Clock } from '../runtime/ports.ts';
import { watchLag } from './lag.ts';
import type { TopicLog } from './topic-log.ts';

export interface LocalExamination {
  readonly app: Pick<App, 'contracts' | 'consumers'>;
  readonly log: TopicLog;
  readonly clock: Clock;
  readonly groupOf: (consumer: AnyConsumer) => string;
  /** Whether those are the groups of `millrace up`. */
  readonly isOwn: boolean;
  /** What has to be added to a command so that it looks at the same place. */
  readonly placed: (words: string) => string;
  readonly onProgress: (what: string) => void;
}

export async function examineTopics({
  app: { contracts, consumers },
  log,
  clock,
  groupOf,
  isOwn,
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
  const watch = watchLag({
    log,
    clock,
    consumers: () => consumers.map((consumer) => ({ declared: consumer, runs: consumer })),
    groupOf,
    deadLetters: async () => null,
    parked: async () => null,
    runner: () => undefined,
    commitsBeginning: isOwn,
  });
  const statuses = new Map((await watch.look()).map((status) => [status.consumer, status]));
  for (const { name } of consumers) lines.push(lagLine(statuses.get(name)!));
  return lines;

  function lagLine(status: ConsumerStatus): Line {
    const { consumer, verdict, lag, warning, incident, evidence } = status;
    const of = linesOf('lag', consumer);
    const [why = ''] = evidence;
    if (verdict === 'UNKNOWN' || lag === null)
      return of.unknown(why, 'Check that the brokers can be reached from here, and the login.');
    const behind = `${lag} messages behind; warning from ${warning}, incident from ${incident}.`;
    if (SOUND.includes(verdict) && lag < incident) return of.pass(behind);
    return of.fail(`${verdict}: ${why} ${behind}`, placed(`npx millrace lag explain ${consumer}`));
  }
}

const SOUND: readonly LagVerdict[] = ['OK', 'IDLE', 'RECOVERING'];
