/** Today's code on what earlier versions left behind (test/fixtures), and beside functions of theirs that still run. */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { inTransaction } from '../adapters/postgres/sql-transaction.ts';
import { decodeRows } from '../adapters/postgres/sql-values.ts';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import { contractsAmong } from '../runtime/contract/contract.ts';
import { readGivenUpBatch } from '../runtime/dead-letters/given-up-batch.ts';
import { decodeEnvelope } from '../runtime/dead-letters/json-envelope.ts';
import { fromKafkaRecord } from '../runtime/dead-letters/kafka-envelope.ts';
import { fetchPayload, REDRIVE_ATTRIBUTE } from '../runtime/dead-letters/queue-letters.ts';
import { settleMessages } from '../runtime/dead-letters/redrive/receive.ts';
import { redriveResultsReader } from '../runtime/dead-letters/redrive/results.ts';
import { type DeadLetter, letterKey } from '../runtime/delivery/dead-letter.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import { advance, judge, type LedgerPatch, type LedgerView } from '../runtime/delivery/ledger.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import type { LedgerRequest } from '../runtime/delivery/sink.ts';
import { type KafkaInvocation, settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../runtime/record.ts';
import { createFakeClock } from '../testing/fake-clock.ts';
import { createMemoryObjects } from '../testing/memory-objects.ts';
import { millrace, millraceJson } from './cli/millrace.ts';
import type { Pageview } from './fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { editorialAnalytics } from './fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { expectedTables, readTables } from './fixtures/newsdesk/tables.ts';
import { createPglite, placeSink } from './prepared-pglite.ts';
import { runs } from './runs.ts';
import { createTemporaryFolder } from './temporary-folder.ts';

const FIXTURES = fileURLToPath(new URL('fixtures/c9da134', import.meta.url));
const unzipped = (name: string) => gunzipSync(readFileSync(join(FIXTURES, `${name}.gz`)));
const json = (name: string) => JSON.parse(unzipped(name).toString());

jest.setTimeout(120_000);

describe('a state folder of the version before', () => {
  const views: readonly Pageview[] = unzipped('pageviews.jsonl')
    .toString()
    .split('\n')
    .map((line) => JSON.parse(line));
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let folder: string;
  let state: string[];

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    folder = join(temporary.path, 'state');
    state = ['--state', folder];
    mkdirSync(join(folder, 'redrives'), { recursive: true });
    for (const name of ['millrace.json', 'log-id']) cpSync(join(FIXTURES, 'state', name), join(folder, name));
    for (const name of ['log.sqlite', 'queues.sqlite', 'objects.sqlite'])
      writeFileSync(join(folder, name), unzipped(join('state', name)));
    const journal = readFileSync(join(FIXTURES, 'state/redrive.jsonl'), 'utf8').replaceAll('STATE', folder);
    writeFileSync(
      join(folder, 'redrives', `${JSON.parse(journal.trim().split('\n')[0]!).id}.jsonl`),
      journal,
    );
    placeSink(folder);
    const pglite = await PGlite.create(join(folder, 'sink'));
    await pglite.exec(unzipped('state/sink.sql').toString());
    await pglite.close();
  });
  afterAll(() => temporary.remove());

  const tables = async () => {
    const pglite = await PGlite.create(join(folder, 'sink'));
    try {
      return await readTables(new PostgresSink(pgliteDriver(pglite), { schema: editorialAnalytics.name }));
    } finally {
      await pglite.close();
    }
  };
  const letters = (): Promise<{ id: string; failure: { stage: string } }[]> =>
    millraceJson(['dlq', 'list', ...state]);
  const REDRIVE = ['dlq', 'redrive', '--where', 'error=HANDLER_FAILED', '--yes'];

  test('is drained: what was not consumed yet is', async () => {
    const [before] = JSON.parse((await millrace(['lag', '--json', ...state])).stdout);
    expect(before.lag).toBeGreaterThan(100);
    const report = await millraceJson(['up', '--no-publish', '--exit-when-drained', ...state]);
    expect(report).toMatchObject({ published: 0, lag: 0, skipped: 0 });
    expect(report.applied).toBeGreaterThan(100);
  });

  test('goes on with the redrive that was killed, and has every pageview once', async () => {
    const { stderr, code } = await millrace([...REDRIVE, ...state]);
    expect(stderr).toMatch(/Going on with redrive .*: \d+ of 11 were sent/);
    expect(code).toBe(0);
    expect(await tables()).toEqual(expectedTables(views));
    const [{ settled }] = await millraceJson([
      'sql',
      'select sum(next - first)::int as settled from millrace_ledger',
      ...state,
    ]);
    const left = await letters();
    expect(new Set(left.map(({ failure }) => failure.stage))).toEqual(new Set(['decode']));
    expect(new Set(left.map(({ id }) => id)).size).toBe(settled - views.length);
  });

  test('takes its export back, and applies nothing of it twice', async () => {
    const left = await letters();
    const exported = unzipped('letters.jsonl').toString();
    const imported = await millraceJson(['dlq', 'import', '--input', '-', ...state], exported);
    expect(imported).toEqual({ imported: exported.trim().split('\n').length });
    const failed = new Set(
      exported
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ failure }) => failure.code === 'HANDLER_FAILED')
        .map(({ id }) => id),
    );
    expect(await millraceJson([...REDRIVE, ...state])).toMatchObject({
      planned: failed.size,
      applied: 0,
      alreadyApplied: failed.size,
      remaining: 0,
    });
    expect(await tables()).toEqual(expectedTables(views));
    const ids = (some: readonly { id: string }[]) => new Set(some.map(({ id }) => id));
    expect(ids(await letters())).toEqual(ids(left));
  });
});

