/** Generations in PostgreSQL, whatever the driver: the port's promises, and what only a database with SQL in it can go wrong by. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrateTables } from '../../../adapters/postgres/consumer-schema.ts';
import { createPostgresGenerations } from '../../../adapters/postgres/generations.ts';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { provision } from '../../../adapters/postgres/provision.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { identifier } from '../../../adapters/postgres/sql-values.ts';
import type { AnyConsumer, Migration } from '../../../runtime/delivery/consumer.ts';
import { NO_CHANGE } from '../../../runtime/delivery/sink.ts';
import { generationName, readerSchema } from '../../../runtime/replay/generation.ts';
import { editorialAnalytics } from '../../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { type GenerationFixture, generationSuite } from '../../ports/generation-suite.ts';

export interface GenerationsDatabase {
  /** Owns what Millrace makes, and may make roles where there are some. */
  readonly admin: SqlDriver;
  /** Logs in, or acts, as the role of that name. @default one login for all, which the schema is told to */
  readonly as?: (role: string) => Promise<SqlDriver>;
  close(): Promise<void>;
}

const TABLE: Migration = {
  name: '0001-settled',
  sql: `
    CREATE TABLE settled (partition int, at bigint, PRIMARY KEY (partition, at));
    CREATE VIEW settled_count AS SELECT partition, count(*)::int AS n FROM settled GROUP BY 1`,
};

export function newConsumer(migrations: readonly Migration[] = [TABLE]): AnyConsumer {
  return { ...editorialAnalytics, name: `c-${randomUUID().slice(0, 8)}`, migrations };
}

function generationsFixture({ admin, as, close }: GenerationsDatabase) {
  const store = createPostgresGenerations(admin, {
    ...(as && { roles: { pauses: false } }),
    catchUpMs: 100,
    tries: 2,
  });
  const run = (sql: string) =>
    new PostgresSink(admin).transaction(({ tx }) => tx.query(sql)).then(({ rows }) => rows);
  const ready = async (consumer: AnyConsumer) => {
    if (as) await provision(admin, [consumer]);
    else {
      await migrate(admin, 'millrace', ledgerMigrations);
      await migrateTables(admin, consumer);
    }
    return consumer;
  };
  const sinkOf = async (name: string) =>
    as ? new PostgresSink(await as(name)) : new PostgresSink(admin, { schema: name });
  const settle: GenerationFixture['settle'] = async (consumer, generation, partition, from, to) => {
    const name = generationName(consumer.name, generation);
    const key = { consumer: name, epoch: consumer.epoch };
    const of = { topic: consumer.topic.name, partition };
    return (await sinkOf(name)).transaction(async ({ tx, lockLedgers, writeLedgers }) => {
      const [view] = await lockLedgers(key, [{ ...of, from, to }]);
      await tx.query('INSERT INTO settled SELECT $1::int, at FROM generate_series($2::int, $3::int) AS at', [
        partition,
        from,
        to - 1,
      ]);
      const patch = { ...of, first: view!.first ?? from, next: to, maxTimestamp: 1 };
      await writeLedgers(key, [{ ...patch, closed: [], deadLettered: [], skipped: [] }]);
      return view!.replay ?? undefined;
    });
  };
  return {
    store,
    run,
    ready,
    settle,
    /** Has a generation park records of a key behind a letter, by its own rights. */
    async park(
      { name, epoch, topic }: AnyConsumer,
      generation: number,
      letter: number,
      records: readonly number[],
    ) {
      const consumer = generationName(name, generation);
      const at = (offset: number) => ({
        topic: topic.name,
        partition: 0,
        offset,
        key: Buffer.from('k'),
        value: null,
        headers: [],
        timestamp: 0,
        timestampType: 'CREATE_TIME' as const,
      });
      await (await sinkOf(consumer)).transaction(async ({ lockLedgers, keys }) => {
        const of = { consumer, epoch };
        await lockLedgers(of, [{ topic: topic.name, partition: 0, from: 0, to: 1 }]);
        const opened = [{ ...at(letter), isWaitedFor: true, overtakenBy: null }];
        await keys!.write(of, { ...NO_CHANGE, opened, parked: records.map(at) });
      });
    },
    newConsumer: () => ready(newConsumer()),
    async read({ name }: AnyConsumer) {
      const rows = (await run(
        `SELECT partition, n FROM ${identifier(readerSchema(name))}.settled_count ORDER BY 1`,
      )) as { partition: number; n: number }[];
      return Object.fromEntries(rows.map(({ partition, n }) => [partition, n]));
    },
    close,
  } satisfies GenerationFixture & Record<string, unknown>;
}

