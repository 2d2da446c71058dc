/**
 * What a version of Millrace leaves behind, made by that version's own code: node scripts/make-fixtures.mjs CHECKOUT OUTPUT
 * CHECKOUT is that version with its node_modules (git worktree add), OUTPUT a new folder. test/compatibility.test.ts reads it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';

const [checkout, output] = process.argv.slice(2).map((path) => resolve(path));
if (!output) throw new Error('Usage: node scripts/make-fixtures.mjs CHECKOUT OUTPUT');
const load = (path) => import(pathToFileURL(join(checkout, path)).href);

const { PGlite } = await load('node_modules/@electric-sql/pglite/dist/index.js');
const { ledgerMigrations } = await load('adapters/postgres/ledger-migrations.ts');
const { migrate } = await load('adapters/postgres/migrate.ts');
const { pgliteDriver } = await load('adapters/postgres/pglite-driver.ts');
const { PostgresSink } = await load('adapters/postgres/postgres-sink.ts');
const { createMemorySchemaRegistry } = await load('adapters/memory/memory-schema-registry.ts');
const { createSeededRandom } = await load('adapters/memory/seeded-random.ts');
const { createFakeClock } = await load('adapters/memory/fake-clock.ts');
const { editorialAnalytics } = await load('lambdas/editorial-analytics/consumer.ts');
const { createTraffic } = await load('local/publishing/traffic.ts');
const { failureDocument } = await load('local/event-source/failure-document.ts');
const { createEncoder } = await load('runtime/codec.ts');
const { createQueueLetters } = await load('runtime/dead-letters/queue-letters.ts');
const { createTopicLetters } = await load('runtime/dead-letters/topic-letters.ts');
const { createEngine } = await load('runtime/engine.ts');
const { encodeKafkaEvent } = await load('runtime/kafka-event.ts');

const FIRST_AT = Date.UTC(2026, 0, 1);
const views = (seed, count) => {
  const traffic = createTraffic(createSeededRandom(seed));
  return Array.from({ length: count }, (_, index) => traffic.next(FIRST_AT + index * 40));
};
const write = (name, content) => writeFileSync(join(output, name), content);
const writeJson = (name, value) => write(`${name}.gz`, gzipSync(JSON.stringify(value), { level: 9 }));
const toJson = ({ key, value, headers = [], ...rest }) => ({
  ...rest,
  key: key?.toString('base64') ?? null,
  value: value?.toString('base64') ?? null,
  headers: headers.map((header) => ({ name: header.name, value: header.value?.toString('base64') ?? null })),
});

/** A script that makes the same tables with the same rows. */
async function dump(pglite) {
  const rowsOf = async (sql) => (await pglite.query(sql)).rows;
  const script = [
    `CREATE TABLE millrace_migration (scope text NOT NULL, position int NOT NULL, name text NOT NULL, checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (scope, position));`,
    'CREATE TABLE millrace_ledger_origin (log_id text NOT NULL);',
    ...[...ledgerMigrations, ...editorialAnalytics.migrations].map(({ sql }) => `${sql.trimEnd()};`),
  ];
  for (const { name } of await rowsOf(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
  )) {
    for (const { row } of await rowsOf(`SELECT quote_literal(t::text) AS row FROM ${name} t ORDER BY 1`))
      script.push(`INSERT INTO ${name} SELECT (${row}::${name}).*;`);
  }
  return gzipSync(script.join('\n'), { level: 9 });
}