interface StoredRecord extends Omit<RawRecord, 'key' | 'value' | 'headers'> {
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly { name: string; value: string | null }[];
}
const bytes = (base64: string | null) => (base64 === null ? null : Buffer.from(base64, 'base64'));
const recordOf = (stored: StoredRecord): RawRecord => ({
  ...stored,
  key: bytes(stored.key),
  value: bytes(stored.value),
  headers: stored.headers.map(({ name, value }) => ({ name, value: bytes(value) })),
});

describe.each(['a queue', 'a topic'])('a ledger of the version before, with its letters in %s', (place) => {
  const { views, records: stored }: { views: Pageview[]; records: StoredRecord[] } = json('delivered.json');
  const records = stored.map(recordOf);
  const kept = json('letters.json');
  const of = { consumer: editorialAnalytics.name, epoch: 1, topic: editorialAnalytics.topic.name };
  const clock = createFakeClock({ startsAt: Date.UTC(2026, 0, 2), autoAdvance: true });
  const pglite = createPglite();
  const driver = pgliteDriver(pglite);
  const sink = new PostgresSink(driver);
  const objects = createMemoryObjects({ clock });
  const again: DeadLetter[] = [];
  const reports: BatchReport[] = [];
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const metrics = { report: (report: BatchReport) => void reports.push(report), reportRedrive() {} };
  const engine = createEngine(editorialAnalytics, {
    clock,
    random: createSeededRandom(1),
    registry: createContractSchemaRegistry(contractsAmong([editorialAnalytics.topic])),
    sink,
    deadLetters: { put: async (letters) => void again.push(...letters) },
    log: silent,
    metrics,
  });
  const invocation = (): KafkaInvocation => {
    const endsAt = clock.now() + 60_000;
    return {
      requestId: `r${clock.now()}`,
      functionName: 'f',
      functionVersion: '2',
      partialResponses: false,
      remainingMs: () => endsAt - clock.now(),
    };
  };
  const deliver = (indexes: readonly number[]) =>
    settleKafkaEvent(encodeKafkaEvent(indexes.map((index) => records[index]!)), engine, invocation());
  const from = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, n) => first + n);
  const holes = () =>
    sink.transaction(async ({ lockLedgers }) =>
      (
        await lockLedgers(
          of,
          [0, 1, 2].map((partition) => ({ topic: of.topic, partition, from: 0, to: 1_000 })),
        )
      ).map((view) => view.holes),
    );
  const inQueue = (): Promise<DeadLetter[]> =>
    Promise.all(
      kept.messages.map(({ body }: { body: string }) => fetchPayload(decodeEnvelope(body), objects)),
    );

  beforeAll(async () => {
    await pglite.exec(unzipped('ledger.sql').toString());
    for (const [key, object] of Object.entries<string>(kept.objects))
      await objects.put(key, Buffer.from(object, 'base64'));
  });
  afterAll(() => pglite.close());

  test('is brought up to date, and its holes are holes', async () => {
    expect(await migrate(driver, 'millrace', ledgerMigrations)).toEqual([
      '0003-ranges',
      '0004-generations',
      '0005-as-of',
      '0006-keys',
      '0007-breaker',
      '0008-seen',
      '0009-as-of-parked',
    ]);
    expect(await migrate(driver, of.consumer, editorialAnalytics.migrations)).toEqual([]);
    expect(await holes()).toEqual([
      [
        { from: 104, to: 105 },
        { from: 108, to: 109 },
        { from: 119, to: 120 },
      ],
      [
        { from: 0, to: 1 },
        { from: 10, to: 15 },
        { from: 17, to: 18 },
      ],
      [
        { from: 3, to: 5 },
        { from: 8, to: 9 },
      ],
    ]);
  });

  test('takes what it settled for duplicates, also in a batch with what is new', async () => {
    const open = [4, 8, 19, 20, ...from(30, 34), 37, 40, 43, 44, 48, ...from(50, 59)];
    const settled = from(0, 59).filter((index) => !open.includes(index));
    await deliver(settled);
    expect(reports.at(-1)).toMatchObject({
      applied: 0,
      duplicates: settled.length,
      deadLettered: 0,
      skipped: 0,
    });
    await deliver([41, 42, 45, ...from(50, 59)]);
    expect(reports.at(-1)).toMatchObject({ applied: 10, duplicates: 3, deadLettered: 0, skipped: 0 });
  });

  test('has the same letters in both places', async () => {
    expect(kept.topic.map((record: StoredRecord) => fromKafkaRecord(recordOf(record)))).toEqual(
      await inQueue(),
    );
  });

  test('has each letter applied once, however often it is redriven', async () => {
    const results: Record<string, string> = {};
    const redrive = async () => {
      if (place === 'a topic') {
        const letters = (await inQueue()).map((_, at) => fromKafkaRecord(recordOf(kept.topic[at])));
        const outcomes = await engine.redrive(letters, invocation());
        return letters.map(({ record }, at) => [`${record.partition}/${record.offset}`, outcomes[at]]);
      }
      const redriveId = `redrive ${clock.now()}`;
      const messages = kept.messages.map(({ body }: { body: string }, id: number) => ({
        id: `${id}`,
        body,
        attributes: { [REDRIVE_ATTRIBUTE]: redriveId },
      }));
      expect(await settleMessages(messages, { engine, objects, metrics, log: silent }, invocation())).toEqual(
        [],
      );
      const read = await redriveResultsReader(objects, redriveId)();
      return (await inQueue()).map((letter) => [
        `${letter.record.partition}/${letter.record.offset}`,
        read.get(letterKey(letter)),
      ]);
    };
    Object.assign(results, Object.fromEntries(await redrive()));
    const [applied, duplicate, failed] =
      place === 'a queue'
        ? ['applied', 'already-applied', 'failed-again']
        : ['applied', 'duplicate', 'deadLettered'];
    expect(results).toMatchObject({ '0/103': duplicate, '0/119': failed, '1/0': failed });
    expect(results).toMatchObject({ '0/108': applied, '1/17': applied, '2/8': applied });
    const second = Object.fromEntries(await redrive());
    expect(second).toEqual({
      ...Object.fromEntries(['0/103', '0/104', '0/108', '1/17', '2/8'].map((of) => [of, duplicate])),
      '0/119': failed,
      '1/0': failed,
    });
    expect(again.map(({ record: { value } }) => value!.length)).toEqual([7, 900_000, 7, 900_000]);
  });

  test('has the batch given up applied once', async () => {
    const { letters } = readGivenUpBatch(kept.givenUp, of);
    expect(await engine.redrive(letters, invocation())).toEqual(Array(5).fill('applied'));
    expect(await engine.redrive(letters, invocation())).toEqual(Array(5).fill('duplicate'));
  });

  test('has every pageview once in the end, and no hole but for what nobody can read', async () => {
    await deliver([40, 43, 44]);
    expect(await readTables(sink)).toEqual(expectedTables(views.filter((_, at) => at !== 19 && at !== 20)));
    expect(await holes()).toEqual([[{ from: 119, to: 120 }], [{ from: 0, to: 1 }], []]);
  });
});