export function postgresGenerationsSuite(name: string, open: () => Promise<GenerationsDatabase>): void {
  let database: Promise<GenerationsDatabase> | undefined;
  const fixtureOf = async () => {
    database ??= open();
    return generationsFixture(await database);
  };
  generationSuite(name, fixtureOf);

  describe(`generations in ${name}: what SQL adds`, () => {
    let opened: GenerationsDatabase;
    let fixture: ReturnType<typeof generationsFixture>;
    let run: (typeof fixture)['run'];
    beforeAll(async () => {
      opened = await open();
      fixture = generationsFixture(opened);
      ({ run } = fixture);
    }, 120_000);
    afterAll(() => opened.close());
    const rebuild = { id: 'r1', code: 'c1' };
    const promote = (consumer: AnyConsumer) => fixture.store.promote(consumer, 2, { code: 'c1' });
    const filled = async (migrations?: readonly Migration[]) => {
      const consumer = await fixture.ready(newConsumer(migrations));
      await fixture.store.create(consumer, rebuild);
      for (const generation of [1, 2]) await fixture.settle(consumer, generation, 0, 0, 3);
      return consumer;
    };
    const refusedFor = (...names: string[]) => ({
      code: 'REBUILD_REFUSED',
      details: expect.objectContaining({ dependents: names }),
      message: expect.stringContaining(names.join(', ')),
    });
    /** The candidate's view as the migrations of another version would have it. */
    const remake = async ({ name }: AnyConsumer, select: string) => {
      const schema = identifier(`${name}-g2`);
      await run(`DROP VIEW ${schema}.settled_count`);
      await run(`CREATE VIEW ${schema}.settled_count AS ${select} ${schema}.settled`);
      if (opened.as) await run(`ALTER VIEW ${schema}.settled_count OWNER TO ${identifier(`${name}-owner`)}`);
    };
    const outside = `outside_${randomUUID().slice(0, 8)}`;

    test('names everything outside that stands on the old tables', async () => {
      const consumer = await filled();
      const [schema, views] = [identifier(consumer.name), identifier(readerSchema(consumer.name))];
      await run(`CREATE SCHEMA ${outside}`);
      const objects: [name: string, make: string, drop: string][] = [
        [`view ${outside}.v`, `VIEW ${outside}.v AS SELECT * FROM ${schema}.settled`, `VIEW ${outside}.v`],
        [
          `materialized view ${outside}.m`,
          `MATERIALIZED VIEW ${outside}.m AS SELECT n FROM ${schema}.settled_count`,
          `MATERIALIZED VIEW ${outside}.m`,
        ],
        [
          `table constraint fk on ${outside}.t`,
          `TABLE ${outside}.t (p int, a bigint, CONSTRAINT fk FOREIGN KEY (p, a) REFERENCES ${schema}.settled)`,
          `TABLE ${outside}.t`,
        ],
        [
          `function ${outside}.f()`,
          `FUNCTION ${outside}.f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM ${schema}.settled; END`,
          `FUNCTION ${outside}.f`,
        ],
      ];
      for (const [, make] of objects) await run(`CREATE ${make}`);
      const names = objects.map(([object]) => object).sort();
      await expect(promote(consumer)).rejects.toMatchObject(refusedFor(...names));
      expect((await fixture.store.list(consumer.name))[0]).toMatchObject({ number: 1, state: 'live' });
      for (const [, , drop] of objects) await run(`DROP ${drop}`);
      // One that reads what readers read goes along.
      await run(`CREATE VIEW ${outside}.v AS SELECT count(*)::int AS n FROM ${views}.settled`);
      await fixture.settle(consumer, 2, 0, 3, 4);
      await promote(consumer);
      expect(await run(`SELECT n FROM ${outside}.v`)).toEqual([{ n: 4 }]);
      await run(`CREATE VIEW ${outside}.w AS SELECT * FROM ${schema}.settled`);
      await expect(fixture.store.drop(consumer, 1)).rejects.toMatchObject(refusedFor(`view ${outside}.w`));
      await run(`DROP VIEW ${outside}.w`);
      await fixture.store.drop(consumer, 1);
    });

    test('what others made in the reader schema is theirs, whoever they are', async () => {
      const consumer = await filled();
      const [schema, views] = [identifier(consumer.name), identifier(readerSchema(consumer.name))];
      const role = `author_${randomUUID().slice(0, 8)}`;
      await run(`CREATE ROLE ${role}`);
      await run(`CREATE VIEW ${views}.top AS SELECT count(*)::int AS n FROM ${views}.settled`);
      await run(`CREATE VIEW ${views}.of_another AS SELECT 1 AS n`);
      await run(`GRANT ${role} TO CURRENT_USER`);
      await run(`GRANT USAGE, CREATE ON SCHEMA ${views} TO ${role}`);
      await run(`ALTER VIEW ${views}.of_another OWNER TO ${role}`);
      await run(`CREATE TABLE ${views}.notes (n int)`);
      await run(`GRANT INSERT ON ${views}.notes TO ${role}`);
      await fixture.ready(consumer);
      // On the old tables themselves: they would show them for ever.
      await run(
        `CREATE MATERIALIZED VIEW ${views}.stale AS SELECT count(*)::int AS n FROM ${schema}.settled`,
      );
      await run(`CREATE VIEW ${views}.direct AS SELECT count(*)::int AS n FROM ${schema}.settled`);
      const names = [`materialized view ${views}.stale`, `view ${views}.direct`];
      await expect(promote(consumer)).rejects.toMatchObject(refusedFor(...names));
      await run(`DROP MATERIALIZED VIEW ${views}.stale`);
      await run(`DROP VIEW ${views}.direct`);
      await fixture.settle(consumer, 2, 0, 3, 4);
      await promote(consumer);
      expect(await run(`SELECT t.n + a.n AS n FROM ${views}.top t, ${views}.of_another a`)).toEqual([
        { n: 5 },
      ]);
      await run(
        `CREATE MATERIALIZED VIEW ${views}.stale AS SELECT count(*)::int AS n FROM ${schema}.settled`,
      );
      await expect(fixture.store.drop(consumer, 1)).rejects.toMatchObject(refusedFor(names[0]!));
      await run(`DROP MATERIALIZED VIEW ${views}.stale`);
      // One in another generation's schema would go with the tables as well.
      await run(`CREATE VIEW ${identifier(`${consumer.name}-g2`)}.old AS SELECT * FROM ${schema}.settled`);
      await expect(fixture.store.drop(consumer, 1)).rejects.toMatchObject(
        refusedFor(`view ${identifier(`${consumer.name}-g2`)}.old`),
      );
    });

    test('a migration that takes the reader views away leaves those of others, and a name that is taken is refused', async () => {
      const consumer = await fixture.ready(newConsumer());
      const views = identifier(readerSchema(consumer.name));
      await run(`CREATE VIEW ${views}.mine AS SELECT 1 AS n`);
      const dropping = { name: '0002', sql: 'DROP VIEW settled_count; ALTER TABLE settled DROP at' };
      await fixture.ready({ ...consumer, migrations: [TABLE, dropping] });
      expect(await run(`SELECT n FROM ${views}.mine`)).toEqual([{ n: 1 }]);
      const taking = [TABLE, dropping, { name: '0003', sql: 'CREATE TABLE mine (n int)' }];
      await expect(fixture.ready({ ...consumer, migrations: taking })).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining(`-reader".mine was not made by Millrace`),
      });
      expect(await run(`SELECT n FROM ${views}.mine`)).toEqual([{ n: 1 }]);
    });

    test('a view that cannot keep its columns is made anew, and refused where others stand on it', async () => {
      const consumer = await filled();
      const views = identifier(readerSchema(consumer.name));
      await remake(consumer, "SELECT 'p' || partition AS partition FROM");
      await run(`CREATE VIEW ${outside}.on_count AS SELECT * FROM ${views}.settled_count`);
      await expect(promote(consumer)).rejects.toMatchObject(refusedFor(`view ${outside}.on_count`));
      await run(`DROP VIEW ${outside}.on_count`);
      await promote(consumer);
      expect(await run(`SELECT DISTINCT partition FROM ${views}.settled_count`)).toEqual([
        { partition: 'p0' },
      ]);
      await expect(fixture.store.rollback(consumer)).resolves.toMatchObject({ to: { number: 1 } });
    });

    test.each([
      ['public', (_: string) => 'INSERT INTO public.somewhere VALUES (1)'],
      ['public in quotes', (_: string) => 'CREATE TABLE "public" . t (n int)'],
      ['its own schema', (name: string) => `CREATE TABLE "${name}".t (n int)`],
    ])('migrations that name %s are refused before anything is made', async (_, sqlOf) => {
      const { name } = newConsumer();
      const consumer = { ...newConsumer(), name };
      const named = { ...consumer, migrations: [...consumer.migrations, { name: '0002', sql: sqlOf(name) }] };
      await fixture.ready(consumer);
      await expect(fixture.store.create(named, rebuild)).rejects.toMatchObject({
        code: 'REBUILD_REFUSED',
        details: { consumer: name, migration: '0002' },
      });
      expect(await fixture.store.list(name)).toHaveLength(1);
    });

    test('public in a comment is no name', async () => {
      const said = [
        { name: '0001', sql: `-- public.t\n/* public.t */ CREATE TABLE settled (partition int, at bigint)` },
      ];
      const consumer = await fixture.ready(newConsumer(said));
      expect(await fixture.store.create(consumer, rebuild)).toMatchObject({ number: 2 });
    });

    test('migrations that make something elsewhere by other means are refused, and leave nothing', async () => {
      const made = `'CREATE TABLE pub' || 'lic.e_' || md5(current_schema()) || ' (n int)'`;
      const sneaky = [TABLE, { name: '0002', sql: `DO $$ BEGIN EXECUTE ${made}; END $$` }];
      if (opened.as) await run('GRANT CREATE ON SCHEMA public TO PUBLIC');
      const consumer = await fixture.ready(newConsumer(sneaky));
      await expect(fixture.store.create(consumer, rebuild)).rejects.toMatchObject({
        code: 'REBUILD_REFUSED',
        message: expect.stringContaining('public.e_'),
      });
      expect(await fixture.store.list(consumer.name)).toHaveLength(1);
      expect(await run(`SELECT to_regnamespace('"${consumer.name}-g2"')::text AS n`)).toEqual([{ n: null }]);
    });

    test.each(['the live one', 'the candidate'])(
      'a migration that fails in %s is no reason to drop a candidate that is filled',
      async (where) => {
        const consumer = await filled();
        const failing = {
          ...consumer,
          migrations: [
            ...consumer.migrations,
            { name: '0002', sql: 'ALTER TABLE settled ADD CHECK (at < 3)' },
          ],
        };
        const at = where === 'the live one' ? 1 : 2;
        await fixture.settle(consumer, at, 0, 3, 4);
        await expect(fixture.store.create(failing, rebuild)).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
          details: { scope: generationName(consumer.name, at), migration: '0002' },
        });
        await expect(fixture.store.create(failing, { ...rebuild, id: 'r2' })).rejects.toMatchObject({
          code: 'SINK_MISCONFIGURED',
        });
        const kept = `SELECT count(*)::int AS n FROM ${identifier(`${consumer.name}-g2`)}.settled`;
        expect(await run(kept)).toEqual([{ n: at === 2 ? 4 : 3 }]);
        expect(await fixture.store.list(consumer.name)).toHaveLength(2);
      },
    );

    test.each(['', '-reader'])('a schema NAME%s of somebody else is not taken over', async (suffix) => {
      const consumer = newConsumer();
      const schema = identifier(consumer.name + suffix);
      await run(`CREATE SCHEMA ${schema}`);
      await run(`CREATE TABLE ${schema}.invoices (n int)`);
      await expect(fixture.ready(consumer)).rejects.toMatchObject({
        code: 'SINK_MISCONFIGURED',
        message: expect.stringContaining(`a schema ${schema} that Millrace did not make`),
        details: { consumer: consumer.name, schema: consumer.name + suffix },
      });
      expect(
        await run(`SELECT relname FROM pg_class WHERE relnamespace = '${schema}'::regnamespace`),
      ).toEqual([{ relname: 'invoices' }]);
    });

    test('nor is a schema with the name of a candidate', async () => {
      const consumer = await fixture.ready(newConsumer());
      const schema = identifier(`${consumer.name}-g2`);
      await run(`CREATE SCHEMA ${schema}`);
      await run(`CREATE TABLE ${schema}.invoices (n int)`);
      await expect(fixture.store.create(consumer, rebuild)).rejects.toMatchObject({
        code: 'REBUILD_REFUSED',
        message: expect.stringContaining(`a schema ${schema} already`),
      });
      expect(await fixture.store.list(consumer.name)).toHaveLength(1);
      expect(await run(`SELECT * FROM ${schema}.invoices`)).toEqual([]);
    });

    test('what is parked belongs to a generation, and goes with it', async () => {
      const consumer = await filled();
      await fixture.park(consumer, 1, 0, [1, 2]);
      await fixture.park(consumer, 2, 1, [2]);
      const kept = (sql: string) =>
        run(`${sql} WHERE consumer LIKE '${consumer.name}%' GROUP BY 1 ORDER BY 1`);
      const each = () => [
        kept('SELECT consumer, sum(parked)::int AS n FROM millrace_key'),
        kept('SELECT consumer, sum(open_letters + parked_records)::int AS n FROM millrace_ledger'),
        kept('SELECT consumer, count(*)::int AS n FROM millrace_parked'),
        kept('SELECT consumer, count(*)::int AS n FROM millrace_key_letter'),
      ];
      const both = (first: number, second: number) => [
        { consumer: consumer.name, n: first },
        { consumer: `${consumer.name}-g2`, n: second },
      ];
      expect(await Promise.all(each())).toEqual([both(2, 1), both(3, 2), both(2, 1), both(1, 1)]);
      await promote(consumer);
      expect(await Promise.all(each())).toEqual([both(2, 1), both(3, 2), both(2, 1), both(1, 1)]);
      await fixture.store.drop(consumer, 1);
      const second = (n: number) => [{ consumer: `${consumer.name}-g2`, n }];
      expect(await Promise.all(each())).toEqual([second(1), second(2), second(1), second(1)]);
    });

    test('what no migration made in a generation’s schema is not dropped with it', async () => {
      const parts: Migration = {
        name: '0002-parts',
        sql: `CREATE TABLE a (n serial PRIMARY KEY) PARTITION BY RANGE (n); CREATE TABLE a0 PARTITION OF a DEFAULT;
          CREATE TYPE span AS RANGE (subtype = float8); CREATE DOMAIN few AS int CHECK (VALUE < 9);
          CREATE FUNCTION one(few) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
      };
      const renaming: Migration = { name: '0003', sql: 'ALTER TABLE a RENAME TO b' };
      const consumer = await filled([TABLE, parts, renaming]);
      await promote(consumer);
      const schema = identifier(consumer.name);
      await run(`CREATE TABLE ${schema}.notes (n int)`);
      await run(`CREATE VIEW ${schema}.mine AS SELECT * FROM ${schema}.settled`);
      await fixture.ready(consumer);
      await expect(fixture.store.drop(consumer, 1)).rejects.toMatchObject({
        code: 'REBUILD_REFUSED',
        details: expect.objectContaining({ objects: [`table ${schema}.notes`, `view ${schema}.mine`] }),
      });
      await run(`ALTER TABLE ${schema}.notes SET SCHEMA public`);
      await run(`ALTER TABLE public.notes RENAME TO ${identifier(`notes of ${consumer.name}`)}`);
      await run(`DROP VIEW ${schema}.mine`);
      await fixture.store.drop(consumer, 1);
      expect(await run(`SELECT to_regnamespace('${schema}')::text AS n`)).toEqual([{ n: null }]);
    });

    test('how fresh the tables are is told of those that readers see, by the consumer’s own name', async () => {
      const consumer = await filled();
      await fixture.settle(consumer, 2, 0, 3, 5);
      const role = `asker_${randomUUID().slice(0, 8)}`;
      await run(`CREATE ROLE ${role}`);
      await run(`GRANT ${role} TO CURRENT_USER`);
      const asOf = async () =>
        (
          await new PostgresSink(opened.admin).transaction(async ({ tx }) => {
            await tx.query(`SELECT set_config('role', '${role}', true)`);
            return tx.query(
              `SELECT consumer, generation, up_to_offset::int AS at FROM millrace_as_of WHERE consumer LIKE '${consumer.name}%'`,
            );
          })
        ).rows;
      expect(await asOf()).toEqual([{ consumer: consumer.name, generation: 1, at: 3 }]);
      await promote(consumer);
      await fixture.settle(consumer, 1, 0, 3, 4);
      expect(await asOf()).toEqual([{ consumer: consumer.name, generation: 2, at: 5 }]);
    });

    test('each generation has ids of events of its own, which are dropped with it', async () => {
      const consumer = await filled();
      await run(`INSERT INTO millrace_seen SELECT id, gen_random_uuid(), 1 FROM millrace_ledger, generate_series(1, 3)
        WHERE consumer IN ('${consumer.name}', '${consumer.name}-g2')`);
      const ids = () =>
        run(`SELECT l.consumer, count(*)::int AS ids FROM millrace_seen s LEFT JOIN millrace_ledger l ON l.id = s.ledger
          WHERE l.consumer IS NULL OR starts_with(l.consumer, '${consumer.name}') GROUP BY 1 ORDER BY 1`);
      const live = { consumer: `${consumer.name}-g2`, ids: 3 };
      expect(await ids()).toEqual([{ consumer: consumer.name, ids: 3 }, live]);
      await promote(consumer);
      await fixture.store.drop(consumer, 1);
      expect(await ids()).toEqual([live]);
    });

    test('a consumer whose tables others write to is refused', async () => {
      const consumer = await filled();
      const role = `writer_${randomUUID().slice(0, 8)}`;
      await run(`CREATE ROLE ${role}`);
      await run(`GRANT UPDATE (at) ON ${identifier(consumer.name)}.settled TO ${role}`);
      const refusal = {
        code: 'REBUILD_REFUSED',
        details: { consumer: consumer.name, table: 'settled', role },
      };
      await expect(promote(consumer)).rejects.toMatchObject(refusal);
      await expect(fixture.store.create(consumer, { id: 'r2', code: 'c2' })).rejects.toMatchObject(refusal);
      await run(`REVOKE UPDATE (at) ON ${identifier(consumer.name)}.settled FROM ${role}`);
      await promote(consumer);
      await fixture.store.drop(consumer, 1);
      await run(`GRANT INSERT ON ${identifier(`${consumer.name}-g2`)}.settled TO ${role}`);
      await expect(fixture.store.create(consumer, { id: 'r2', code: 'c2' })).rejects.toMatchObject({
        ...refusal,
        message: expect.stringContaining(`-g2".settled`),
      });
    });

    test('a later migration reaches every generation, and the views', async () => {
      const consumer = await filled();
      const later = {
        ...consumer,
        migrations: [
          ...consumer.migrations,
          { name: '0002', sql: 'DROP VIEW settled_count; ALTER TABLE settled DROP at, ADD more int' },
        ],
      };
      await fixture.ready(later);
      const views = identifier(readerSchema(consumer.name));
      expect(Object.keys((await run(`SELECT * FROM ${views}.settled`))[0] as object)).toEqual([
        'partition',
        'more',
      ]);
      await promote(later);
      expect(await run(`SELECT count(more)::int AS n FROM ${views}.settled`)).toEqual([{ n: 0 }]);
    });

    test('readers keep their rights through a promote, whether a view was replaced or made anew', async () => {
      const consumer = await filled();
      const reader = `reader_${randomUUID().slice(0, 8)}`;
      const views = identifier(readerSchema(consumer.name));
      await run(`CREATE ROLE ${reader}`);
      await run(`GRANT USAGE ON SCHEMA ${views} TO ${reader}`);
      await run(`GRANT SELECT ON ${views}.settled TO ${reader}`);
      await run(`GRANT SELECT (n) ON ${views}.settled_count TO ${reader} WITH GRANT OPTION`);
      await remake(consumer, 'SELECT count(*)::int AS n FROM');
      await promote(consumer);
      const may = (of: string, right: string) => `has_${of}_privilege('${reader}', ${right})`;
      expect(
        await run(`SELECT ${may('table', `'${views}.settled', 'SELECT'`)} AS a, ${may('table', `'${views}.settled_count', 'SELECT'`)} AS b,
          ${may('column', `'${views}.settled_count', 'n', 'SELECT WITH GRANT OPTION'`)} AS c, ${may('schema', `'${readerSchema(consumer.name)}', 'USAGE'`)} AS d`),
      ).toEqual([{ a: true, b: false, c: true, d: true }]);
    });
  });
}
