import Client from 'pg/lib/client.js';
import { PORTS } from '../../runtime/deployment.ts';
import { keptConnection } from '../postgres/kept-connection.ts';
import { pgDriver } from '../postgres/pg-driver.ts';
import type { SqlDriver } from '../postgres/sql-driver.ts';

// An Aurora cluster that has paused takes about 15 seconds to wake, and after a day 30 or longer:
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-auto-pause.html (2026-11-26). An
// invocation that has less time left stops waiting by itself; the database goes on waking.
const CONNECT_TIMEOUT_MS = 40_000;

export interface RdsAddress {
  readonly host: string;
  readonly database: string;
  /** A database role that has `rds_iam`. */
  readonly user: string;
  readonly region: string;
}

/**
 * PostgreSQL on RDS, its proxy or Aurora: TLS with the server's certificate checked, and a token of the function's own
 * role in place of a password, made anew for each connection.
 * Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html (read 2026-11-24).
 */
export function connectToRds({ host, database, user, region }: RdsAddress): SqlDriver {
  // From the start on: a function that starts has more of the processor than one that works.
  const signer = import('#rds').then(
    ({ Signer }) => new Signer({ hostname: host, port: PORTS.database, username: user, region }),
  );
  // Heard by whoever connects first.
  signer.catch(() => {});
  return pgDriver(
    keptConnection(
      () =>
        new Client({
          host,
          port: PORTS.database,
          database,
          user,
          password: async () => (await signer).getAuthToken(),
          ssl: { rejectUnauthorized: true },
          connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
          keepAlive: true,
        }),
    ),
  );
}
