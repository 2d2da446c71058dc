/** A newsroom's database: what it declares, and how it is changed. */
import pg from 'pg';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { defineApp } from '../../runtime/app.ts';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { capturedTables, defineTable } from '../../runtime/capture/table.ts';

const database = defineDatabase({ name: 'newsroom' });

const authors = defineTable({
  database,
  table: 'authors',
  key: ['id'],
  partitions: 3,
  columns: {
    id: 'bigint',
    name: { type: 'text', nullable: false, personal: true },
    email: { type: 'varchar(200)', personal: true },
    joined: 'date',
    shift: 'time',
    is_active: 'boolean',
    rating: 'numeric(6,3)',
    desks: 'text[]',
    profile: 'jsonb',
  },
});

const articles = defineTable({
  database,
  table: 'articles',
  key: ['id'],
  partitions: 3,
  columns: {
    id: 'bigint',
    external_id: 'uuid',
    title: 'text',
    body: 'text',
    section: 'text',
    author_id: 'bigint',
    words: 'integer',
    score: 'double precision',
    fee: 'numeric(38,9)',
    published_at: 'timestamptz',
    embargo: 'timestamp',
    checksum: 'bytea',
    meta: 'jsonb',
    // Not there before --alter.
    priority: 'integer',
  },
});

const corrections = defineTable({
  database,
  table: 'corrections',
  key: ['article_id', 'revision'],
  partitions: 3,
  columns: { article_id: 'bigint', revision: 'smallint', note: 'text', corrected_at: 'timestamptz' },
});

/** Objects are written this often; what Lambda calls a batching window. */
const WINDOW_MS = 5_000;

const tables = [authors, articles, corrections];

export const newsroom = defineApp({
  name: 'newsroom',
  contracts: [],
  consumers: capturedTables(tables).map((table) => defineArchive({ table, windowMs: WINDOW_MS })),
  tables,
  environments: {},
});

/** What the mart has of the clock's row. */
export const CLOCK = 'select note from SCHEMA.corrections where article_id = 0 and revision = 0';

export const tableToWiden = articles;
export const tableToAlter = articles;
export const newsroomTables = tables;

export const SCHEMA = `
  CREATE TYPE section AS ENUM ('politics', 'economy', 'culture', 'sport');
  CREATE TABLE authors (
    id bigint PRIMARY KEY, name text NOT NULL, email varchar(200), joined date, shift time, is_active boolean,
    rating numeric(6,3), desks text[], profile jsonb
  );
  CREATE TABLE articles (
    id bigint PRIMARY KEY, external_id uuid, title text, body text, section section, author_id bigint, words integer,
    score double precision, fee numeric(38,9), published_at timestamptz, embargo timestamp, checksum bytea, meta jsonb
  );
  -- Long texts are stored apart, so that changes that leave them alone lack them.
  ALTER TABLE articles ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE TABLE corrections (
    article_id bigint, revision smallint, note text, corrected_at timestamptz, PRIMARY KEY (article_id, revision)
  );
  INSERT INTO authors SELECT n, 'Author ' || n, 'author' || n || '@example.com', date '2020-01-01' + n::int,
    time '06:00' + n * interval '1 minute', n % 3 > 0, n / 7.0, ARRAY['section ' || n % 5, NULL, 'with "quotes"'],
    jsonb_build_object('languages', n % 4, 'note', 'é' || n)
    FROM generate_series(1, 200) n;
  INSERT INTO articles SELECT n, gen_random_uuid(), 'Title ' || n, repeat('body ' || n || ' ', 100 + (n % 7)::int * 100),
    'economy', 1 + n % 200, n::int, n / 4.0, n + 0.000000001, now() - n * interval '1 minute',
    timestamp '2026-11-01 01:30:00' + n * interval '1 second', decode(md5(n::text), 'hex'), '{"tags": []}'
    FROM generate_series(1, 300) n;
  -- One more than a double can tell from its neighbour.
  INSERT INTO articles (id, title, fee) VALUES (9007199254740993, 'Large', 12345678901234567890123456789.123456789);`;

export const ALTER = 'ALTER TABLE articles ADD COLUMN priority integer NOT NULL DEFAULT 3';

interface Change {
  readonly table: string;
  readonly sql: string;
  readonly values: readonly unknown[];
}

export interface Newsroom {
  /** Rows that were changed. */
  changes(): number;
  /** When the row's last change was committed, by table and key. */
  changedAt(table: string, key: string): number | undefined;
  /** Changes rows until `changes()` is `until`, so many a second. */
  work(until: number, perSecond: number, stop: AbortSignal): Promise<void>;
  /** Sets the clock's row to now: a change whose time anyone can read. @returns the time, in epoch milliseconds */
  tick(): Promise<number>;
  run(sql: string): Promise<void>;
  close(): Promise<void>;
}

/** Transactions a second; each has so many changes that the rate comes out. */
const TRANSACTIONS_PER_SECOND = 10;

