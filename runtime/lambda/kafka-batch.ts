import type { Engine } from '../delivery/engine.ts';
import type { Diagnosis } from '../delivery/failure.ts';
import type { Invocation } from '../delivery/settle.ts';
import { MillraceError } from '../errors.ts';
import { parseKafkaEvent, replayOf } from './kafka-event.ts';

export interface KafkaInvocation extends Invocation {
  /**
   * Whether the event source reads a partial batch response. Lambda does so only in provisioned mode with
   * ReportBatchItemFailures. Elsewhere it takes any return for success, and returned records would be lost.
   */
  readonly partialResponses: boolean;
}

/** Lambda's partial batch response for Kafka; no failures means that all is settled. */
export interface BatchResponse {
  readonly batchItemFailures: readonly {
    readonly itemIdentifier: { readonly partition: string; readonly offset: number };
  }[];
}

/**
 * Settles the records of a Kafka event. When it resolves with no failures, each one is applied, was applied before, or
 * is a durable dead letter (promise 1). If some are not and the event source reads partial responses, it resolves with
 * each of those, as long as any record was settled. Otherwise it rejects, so that the whole batch is delivered again.
 * @throws EVENT_MALFORMED, EVENT_FOREIGN_TOPIC when the event cannot be this consumer's
 * @throws BATCH_INCOMPLETE when time ran out, with what held the batch as its cause
 * @throws whatever the engine's `deliver` throws
 */
export async function settleKafkaEvent(
  event: unknown,
  engine: Pick<Engine, 'topic' | 'deliver'>,
  invocation: KafkaInvocation,
): Promise<BatchResponse> {
  const records = parseKafkaEvent(event, engine.topic);
  const { outcomes, heldBy } = await engine.deliver(records, { ...invocation, replay: replayOf(event) });
  const returned = records.filter((_, at) => outcomes[at] === 'returned');
  if (returned.length > 0 && (!invocation.partialResponses || returned.length === records.length)) {
    throw incomplete(returned.length, records.length, heldBy);
  }
  return {
    batchItemFailures: returned.map(({ topic, partition, offset }) => ({
      itemIdentifier: { partition: `${topic}-${partition}`, offset },
    })),
  };
}

function incomplete(returned: number, delivered: number, heldBy: Diagnosis | null): MillraceError {
  const why = heldBy ? `${heldBy.code} held the batch` : 'the time ran out';
  return new MillraceError(
    'BATCH_INCOMPLETE',
    `${returned} of ${delivered} records are not settled: ${why}. Nothing is lost. The settled records stay settled, ` +
      'and the event source delivers the batch again.',
    { details: { returned, delivered, heldBy: heldBy?.code ?? null }, cause: heldBy?.error },
  );
}
