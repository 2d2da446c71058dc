/** What `millrace capture plugin` builds and MSK Connect runs: Debezium, and the class that logs in with a token of IAM. */

/** A zip of jars, as Maven knows it. */
export const DEBEZIUM_PLUGIN = 'io.debezium:debezium-connector-postgres:3.6.1.Final:tar.gz:plugin';

/** Finds the credentials of the connector's role, wherever MSK Connect has them. */
export const CREDENTIALS_LIBRARY = 'software.amazon.awssdk:auth:2.32.25';

/**
 * Debezium's version, and a number for what we add (connect/). A deployed connector keeps the one it was made with until
 * somebody takes the next in two deployments: docs/capture-on-aws.md.
 */
export const PLUGIN_VERSION = '3.6.1.Final-1';

/** Its file, in node_modules/.cache of the project. */
export const PLUGIN_FILE = `millrace-connector-${PLUGIN_VERSION}.zip`;

/** How pgjdbc logs in (connect/). Debezium hands properties that begin with `driver.` to it. */
export function iamLogin(region: string): Readonly<Record<string, string>> {
  return {
    'driver.authenticationPluginClassName': 'millrace.connect.RdsIamLogin',
    'driver.millrace.region': region,
    // RDS takes tokens over TLS only. The authorities that sign its servers are in no Java runtime.
    'database.sslmode': 'require',
  };
}