/** The sink's statements as the version before has them, to the letter. */
const OLD = {
  lock: `
  WITH request AS (
    SELECT topic, partition, int8multirange(int8range(lowest, beyond)) AS asked
    FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) AS r (topic, partition, lowest, beyond)
  )
  SELECT l.topic, l.partition, l.first, l.next, l.max_timestamp,
    l.dead_lettered * r.asked + l.passed_over * r.asked AS holes
  FROM request r
  JOIN millrace_ledger l USING (topic, partition)
  WHERE l.consumer = $1 AND l.epoch = $2
    AND (
      SELECT count(*) FROM request JOIN millrace_ledger k USING (topic, partition)
      WHERE k.consumer = $1 AND k.epoch = $2
    ) = cardinality($3::text[])
  ORDER BY l.topic, l.partition
  FOR UPDATE OF l`,
  create: `
  INSERT INTO millrace_ledger (consumer, epoch, topic, partition)
  SELECT $1, $2, topic, partition FROM unnest($3::text[], $4::int[]) AS r (topic, partition)
  ORDER BY topic, partition
  ON CONFLICT DO NOTHING`,
  write: `
  UPDATE millrace_ledger l SET
    first = p.first,
    next = p.next,
    max_timestamp = p.max_timestamp,
    dead_lettered = CASE WHEN isempty(p.closed) AND isempty(p.dead_lettered) THEN l.dead_lettered
      ELSE l.dead_lettered - p.closed + p.dead_lettered END,
    passed_over = CASE WHEN isempty(p.closed) AND isempty(p.dead_lettered) AND isempty(p.passed_over)
      THEN l.passed_over
      ELSE l.passed_over - p.closed - p.dead_lettered + p.passed_over END,
    updated_at = now()
  FROM unnest(
    $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::int8multirange[], $9::int8multirange[], $10::int8multirange[]
  ) AS p (topic, partition, first, next, max_timestamp, closed, dead_lettered, passed_over)
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = p.topic AND l.partition = p.partition`,
};

