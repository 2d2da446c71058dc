// Generated from v1.avsc by `millrace contracts generate`. Do not edit.
import type { ContractVersion } from 'millrace';

/** What a sensor measured. */
export interface Reading {
  readonly sensorId: string;
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  readonly measuredAt: number;
  readonly celsius: number;
}

/** Every version, oldest first: its schema, and the text of its file. */
export const versions = [
  `{
  "type": "record",
  "name": "Reading",
  "namespace": "greenhouse",
  "doc": "What a sensor measured.",
  "fields": [
    { "name": "sensorId", "type": "string" },
    { "name": "measuredAt", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "celsius", "type": "double" }
  ]
}
`,
].map(
  (definition, index): ContractVersion => ({
    version: index + 1,
    schema: JSON.parse(definition),
    definition,
  }),
);
