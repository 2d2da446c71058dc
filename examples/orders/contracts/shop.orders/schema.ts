// Generated from v1.avsc by `millrace contracts generate`. Do not edit.
import type { ContractVersion } from 'millrace';

/** An order as it stands after a change. Every change sends the whole order again. */
export interface Order {
  readonly orderId: string;
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  readonly changedAt: number;
  readonly customer: Customer;
  readonly lines: readonly Line[];
}

export interface Customer {
  readonly customerId: string;
  /** ISO 3166-1 alpha-2. */
  readonly country: string;
}

export interface Line {
  readonly productId: string;
  readonly quantity: number;
  readonly unitCents: number;
}

/** Every version, oldest first: its schema, and the text of its file. */
export const versions = [
  `{
  "type": "record",
  "name": "Order",
  "namespace": "shop",
  "doc": "An order as it stands after a change. Every change sends the whole order again.",
  "fields": [
    { "name": "orderId", "type": "string" },
    { "name": "changedAt", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "customer", "type": {
      "type": "record",
      "name": "Customer",
      "fields": [
        { "name": "customerId", "type": "string" },
        { "name": "country", "type": "string", "doc": "ISO 3166-1 alpha-2." }
      ]
    } },
    { "name": "lines", "type": { "type": "array", "items": {
      "type": "record",
      "name": "Line",
      "fields": [
        { "name": "productId", "type": "string" },
        { "name": "quantity", "type": "int" },
        { "name": "unitCents", "type": "long" }
      ]
    } } }
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
