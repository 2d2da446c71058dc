import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Replay } from '../../runtime/delivery/ledger.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import {
  type Generation,
  type GenerationStore,
  generationName,
  generationOf,
  previousOf,
  readerSchema,
} from '../../runtime/replay/generation.ts';
import { isShadow } from '../../runtime/replay/shadow.ts';
import { systemClock } from '../system/system-clock.ts';
import { inBriefLocks } from './brief-locks.ts';
import { migrateTables, ownedIn, ownerOf } from './consumer-schema.ts';
import { dependentsOfSchema } from './dependents.ts';
import { checkShared, readGenerations, type SwitchOptions, switchTo } from './generation-switch.ts';
import { inTheWay } from './in-the-way.ts';
import { namesSchema } from './named-schema.ts';
import { foreignIn, whoMade } from './own-schema.ts';
import { dropRole, provision } from './provision.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { identifier } from './sql-values.ts';

export interface PostgresGenerationsOptions {
  /**
   * Where each generation logs in with a role of its own, as `provision` makes them. @default none: one login owns everything,
   * as on a laptop
   */
  readonly roles?: { readonly pauses: boolean } | undefined;
  /**
   * Keeps the batches of a consumer from the sink while `work` runs. Where the database has one session, as PGlite has, a
   * transaction cannot hold them and wait for the candidate at the same time. @default the ledger's lock alone
   */
  readonly holding?: SwitchOptions['holding'];
  /** How long a promote waits for the candidate, and then holds the live consumer for it. @default 3000 */
  readonly catchUpMs?: number;
  /** How often a promote tries to have its locks, each for less than half a second. @default 20 */
  readonly tries?: number;
  readonly clock?: Clock;
}

/** Generations in a PostgreSQL database, for the login that owns Millrace's tables: on AWS the administrator, on the writer's endpoint. */
export function createPostgresGenerations(
  driver: SqlDriver,
  { roles, holding, catchUpMs = 3_000, tries = 20, clock = systemClock }: PostgresGenerationsOptions = {},
): GenerationStore {
  const options = { hasRoles: roles !== undefined, holding, catchUpMs, tries, clock };
  const within = <Result>(work: (open: OpenTransaction) => Promise<Result>) =>
    inTransaction(driver, async (open) => {
      await open.run(TAKE_TURNS);
      return work(open);
    });

  const drop = async (
    consumer: AnyConsumer,
    number: number,
    { isOurs = false }: { readonly isOurs?: boolean } = {},
  ) => {
    const work = async (open: OpenTransaction) => {
      await open.run(TAKE_TURNS);
      const generations = await readGenerations(open, consumer.name);
      const generation = generations.find((each) => each.number === number);
      if (!generation) throw unknown(consumer.name, number);
      if (generation.state === 'live') throw isLive(generation);
      await dropGeneration(open, generation, isOurs);
      if (roles && number > 1) await dropRole(open, generationName(consumer.name, number));
    };
    try {
      await inBriefLocks(driver, work, { tries, clock });
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'SINK_CONFLICT') throw error;
      throw await inTheWay(driver, consumer.name, [generationName(consumer.name, number)], error);
    }
  };

  return {
    async list(consumer) {
      const found = await inTransaction(driver, (open) => readGenerations(open, consumer));
      return found.length === 0 && consumer !== undefined ? [firstOf(consumer)] : found;
    },
    async create(consumer, rebuild) {
      checkMigrations(consumer);
      const bringUpToDate = () =>
        roles ? provision(driver, [consumer], roles) : migrateTables(driver, consumer);
      // Those that are there first: what fails in them is nothing that a new one is to blame for.
      await bringUpToDate();
      const { generation, isNew } = await within(async (open) => {
        await checkShared(open, consumer.name);
        if (roles) await checkElsewhere(open, consumer.name);
        const candidate = await candidateFor(open, consumer, rebuild);
        if (candidate.isNew) await checkFree(open, candidate.generation, roles !== undefined);
        return candidate;
      });
      if (!isNew) return generation;
      try {
        await bringUpToDate();
      } catch (error) {
        if (!(error instanceof MillraceError) || error.action === 'hold') throw error;
        // Else every later deployment would fail on it.
        await drop(consumer, generation.number, { isOurs: true });
        throw new MillraceError(
          'REBUILD_REFUSED',
          `The migrations of ${consumer.name} do not run in a schema of their own, so there is nothing to rebuild into: ${error.message} ` +
            'Nothing has changed.',
          { cause: error, details: { ...error.details, consumer: consumer.name } },
        );
      }
      return generation;
    },
    promote: (consumer, number, { code, mayLose, oldest }) =>
      switchTo(driver, consumer, { ...options, mayLose, oldest }, (generations) => {
        const candidate = generations.find((each) => each.number === number);
        if (!candidate) throw unknown(consumer.name, number);
        checkMigrations(consumer);
        if (isShadow(candidate)) throw isScratch(candidate);
        if (candidate.state === 'live' || candidate.code === code) return candidate;
        throw new MillraceError(
          'REBUILD_REFUSED',
          `Generation ${number} of ${consumer.name} was filled by other code or migrations than those that would feed it from now on. ` +
            'Nothing has changed. Promote with the code of the rebuild, or drop it and rebuild with the new code.',
          { details: { consumer: consumer.name, generation: number } },
        );
      }),
    rollback: (consumer, { mayLose, oldest } = {}) =>
      switchTo(driver, consumer, { ...options, mayLose, oldest }, (generations) => {
        const previous = previousOf(generations);
        if (previous) return previous;
        throw new MillraceError(
          'REBUILD_REFUSED',
          `${consumer.name} has no previous generation to go back to. Nothing has changed. There is one after a promote, until it is dropped.`,
          { details: { consumer: consumer.name } },
        );
      }),
    drop: (consumer, number) => drop(consumer, number),
  };
}