interface OldRow {
  readonly first: number | null;
  readonly next: number | null;
  readonly max_timestamp: number;
  readonly holes: string;
}

/** What a function does with the ledger of one partition, in one transaction, and with the table of effects. */
interface LedgerTransaction {
  lock(request: LedgerRequest): Promise<LedgerView>;
  apply(offset: number): Promise<unknown>;
  write(patch: LedgerPatch): Promise<unknown>;
}
type InTransaction = <Result>(
  consumer: string,
  work: (transaction: LedgerTransaction) => Promise<Result>,
) => Promise<Result>;

const APPLY = 'INSERT INTO effect VALUES ($1, $2)';

function versionBefore(driver: SqlDriver): InTransaction {
  const text = (ranges: LedgerPatch['closed']) =>
    `{${ranges.map(({ from, to }) => `[${from},${to})`).join(',')}}`;
  return (consumer, work) =>
    inTransaction(driver, (open) => {
      const query = async (sql: string, parameters: readonly unknown[]) =>
        decodeRows(await open.query(sql, parameters));
      return work({
        async lock({ topic, partition, from, to }) {
          const which = [consumer, 1, [topic], [partition]];
          let [row] = await query(OLD.lock, [...which, [from], [to]]);
          if (!row) {
            await query(OLD.create, which);
            [row] = await query(OLD.lock, [...which, [from], [to]]);
          }
          const { first, next, max_timestamp: maxTimestamp, holes } = row as unknown as OldRow;
          const ranges = Array.from(holes.matchAll(/\[(\d+),(\d+)\)/g), ([, from, to]) => ({
            from: Number(from),
            to: Number(to),
          }));
          return { topic, partition, first, next, maxTimestamp, holes: ranges };
        },
        apply: (offset) => query(APPLY, [consumer, offset]),
        write: ({ topic, partition, first, next, maxTimestamp, ...ranges }) =>
          query(OLD.write, [
            consumer,
            1,
            [topic],
            [partition],
            [first],
            [next],
            [maxTimestamp],
            [text(ranges.closed)],
            [text(ranges.deadLettered)],
            [text(ranges.skipped)],
          ]),
      });
    });
}

