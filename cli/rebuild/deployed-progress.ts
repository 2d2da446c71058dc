/** A candidate on AWS and the live generation, side by side: what the commands about them share. */
import type { Operator } from '../../adapters/aws/operator-client.ts';
import type { DeployedGeneration } from '../../adapters/aws/rebuilding.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { AuditEntry } from '../../runtime/dead-letters/audit-log.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Clock } from '../../runtime/ports.ts';
import { type Generation, type GenerationStore, generationName } from '../../runtime/replay/generation.ts';
import { type Ledgers, type OldestOffsets, partitionsBehind } from '../../runtime/replay/promotion.ts';
import { partitionsOf } from '../../runtime/topics.ts';
import { CommandFailed } from '../command-failed.ts';
import { hint } from '../hints.ts';
import type { Interrupts } from '../interrupts.ts';
import { count, printNote } from '../terminal.ts';

/** An environment's generations of one consumer, and who asks. */
export interface DeployedSession {
  readonly env: string;
  readonly consumer: AnyConsumer;
  /** What tells the project's code from others. */
  readonly code: string;
  /** Which generations the settings run, the live one first. */
  readonly inSettings: readonly number[];
  readonly store: GenerationStore;
  readonly operator: Pick<Operator, 'ledgers'> & {
    readonly log: Pick<Operator['log'], 'partitions' | 'bounds'>;
  };
  readonly clock?: Clock;
  deployed(number: number): Promise<DeployedGeneration | null>;
  /** Does something with an entry in the audit log of the generation that is live. */
  audited<Result extends Readonly<Record<string, unknown>>>(
    entry: Pick<AuditEntry, 'id' | 'action' | 'plan'>,
    live: number,
    act: () => Promise<Result>,
  ): Promise<Result>;
}

const LOOK_MS = 5_000;
const INTERRUPTED = 130;

export function liveIn(all: readonly Generation[]): Generation {
  return all.find(({ state }) => state === 'live')!;
}

export interface Progress {
  /** Offsets that the live one has and the candidate has not. */
  readonly behind: number;
  readonly total: number;
  readonly isCaughtUp: boolean;
}

export async function look(
  session: DeployedSession,
  all: readonly Generation[],
  number: number,
): Promise<Progress> {
  const { consumer, operator } = session;
  const ledgersOf = async (of: number): Promise<Ledgers> => {
    const { epoch, topic } = consumer;
    const owner = { consumer: generationName(consumer.name, of), epoch, topic: topic.name };
    return new Map((await operator.ledgers.read(owner)).map((each) => [each.partition, each]));
  };
  const oldest = await oldestOf(session);
  // The candidate first: what it then lacks of the live one is never too little.
  const candidate = await ledgersOf(number);
  const live = await ledgersOf(liveIn(all).number);
  const missing = partitionsBehind(live, candidate, oldest);
  const start = (partition: number) => oldest.get(partition) ?? 0;
  return {
    behind: missing.reduce(
      (sum, each) => sum + each.live - Math.max(each.candidate ?? 0, start(each.partition)),
      0,
    ),
    total: [...live].reduce(
      (sum, [partition, { next }]) => sum + Math.max(0, (next ?? 0) - start(partition)),
      0,
    ),
    isCaughtUp: missing.length === 0,
  };
}

/** Retention may have emptied a partition, which is then not behind. */
export async function oldestOf({ consumer, operator: { log } }: DeployedSession): Promise<OldestOffsets> {
  const topic = consumer.topic.name;
  const partitions = await partitionsOf(log, topic);
  const starts = partitions.map(
    async (partition) => [partition, (await log.bounds({ topic, partition })).start] as const,
  );
  return new Map(await Promise.all(starts));
}

export async function watch(
  session: DeployedSession,
  all: readonly Generation[],
  number: number,
  interrupts: Interrupts,
): Promise<void> {
  const { env, consumer, clock = systemClock } = session;
  let interrupted = false;
  interrupts.first.then(() => {
    interrupted = true;
  });
  try {
    for (;;) {
      const { behind, total, isCaughtUp } = await look(session, all, number);
      if (isCaughtUp) return;
      const share = Math.floor((100 * (total - behind)) / Math.max(1, total));
      printNote(`${count(behind)} of ${count(total)} records behind the live tables (${share}% done)`);
      await Promise.race([clock.sleep(LOOK_MS), interrupts.first]);
      if (!interrupted) continue;
      printNote(
        `No longer watched; Lambda goes on. To watch again: ${hint(['rebuild', consumer.name], { env })}`,
      );
      throw new CommandFailed(INTERRUPTED);
    }
  } finally {
    interrupts.ignore();
  }
}
