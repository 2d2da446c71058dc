/**
 * A pipeline of Millrace's own, to see that one works: a topic, a consumer and a table that no user's data is in. Declared as
 * any other, so that whatever it goes through, users' records go through.
 */
import { type Contract, defineTopic } from '../contract/contract.ts';
import { type AnyConsumer, defineConsumer } from '../delivery/consumer.ts';

export interface Probe {
  readonly probeId: string;
  readonly sentAt: number;
}

const DAY_MS = 24 * 60 * 60 * 1_000;

export const probes: Contract<Probe> = defineTopic<Probe>({
  name: 'millrace.probe',
  owner: 'Millrace',
  key: 'probeId',
  // One record at a time, and one poller for it.
  partitions: 1,
  retentionMs: DAY_MS,
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Probe',
        namespace: 'millrace',
        fields: [
          { name: 'probeId', type: 'string' },
          { name: 'sentAt', type: { type: 'long', logicalType: 'timestamp-millis' } },
        ],
      },
    },
  ],
});

export const probeConsumer: AnyConsumer = defineConsumer({
  name: 'millrace-probe',
  topic: probes,
  sink: 'postgres',
  migrations: [
    {
      name: '0001-probe',
      sql: `
        CREATE TABLE millrace_probe (
          probe_id text PRIMARY KEY,
          sent_at timestamptz NOT NULL,
          handled_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        COMMENT ON TABLE millrace_probe IS 'What millrace doctor --probe sent in the last day, as its consumer applied it'`,
    },
  ],
  async handle(records, { tx }) {
    await tx.query("DELETE FROM millrace_probe WHERE handled_at < now() - interval '1 day'");
    await tx.query(
      `INSERT INTO millrace_probe (probe_id, sent_at)
       SELECT id, to_timestamp(at / 1000.0) FROM unnest($1::text[], $2::bigint[]) AS probe (id, at)
       ON CONFLICT DO NOTHING`,
      [
        records.flatMap(({ value }) => value?.probeId ?? []),
        records.flatMap(({ value }) => value?.sentAt ?? []),
      ],
    );
  },
}) as AnyConsumer;

/** How names of users' topics and consumers do not begin. */
export const RESERVED = { topic: 'millrace.', consumer: 'millrace-probe' };
