/**
 * The schema that has a consumer's tables, and nobody else's. It has the name of the consumer, as its role has, so that
 * PostgreSQL's own search path ("$user", public) finds them for that role without any SET.
 */
import type { AnyConsumer, Migration } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { generationName, readerSchema } from '../../runtime/replay/generation.ts';
import { inBriefLocks } from './brief-locks.ts';
import { migrate, runMigration } from './migrate.ts';
import { namesSchema } from './named-schema.ts';
import { commentOf, hasSchema, makeSchema, recordMade, recordMoved } from './own-schema.ts';
import { asOwner, type Grant, grantOf, grantsIn, liveSchema, pointViews } from './reader-views.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { decodeRows, identifier, searchPath } from './sql-values.ts';

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** The role that owns the tables of every generation, and the reader views. */
export function ownerOf(consumer: string): string {
  return `${consumer}-owner`;
}

export type Tables = Pick<AnyConsumer, 'name' | 'migrations'>;

/**
 * Brings the schemas and tables of a consumer's generations up to date, and its reader views. Tables of a version that had
 * them in `public` move out of it once, all together.
 * @param owner who owns them and runs the migrations. @default the connection's own role, on a database without roles
 * @returns the migrations applied now, each with its generation's name before it
 * @throws SINK_MISCONFIGURED as `migrate` does; SINK_CONFLICT where somebody's reading keeps the tables from moving
 */
export async function migrateTables(
  driver: SqlDriver,
  { name, migrations }: Tables,
  owner?: string,
): Promise<readonly string[]> {
  const applied: string[] = [];
  for (const number of await generationsOf(driver, name)) {
    const schema = generationName(name, number);
    await inBriefLocks(driver, (open) => ensureSchema(open, { name, migrations }, schema, owner));
    const done = await migrate(driver, schema, migrations, { consumer: name, schema, owner });
    applied.push(...done.map((migration) => `${schema}/${migration}`));
  }
  return applied;
}

/** Their numbers, but of those dropped. */
export async function generationsOf(driver: SqlDriver, consumer: string): Promise<readonly number[]> {
  const { rows } = await inTransaction(driver, (open) =>
    open.query('SELECT number::text, state FROM millrace_generation WHERE consumer = $1 ORDER BY number', [
      consumer,
    ]),
  );
  if (rows.length === 0) return [1];
  return rows.filter(([, state]) => state !== 'dropped').map(([number]) => Number(number));
}

/** Makes what is missing of a generation's schema and of the reader schema; moves tables that are still in `public`. */
async function ensureSchema(
  open: OpenTransaction,
  { name, migrations }: Tables,
  schema: string,
  owner: string | undefined,
): Promise<void> {
  await open.run("SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0))");
  let grants: readonly Grant[] = [];
  if (await hasSchema(open, name, schema)) await recordMoved(open, schema);
  else {
    const objects = await objectsInPublic(open, { name, migrations }, schema, owner);
    await makeSchema(open, schema, owner);
    grants = await moveOut(open, name, objects, schema);
    await recordMade(open, schema);
  }
  if (!(await hasSchema(open, name, readerSchema(name)))) {
    await makeSchema(open, readerSchema(name), owner);
    if (owner !== undefined) await carryDefaults(open, name, owner);
  }
  if (owner !== undefined) await open.run(rightsOf(schema, owner));
  if ((await liveSchema(open, name)) === schema) {
    await pointViews(open, {
      consumer: name,
      schema,
      owner,
      grants,
      blocked: (objects) => changedByHand(name, objects),
    });
  }
}

function rightsOf(role: string, owner: string): string {
  const [schema, to, by] = [identifier(role), identifier(role), identifier(owner)];
  return `
    GRANT USAGE ON SCHEMA ${schema} TO ${to};
    ALTER DEFAULT PRIVILEGES FOR ROLE ${by} IN SCHEMA ${schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${to};
    ALTER DEFAULT PRIVILEGES FOR ROLE ${by} IN SCHEMA ${schema} GRANT USAGE ON SEQUENCES TO ${to};`;
}

