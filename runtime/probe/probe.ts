import type { SchemaRegistry } from '../contract/registry.ts';
import { reasonOf } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { createPublish } from '../publish/publish.ts';
import type { Producer } from '../topics.ts';
import { probeConsumer, probes } from './pipeline.ts';

/** How far a record came, in milliseconds since it was to be sent; null where it was not seen to. */
export interface ProbeReport {
  readonly probeId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The topic has it. */
  readonly publishedMs: number;
  /** The consumer's ledger counts its offset as settled. */
  readonly settledMs: number | null;
  /** The sink has its row. */
  readonly appliedMs: number | null;
  /** Why the sink could not be read in the end; null where it could, or where something was seen before. */
  readonly unread: string | null;
}

/** What the side that sends a probe threw: it ran, and did not come as far as a report. */
export interface ProbeFailure {
  readonly failure: string;
}

export interface ProbeParts {
  readonly registry: SchemaRegistry;
  readonly producer: Producer;
  readonly clock: Clock;
  /** A UUID. */
  readonly probeId: string;
  /** Runs a statement that only reads on the sink, and gives the columns of its one row in order. */
  readonly read: (sql: string) => Promise<readonly unknown[]>;
  /** How long the record may take to arrive in the sink. */
  readonly patienceMs: number;
  /** Ends the wait early. */
  readonly signal?: AbortSignal;
}

const POLL_MS = 250;

/**
 * Publishes one record to the probe's own topic and follows it to the sink.
 * @throws what publishing throws; nothing for a record that does not arrive, or a sink that cannot be read
 */
export async function runProbe({
  registry,
  producer,
  clock,
  probeId,
  read,
  patienceMs,
  signal,
}: ProbeParts): Promise<ProbeReport> {
  const startedAt = clock.now();
  const sinceMs = () => clock.now() - startedAt;
  const publish = createPublish(probes, { registry, producer });
  const { published } = await publish([{ probeId, sentAt: startedAt }]);
  const { partition, offset } = published[0]!;
  const publishedMs = sinceMs();
  const sql = arrivalQuery(probeId, partition, offset);
  let settledMs: number | null = null;
  let appliedMs: number | null = null;
  let unread: string | null = null;
  for (;;) {
    try {
      const [isSettled, isApplied] = await read(sql);
      unread = null;
      if (isSettled === true) settledMs ??= sinceMs();
      if (isApplied === true) appliedMs ??= sinceMs();
    } catch (error) {
      // The record is in the topic: a look that fails, as while a database wakes, is no reason to forget that.
      unread = reasonOf(error instanceof Error ? error : new Error(String(error)));
    }
    const isThrough = settledMs !== null && appliedMs !== null;
    if (isThrough || sinceMs() >= patienceMs || signal?.aborted) break;
    await clock.sleep(POLL_MS);
  }
  if (settledMs !== null || appliedMs !== null) unread = null;
  return { probeId, topic: probes.name, partition, offset, publishedMs, settledMs, appliedMs, unread };
}

/** Without parameters, so that every way of asking takes it: the values are a UUID and two numbers. */
function arrivalQuery(probeId: string, partition: number, offset: number): string {
  const { name, epoch, topic } = probeConsumer;
  const ledger = `consumer = '${name}' AND epoch = ${epoch} AND topic = '${topic.name}' AND partition = ${partition}`;
  return `
    SELECT
      EXISTS (SELECT FROM millrace_ledger WHERE ${ledger} AND first <= ${offset} AND next > ${offset})
        AND NOT EXISTS (SELECT FROM millrace_ledger_hole WHERE ${ledger} AND offsets @> ${offset}::bigint) AS settled,
      EXISTS (SELECT FROM millrace_probe WHERE probe_id = '${probeId.replaceAll("'", '')}') AS applied`;
}
