import type { RawRecord } from '../../runtime/record.ts';

/**
 * The records that a function reports as failed: `{batchItemFailures: [{itemIdentifier: {partition:
 * '<topic>-<n>', offset}}]}`. An empty response or list means that none has. Null where the response cannot be
 * honoured, because it has another form or names a record that was not in the batch: the whole batch has failed then.
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html#kafka-partial-batch-response
 * (2026-11-24)
 */
export function reportedFailures(
  response: unknown,
  records: readonly RawRecord[],
): readonly RawRecord[] | null {
  if (response === null || response === undefined) return [];
  if (!isObject(response)) return null;
  const failures = response.batchItemFailures ?? [];
  if (!Array.isArray(failures)) return null;
  if (failures.length === 0) return [];

  const delivered = new Map(records.map((record) => [itemKey(record), record]));
  const failed = new Set<RawRecord>();
  for (const failure of failures) {
    const identifier = isObject(failure) ? failure.itemIdentifier : undefined;
    if (!isObject(identifier) || typeof identifier.offset !== 'number') return null;
    const record = delivered.get(`${identifier.partition}/${identifier.offset}`);
    if (!record) return null;
    failed.add(record);
  }
  return records.filter((record) => failed.has(record));
}

function itemKey({ topic, partition, offset }: RawRecord): string {
  return `${topic}-${partition}/${offset}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