/** As PostgreSQL tells of it: a kind such as `table`, and a name with its schema, quoted, with arguments where it has some. */
interface Named {
  readonly kind: string;
  readonly identity: string;
}

/** What has a schema of its own and moves by itself: indexes and a column's sequence go with their table, members with their extension. */
const MOVES_ITSELF = `
  NOT EXISTS (
    SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid
      AND (e.deptype = 'e' OR e.refobjsubid > 0 AND i.type = 'sequence')
  )`;

const OWNED = `
  SELECT i.type AS kind, i.identity
  FROM pg_shdepend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
  WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND d.deptype = 'o'
    AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = (SELECT oid FROM pg_roles WHERE rolname = $1)
    AND i.schema IS NOT NULL AND i.schema IN (SELECT quote_ident(s) FROM unnest($2::text[]) s) = $3::boolean AND ${MOVES_ITSELF}
  ORDER BY d.objid`;

const IN_SCHEMA = `
  SELECT i.type AS kind, i.identity, quote_ident($1) AS schema
  FROM pg_depend d, pg_identify_object(d.classid, d.objid, d.objsubid) i
  WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM pg_namespace WHERE nspname = $1)
    AND i.schema = quote_ident($1) AND ${MOVES_ITSELF}
  ORDER BY d.objid`;

/** What a role owns in some schemas, or in all others. */
export async function ownedIn(
  open: OpenTransaction,
  owner: string,
  schemas: readonly string[],
  isInside: boolean,
): Promise<readonly Named[]> {
  return decodeRows(await open.query(OWNED, [owner, schemas, isInside])) as unknown as Named[];
}

/** What a version that had every table in `public` made there for this consumer. */
async function objectsInPublic(
  open: OpenTransaction,
  { name, migrations }: Tables,
  schema: string,
  owner: string | undefined,
): Promise<readonly Named[]> {
  const { rows } = await open.query('SELECT name FROM millrace_migration WHERE scope = $1', [schema]);
  const applied = migrations.slice(0, rows.length);
  // Its handler may name it as well.
  if (applied.length === 0 || namesSchema(migrations)) return [];
  if (owner !== undefined) return ownedIn(open, owner, ['public'], true);
  const made = await madeBy(open, applied, schema).catch((error: unknown) => {
    if (!(error instanceof MillraceError) || error.action === 'hold') throw error;
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      `The tables of ${name} are in the schema public, and this version moves them to a schema called ${name}. Which ones they are, it ` +
        `finds by running the migrations once more, in an empty schema that it drops again, and that failed: ${error.message} Nothing ` +
        `has changed. Make that schema, move them yourself (ALTER TABLE … SET SCHEMA "${name}"), and say that it is Millrace's: ${commentOf(name)}. ` +
        'Or start over with --fresh.',
      { cause: error, details: { consumer: name } },
    );
  });
  const there: Named[] = [];
  for (const object of made) if (await isThere(open, object)) there.push(object);
  return there;
}

const TAKEN_BACK = Symbol('taken back');

/** With one owner for all tables, as on a laptop, what the migrations make is told by running them, in a savepoint that is taken back. */
async function madeBy(
  open: OpenTransaction,
  migrations: readonly Migration[],
  schema: string,
): Promise<readonly Named[]> {
  let made: readonly Named[] = [];
  const trial = async () => {
    await open.run(`CREATE SCHEMA ${identifier(schema)}; ${searchPath(schema)}`);
    for (const migration of migrations) await runMigration(open, schema, migration);
    const found = decodeRows(await open.query(IN_SCHEMA, [schema])) as unknown as (Named & {
      schema: string;
    })[];
    made = found.map(({ kind, identity, schema: prefix }) => ({
      kind,
      identity: inPublic(identity, prefix),
    }));
    throw TAKEN_BACK;
  };
  try {
    await open.savepoint(trial);
  } catch (error) {
    if (error !== TAKEN_BACK) throw error;
  }
  return made;
}

/** `orders.f(orders.mood)` becomes `public.f(public.mood)`. */
function inPublic(identity: string, schema: string): string {
  return identity.replaceAll(new RegExp(`(^|[(, ])${escaped(schema)}\\.`, 'g'), '$1public.');
}

