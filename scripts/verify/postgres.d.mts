/** What tests use of it: those that take the server down have one of their own. */
import type { Processes } from './processes.mjs';

export interface PostgresServer {
  readonly url: string;
  /** The path of it, where the server is like RDS. */
  readonly certificate?: string;
  readonly version: string;
  start(): Promise<void>;
  crash(): Promise<void>;
  restart(): Promise<void>;
}

export declare function startPostgres(
  processes: Processes,
  options?: { readonly fsync?: boolean; readonly likeRds?: boolean },
): Promise<PostgresServer>;
