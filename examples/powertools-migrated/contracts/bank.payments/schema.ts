// Generated from v1.avsc by `millrace contracts generate`. Do not edit.
import type { ContractVersion } from 'millrace';

/** A payment that was booked. It never changes. */
export interface Payment {
  readonly paymentId: string;
  readonly accountId: string;
  /** Negative when money leaves the account. */
  readonly cents: number;
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  readonly bookedAt: number;
}

/** Every version, oldest first: its schema, and the text of its file. */
export const versions = [
  `{
  "type": "record",
  "name": "Payment",
  "namespace": "bank",
  "doc": "A payment that was booked. It never changes.",
  "fields": [
    { "name": "paymentId", "type": "string" },
    { "name": "accountId", "type": "string" },
    { "name": "cents", "type": "long", "doc": "Negative when money leaves the account." },
    { "name": "bookedAt", "type": { "type": "long", "logicalType": "timestamp-millis" } }
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