/** As migrations and deployments take them. */
const TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0))";

/** Of a consumer that was never rebuilt. */
function firstOf(consumer: string): Generation {
  return { consumer, number: 1, state: 'live', rebuildId: null, code: null, createdAt: 0, promotedAt: null };
}

async function candidateFor(
  open: OpenTransaction,
  consumer: AnyConsumer,
  { id, code, kind = 'rebuild' }: Parameters<GenerationStore['create']>[1],
): Promise<{ readonly generation: Generation; readonly isNew: boolean }> {
  const found = (await readGenerations(open, consumer.name)).find(({ rebuildId }) => rebuildId === id);
  if (found?.code === code) return { generation: found, isNew: false };
  if (found) {
    throw new MillraceError(
      'REBUILD_REFUSED',
      `Rebuild ${id} of ${consumer.name} was begun with other code or migrations. Nothing has changed. Go on with that code, or drop ` +
        `generation ${found.number} and begin a rebuild anew.`,
      { details: { consumer: consumer.name, generation: found.number } },
    );
  }
  const other = (await readGenerations(open, consumer.name)).find(
    (each) => each.state === 'candidate' && !isShadow(each),
  );
  if (other && kind === 'rebuild') {
    throw new MillraceError(
      'REBUILD_REFUSED',
      `Generation ${other.number} of ${consumer.name} is a candidate already, of rebuild ${other.rebuildId}. Nothing has changed. Go on with ` +
        'that rebuild, promote it, or drop it and begin another.',
      { details: { consumer: consumer.name, generation: other.number } },
    );
  }
  await open.query(
    `INSERT INTO millrace_generation (consumer, number, name, state) VALUES ($1, 1, $1, 'live') ON CONFLICT DO NOTHING`,
    [consumer.name],
  );
  // Also after those that were dropped: their groups have committed offsets, which a new one would go on from.
  const { rows } = await open.query('SELECT max(number)::text FROM millrace_generation WHERE consumer = $1', [
    consumer.name,
  ]);
  const number = Number(rows[0]![0]) + 1;
  const { name } = generationOf(consumer, number);
  const replay: Replay = { id, kind };
  await open.query(
    `INSERT INTO millrace_generation (consumer, number, name, state, rebuild_id, code, replay)
     VALUES ($1, $2, $3, 'candidate', $4, $5, $6)`,
    [consumer.name, number, name, id, code, replay],
  );
  const generations = await readGenerations(open, consumer.name);
  return { generation: generations.find((each) => each.number === number)!, isNew: true };
}

/** @throws REBUILD_REFUSED where they say themselves in which schema they work */
function checkMigrations(consumer: AnyConsumer): void {
  const named = namesSchema(consumer.migrations, consumer.name);
  if (!named) return;
  throw new MillraceError(
    'REBUILD_REFUSED',
    `Migration ${JSON.stringify(named.migration)} of ${consumer.name} names a schema, public or its own (${named.words}), so it would work on the ` +
      'same tables in every generation. ' +
      'Nothing has changed. A rebuild needs migrations whose names have no schema; a consumer with a new name can start with such.',
    { details: { consumer: consumer.name, migration: named.migration } },
  );
}

