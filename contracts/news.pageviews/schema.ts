// Generated from v1.avsc, v2.avsc by `millrace contracts generate`. Do not edit.
import type { ContractVersion } from 'millrace';

/** One reader looking at one page. */
export interface Pageview {
  /** Unique to this pageview; the same however often it is sent. */
  readonly eventId: string;
  /** What was read. The topic's key: one article's pageviews stay in order. */
  readonly contentId: string;
  /** One visit of one reader. */
  readonly sessionId: string;
  /** Null where the reader is not signed in. */
  readonly userId: string | null;
  /** The page's address, without the fragment. */
  readonly url: string;
  /** The page the reader came from, null where unknown. */
  readonly referrer: string | null;
  /** The part of the site, such as politics or sport. */
  readonly section: string;
  readonly device: Device;
  /** Where the reader was: ISO 3166-1 alpha-2, null where unknown. */
  readonly country: string | null;
  /** When the page was opened. Milliseconds since 1970-01-01T00:00:00Z. */
  readonly occurredAt: number;
  /** Milliseconds the page was open and in use. */
  readonly engagedMs: number;
}

/** What the page was read on. */
export type Device = 'DESKTOP' | 'PHONE' | 'TABLET' | 'TV' | 'OTHER';

/** Every version, oldest first: its schema, and the text of its file. */
export const versions = [
  `{
  "type": "record",
  "name": "Pageview",
  "namespace": "news",
  "doc": "One reader looking at one page.",
  "fields": [
    { "name": "eventId", "type": "string", "doc": "Unique to this pageview; the same however often it is sent." },
    { "name": "contentId", "type": "string", "doc": "What was read. The topic's key: one article's pageviews stay in order." },
    { "name": "sessionId", "type": "string", "doc": "One visit of one reader." },
    { "name": "userId", "type": ["null", "string"], "default": null, "doc": "Null where the reader is not signed in." },
    { "name": "url", "type": "string", "doc": "The page's address, without the fragment." },
    { "name": "referrer", "type": ["null", "string"], "default": null, "doc": "The page the reader came from, null where unknown." },
    { "name": "section", "type": "string", "doc": "The part of the site, such as politics or sport." },
    {
      "name": "device",
      "type": {
        "type": "enum",
        "name": "Device",
        "doc": "What the page was read on.",
        "symbols": ["DESKTOP", "PHONE", "TABLET", "OTHER"],
        "default": "OTHER"
      },
      "default": "OTHER"
    },
    { "name": "occurredAt", "type": { "type": "long", "logicalType": "timestamp-millis" }, "doc": "When the page was opened." },
    { "name": "engagedMs", "type": "int", "doc": "Milliseconds the page was open and in use." }
  ]
}
`,
  `{
  "type": "record",
  "name": "Pageview",
  "namespace": "news",
  "doc": "One reader looking at one page.",
  "fields": [
    { "name": "eventId", "type": "string", "doc": "Unique to this pageview; the same however often it is sent." },
    { "name": "contentId", "type": "string", "doc": "What was read. The topic's key: one article's pageviews stay in order." },
    { "name": "sessionId", "type": "string", "doc": "One visit of one reader." },
    { "name": "userId", "type": ["null", "string"], "default": null, "doc": "Null where the reader is not signed in." },
    { "name": "url", "type": "string", "doc": "The page's address, without the fragment." },
    { "name": "referrer", "type": ["null", "string"], "default": null, "doc": "The page the reader came from, null where unknown." },
    { "name": "section", "type": "string", "doc": "The part of the site, such as politics or sport." },
    {
      "name": "device",
      "type": {
        "type": "enum",
        "name": "Device",
        "doc": "What the page was read on.",
        "symbols": ["DESKTOP", "PHONE", "TABLET", "TV", "OTHER"],
        "default": "OTHER"
      },
      "default": "OTHER"
    },
    { "name": "country", "type": ["null", "string"], "default": null, "doc": "Where the reader was: ISO 3166-1 alpha-2, null where unknown." },
    { "name": "occurredAt", "type": { "type": "long", "logicalType": "timestamp-millis" }, "doc": "When the page was opened." },
    { "name": "engagedMs", "type": "int", "doc": "Milliseconds the page was open and in use." }
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
