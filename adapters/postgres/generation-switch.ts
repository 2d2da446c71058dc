/** Has readers see another generation: all of it happens in one transaction, or nothing. */
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Replay } from '../../runtime/delivery/ledger.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import {
  type Generation,
  generationName,
  readerSchema,
  type Switched,
} from '../../runtime/replay/generation.ts';
import { ledgerOwner } from '../../runtime/replay/ledgers.ts';
import {
  checkLedgers,
  type Ledgers,
  type OldestOffsets,
  partitionsBehind,
} from '../../runtime/replay/promotion.ts';
import { BRIEFLY, inBriefLocks } from './brief-locks.ts';
import { ownerOf } from './consumer-schema.ts';
import { dependentsOfSchema } from './dependents.ts';
import { inTheWay } from './in-the-way.ts';
import { readLedgers } from './postgres-ledgers.ts';
import { grantsIn, pointViews } from './reader-views.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { decodeRows } from './sql-values.ts';

export interface SwitchOptions {
  readonly hasRoles: boolean;
  readonly holding: (<Result>(consumer: string, work: () => Promise<Result>) => Promise<Result>) | undefined;
  readonly catchUpMs: number;
  readonly tries: number;
  readonly mayLose?: number | undefined;
  readonly oldest?: OldestOffsets | undefined;
  readonly clock: Clock;
}

const POLL_MS = 20;

/**
 * The live ledger's lock is the barrier: its batches wait while the candidate catches up with the last of them. Ledgers
 * come before views, as they come before tables in a batch, so nothing that a consumer does can wait for this in a circle.
 * @param choose which generation is to be live, from those there are
 * @throws REBUILD_REFUSED; SINK_CONFLICT never: who is in the way is named
 */
export async function switchTo(
  driver: SqlDriver,
  consumer: AnyConsumer,
  options: SwitchOptions,
  choose: (generations: readonly Generation[]) => Generation,
): Promise<Switched> {
  const { clock, catchUpMs, tries, holding } = options;
  const find = async (open: OpenTransaction) => {
    const generations = await readGenerations(open, consumer.name);
    const to = choose(generations);
    return { to, from: generations.find(({ state }) => state === 'live')!, generations };
  };
  const { to, from } = await inTransaction(driver, find);
  // Where it was promoted before, and nobody heard of it.
  if (to.number === from.number) return { from, to, heldMs: 0 };
  const read = () => inTransaction(driver, (open) => readBoth(open, consumer, from, to));
  /** Until the candidate is where the live one was when this began: under traffic, it may never be where that is now. */
  const reach = async () => {
    const { live } = await read();
    const isOver = clock.now() + catchUpMs;
    for (;;) {
      const { candidate } = await read();
      const isThere = partitionsBehind(live, candidate, options.oldest).length === 0;
      if (isThere || clock.now() >= isOver) return { live, candidate };
      await clock.sleep(POLL_MS);
    }
  };
  // Before anybody is held: a candidate that is hours behind is no reason to keep batches waiting.
  const { live, candidate } = await reach();
  checkLedgers(consumer.name, live, candidate, options);

  let heldSince = 0;
  const attempt = () =>
    inBriefLocks(
      driver,
      async (open) => {
        heldSince = 0;
        await open.run("SELECT pg_advisory_xact_lock(hashtextextended('millrace_migration', 0))");
        const now = await find(open);
        if (now.to.number !== to.number || now.from.number !== from.number)
          throw changedMeanwhile(consumer.name);
        await checkShared(open, consumer.name);
        await checkDependents(open, now.from);
        await keepOthersOut(open, consumer, now);
        await open.run(`SET LOCAL lock_timeout = ${catchUpMs}`);
        await lockLedgers(open, consumer, now.from);
        heldSince = clock.now();
        await awaitCandidate(open, consumer, now, options);
        await lockLedgers(open, consumer, now.to);
        const locked = await readBoth(open, consumer, now.from, now.to);
        checkLedgers(consumer.name, locked.live, locked.candidate, options);
        await open.run(BRIEFLY);
        await pointViews(open, {
          consumer: consumer.name,
          schema: generationName(consumer.name, to.number),
          owner: options.hasRoles ? ownerOf(consumer.name) : undefined,
          blocked: (objects) => cannotBeRepointed(consumer.name, objects),
        });
        await writeStates(open, now);
      },
      { tries, clock },
    );
  const startedAt = clock.now();
  try {
    if (holding) {
      await holding(generationName(consumer.name, from.number), async () => {
        heldSince = clock.now();
        await reach();
        await attempt();
      });
    } else await attempt();
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'SINK_CONFLICT') throw error;
    throw await inTheWay(driver, consumer.name, [readerSchema(consumer.name)], error);
  }
  const heldMs = clock.now() - (holding ? startedAt : heldSince);
  const after = await inTransaction(driver, (open) => readGenerations(open, consumer.name));
  const of = (number: number) => after.find((each) => each.number === number)!;
  return { from: of(from.number), to: of(to.number), heldMs };
}

interface Both {
  readonly from: Generation;
  readonly to: Generation;
}

const READ = `
  SELECT consumer, number, state, rebuild_id AS "rebuildId", code,
    floor(extract(epoch FROM created_at) * 1000)::float8 AS "createdAt",
    floor(extract(epoch FROM promoted_at) * 1000)::float8 AS "promotedAt"
  FROM millrace_generation WHERE ($1::text IS NULL OR consumer = $1) AND state <> 'dropped' ORDER BY consumer, number`;

export async function readGenerations(
  open: OpenTransaction,
  consumer?: string,
): Promise<readonly Generation[]> {
  return decodeRows(await open.query(READ, [consumer])) as unknown as Generation[];
}

