/**
 * Status changes of orders through a real Kafka into a real PostgreSQL, some of which fail, by a consumer that parks keys and
 * applies each event once: it is killed again and again, and its letters are redriven in the middle. What is compared is a
 * history of each order, which one change out of its order makes another.
 */

import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { Admin } from '@platformatic/kafka';
import pg from 'pg';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { startPostgres } from '../../local/parts/postgres.ts';
import { Processes } from '../../local/parts/processes.ts';
import type { ConsumerAudit } from '../../runtime/replay/audit.ts';
import { finished, millrace, millraceJson, start, until } from '../cli/millrace.ts';
import { orderChanges } from '../fixtures/order-history/contracts/shop.order-changes/topic.ts';
import { orderHistory } from '../fixtures/order-history/millrace.config.ts';
import { POLLING_MODES } from '../polling-modes.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { rewindGroup } from './bare-kafka.ts';
import { differences } from './differences.ts';
import { copyOrderHistory, deploy, MENDED } from './order-faults.ts';
import { createOrderTraffic, readInOrder, rowText } from './order-traffic.ts';

const TOPIC = orderChanges.name;
const CONSUMER = orderHistory.name;
const VIEW = `"${CONSUMER}-reader".order_history`;
/** Of each partition, so many records at most are delivered again after every other kill. */
const MOST_REWOUND = 1_500;
const JUNK = Buffer.from('{"no":"frame"}');
const JUNK_EVERY = 1_000;
/** The changes that nobody can write down are found one behind another. */
const MOST_ROUNDS = 25;

/** What the deploy in the middle leaves wrong. */
const HALF_MENDED = { ...MENDED, refuses: ['lost'] };
const BROKEN = { ...HALF_MENDED, throwsAt: ['returned'], priceType: 'int' as const };

export interface PoisonRun {
  readonly kills: number;
  /** Of the topic: all of its records, those without a frame, and second copies of an event. */
  readonly records: number;
  readonly junk: number;
  readonly copies: number;
  /** How many records were delivered again, since the group's offsets were set back. */
  readonly rewound: number;
  /** When the handler was half mended. */
  readonly middle: { readonly letters: number; readonly parked: number };
  /** What the redrives applied that went on beside the traffic. */
  readonly redrivenInTheMiddle: number;
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly audit: { readonly unaccounted: number } & Record<'applied' | 'parked' | 'discarded', number>;
  readonly waitingKeys: number;
  readonly letters: number;
  readonly parkedRows: number;
}