/** Runs the checkout's command line, and kills it once `killAfter` resolves. */
async function millrace(args, { input = '', killAfter } = {}) {
  const child = spawn(process.execPath, [join(checkout, 'bin/millrace.ts'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(input);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const ended = once(child, 'close');
  if (killAfter) {
    await killAfter();
    child.kill('SIGKILL');
  }
  const [code] = await ended;
  if (code !== 0 && !killAfter) throw new Error(`millrace ${args.join(' ')} ended with ${code}`);
  return text;
}

/** A state folder in the middle of its work: letters of two kinds, a redrive that was killed, records not read yet. */
async function makeState(folder) {
  const path = join(folder, 'state');
  const state = ['--state', path];
  const all = views(7, 520);
  const lines = (some) => some.map((view) => JSON.stringify(view)).join('\n');
  const groups = [...Map.groupBy(all, ({ contentId }) => contentId)];
  const [failing] = groups.find(([, { length }]) => length > 12 && length < 25);
  const publish = (some) =>
    millrace(['publish', 'news.pageviews', '--input', '-', '--poison', '0.03', '--seed', '3', ...state], {
      input: lines(some),
    });
  await publish(all.slice(0, 400));
  const faults = ['--redeliver', '0.3', '--crash', '0.1', '--seed', '5', '--fail', `contentId=${failing}`];
  await millrace(['up', '--no-publish', '--exit-when-drained', ...faults, ...state]);

  const journal = () => {
    const redrives = join(path, 'redrives');
    return existsSync(redrives) && readdirSync(redrives).map((name) => join(redrives, name))[0];
  };
  const sent = () => journal() && readFileSync(journal(), 'utf8').split('"sent"').length - 1;
  const redrive = [
    'dlq',
    'redrive',
    '--where',
    'error=HANDLER_FAILED',
    '--rate',
    '1',
    '--canary',
    '0',
    '--yes',
  ];
  await millrace([...redrive, ...state], {
    async killAfter() {
      while (!(sent() >= 4)) await sleep(20);
    },
  });
  await publish(all.slice(400));
  write('letters.jsonl.gz', gzipSync(await millrace(['dlq', 'export', ...state]), { level: 9 }));
  write('pageviews.jsonl.gz', gzipSync(lines(all), { level: 9 }));

  mkdirSync(join(output, 'state'));
  for (const name of ['millrace.json', 'log-id']) cpSync(join(path, name), join(output, 'state', name));
  // A journal says in which folder it belongs.
  write(join('state', 'redrive.jsonl'), readFileSync(journal(), 'utf8').replaceAll(path, 'STATE'));
  for (const name of ['log.sqlite', 'queues.sqlite', 'objects.sqlite']) {
    const database = new DatabaseSync(join(path, name));
    database.exec('PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)');
    database.close();
    write(join('state', `${name}.gz`), gzipSync(readFileSync(join(path, name)), { level: 9 }));
  }
  const pglite = await PGlite.create(join(path, 'sink'));
  write(join('state', 'sink.sql.gz'), await dump(pglite));
  await pglite.close();
}

/** A ledger with holes of both kinds, the letters of its dead ones in a queue and in a topic, and a batch given up. */
async function makeLedger() {
  const pglite = new PGlite();
  const driver = pgliteDriver(pglite);
  await migrate(driver, 'millrace', ledgerMigrations);
  await migrate(driver, editorialAnalytics.name, editorialAnalytics.migrations);
  const registry = createMemorySchemaRegistry([editorialAnalytics.topic]);
  const kept = { messages: [], topic: [], objects: {}, givenUp: null };
  const objects = {
    put: async (key, bytes) => Object.assign(kept.objects, { [key]: bytes.toString('base64') }),
  };
  const queue = { send: async (messages) => void kept.messages.push(...messages) };
  const producer = { send: async (_, records) => void kept.topic.push(...records.map(toJson)) };
  const stores = [createQueueLetters({ queue, objects }), createTopicLetters({ topic: 'letters', producer })];
  const letters = [];
  const clock = createFakeClock({ startsAt: FIRST_AT + 60_000, autoAdvance: true });
  const engineWith = (fails) =>
    createEngine(
      {
        ...editorialAnalytics,
        async handle(records, context) {
          if (records.some(({ value }) => fails.has(value.eventId))) throw new TypeError('a bug of that day');
          await editorialAnalytics.handle(records, context);
        },
      },
      {
        clock,
        random: createSeededRandom(1),
        registry,
        sink: new PostgresSink(driver),
        deadLetters: {
          async put(some) {
            letters.push(...some);
            for (const store of stores) await store.put(some);
          },
        },
        log: { debug() {}, info() {}, warn() {}, error() {} },
        metrics: { report() {}, reportRedrive() {} },
      },
    );
  const invocation = () => {
    const endsAt = clock.now() + 60_000;
    const remainingMs = () => endsAt - clock.now();
    return { requestId: 'r', functionName: 'f', functionVersion: '1', partialResponses: false, remainingMs };
  };

  const all = views(11, 60);
  const encoded = await createEncoder(editorialAnalytics.topic, registry).encodeBatch(all);
  const records = encoded.map(({ record }, index) => ({
    topic: editorialAnalytics.topic.name,
    partition: Math.floor(index / 20),
    offset: (index < 20 ? 100 : 0) + (index % 20),
    timestamp: all[index].occurredAt,
    timestampType: 'CREATE_TIME',
    ...record,
    headers: index % 7 === 0 ? [{ name: 'trace', value: Buffer.from([0xff, index]) }] : [],
  }));
  // Two that nobody can read, one of them too large for a message.
  const damaged = { 19: Buffer.from('garbage'), 20: Buffer.alloc(900_000, 'garbage ') };
  for (const [index, value] of Object.entries(damaged)) records[index] = { ...records[index], value };
  const broken = new Set([3, 4, 8, 37, 48].map((index) => all[index].eventId));
  const engine = engineWith(broken);
  const deliver = (from, to) => engine.consumeBatch(encodeKafkaEvent(records.slice(from, to)), invocation());
  await deliver(0, 20);
  await deliver(20, 30);
  await deliver(35, 40);
  await deliver(45, 50);
  await deliver(41, 43);
  const givenUp = failureDocument(
    records.slice(30, 35),
    {
      requestContext: {
        requestId: 'r',
        functionArn: 'arn:aws:lambda:eu-central-1:123456789012:function:editorial-analytics:live',
        condition: 'RetryAttemptsExhausted',
        approximateInvokeCount: 3,
      },
      responseContext: { statusCode: 200, executedVersion: '7', functionError: 'Unhandled' },
    },
    clock.now(),
  );
  // Of the letters one was redriven and applied, another failed again.
  const letterAt = (index) => letters.find(({ record }) => record.value.equals(records[index].value));
  await engineWith(new Set()).redrive([letterAt(3)], invocation());
  await engine.redrive([letterAt(4)], invocation());

  write('ledger.sql.gz', await dump(pglite));
  writeJson('delivered.json', { views: all, records: records.map(toJson) });
  writeJson('letters.json', { ...kept, givenUp });
  await pglite.close();
}

mkdirSync(output, { recursive: true });
const folder = mkdtempSync(join(tmpdir(), 'fixtures-'));
try {
  await makeState(folder);
  await makeLedger();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
