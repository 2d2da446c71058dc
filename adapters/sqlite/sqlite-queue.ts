import type { Clock, Queue, QueueMessage } from '../../runtime/ports.ts';
import { inTransaction, openDatabase } from './open-database.ts';

export interface SqliteQueues {
  /** The queue of that name; a name makes its queue. */
  queue(name: string): Queue;
  close(): void;
}

const MIGRATIONS = [
  // AUTOINCREMENT: an id that was deleted never comes back, so a page's `after` keeps its place.
  `CREATE TABLE messages (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     queue TEXT NOT NULL,
     body TEXT NOT NULL,
     sent_at INTEGER NOT NULL,
     visible_at INTEGER NOT NULL,
     receive_count INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX messages_by_queue ON messages (queue, id);`,
];

interface MessageRow {
  readonly id: number;
  readonly body: string;
  readonly sentAt: number;
  readonly receiveCount: number;
}

const MESSAGE_COLUMNS = 'id, body, sent_at AS sentAt, receive_count AS receiveCount';

/**
 * Any number of named queues in one SQLite file, which several processes may have open. What `send` took survives
 * a kill once it has resolved.
 * @throws STATE_UNREADABLE, STATE_IN_USE when the file cannot be used
 */
export function openSqliteQueues({
  path,
  clock,
}: {
  readonly path: string;
  readonly clock: Clock;
}): SqliteQueues {
  const database = openDatabase(path, MIGRATIONS);
  const insert = database.prepare(
    'INSERT INTO messages (queue, body, sent_at, visible_at, receive_count) VALUES (?, ?, ?, ?, 0)',
  );
  const selectVisible = database.prepare(
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY id LIMIT ?`,
  );
  const hide = database.prepare(
    'UPDATE messages SET visible_at = ?, receive_count = receive_count + 1 WHERE id = ?',
  );
  const remove = database.prepare('DELETE FROM messages WHERE queue = ? AND id = ? AND receive_count = ?');
  const selectAfter = database.prepare(
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE queue = ? AND id > ? ORDER BY id LIMIT ?`,
  );
  const count = database.prepare('SELECT count(*) AS depth FROM messages WHERE queue = ?');

  const createQueue = (name: string): Queue => ({
    async send(bodies) {
      const now = clock.now();
      inTransaction(database, () => {
        for (const body of bodies) insert.run(name, body, now, now);
      });
    },
    async receive({ maxMessages, visibilityMs }) {
      const now = clock.now();
      return inTransaction(database, () =>
        (selectVisible.all(name, now, maxMessages) as unknown as MessageRow[]).map((row) => {
          hide.run(now + visibilityMs, row.id);
          const receiveCount = row.receiveCount + 1;
          return { ...toMessage(row), receiveCount, receipt: `${row.id}:${receiveCount}` };
        }),
      );
    },
    async delete(receipts) {
      inTransaction(database, () => {
        for (const receipt of receipts) {
          const [id = '', receiveCount = ''] = receipt.split(':');
          remove.run(name, Number(id), Number(receiveCount));
        }
      });
    },
    async browse({ limit, after = '0' }) {
      return (selectAfter.all(name, Number(after), limit) as unknown as MessageRow[]).map(toMessage);
    },
    async depth() {
      return count.get(name)!.depth as number;
    },
  });

  return { queue: createQueue, close: () => database.close() };
}

function toMessage({ id, body, sentAt, receiveCount }: MessageRow): QueueMessage {
  return { id: String(id), body, sentAt, receiveCount };
}
