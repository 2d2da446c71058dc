import type { CapturedTable } from './table.ts';

/** A row of the signal table, which the connector reads from the log as it reads any other. */
export interface CaptureSignal {
  readonly id: string;
  readonly type: string;
  readonly data: string;
}

/**
 * Asks for the rows of a table as they are now, or for those that a condition names, beside the changes that go on.
 * https://debezium.io/documentation/reference/3.6/connectors/postgresql.html#postgresql-incremental-snapshots (2026-11-27)
 */
export function snapshotSignal({ schema, table }: CapturedTable, id: string, where?: string): CaptureSignal {
  const name = `${schema}.${table}`;
  return {
    id,
    type: 'execute-snapshot',
    data: JSON.stringify({
      type: 'incremental',
      'data-collections': [name],
      ...(where !== undefined && {
        'additional-conditions': [{ 'data-collection': name, filter: where }],
      }),
    }),
  };
}
