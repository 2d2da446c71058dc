import { migrate } from '../adapters/postgres/migrate.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import type { AnyConsumer, Migration } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type Generation, generationOf } from '../runtime/replay/generation.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { StateFolder } from './state-folder.ts';
import type { TopicLog } from './topic-log.ts';

const MIGRATIONS: readonly Migration[] = [
  { name: '0001-origin', sql: 'CREATE TABLE millrace_ledger_origin (log_id text NOT NULL)' },
  {
    name: '0002-ledger-id',
    sql: 'ALTER TABLE millrace_ledger_origin ADD ledger_id text NOT NULL DEFAULT left(gen_random_uuid()::text, 8)',
  },
];

interface Note {
  readonly log?: unknown;
  readonly ledger?: unknown;
  readonly generations?: unknown;
}

/** Writes down which ledger the folder's runs have with this log, and which generations, for who looks from outside. */
export async function noteLedger(
  { files }: StateFolder,
  log: TopicLog,
  ledger: string,
  generations: readonly Generation[] = [],
): Promise<void> {
  const note: Note = {
    log: await log.id(),
    ledger,
    generations: generations.map(({ consumer, number, state }) => ({ consumer, number, state })),
  };
  writeJsonFile(files.ledger, note);
}

/** The ledger that the folder's last run had; undefined where none ran, or on another log. */
export async function notedLedger({ files }: StateFolder, log: TopicLog): Promise<string | undefined> {
  const noted = readNote(files.ledger);
  if (!noted) return undefined;
  return noted.log === (await log.id()) && typeof noted.ledger === 'string' ? noted.ledger : undefined;
}

/** A generation as who looks from outside knows it. */
export type NotedGeneration = Pick<Generation, 'consumer' | 'number' | 'state'>;

/** The generations of all consumers that the folder's last run had; a consumer without any has its first. */
export function notedGenerations({ files }: StateFolder): readonly NotedGeneration[] {
  const { generations = [] } = readNote(files.ledger) ?? {};
  return generations as readonly NotedGeneration[];
}

/**
 * The consumer as it runs for its readers: with the name that its group, queues, ledger and schema have. Its own until
 * another generation was promoted.
 */
export function liveConsumer(folder: StateFolder, declared: AnyConsumer): AnyConsumer {
  const live = notedGenerations(folder).find(
    ({ consumer, state }) => consumer === declared.name && state === 'live',
  );
  return generationOf(declared, live?.number ?? 1);
}

function readNote(path: string): Note | undefined {
  return readJsonFile(path, 'Remove it; the next "millrace up" writes it again.');
}

interface Origin {
  readonly log_id: string;
  readonly ledger_id: string;
}

/**
 * A ledger is a list of offsets, which say nothing in another log: there, records would be taken for settled. So it is
 * bound to the log that it was first used with.
 * @returns what tells the ledger from every other
 * @throws STATE_UNREADABLE where it belongs to another one
 */
export async function bindLedger(driver: SqlDriver, log: TopicLog, sinkAt: string): Promise<string> {
  await migrate(driver, 'millrace-local', MIGRATIONS);
  const id = await log.id();
  const { origin, ledger } = await new PostgresSink(driver).transaction(async ({ tx }) => {
    // Two that bind an empty ledger at once take turns, and the second finds what the first has written.
    await tx.query('LOCK TABLE millrace_ledger_origin IN EXCLUSIVE MODE');
    const { rows } = await tx.query<Origin>('SELECT log_id, ledger_id FROM millrace_ledger_origin');
    if (rows[0]) return { origin: rows[0].log_id, ledger: rows[0].ledger_id };
    const { rows: settled } = await tx.query('SELECT FROM millrace_ledger LIMIT 1');
    // A ledger from before this was written down is one of an embedded log.
    if (settled.length > 0 && !id.startsWith('embedded')) return { origin: 'embedded', ledger: '' };
    const inserted = await tx.query<Origin>(
      'INSERT INTO millrace_ledger_origin (log_id) VALUES ($1) RETURNING log_id, ledger_id',
      [id],
    );
    return { origin: id, ledger: inserted.rows[0]!.ledger_id };
  });
  if (origin === id) return ledger;
  throw new MillraceError(
    'STATE_UNREADABLE',
    `The ledger in ${sinkAt} belongs to other topics (${origin}) than those in ${log.at} (${id}), whose records would be ` +
      'taken for settled. Name another folder with --state or another database with --postgres, or start over with --fresh.',
    { details: { origin, log: id } },
  );
}

/**
 * Binds a consumer's ledger to the topic whose offsets it holds, by Kafka's own id of the topic, where there is one. The rows
 * are made before anything is consumed, so that a topic that is made anew in the meantime is known for it.
 * @throws TOPIC_RECREATED where the topic is not the one that the ledger has settled
 */
export async function bindTopic(
  driver: SqlDriver,
  log: Pick<TopicLog, 'topicId' | 'partitions'>,
  { name, epoch, topic }: Pick<AnyConsumer, 'name' | 'epoch' | 'topic'>,
): Promise<void> {
  const id = await log.topicId(topic.name);
  if (id === undefined) return;
  const partitions = await log.partitions(topic.name);
  const bound = await new PostgresSink(driver).transaction(async ({ tx }) => {
    const ledger = [name, epoch, topic.name];
    await tx.query(
      `INSERT INTO millrace_ledger (consumer, epoch, topic, partition)
       SELECT $1, $2, $3, partition FROM generate_series(0, $4::int - 1) AS partition ORDER BY partition
       ON CONFLICT DO NOTHING`,
      [...ledger, partitions],
    );
    await tx.query(
      `UPDATE millrace_ledger SET topic_id = $4::uuid
       WHERE consumer = $1 AND epoch = $2 AND topic = $3 AND topic_id IS NULL`,
      [...ledger, id],
    );
    const { rows } = await tx.query<{ id: string }>(
      `SELECT topic_id::text AS id FROM millrace_ledger
       WHERE consumer = $1 AND epoch = $2 AND topic = $3 AND topic_id <> $4::uuid LIMIT 1`,
      [...ledger, id],
    );
    return rows[0]?.id;
  });
  if (bound === undefined) return;
  throw new MillraceError(
    'TOPIC_RECREATED',
    `Topic ${topic.name} has the id ${id}; the ledger of ${name} holds offsets of ${bound}. The topic was deleted and created ` +
      `again, so its offsets started over. Nothing was applied or dropped. Raise the \`epoch\` of ${name} by one: the ledger then ` +
      'starts over.',
    { details: { consumer: name, topic: topic.name, topicId: id, ledgerTopicId: bound } },
  );
}