export async function poisonOrders(records: number, kills: number, seed: number): Promise<PoisonRun> {
  const random = createSeededRandom(seed);
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const project = join(temporary.path, 'project');
  copyOrderHistory(project, BROKEN);
  const endings: (() => unknown)[] = [() => temporary.remove(), () => processes.endAll()];
  try {
    const [[node], server] = await Promise.all([
      startKafka(processes, { nodes: 1 }),
      startPostgres(processes),
    ]);
    const log = openKafkaLog({ connection: { brokers: [node!.address] }, clock: systemClock });
    endings.push(() => log.close());
    await log.prepareTopic(orderChanges);
    const admin = new Admin({ clientId: 'verify', bootstrapBrokers: [node!.address] });
    endings.push(() => admin.close());
    const pool = new pg.Pool({ connectionString: server.url, max: 1 });
    pool.on('error', () => {});
    endings.push(() => pool.end());
    const where = ['--kafka', node!.address, '--state', join(temporary.path, 'state')];
    const sink = ['--postgres', server.url, ...where];
    const json = (...args: string[]) => millraceJson([...args, ...sink], '', project);
    const count = async (sql: string): Promise<number> => {
      const { rows } = await pool.query(`SELECT (${sql})::int AS n`);
      return rows[0].n;
    };
    /** None, too, before there is a table and while there is no server. */
    const settled = () => count('SELECT coalesce(sum(next - first), 0) FROM millrace_ledger').catch(() => 0);
    /** Those that are open of the letters of a time. */
    const lettersOf = (time: Date) =>
      count(`SELECT count(*) FROM millrace_key_letter WHERE opened_at <= '${time.toISOString()}'`);
    const parkedRows = () => count('SELECT count(*) FROM millrace_parked');

    const publisher = start(['publish', TOPIC, '--input', '-', '--json', ...where], project);
    endings.push(() => publisher.kill('SIGKILL'));
    const published = finished(publisher);
    const traffic = createOrderTraffic(random, records / 25);
    // Each life has its share, so that there is traffic at each kill.
    const shareOf = (lives: number) => Math.floor((lives / (kills + 1)) * records);
    let allowed = shareOf(1);
    let pauseMs = 0;
    const sendJunk = () => log.send(TOPIC, [{ key: Buffer.from(traffic.order()), value: JUNK }]);
    async function* lines(): AsyncGenerator<string> {
      for (let sent = 0; sent < records; sent += JUNK_EVERY) {
        while (sent >= allowed) await sleep(50);
        await sleep(pauseMs);
        const changes = Array.from({ length: Math.min(JUNK_EVERY, records - sent) }, traffic.next);
        yield `${changes.map((change) => JSON.stringify(change)).join('\n')}\n`;
        await sendJunk();
      }
    }
    const feeding = pipeline(Readable.from(lines()), publisher.stdin!);
    feeding.catch(() => {});

    const redrive = ['dlq', 'redrive', '--canary', '0', '--rate', '10000', '--max-failures', '1000000'];
    const redriveNow = async (): Promise<{ planned: number; applied: number }> => {
      const { code, stdout, stderr } = await millrace([...redrive, '--yes', '--json', ...sink], '', project);
      // 1 where some failed again.
      if (code !== 0 && code !== 1) throw new Error(`redrive ended with ${code}: ${stderr}`);
      if (stdout === '') throw new Error(stderr);
      return JSON.parse(stdout);
    };

    let rewound = 0;
    let redrivenInTheMiddle = 0;
    let middle = { letters: 0, parked: 0 };
    let deployedAt = new Date();
    const middleLife = Math.floor(kills / 2) + 1;
    for (let life = 1; life <= kills; life++) {
      const polling = POLLING_MODES[life % POLLING_MODES.length]!;
      const up = start(['up', '--no-publish', '--polling', polling, ...sink], project);
      endings.push(() => up.kill('SIGKILL'));
      const printed = finished(up);
      const atLeast = (target: number) =>
        until(async () => {
          if (publisher.exitCode) throw new Error(`publish failed: ${(await published).stderr}`);
          if (up.exitCode !== null) throw new Error(`up ended by itself: ${(await printed).stderr}`);
          return (await settled()) >= target;
        });
      // From here on it runs: a part is only killed after that.
      const before = await settled();
      pauseMs = life === middleLife ? 1_000 : 0;
      allowed = shareOf(life);
      await atLeast(before + 1);
      if (life === middleLife) {
        // Killed while it sends, and gone on with.
        const killed = start([...redrive, '--rate', '20', '--yes', '--json', ...sink], project);
        const gone = finished(killed);
        const isSending = async () =>
          killed.exitCode !== null || (await lettersOf(deployedAt)) < middle.letters;
        await until(isSending);
        killed.kill('SIGKILL');
        await gone;
        const { planned, applied } = await redriveNow();
        redrivenInTheMiddle += applied;
        pauseMs = 0;
        say(`in the middle, ${applied} of ${planned} redriven, ${await parkedRows()} parked`);
      }
      await atLeast(shareOf(life - 1 + random.next() * 0.8));
      if (life === Math.ceil(kills / 3) || life === Math.ceil((2 * kills) / 3)) {
        const part = life === Math.ceil(kills / 3) ? node! : server;
        const reached = await settled();
        await part.restart();
        allowed = shareOf(life + 0.5);
        await atLeast(reached + 1);
      }
      // Beside a redrive that goes on, once more.
      const beside =
        life === middleLife + 1 ? start([...redrive, '--yes', '--json', ...sink], project) : null;
      if (beside) await Promise.race([finished(beside), sleep(4_000)]);
      await sleep(random.next() * 150);
      up.kill('SIGKILL');
      beside?.kill('SIGKILL');
      await printed;
      if (life === middleLife - 1) {
        deployedAt = new Date();
        middle = { letters: await lettersOf(deployedAt), parked: await parkedRows() };
        deploy(project, HALF_MENDED);
      }
      if (life % 2 === 0) {
        const { stdout, stderr } = await millrace(['lag', '--json', ...where], '', project);
        if (stdout === '') throw new Error(stderr);
        const by = () => Math.floor(random.next() * Math.min(MOST_REWOUND, records / 40));
        rewound += await rewindGroup(admin, JSON.parse(stdout)[0].group, TOPIC, by);
      }
      say(
        `${life} of ${kills} kills, ${await settled()} of ${records} settled, ${await parkedRows()} parked`,
      );
    }

    allowed = records;
    await feeding;
    const { code, stderr } = await published;
    if (code !== 0) throw new Error(`publish ended with ${code}: ${stderr}`);
    await json('up', '--no-publish', '--exit-when-drained');
    say(`drained, ${await parkedRows()} parked`);

    deploy(project, MENDED);
    for (let round = 1; ; round++) {
      if (round > MOST_ROUNDS) throw new Error(`Letters are left after ${MOST_ROUNDS} rounds.`);
      const discarded = await json(
        'dlq',
        'discard',
        '--where',
        'error=FRAME_UNKNOWN',
        '--reason',
        'no change',
        '--yes',
      );
      const redriven = await redriveNow();
      say(
        `round ${round}: ${discarded.discarded} discarded, ${redriven.applied} of ${redriven.planned} redriven`,
      );
      if (discarded.discarded + redriven.planned === 0) break;
    }

    const reference = await readInOrder([node!.address]);
    const { rows } = await pool.query(`SELECT * FROM ${VIEW}`);
    const audited: ConsumerAudit = await json('audit', CONSUMER);
    const total = (of: 'applied' | 'parked' | 'discarded') =>
      audited.partitions.reduce((sum, each) => sum + each[of], 0);
    return {
      kills,
      records: reference.records,
      junk: reference.junk,
      copies: reference.copies,
      rewound,
      middle,
      redrivenInTheMiddle,
      ...differences(reference.rows, rows.map(rowText)),
      audit: {
        unaccounted: audited.unaccounted,
        applied: total('applied'),
        parked: total('parked'),
        discarded: total('discarded'),
      },
      waitingKeys: (await json('park', 'list')).keys.length,
      letters: (await json('dlq', 'list')).length,
      parkedRows: await parkedRows(),
    };
  } finally {
    for (const end of endings.toReversed()) await end();
  }
}

function say(what: string): void {
  process.stderr.write(`poison: ${what}\n`);
}

/** What holds however long the run was. */
export function expectInOrder(run: PoisonRun, records: number): void {
  expect(run).toMatchObject({ missing: [], extra: [], waitingKeys: 0, letters: 0, parkedRows: 0 });
  expect(run.audit).toEqual({
    unaccounted: 0,
    applied: run.records - run.junk,
    parked: 0,
    discarded: run.junk,
  });
  expect(run.records).toBe(records + run.junk);
  expect(run.redrivenInTheMiddle).toBeGreaterThan(0);
}