/** @throws REBUILD_REFUSED where its migrations made something that every generation would share */
async function checkElsewhere(open: OpenTransaction, consumer: string): Promise<void> {
  const generations = await readGenerations(open, consumer);
  const schemas = [
    consumer,
    ...generations.map(({ number }) => generationName(consumer, number)),
    readerSchema(consumer),
  ];
  const [elsewhere] = await ownedIn(open, ownerOf(consumer), schemas, false);
  if (!elsewhere) return;
  throw new MillraceError(
    'REBUILD_REFUSED',
    `The ${elsewhere.kind} ${elsewhere.identity} belongs to ${consumer} and is outside of its schema, so a rebuild would change it beside the ` +
      `live one. Nothing has changed. Move it with ALTER … SET SCHEMA "${consumer}", or drop it.`,
    { details: { consumer, object: elsewhere.identity } },
  );
}

/** @throws REBUILD_REFUSED where the candidate's name is somebody else's: a drop would take away what they have */
async function checkFree(
  open: OpenTransaction,
  { consumer, number }: Generation,
  hasRoles: boolean,
): Promise<void> {
  const name = generationName(consumer, number);
  const hasRole =
    hasRoles && (await open.query('SELECT FROM pg_roles WHERE rolname = $1', [name])).rows.length > 0;
  const taken = (await whoMade(open, name)) !== undefined ? 'schema' : hasRole ? 'role' : undefined;
  if (!taken) return;
  throw new MillraceError(
    'REBUILD_REFUSED',
    `The database has a ${taken} "${name}" already, which generation ${number} of ${consumer} would need. Nothing has changed. ` +
      `Rename it (ALTER ${taken.toUpperCase()} … RENAME TO), or drop it.`,
    { details: { consumer, generation: number } },
  );
}

/** @param isOurs whether everything in its schema was made just now */
async function dropGeneration(
  open: OpenTransaction,
  { consumer, number }: Generation,
  isOurs: boolean,
): Promise<void> {
  const name = generationName(consumer, number);
  const dependents = await dependentsOfSchema(open, name);
  if (dependents.length > 0) {
    throw new MillraceError(
      'REBUILD_REFUSED',
      `${dependents.join(', ')} ${dependents.length === 1 ? 'depends' : 'depend'} on the tables of generation ${number} of ${consumer}. ` +
        `Nothing was dropped. Drop that first, or have it read "${readerSchema(consumer)}".`,
      { details: { consumer, generation: number, dependents } },
    );
  }
  const isSchemaOurs = (await whoMade(open, name)) === 'millrace';
  const foreign = isSchemaOurs && !isOurs ? await foreignIn(open, name) : [];
  if (foreign.length > 0) {
    throw new MillraceError(
      'REBUILD_REFUSED',
      `${foreign.join(', ')} ${foreign.length === 1 ? 'is' : 'are'} in the schema of generation ${number} of ${consumer}, and no migration made ` +
        `${foreign.length === 1 ? 'it' : 'them'}. Nothing was dropped. Move that out (ALTER … SET SCHEMA), or drop it yourself.`,
      { details: { consumer, generation: number, objects: foreign } },
    );
  }
  // The ledger before the tables, as a batch takes them.
  await open.query(
    `WITH gone AS (DELETE FROM millrace_ledger WHERE consumer = $1 RETURNING id)
     DELETE FROM millrace_seen WHERE ledger IN (SELECT id FROM gone)`,
    [name],
  );
  for (const table of [
    'millrace_ledger_range',
    'millrace_breaker',
    'millrace_parked',
    'millrace_key_letter',
    'millrace_key',
  ]) {
    await open.query(`DELETE FROM ${table} WHERE consumer = $1`, [name]);
  }
  await open.query('DELETE FROM millrace_migration WHERE scope = $1', [name]);
  await open.query('DELETE FROM millrace_migration_object WHERE scope = $1', [name]);
  await open.query(
    "UPDATE millrace_generation SET state = 'dropped', replay = NULL WHERE consumer = $1 AND number = $2",
    [consumer, number],
  );
  if (isSchemaOurs) await open.run(`DROP SCHEMA ${identifier(name)} CASCADE`);
}

function unknown(consumer: string, number: number): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `${consumer} has no generation ${number}: it was never made, or was dropped. Nothing has changed.`,
    { details: { consumer, generation: number } },
  );
}

function isScratch({ consumer, number }: Generation): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `Generation ${number} of ${consumer} is a shadow run's, which has only the records of a time. Nothing has changed. Rebuild ${consumer}, ` +
      'and promote that.',
    { details: { consumer, generation: number } },
  );
}

function isLive({ consumer, number }: Generation): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `Generation ${number} of ${consumer} is the one that readers see. Nothing was dropped. Promote another one or roll back first.`,
    { details: { consumer, generation: number } },
  );
}
