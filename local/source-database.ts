/** The database whose tables are captured, as `millrace capture` meets it. */
import pg from 'pg';
import { readSourceFacts } from '../adapters/postgres/source-facts.ts';
import type { SourceFacts } from '../runtime/capture/check.ts';
import { CAPTURE_SCHEMA, type CapturedDatabase } from '../runtime/capture/database.ts';
import type { CaptureSignal } from '../runtime/capture/signal.ts';
import type { CapturedTable } from '../runtime/capture/table.ts';
import { MillraceError } from '../runtime/errors.ts';

export interface SourceDatabase {
  facts(database: CapturedDatabase, tables: readonly CapturedTable[], role: string): Promise<SourceFacts>;
  /** Hands the signal over; the connector meets it in the log. */
  signal(signal: CaptureSignal): Promise<void>;
  /** How many chunks of snapshots the connector has read since it was first asked here. */
  chunksSince(seen: number): Promise<number>;
  close(): Promise<void>;
}

const CONNECT_MS = 10_000;

/** @throws INPUT_INVALID where no database answers at the URL */
export async function connectSource(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    application_name: 'millrace',
  });
  // pg would end the process for a connection that breaks between two queries; the next query tells.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    throw refused(error as Error);
  }
  return client;
}

/** @throws INPUT_INVALID where no database answers at the URL */
export async function openSourceDatabase(url: string): Promise<SourceDatabase> {
  const client = await connectSource(url);
  const chunks = async () => {
    const { rows } = await client.query<{ readonly chunks: number }>(
      `SELECT count(*)::int AS chunks FROM ${CAPTURE_SCHEMA}.signal WHERE type = 'snapshot-window-close'`,
    );
    return rows[0]?.chunks ?? 0;
  };
  return {
    facts: (database, tables, role) =>
      readSourceFacts(
        {
          query: async <Row>(sql: string, values: readonly unknown[] = []) => {
            const { rows } = await client.query(sql, [...values]);
            return { rows: rows as Row[] };
          },
        },
        database,
        tables,
        role,
      ),
    async signal({ id, type, data }) {
      await client
        .query(`INSERT INTO ${CAPTURE_SCHEMA}.signal (id, type, data) VALUES ($1, $2, $3)`, [id, type, data])
        .catch((error: Error) => {
          throw new MillraceError(
            'CAPTURE_REFUSED',
            `The signal was not written to ${CAPTURE_SCHEMA}.signal: ${error.message}. Run "npx millrace capture check" with the same --source.`,
            { cause: error },
          );
        });
    },
    chunksSince: async (seen) => (await chunks()) - seen,
    close: () => client.end(),
  };
}

/** pg names host, port, user or database; never the password. */
function refused(cause: Error): MillraceError {
  const { message } = cause instanceof AggregateError ? (cause.errors[0] as Error) : cause;
  return new MillraceError(
    'INPUT_INVALID',
    `The database of --source did not answer: ${message}. Check host, port, user and database of the URL; the password may be in PGPASSWORD.`,
    { cause },
  );
}