function today(driver: SqlDriver): InTransaction {
  const sink = new PostgresSink(driver, { mostRangeBytes: 0 });
  return (consumer, work) =>
    sink.transaction(({ tx, lockLedgers, writeLedgers }) =>
      work({
        lock: async (request) => (await lockLedgers({ consumer, epoch: 1 }, [request]))[0]!,
        apply: (offset) => tx.query(APPLY, [consumer, offset]),
        write: (patch) => writeLedgers({ consumer, epoch: 1 }, [patch]),
      }),
    );
}

describe('functions of two versions on one ledger, as while one is deployed', () => {
  const pglite = createPglite();
  const driver = pgliteDriver(pglite);
  const versions = { old: versionBefore(driver), new: today(driver) };
  const TOPIC = 't';

  beforeAll(async () => {
    await migrate(driver, 'millrace', ledgerMigrations.slice(0, 2));
    await pglite.exec('CREATE TABLE effect (consumer text, at bigint)');
    // A ledger that was there before the migration, one for each run.
    await pglite.exec(
      `INSERT INTO millrace_ledger (consumer, epoch, topic, partition) SELECT 'before ' || n, 1, 't', 0 FROM generate_series(0, 200) n`,
    );
    await migrate(driver, 'millrace', ledgerMigrations);
  });
  afterAll(() => pglite.close());

  /** Settles offsets as the engine does: what is fresh is applied, or is a dead letter where it is bad. */
  const settle = (
    who: keyof typeof versions,
    consumer: string,
    arrival: 'delivery' | 'redrive',
    offsets: readonly number[],
    isBad: (offset: number) => boolean,
  ) =>
    versions[who](consumer, async ({ lock, apply, write }) => {
      const view = await lock({ topic: TOPIC, partition: 0, from: offsets[0]!, to: offsets.at(-1)! + 1 });
      const stamped = offsets.map((offset) => ({ offset, timestamp: offset }));
      const fresh = stamped.filter((record) => judge(view, record, arrival, 1_000_000) === 'fresh');
      for (const { offset } of fresh) if (!isBad(offset)) await apply(offset);
      const [head, ...tail] = fresh.map((record) => ({ ...record, isDeadLettered: isBad(record.offset) }));
      if (head) await write(advance(view, [head, ...tail], 'contiguous', 1_000_000).patch);
    });

  const step = fc.record({
    who: fc.constantFrom('old' as const, 'new' as const),
    /** Records delivered again, records that the event source gives up on, and records that are new. */
    back: fc.nat(8),
    skip: fc.constantFrom(0, 0, 0, 2),
    size: fc.nat(8),
    /** Every so many records, one is bad. */
    badEvery: fc.constantFrom(2, 3, 100),
    redrive: fc.boolean(),
  });

  test.each(['before', 'after'])(
    'take turns and settle every offset exactly once; the ledger is from %s the migration',
    async (since) => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), async (steps) => {
          const consumer = `${since} ${run++}`;
          let cursor = 0;
          for (const { who, back, skip, size, badEvery, redrive } of steps) {
            const isBad = (offset: number) => offset % badEvery === 0;
            if (redrive) {
              const from = Math.max(0, cursor - back - size - 1);
              const letters = Array.from({ length: cursor - from }, (_, n) => from + n);
              if (letters.length > 0) await settle(who, consumer, 'redrive', letters, isBad);
              continue;
            }
            const from = Math.max(0, cursor - back);
            const batch = Array.from({ length: cursor - from }, (_, n) => from + n);
            const fresh = Array.from({ length: size }, (_, n) => cursor + skip + n);
            if (batch.length + fresh.length === 0) continue;
            await settle(who, consumer, 'delivery', [...batch, ...fresh], isBad);
            cursor = Math.max(cursor, (fresh.at(-1) ?? -1) + 1);
          }
          if (cursor === 0) return;
          // Whoever redrives what is left, in halves, finds all of it.
          const all = Array.from({ length: cursor }, (_, offset) => offset);
          await settle('old', consumer, 'redrive', all.slice(0, cursor / 2 + 1), () => false);
          await settle('new', consumer, 'redrive', all, () => false);
          const { rows } = await pglite.query<{ at: number }>(
            'SELECT at::int FROM effect WHERE consumer = $1 ORDER BY 1',
            [consumer],
          );
          expect(rows.map(({ at }) => at)).toEqual(all);
        }),
        { numRuns: runs(60), endOnFailure: true },
      );
    },
  );
});
