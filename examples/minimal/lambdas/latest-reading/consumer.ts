import { defineConsumer } from 'millrace';
import { readings } from '../../contracts/greenhouse.readings/topic.ts';

/** The newest reading of each sensor. A late redrive changes nothing, as the newest reading wins: it may apply overtaken letters. */
export const latestReading = defineConsumer({
  name: 'latest-reading',
  topic: readings,
  sink: 'postgres',
  onOvertaken: 'apply',
  migrations: [
    {
      name: '0001-latest-reading',
      sql: `CREATE TABLE latest_reading (
        sensor_id text PRIMARY KEY, measured_at timestamptz NOT NULL, celsius double precision NOT NULL)`,
    },
  ],
  async handle(records, { tx }) {
    await tx.query(
      `INSERT INTO latest_reading AS latest
       SELECT DISTINCT ON (sensor_id) sensor_id, to_timestamp(measured_at / 1000.0), celsius
       FROM unnest($1::text[], $2::bigint[], $3::float8[]) AS reading (sensor_id, measured_at, celsius)
       ORDER BY sensor_id, measured_at DESC
       ON CONFLICT (sensor_id) DO UPDATE SET measured_at = excluded.measured_at, celsius = excluded.celsius
       WHERE latest.measured_at < excluded.measured_at`,
      [
        records.map(({ value }) => value.sensorId),
        records.map(({ value }) => value.measuredAt),
        records.map(({ value }) => value.celsius),
      ],
    );
  },
});
