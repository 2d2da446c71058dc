import { createHash } from 'node:crypto';
import type { Migration } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { readerSchema } from '../../runtime/replay/generation.ts';
import { inBriefLocks } from './brief-locks.ts';
import { objectsIn, recordMade } from './own-schema.ts';
import { asOwner, dropViews, type Grant, liveSchema, pointViews } from './reader-views.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { decodeRows, searchPath } from './sql-values.ts';

// Inside a transaction and after the lock: two processes that create the same table at once would fail otherwise.
const PREPARE = `
  SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0));
  CREATE TABLE IF NOT EXISTS millrace_migration (
    scope text NOT NULL,
    position int NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, position)
  );
  CREATE TABLE IF NOT EXISTS millrace_migration_object (scope text, object text, PRIMARY KEY (scope, object))`;

/**
 * Brings a scope's tables up to date: applies the migrations that have not been, in order, each in a transaction
 * of its own, which a migration cannot end. Running it again changes nothing; two processes at once take turns. A database that is ahead, because
 * an older release is deployed again, is left as it is.
 *
 * @param scope whose migrations these are: a consumer's name, or the sink's own
 * @param place where a consumer's are run. @default the connection's own search path, and its role
 * @returns the names of the migrations applied now
 * @throws SINK_MISCONFIGURED when an applied migration was edited, renamed or moved, or when one fails
 */
export async function migrate(
  driver: SqlDriver,
  scope: string,
  migrations: readonly Migration[],
  place?: Place,
): Promise<readonly string[]> {
  const applied: string[] = [];
  for (;;) {
    const next = (open: OpenTransaction) => applyNext(open, scope, migrations, place);
    // Every batch and every reader of the sink's own tables would wait behind a migration that waits for one of them. Tries
    // become longer, because where many batches run, one of them is always under way; functions wait 10 seconds for a lock.
    const name = await (place
      ? inTransaction(driver, next)
      : inBriefLocks(driver, next, { longestMs: 5_000 }));
    if (name === undefined) return applied;
    applied.push(name);
  }
}

/** A schema of a consumer's, which has nothing but what its migrations make. */
export interface Place {
  readonly consumer: string;
  readonly schema: string;
  /** The role that runs the migrations and owns what they make. @default the connection's own */
  readonly owner?: string | undefined;
}

async function applyNext(
  open: OpenTransaction,
  scope: string,
  migrations: readonly Migration[],
  place: Place | undefined,
): Promise<string | undefined> {
  await open.run(PREPARE);
  const done = await appliedSoFar(open, scope);
  checkUnchanged(scope, migrations, done);
  const next = migrations[done.length];
  if (!next) return undefined;
  await (place ? runIn(open, scope, next, place) : runMigration(open, scope, next));
  await open.query(
    'INSERT INTO millrace_migration (scope, position, name, checksum) VALUES ($1, $2, $3, $4)',
    [scope, done.length, next.name, checksumsOf(next)[0]!],
  );
  return next.name;
}

/** @throws SINK_MISCONFIGURED naming it, when it fails */
export async function runMigration(
  open: OpenTransaction,
  scope: string,
  migration: Migration,
): Promise<void> {
  try {
    await open.run(withinTransaction(migration.sql));
  } catch (error) {
    throw migrationFailed(scope, migration, error);
  }
}

/** dependent_objects_still_exist; and feature_not_supported, which PostgreSQL says of a column that a view reads */
const A_VIEW_IS_IN_THE_WAY: ReadonlySet<unknown> = new Set(['2BP01', '0A000']);

/** Readers see the tables as the migration leaves them, from the same moment on. */
async function runIn(
  open: OpenTransaction,
  scope: string,
  migration: Migration,
  place: Place,
): Promise<void> {
  const { consumer, schema, owner } = place;
  await open.run(searchPath(schema));
  const run = () => open.savepoint(() => asOwner(open, owner, () => runMigration(open, scope, migration)));
  const before = schema === consumer ? undefined : await ownedElsewhere(open, place);
  const objects = await objectsIn(open, schema);
  let grants: readonly Grant[] = [];
  const isLive = (await liveSchema(open, consumer)) === schema;
  const blocked = (objects: readonly string[]) =>
    new MillraceError(
      'SINK_MISCONFIGURED',
      `Migration ${JSON.stringify(migration.name)} of ${scope} changes what readers see of a table, and ${objects.join(', ')} ` +
        `${objects.length === 1 ? 'reads' : 'read'} it in "${readerSchema(consumer)}". Nothing has changed. Drop that, migrate, and create it again.`,
      { details: { scope, migration: migration.name, dependents: objects } },
    );
  try {
    await run();
  } catch (error) {
    const isInTheWay = error instanceof MillraceError && A_VIEW_IS_IN_THE_WAY.has(error.details.sqlState);
    if (!isLive || !isInTheWay) throw error;
    grants = await dropViews(open, { consumer, owner, blocked });
    await run();
  }
  await checkNames(open, scope, migration, schema);
  if (before) await checkElsewhere(open, scope, migration, place, before);
  await recordMade(open, schema, objects);
  if (isLive) await pointViews(open, { consumer, schema, owner, grants, blocked });
}