const ROUTINES: ReadonlySet<string> = new Set(['function', 'procedure', 'aggregate']);
const RELATIONS: ReadonlySet<string> = new Set([
  'table',
  'view',
  'materialized view',
  'sequence',
  'foreign table',
]);

/** Somebody may have renamed or dropped it by hand. */
async function isThere(open: OpenTransaction, object: Named): Promise<boolean> {
  const { kind, identity } = object;
  const as = RELATIONS.has(kind)
    ? 'to_regclass'
    : ROUTINES.has(kind)
      ? 'to_regprocedure'
      : isType(object)
        ? 'to_regtype'
        : undefined;
  if (as === undefined) return true;
  return (await open.query(`SELECT ${as}($1)::text`, [identity])).rows[0]?.[0] != null;
}

/** @returns what others were granted on the relations that moved */
async function moveOut(
  open: OpenTransaction,
  consumer: string,
  objects: readonly Named[],
  schema: string,
): Promise<readonly Grant[]> {
  if (objects.length === 0) return [];
  // As a delivery does: the ledger, then the tables. A batch under way ends first, and the next one finds them in their place.
  await open.query(
    'SELECT FROM millrace_ledger WHERE consumer = $1 ORDER BY epoch, topic, partition FOR UPDATE',
    [consumer],
  );
  // A type last: the names of functions have those of their arguments' types in them.
  const inOrder = objects.toSorted((a, b) => Number(isType(a)) - Number(isType(b)));
  const moves = inOrder.map(
    ({ kind, identity }) => `ALTER ${commandOf(kind)} ${identity} SET SCHEMA ${identifier(schema)}`,
  );
  await open.run(moves.join(';\n'));
  return grantsIn(open, schema, consumer);
}

function isType({ kind }: Named): boolean {
  return kind === 'type' || kind === 'composite type';
}

function commandOf(kind: string): string {
  if (ROUTINES.has(kind)) return 'ROUTINE';
  if (kind === 'composite type') return 'TYPE';
  return kind === 'statistics object' ? 'STATISTICS' : kind.toUpperCase();
}

const DEFAULTS = `
  SELECT a.privilege_type AS privilege, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee,
    a.is_grantable AS "isGrantable"
  FROM pg_default_acl d, aclexplode(d.defaclacl) a
  WHERE d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = $1) AND d.defaclobjtype = 'r'
    AND d.defaclnamespace = 'public'::regnamespace AND a.grantee <> d.defaclrole
    AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) <> $2)
    AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')`;

/** Readers who were promised every later table of the owner's keep that promise, for the views. */
async function carryDefaults(open: OpenTransaction, consumer: string, owner: string): Promise<void> {
  const defaults = decodeRows(await open.query(DEFAULTS, [owner, consumer])) as unknown as Omit<
    Grant,
    'relation' | 'column'
  >[];
  const views = readerSchema(consumer);
  const statements = defaults.flatMap((grant) => {
    const [usage] = grantOf(views, { ...grant, relation: '', column: null });
    const to = grant.grantee === null ? 'PUBLIC' : identifier(grant.grantee);
    return [
      usage!,
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${identifier(owner)} IN SCHEMA ${identifier(views)} GRANT ${grant.privilege} ON TABLES ` +
        `TO ${to}${grant.isGrantable ? ' WITH GRANT OPTION' : ''}`,
    ];
  });
  if (statements.length > 0) await asOwner(open, owner, () => open.run(statements.join(';\n')));
}

/** Migrations keep the views as the tables are, so somebody else has changed one of the two. */
function changedByHand(consumer: string, objects: readonly string[]): MillraceError {
  return new MillraceError(
    'SINK_MISCONFIGURED',
    `Tables of ${consumer} were changed by hand, so their views in "${readerSchema(consumer)}" have to be made anew, and ` +
      `${objects.join(', ')} ${objects.length === 1 ? 'reads' : 'read'} them. Drop that, run this again, and create it again.`,
    { details: { consumer, dependents: objects } },
  );
}
