/**
 * A handler bug that wrote one status down twice, rebuilt away on a real Kafka and PostgreSQL while keys are parked and ids of
 * events are kept: both generations have parked records and ids of their own, as a run has them that never had the bug.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { finished, millrace, millraceJson, start } from '../cli/millrace.ts';
import { orderChanges } from '../fixtures/order-history/contracts/shop.order-changes/topic.ts';
import { orderHistory } from '../fixtures/order-history/millrace.config.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { copyOrderHistory, deploy, MENDED } from './order-faults.ts';
import { createOrderTraffic, readInOrder, rowText } from './order-traffic.ts';
import { part } from './part.ts';

const TOPIC = orderChanges.name;
const CONSUMER = orderHistory.name;
const ORDERS = `SELECT * FROM "${CONSUMER}-reader".order_history`;
const SOUND = { ...MENDED, throwsAt: ['returned'], refuses: ['lost'] };
const BAD = { ...SOUND, doubles: ['paid'] };

/** What a generation remembers, a line each. */
interface Kept {
  readonly letters: readonly string[];
  readonly parked: readonly string[];
  readonly seen: readonly string[];
}

export async function rebuildOrders(records: number, kills: number, seed: number) {
  const random = createSeededRandom(seed);
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const project = join(temporary.path, 'project');
  copyOrderHistory(project, BAD);
  const admin = new pg.Client({ connectionString: part('MILLRACE_TEST_POSTGRES') });
  await admin.connect();
  const endings: (() => unknown)[] = [() => temporary.remove(), () => admin.end(), () => processes.endAll()];
  const database = async (name: string) => {
    await admin.query(`CREATE DATABASE ${name}`);
    endings.push(() => admin.query(`DROP DATABASE ${name} WITH (FORCE)`));
    const { href } = Object.assign(new URL(part('MILLRACE_TEST_POSTGRES')), { pathname: name });
    const client = new pg.Client({ connectionString: href });
    await client.connect();
    endings.push(() => client.end());
    const rows = async () => (await client.query(ORDERS)).rows.map(rowText).sort();
    const kept = async (generation: string): Promise<Kept> => {
      const lines = async (sql: string) =>
        (await client.query({ text: sql, values: [generation], rowMode: 'array' })).rows.map(String).sort();
      const ofKeys = (table: string) =>
        lines(`SELECT k.topic, k.partition, t."offset", encode(k.key, 'escape')
          FROM ${table} t JOIN millrace_key k ON k.id = t.key_id WHERE k.consumer = $1 AND t.consumer = $1`);
      return {
        letters: await ofKeys('millrace_key_letter'),
        parked: await ofKeys('millrace_parked'),
        seen: await lines(
          'SELECT l.partition, s.id FROM millrace_seen s JOIN millrace_ledger l ON l.id = s.ledger WHERE l.consumer = $1',
        ),
      };
    };
    return { url: href, rows, kept };
  };
  try {
    const [node] = await startKafka(processes, { nodes: 1 });
    const cluster = ['--kafka', node!.address];
    const [ours, sound] = [await database('rebuild_orders'), await database('rebuild_orders_sound')];
    const state = ['--state', join(temporary.path, 'state'), ...cluster];
    const sink = [...state, '--postgres', ours.url];
    const run = (...args: string[]) => millraceJson([...args, ...sink], '', project);
    const traffic = createOrderTraffic(random, records / 25);
    const publish = (changes: readonly object[]) => {
      const input = changes.map((change) => JSON.stringify(change)).join('\n');
      return millraceJson(['publish', TOPIC, '--input', '-', ...state], input, project);
    };
    const changes = (count: number) => Array.from({ length: count }, traffic.next);
    const drain = () => run('up', '--no-publish', '--exit-when-drained');

    const first = changes(records / 2);
    await publish(first);
    await drain();
    const before = await ours.kept(CONSUMER);
    const wrong = await ours.rows();

    deploy(project, SOUND);
    const up = start(['up', '--no-publish', '--json', ...sink], project);
    endings.push(() => up.kill('SIGKILL'));
    const ended = finished(up);
    const rebuild = ['rebuild', CONSUMER, '--yes', '--promote'];
    const publishing = publish(changes(records / 2));
    for (let kill = 0; kill < kills; kill++) {
      const killed = start([...rebuild, '--rate', '200', '--json', ...sink], project);
      const gone = finished(killed);
      await Promise.race([gone, sleep(2_000 + random.next() * 4_000)]);
      killed.kill('SIGKILL');
      await gone;
    }
    await publishing;
    const promoted = await run(...rebuild);
    up.kill('SIGINT');
    await ended;
    await drain();
    const second = `${CONSUMER}-g${promoted.generation}`;

    const other = ['--state', join(temporary.path, 'sound'), ...cluster, '--postgres', sound.url];
    await millraceJson(['up', '--no-publish', '--exit-when-drained', ...other], '', project);
    const rebuilt = { rows: await ours.rows(), kept: await ours.kept(second) };
    const never = { rows: await sound.rows(), kept: await sound.kept(CONSUMER) };
    const left = await ours.kept(CONSUMER);
    const listed = (await run('park', 'list')).keys.length;

    // Sent again, each counts for neither generation.
    await publish(first.slice(0, 200));
    const { repeated } = await drain();
    const waiting = await ours.kept(second);
    const parked = waiting.parked.length - rebuilt.kept.parked.length;
    const sentAgain = { repeated, parked, isSame: String(await ours.rows()) === String(rebuilt.rows) };
    const leftThen = await ours.kept(CONSUMER);

    // The live one's letters and keys go; the other's stay, and come back with it.
    deploy(project, MENDED);
    const redrive = ['dlq', 'redrive', '--canary', '0', '--rate', '10000', '--yes', '--json'];
    const redriven = await millrace([...redrive, ...sink], '', project);
    if (redriven.code !== 0) throw new Error(redriven.stderr);
    const mended = { kept: await ours.kept(second), listed: (await run('park', 'list')).keys.length };
    const reference = await readInOrder([node!.address]);
    const final = await ours.rows();
    const audits = [await run('audit', CONSUMER)];
    const leftLast = await ours.kept(CONSUMER);
    await run('rebuild', 'rollback', CONSUMER, '--yes');
    const back = {
      kept: await ours.kept(CONSUMER),
      listed: (await run('park', 'list')).keys.length,
      letters: (await run('dlq', 'list')).length,
    };
    audits.push(await run('audit', CONSUMER));
    // What is promoted has to have been filled by the code that is there.
    deploy(project, SOUND);
    await run('rebuild', 'promote', CONSUMER, '--yes');
    const again = await ours.rows();
    await run('rebuild', 'drop', CONSUMER, '--yes');
    return {
      before,
      wrong,
      rebuilt,
      never,
      left,
      waiting,
      leftThen,
      leftLast,
      listed,
      sentAgain,
      mended,
      reference: reference.rows.toSorted(),
      final,
      again,
      back,
      unaccounted: audits.map(({ unaccounted }) => unaccounted),
      dropped: await ours.kept(CONSUMER),
      kept: await ours.kept(second),
    };
  } finally {
    for (const end of endings.toReversed()) await end();
  }
}
