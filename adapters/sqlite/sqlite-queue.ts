import type { MessageMover, Queue, QueueMessage } from '../../runtime/dead-letters/queue.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { cannotMove, checkMessageSizes, type Queues, type RedrivePolicy } from '../queues.ts';
import { inTransaction, openDatabase } from './open-database.ts';

export interface SqliteQueues extends Queues {
  /** Makes hidden messages visible at once: for who knows that nobody is holding them any more. */
  releaseAll(name: string): void;
  /** Deletes every message of a queue, hidden ones too. */
  clear(name: string): void;
  /** The queues that hold a message, by name. */
  names(): readonly string[];
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
  `ALTER TABLE messages ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
   CREATE TABLE moves (source TEXT PRIMARY KEY, lease_ends_at INTEGER NOT NULL) STRICT;`,
];

interface MessageRow {
  readonly id: number;
  readonly body: string;
  readonly attributes: string;
  readonly sentAt: number;
  readonly receiveCount: number;
}

const MESSAGE_COLUMNS = 'id, body, attributes, sent_at AS sentAt, receive_count AS receiveCount';

/** How many messages are looked at in one go. */
const PAGE = 1_000;

/** How long a move that died keeps others from starting. */
const MOVE_LEASE_MS = 10_000;

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
    `INSERT INTO messages (queue, body, attributes, sent_at, visible_at, receive_count) VALUES (?, ?, ?, ?, ?, 0)`,
  );
  const selectVisible = database.prepare(
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE queue = ? AND id > ? AND visible_at <= ? ORDER BY id LIMIT ?`,
  );
  const hide = database.prepare(
    'UPDATE messages SET visible_at = ?, receive_count = receive_count + 1 WHERE id = ?',
  );
  const bury = database.prepare(
    'UPDATE messages SET queue = ?, receive_count = 0, visible_at = ? WHERE id = ?',
  );
  const remove = database.prepare('DELETE FROM messages WHERE queue = ? AND id = ? AND receive_count = ?');
  const show = database.prepare(
    'UPDATE messages SET visible_at = ? WHERE queue = ? AND id = ? AND receive_count = ?',
  );
  const showAll = database.prepare('UPDATE messages SET visible_at = ? WHERE queue = ? AND visible_at > ?');
  const removeAll = database.prepare('DELETE FROM messages WHERE queue = ?');
  const selectRange = database.prepare(
    `SELECT ${MESSAGE_COLUMNS} FROM messages WHERE queue = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?`,
  );
  const selectOne = database.prepare(`SELECT ${MESSAGE_COLUMNS} FROM messages WHERE queue = ? AND id = ?`);
  const selectLast = database.prepare('SELECT coalesce(max(id), 0) AS id FROM messages WHERE queue = ?');
  const selectNames = database.prepare('SELECT DISTINCT queue FROM messages ORDER BY queue');
  const count = database.prepare('SELECT count(*) AS depth FROM messages WHERE queue = ?');
  const takeLease = database.prepare(
    `INSERT INTO moves VALUES (?, ?) ON CONFLICT DO UPDATE SET lease_ends_at = excluded.lease_ends_at
     WHERE lease_ends_at <= ?`,
  );
  const extendLease = database.prepare('UPDATE moves SET lease_ends_at = ? WHERE source = ?');
  const endLease = database.prepare('DELETE FROM moves WHERE source = ?');
  const policies = new Map<string, RedrivePolicy>();

  /** @throws QUEUE_UNAVAILABLE where the file does not do what it is asked for: locked, full, gone */
  const asking = <Result>(name: string, work: () => Result): Result => {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof MillraceError) throw cause;
      throw new MillraceError(
        'QUEUE_UNAVAILABLE',
        `The queue ${name} in ${path} did not complete the request: ${(cause as Error).message}. Try again. If this continues, check the folder and its disk.`,
        { cause, details: { queue: name, path } },
      );
    }
  };
  const changing = <Result>(name: string, work: () => Result): Result =>
    asking(name, () => inTransaction(database, work));

  /** Up to `maxMessages` visible ones; those received too often go to the dead-letter queue on the way. */
  const take = (name: string, maxMessages: number, visibilityMs: number): QueueMessage[] => {
    const now = clock.now();
    const policy = policies.get(name);
    const taken: QueueMessage[] = [];
    for (let after = 0; ; ) {
      const rows = selectVisible.all(name, after, now, maxMessages - taken.length) as unknown as MessageRow[];
      for (const row of rows) {
        if (policy && row.receiveCount >= policy.maxReceiveCount) {
          bury.run(policy.deadLetterQueue, now, row.id);
        } else {
          hide.run(now + visibilityMs, row.id);
          taken.push(toMessage({ ...row, receiveCount: row.receiveCount + 1 }));
        }
      }
      if (rows.length === 0 || taken.length === maxMessages) return taken;
      // What is not hidden at all is visible still, and not received twice in one go.
      after = rows.at(-1)!.id;
    }
  };

  const createQueue = (name: string): Queue => ({
    async send(messages) {
      checkMessageSizes(name, messages);
      const now = clock.now();
      changing(name, () => {
        for (const { body, attributes = {} } of messages) {
          insert.run(name, body, JSON.stringify(attributes), now, now);
        }
      });
    },
    async receive({ maxMessages, visibilityMs }) {
      return changing(name, () => take(name, maxMessages, visibilityMs));
    },
    async delete(receipts) {
      changing(name, () => {
        for (const receipt of receipts) remove.run(name, ...numbersOf(receipt));
      });
    },
    async release(receipts) {
      changing(name, () => {
        for (const receipt of receipts) show.run(clock.now(), name, ...numbersOf(receipt));
      });
    },
    async *scan() {
      const last = asking(name, () => selectLast.get(name)!.id as number);
      for (let after = 0; ; ) {
        const page = asking(name, () => selectRange.all(name, after, last, PAGE) as unknown as MessageRow[]);
        for (const row of page) yield toMessage(row);
        if (page.length < PAGE) return;
        after = page.at(-1)!.id;
      }
    },
    async find(id) {
      const row = asking(name, () => selectOne.get(name, id) as MessageRow | undefined);
      return row && toMessage(row);
    },
    async depth() {
      return asking(name, () => count.get(name)!.depth as number);
    },
  });

  const createMover = (from: string, to: string): MessageMover => ({
    async move({ maxPerSecond, onProgress }) {
      const isDeadLetterQueue = [...policies.values()].some((policy) => policy.deadLetterQueue === from);
      if (!isDeadLetterQueue) throw cannotMove(from, 'no-dead-letter-queue');
      const startedAt = clock.now();
      const lease = asking(from, () => takeLease.run(from, startedAt + MOVE_LEASE_MS, startedAt));
      if (lease.changes === 0) throw cannotMove(from, 'under-way');
      let moved = 0;
      try {
        const last = asking(from, () => selectLast.get(from)!.id as number);
        for (;;) {
          const now = clock.now();
          const isMoved = changing(from, () => {
            const [row] = selectVisible.all(from, 0, now, 1) as unknown as MessageRow[];
            // What came after the move began is left for the next one.
            if (!row || row.id > last) return false;
            insert.run(to, row.body, row.attributes, now, now);
            remove.run(from, row.id, row.receiveCount);
            extendLease.run(now + MOVE_LEASE_MS, from);
            return true;
          });
          if (!isMoved) return { moved };
          moved++;
          onProgress?.(moved);
          await clock.sleep(1_000 / maxPerSecond);
        }
      } finally {
        asking(from, () => endLease.run(from));
      }
    },
  });

  return {
    queue(name, policy) {
      if (policy) policies.set(name, policy);
      return createQueue(name);
    },
    mover: createMover,
    releaseAll(name) {
      showAll.run(clock.now(), name, clock.now());
    },
    clear(name) {
      asking(name, () => removeAll.run(name));
    },
    names: () => asking('dead letters', () => selectNames.all().map(({ queue }) => String(queue))),
    close: () => database.close(),
  };
}

function toMessage({ id, body, attributes, sentAt, receiveCount }: MessageRow): QueueMessage {
  return {
    id: String(id),
    body,
    attributes: JSON.parse(attributes),
    sentAt,
    receiveCount,
    receipt: `${id}:${receiveCount}`,
  };
}

function numbersOf(receipt: string): [id: number, receiveCount: number] {
  const [id = '', receiveCount = ''] = receipt.split(':');
  return [Number(id), Number(receiveCount)];
}