/** @throws REBUILD_REFUSED where others may write what a rebuild makes from the log alone */
export async function checkShared(open: OpenTransaction, consumer: string): Promise<void> {
  // Also after the first one was dropped, whose name the list does not have then.
  const generations = (await readGenerations(open, consumer)).map(({ number }) =>
    generationName(consumer, number),
  );
  const own = new Set([consumer, ownerOf(consumer), ...generations]);
  for (const schema of new Set([consumer, readerSchema(consumer), ...generations])) {
    const other = (await grantsIn(open, schema, schema)).find(
      ({ privilege, grantee, isReaderView }) =>
        privilege !== 'SELECT' &&
        !own.has(grantee ?? '') &&
        (schema !== readerSchema(consumer) || isReaderView),
    );
    if (!other) continue;
    throw new MillraceError(
      'REBUILD_REFUSED',
      `${other.grantee ?? 'Every role'} may write to ${other.relation} of ${consumer}, and a rebuild has only what ${consumer} itself makes of ` +
        `the log. Nothing has changed. Revoke ${other.privilege} on "${schema}".${other.relation}, or keep those rows in another table.`,
      { details: { consumer, table: other.relation, role: other.grantee } },
    );
  }
}

/** Makes the missing rows, because only a row can be locked, and waits for those being made. Until the end, nobody makes another. */
async function keepOthersOut(
  open: OpenTransaction,
  { name, epoch, topic }: AnyConsumer,
  both: Both,
): Promise<void> {
  await open.query(
    `INSERT INTO millrace_ledger (consumer, epoch, topic, partition)
     SELECT n, $2::int, $3::text, partition FROM unnest($1::text[]) WITH ORDINALITY AS c (n, at), (
       SELECT DISTINCT partition FROM millrace_ledger WHERE consumer = ANY ($1) AND epoch = $2 AND topic = $3
     ) p ORDER BY at, partition
     ON CONFLICT DO NOTHING`,
    [namesOf(name, both), epoch, topic.name],
  );
  await open.query('SELECT FROM millrace_generation WHERE consumer = $1 ORDER BY number FOR UPDATE', [name]);
}

/** In the order of a batch. */
async function lockLedgers(
  open: OpenTransaction,
  { name, epoch, topic }: AnyConsumer,
  { number }: Generation,
): Promise<void> {
  await open.query(
    'SELECT FROM millrace_ledger WHERE consumer = $1 AND epoch = $2 AND topic = $3 ORDER BY topic, partition FOR UPDATE',
    [generationName(name, number), epoch, topic.name],
  );
}

/** The live one stands still meanwhile, so what is left is no more than a moment's work. */
async function awaitCandidate(
  open: OpenTransaction,
  consumer: AnyConsumer,
  { from, to }: Both,
  { clock, catchUpMs, oldest }: SwitchOptions,
): Promise<void> {
  const isOver = clock.now() + catchUpMs;
  for (;;) {
    const { live, candidate } = await readBoth(open, consumer, from, to);
    if (partitionsBehind(live, candidate, oldest).length === 0 || clock.now() >= isOver) return;
    await clock.sleep(POLL_MS);
  }
}

async function readBoth(
  open: OpenTransaction,
  consumer: AnyConsumer,
  from: Generation,
  to: Generation,
): Promise<{ readonly live: Ledgers; readonly candidate: Ledgers }> {
  const read = async ({ number }: Generation): Promise<Ledgers> => {
    const owner = { ...ledgerOwner(consumer), consumer: generationName(consumer.name, number) };
    return new Map((await readLedgers(open, owner)).map((ledger) => [ledger.partition, ledger]));
  };
  return { live: await read(from), candidate: await read(to) };
}

function namesOf(consumer: string, { from, to }: Both): readonly string[] {
  return [from, to].map(({ number }) => generationName(consumer, number));
}

/** The one that was live goes on as `previous`, and one that was promoted and rolled back is a candidate as before. */
async function writeStates(open: OpenTransaction, { from, to }: Both): Promise<void> {
  const { consumer } = from;
  const isRollback = to.state === 'previous';
  const replay: Replay = { id: (isRollback ? from : to).rebuildId ?? '', kind: 'rebuild' };
  const states = [
    [from, isRollback ? 'candidate' : 'previous', replay],
    [to, 'live', null],
  ] as const;
  // The one that was live first: there is never a second.
  for (const [{ number }, state, why] of states) {
    await open.query(
      `UPDATE millrace_generation SET state = $3, replay = $4, promoted_at = CASE WHEN $3 = 'live' THEN now() ELSE promoted_at END
       WHERE consumer = $1 AND number = $2`,
      [consumer, number, state, why],
    );
    // A batch that waits for the row reads this when it has it.
    await open.query('UPDATE millrace_ledger SET replay = $2 WHERE consumer = $1', [
      generationName(consumer, number),
      why,
    ]);
  }
}

async function checkDependents(open: OpenTransaction, { consumer, number }: Generation): Promise<void> {
  const objects = await dependentsOfSchema(open, generationName(consumer, number));
  if (objects.length > 0) throw cannotBeRepointed(consumer, objects);
}

function cannotBeRepointed(consumer: string, objects: readonly string[]): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `${objects.join(', ')} ${objects.length === 1 ? 'depends' : 'depend'} on the tables of ${consumer} as they are now, and would go on ` +
      `with the old ones. Nothing has changed. Drop that, promote, and create it again on the views in "${readerSchema(consumer)}".`,
    { details: { consumer, dependents: objects } },
  );
}

function changedMeanwhile(consumer: string): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `Somebody else promoted, rolled back or dropped a generation of ${consumer} at the same time. Look at its generations, and try again.`,
    { details: { consumer } },
  );
}