/** Whoever works in the newsroom. The same seed gives the same statements. */
export async function openNewsroom(url: string, seed: number): Promise<Newsroom> {
  // The clock's changes are transactions of their own.
  const [client, clock] = await Promise.all([connected(url), connected(url)]);
  const random = createSeededRandom(seed);
  const below = (most: number) => Math.floor(random.next() * most);
  const changedAt = new Map<string, number>();
  let changes = 0;
  let nextId = 1_000;

  const change = (): Change => {
    const author = 1 + below(200);
    const article = random.next() < 0.4 ? 1 + below(300) : 1_000 + below(Math.max(1, nextId - 1_000));
    const dice = random.next();
    const text = (bytes: number) => `${below(1e9)} “quoted” \\ ${'x'.repeat(bytes)}`;
    if (dice < 0.25) {
      const id = nextId++;
      return {
        table: 'articles',
        sql: `INSERT INTO articles (id, external_id, title, body, section, author_id, words, score, fee, published_at, embargo, checksum, meta)
              VALUES ($1, gen_random_uuid(), $2, $3, 'politics', $4, $5, $6, $7, now(), now() AT TIME ZONE 'UTC', decode(md5($2), 'hex'), $8)
              ON CONFLICT (id) DO NOTHING RETURNING id::text AS key`,
        values: [
          id,
          text(10),
          text(below(9_000)),
          author,
          below(3_000),
          below(1_000) / 8,
          `${below(1e9)}.${below(1e9)}`,
          JSON.stringify({ n: below(10), deep: { list: [1, null, 'é'] } }),
        ],
      };
    }
    if (dice < 0.5) {
      return {
        table: 'articles',
        // The body stays as it is, and so does not come along.
        sql: `UPDATE articles SET title = $2, words = words + 1, section = 'sport', score = $3 WHERE id = $1 RETURNING id::text AS key`,
        values: [article, text(20), below(1_000) / 8],
      };
    }
    if (dice < 0.56) {
      return {
        table: 'articles',
        sql: 'UPDATE articles SET body = $2, fee = NULL WHERE id = $1 RETURNING id::text AS key',
        values: [article, random.next() < 0.3 ? null : text(6_000)],
      };
    }
    if (dice < 0.63) {
      return {
        table: 'articles',
        sql: 'DELETE FROM articles WHERE id = $1 RETURNING id::text AS key',
        values: [article],
      };
    }
    if (dice < 0.65) {
      const id = nextId++;
      return {
        table: 'articles',
        // The body is left alone, so that the change of the new key does not have it. docs/capture.md has more.
        sql: 'UPDATE articles SET id = $2 WHERE id = $1 RETURNING id::text AS key',
        values: [article, id],
      };
    }
    if (dice < 0.8) {
      return {
        table: 'authors',
        sql: `UPDATE authors SET rating = $2, is_active = NOT is_active, desks = desks[2:] || $3::text, profile = jsonb_set(profile, '{seen}', to_jsonb($4::int))
              WHERE id = $1 RETURNING id::text AS key`,
        values: [author, below(999_999) / 1_000, text(5), below(100)],
      };
    }
    return {
      table: 'corrections',
      sql: `INSERT INTO corrections VALUES ($1, $2, $3, now())
            ON CONFLICT (article_id, revision) DO UPDATE SET note = excluded.note, corrected_at = now() RETURNING article_id || '/' || revision AS key`,
      values: [article, below(5), text(below(200))],
    };
  };

  return {
    changes: () => changes,
    changedAt: (table, key) => changedAt.get(`${table}/${key}`),
    async work(until, perSecond, stop) {
      const startedAt = performance.now();
      const from = changes;
      while (changes < until && !stop.aborted) {
        const due = from + ((performance.now() - startedAt) / 1_000) * perSecond;
        const many = Math.min(
          until - changes,
          Math.ceil(due - changes),
          Math.ceil(perSecond / TRANSACTIONS_PER_SECOND) * 3,
        );
        if (many > 0) {
          await client.query('BEGIN');
          for (let n = 0; n < many; n++) {
            const { table, sql, values } = change();
            const { rows } = await client.query<{ readonly key: string }>(sql, [...values]);
            for (const { key } of rows) {
              changes++;
              // A key that was left behind is noted as well.
              for (const each of [key, String(values[0])]) changedAt.set(`${table}/${each}`, Date.now());
            }
          }
          await client.query('COMMIT');
        }
        await new Promise((resolve) => setTimeout(resolve, 1_000 / TRANSACTIONS_PER_SECOND));
      }
    },
    async tick() {
      const now = Date.now();
      await clock.query(
        `INSERT INTO corrections VALUES (0, 0, $1, now())
         ON CONFLICT (article_id, revision) DO UPDATE SET note = excluded.note, corrected_at = now()`,
        [String(now)],
      );
      changedAt.set(`${corrections.name}/0/0`, now);
      return now;
    },
    async run(sql) {
      await client.query(sql);
    },
    async close() {
      await Promise.all([client.end(), clock.end()]);
    },
  };
}

async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // A query tells of a connection that broke.
  client.on('error', () => {});
  await client.connect();
  return client;
}
