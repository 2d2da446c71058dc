/** A driver for other threads: one thread has the database, others their connections to it, each by a port of its own. */
import type { MessagePort } from 'node:worker_threads';
import { connect } from '../threads/calls.ts';
import type { RawResult, SqlConnection, SqlDriver, Statement } from './sql-driver.ts';

/** A connection is known by the number that its user gave it. */
type DriverCalls = {
  begin(id: number, schema: string | undefined): Promise<void>;
  query(id: number, sql: string, parameters: Statement['parameters']): Promise<RawResult>;
  run(id: number, script: string): Promise<void>;
  commit(id: number, last: Statement | undefined): Promise<boolean>;
  rollback(id: number): Promise<void>;
  retire(id: number): void;
  destroy(id: number): void;
};

/** Serves a port until it closes, as it does with its thread: what is open then is rolled back. */
export function serveDriver(port: MessagePort, driver: SqlDriver): void {
  const open = new Map<number, SqlConnection>();
  let isClosed = false;
  const ended = async <Result>(id: number, end: (connection: SqlConnection) => Promise<Result>) => {
    try {
      return await end(open.get(id)!);
    } finally {
      open.delete(id);
    }
  };
  const calls: DriverCalls = {
    async begin(id, schema) {
      const connection = await driver.begin(schema);
      if (isClosed) connection.destroy();
      else open.set(id, connection);
    },
    query: (id, sql, parameters) => connectionOf(id).query(sql, parameters),
    run: (id, script) => connectionOf(id).run(script),
    commit: (id, last) => ended(id, (connection) => connection.commit(last)),
    rollback: (id) => ended(id, (connection) => connection.rollback()),
    retire: (id) => open.get(id)?.retire(),
    destroy(id) {
      open.get(id)?.destroy();
      open.delete(id);
    },
  };
  const connectionOf = (id: number): SqlConnection => {
    const connection = open.get(id);
    if (connection) return connection;
    throw new Error('the connection was closed');
  };
  connect(port, calls);
  port.on('close', () => {
    isClosed = true;
    for (const connection of open.values()) connection.destroy();
    open.clear();
  });
}

export interface ThreadDriver extends SqlDriver {
  /** Later transactions begin by this port, in the place of one that has closed. */
  use(port: MessagePort): void;
}

/**
 * The driver for a thread that has one or more ports, one after the other. Without one, or when its port closes, a
 * transaction fails as one whose connection is lost.
 * @param onBrokenOff called when a connection is destroyed while the database is busy with its statement
 */
export function createThreadDriver(onBrokenOff: () => void): ThreadDriver {
  let current: ReturnType<typeof connect<DriverCalls>> | undefined;
  let lastId = 0;
  return {
    use(port) {
      const connection = connect<DriverCalls>(port);
      current = connection;
      port.on('close', () => {
        connection.end(lost());
        if (current === connection) current = undefined;
      });
    },
    async begin(schema) {
      const remote = current;
      if (!remote) throw lost();
      const id = ++lastId;
      let unanswered = 0;
      const answered = async <Result>(answer: Promise<Result>): Promise<Result> => {
        unanswered++;
        try {
          return await answer;
        } finally {
          unanswered--;
        }
      };
      await remote.call('begin', id, schema);
      return {
        query: (sql, parameters) => answered(remote.call('query', id, sql, parameters)),
        run: (script) => answered(remote.call('run', id, script)),
        commit: (last) => answered(remote.call('commit', id, last)),
        rollback: () => answered(remote.call('rollback', id)).catch(() => {}),
        retire: () => remote.tell('retire', [id]),
        destroy() {
          remote.tell('destroy', [id]);
          if (unanswered > 0) onBrokenOff();
        },
      };
    },
  };
}

function lost(): Error {
  return new Error('its thread has ended, or has not started yet');
}