const OWNED_ELSEWHERE = `
  SELECT o.kind || ' ' || o.oid::text, o.kind || ' ' || format('%I.%I', n.nspname, o.name)
  FROM (
    SELECT 'relation' AS kind, oid, relnamespace AS namespace, relname AS name, relowner AS owner FROM pg_class
    UNION ALL SELECT 'routine', oid, pronamespace, proname, proowner FROM pg_proc
    UNION ALL SELECT 'type', oid, typnamespace, typname, typowner FROM pg_type WHERE typrelid = 0 AND typelem = 0
  ) o JOIN pg_namespace n ON n.oid = o.namespace
  WHERE n.nspname <> $1 AND n.nspname !~ '^pg_|^information_schema$' AND pg_get_userbyid(o.owner) = coalesce($2, current_user)`;

async function ownedElsewhere(
  open: OpenTransaction,
  { schema, owner }: Place,
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await open.query(OWNED_ELSEWHERE, [schema, owner]);
  return new Map(rows.map(([id, name]) => [id!, name!]));
}

/** Whatever way it names it: a later generation's migrations would change the tables of the live one. */
async function checkElsewhere(
  open: OpenTransaction,
  scope: string,
  { name }: Migration,
  place: Place,
  before: ReadonlyMap<string, string>,
): Promise<void> {
  const after = await ownedElsewhere(open, place);
  const changed = [...after.keys(), ...before.keys()].find((id) => before.get(id) !== after.get(id));
  if (changed === undefined) return;
  throw new MillraceError(
    'SINK_MISCONFIGURED',
    `Migration ${JSON.stringify(name)} of ${scope} makes or drops the ${after.get(changed) ?? before.get(changed)}, which is outside of its ` +
      `schema "${place.schema}". Leave the schema out of the names in it.`,
    { details: { scope, migration: name } },
  );
}

/** A table of that name would be found before the ledger's own. */
async function checkNames(
  open: OpenTransaction,
  scope: string,
  { name }: Migration,
  schema: string,
): Promise<void> {
  const { rows } = await open.query(
    `SELECT relname FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND relname ~ '^millrace_(ledger|generation|migration|as_of)'
     ORDER BY 1 LIMIT 1`,
    [schema],
  );
  if (rows.length === 0) return;
  throw new MillraceError(
    'SINK_MISCONFIGURED',
    `Migration ${JSON.stringify(name)} of ${scope} makes ${rows[0]![0]}, whose name would hide a table of Millrace's own. Rename it.`,
    { details: { scope, migration: name } },
  );
}

/**
 * As a block of PL/pgSQL, in which a COMMIT or a ROLLBACK is an error, however it is spelt: what stands before one would
 * be kept although the migration failed.
 * https://www.postgresql.org/docs/current/plpgsql-statements.html#PLPGSQL-STATEMENTS-EXECUTING-DYN (2026-11-26)
 */
function withinTransaction(sql: string): string {
  return `DO ${literal(`BEGIN EXECUTE ${literal(sql)}; END`)}`;
}

/** With escapes of its own, so that no setting of the server's changes what it says. */
function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}

interface AppliedMigration {
  readonly name: string;
  readonly checksum: string;
}

async function appliedSoFar(open: OpenTransaction, scope: string): Promise<readonly AppliedMigration[]> {
  const result = await open.query(
    'SELECT name, checksum FROM millrace_migration WHERE scope = $1 ORDER BY position',
    [scope],
  );
  return decodeRows(result) as unknown as AppliedMigration[];
}

function checkUnchanged(
  scope: string,
  migrations: readonly Migration[],
  done: readonly AppliedMigration[],
): void {
  done.forEach((applied, position) => {
    const declared = migrations[position];
    if (!declared) return;
    if (declared.name === applied.name && checksumsOf(declared).includes(applied.checksum)) return;
    const change =
      declared.name === applied.name
        ? 'its SQL has changed since then'
        : `the declaration has ${JSON.stringify(declared.name)} in its place`;
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      `Migration ${JSON.stringify(applied.name)} of ${scope} was applied to this database, and ${change}. ` +
        'Migrations only go forward. Restore it and add a new one at the end.',
      { details: { scope, migration: applied.name, position } },
    );
  });
}

/** feature_not_supported is what EXECUTE says, invalid_transaction_termination what a block or procedure in it says. */
const ENDS_TRANSACTION: ReadonlySet<unknown> = new Set(['0A000', '2D000']);

function migrationFailed(scope: string, { name }: Migration, error: unknown): unknown {
  if (!(error instanceof MillraceError) || error.action === 'hold') return error;
  const endsTransaction = ENDS_TRANSACTION.has(error.details.sqlState);
  return new MillraceError(
    'SINK_MISCONFIGURED',
    `Migration ${JSON.stringify(name)} of ${scope}: ${endsTransaction ? 'It holds a COMMIT, ROLLBACK, SAVEPOINT or the like. Take that out: it is applied in one transaction, of which nothing was kept.' : error.message}`,
    {
      cause: error,
      details: { ...error.details, scope, migration: name },
    },
  );
}

/** Of the SQL with the ends of lines that Git gives it here, and there; the first is recorded. */
function checksumsOf({ sql }: Migration): readonly string[] {
  const unix = sql.replaceAll('\r\n', '\n');
  return [unix, unix.replaceAll('\n', '\r\n'), sql].map((text) =>
    createHash('sha256').update(text).digest('hex'),
  );
}
