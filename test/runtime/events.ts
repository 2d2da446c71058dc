/** A contract and records of it, as small as they can be. */
import avsc from 'avsc';
import { defineTopic } from '../../runtime/contract/contract.ts';
import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import type { RawRecord } from '../../runtime/record.ts';

export interface Event {
  readonly id: string;
}

const SCHEMA = { type: 'record', name: 'Event', fields: [{ name: 'id', type: 'string' }] } as const;
const type = avsc.Type.forSchema(SCHEMA as never);

export const EVENT_SCHEMA_ID = '00112233-4455-6677-8899-aabbccddeeff';
const FRAME = Buffer.from(`0300${EVENT_SCHEMA_ID.replaceAll('-', '')}`, 'hex');

export const events = defineTopic<Event>({
  name: 'world.events',
  owner: 'tests',
  key: 'id',
  versions: [{ version: 1, schema: SCHEMA }],
});

export const eventRegistry: SchemaRegistry = {
  schemaById: async (id) => (id === EVENT_SCHEMA_ID ? SCHEMA : undefined),
  latestId: async () => EVENT_SCHEMA_ID,
};

/** An event with the id `partition/offset`, later than the ones before it. */
export function eventRecord(partition: number, offset: number, fields: Partial<RawRecord> = {}): RawRecord {
  const id = `${partition}/${offset}`;
  return {
    topic: events.name,
    partition,
    offset,
    timestamp: 1_000_000 + offset * 10,
    timestampType: 'CREATE_TIME',
    key: Buffer.from(id),
    value: Buffer.concat([FRAME, type.toBuffer({ id })]),
    headers: [],
    ...fields,
  };
}
