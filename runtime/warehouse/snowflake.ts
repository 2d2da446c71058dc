import { ROWS_PREFIX } from '../archive/names.ts';
import { type WarehouseSubject, warehouseSources } from './project.ts';

export interface SnowflakeAccess {
  readonly bucket: string;
  /** The role of our stack that reads the bucket. */
  readonly roleArn: string;
  /** Fills the raw tables by Snowpipe instead of by COPY INTO. */
  readonly snowpipe: boolean;
}

/**
 * What an administrator of Snowflake runs once, in order, and again when tables are added.
 * https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration (2026-11-27)
 */
export function snowflakeSql(
  subject: WarehouseSubject,
  { bucket, roleArn, snowpipe }: SnowflakeAccess,
): string {
  const sources = warehouseSources(subject);
  // The stage's own: Snowflake refuses a stage that is above what its integration allows.
  const location = `s3://${bucket}/${ROWS_PREFIX}`;
  const pipes = sources.map(
    ({ name, topic }) => `CREATE PIPE IF NOT EXISTS millrace_raw.${name} AUTO_INGEST = TRUE AS
  COPY INTO millrace_raw.${name} (record)
  FROM @millrace_raw.archive/${topic}/
  FILE_FORMAT = (TYPE = JSON, COMPRESSION = GZIP);`,
  );
  return `-- Written by "millrace warehouse sql". Every statement may be run again.

-- 1. A role, a warehouse that sleeps after a minute, and a database.
USE ROLE ACCOUNTADMIN;
CREATE ROLE IF NOT EXISTS millrace;
CREATE WAREHOUSE IF NOT EXISTS millrace
  WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;
CREATE DATABASE IF NOT EXISTS millrace;
CREATE SCHEMA IF NOT EXISTS millrace.millrace_raw;
USE DATABASE millrace;

-- 2. Trust, step one: Snowflake may take the role that reads the bucket.
CREATE STORAGE INTEGRATION IF NOT EXISTS millrace_archive
  TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = '${roleArn}'
  STORAGE_ALLOWED_LOCATIONS = ('${location}');
-- One that was made before, for another bucket or for less.
ALTER STORAGE INTEGRATION millrace_archive SET STORAGE_ALLOWED_LOCATIONS = ('${location}');

-- 3. Trust, step two: put STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID, which this shows, under
--    warehouse.snowflake.integration of the environment in millrace.config.ts, and deploy: the role then trusts Snowflake.
DESC INTEGRATION millrace_archive;

-- 4. The stage, and the raw tables: one JSON column, filled by ${snowpipe ? 'Snowpipe' : 'COPY INTO'}.
CREATE STAGE IF NOT EXISTS millrace_raw.archive
  URL = '${location}' STORAGE_INTEGRATION = millrace_archive
  FILE_FORMAT = (TYPE = JSON COMPRESSION = GZIP);
CREATE TABLE IF NOT EXISTS millrace_raw.loaded_objects (
  source VARCHAR NOT NULL, object VARCHAR NOT NULL, loaded_at TIMESTAMP_NTZ NOT NULL
);
${sources
  .map(
    ({ name }) => `CREATE TABLE IF NOT EXISTS millrace_raw.${name} (
  record VARIANT NOT NULL, object VARCHAR, loaded_at TIMESTAMP_NTZ NOT NULL DEFAULT SYSDATE()
);`,
  )
  .join('\n')}

-- 5. What the role may do, and no more. Name its user in place of MILLRACE_RUNNER; it logs in with a key pair.
GRANT USAGE ON WAREHOUSE millrace TO ROLE millrace;
GRANT USAGE, CREATE SCHEMA ON DATABASE millrace TO ROLE millrace;
GRANT USAGE ON SCHEMA millrace.millrace_raw TO ROLE millrace;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA millrace.millrace_raw TO ROLE millrace;
GRANT USAGE ON STAGE millrace_raw.archive TO ROLE millrace;
GRANT USAGE ON INTEGRATION millrace_archive TO ROLE millrace;
-- GRANT ROLE millrace TO USER MILLRACE_RUNNER;
${
  snowpipe
    ? `
-- 6. Snowpipe. SHOW PIPES gives the queue (notification_channel) that the bucket's notifications of new objects go to.
--    Set millrace_load: snowpipe in dbt_project.yml, so that dbt loads nothing.
${pipes.join('\n')}
SHOW PIPES IN SCHEMA millrace_raw;
`
    : ''
}`;
}
