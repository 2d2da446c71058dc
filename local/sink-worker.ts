/** A thread that has the embedded PostgreSQL: what keeps it busy, even for ever, keeps nothing else waiting. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { type PgliteSession, pgliteDriver, readAsText } from '../adapters/postgres/pglite-driver.ts';
import { serveDriver } from '../adapters/postgres/thread-driver.ts';
import { connect } from '../adapters/threads/calls.ts';
import { type QueryResult, queryReadOnly, SANDBOX } from './read-only-query.ts';

export interface SinkWorkerData {
  readonly folder: string;
  /** Holds the number of whoever has the session at this moment, 0 for nobody: it can be read while a statement runs. */
  readonly holder: Int32Array<SharedArrayBuffer>;
}

export type SinkCalls = {
  open(): Promise<void>;
  /** Serves a port, whose transactions are those of `holder`. */
  serve(port: MessagePort, holder: number): void;
  query(sql: string, holder: number): Promise<QueryResult>;
  /** Has a query that did not begin yet not begin. */
  forget(holder: number): void;
  /** Answers as soon as no statement runs. */
  ping(): void;
  close(): Promise<void>;
};

const { folder, holder: current } = workerData as SinkWorkerData;
let pglite: PGlite;
const forgotten = new Set<number>();

/** The session, so that whoever holds it can be told while it is busy. */
function sessionOf(holder: number): PgliteSession {
  return {
    waitReady: pglite.waitReady,
    parsers: pglite.parsers,
    transaction: (work) =>
      pglite
        .transaction((transaction) => {
          Atomics.store(current, 0, holder);
          return work(transaction);
        })
        // The next one may have begun by now.
        .finally(() => Atomics.compareExchange(current, 0, holder, 0)),
  };
}

connect(parentPort!, {
  async open() {
    pglite = await PGlite.create(folder);
    readAsText(pglite);
    await pglite.exec(SANDBOX);
  },
  serve: (port, holder) => serveDriver(port, pgliteDriver(sessionOf(holder))),
  async query(sql, holder) {
    const session = sessionOf(holder);
    return queryReadOnly(
      {
        ...session,
        transaction: (work) =>
          session.transaction((transaction) => {
            if (forgotten.delete(holder)) throw new Error('The query was abandoned.');
            return work(transaction);
          }),
      },
      sql,
    );
  },
  forget: (holder) => void forgotten.add(holder),
  ping() {},
  close: () => pglite.close(),
} satisfies SinkCalls);
