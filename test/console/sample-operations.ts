/** A pipeline made up for pages: every verdict, many letters, and texts that mean harm. Acts on nothing. */
import { UNREVEALED } from '../../cli/console/letter-snapshot.ts';
import type {
  ActionPlan,
  AuditRow,
  FailureGroup,
  GroupSort,
  LedgerBar,
  LetterRow,
  Operations,
  Page,
  PageQuery,
  ParkedKey,
  PartitionLook,
  Place,
} from '../../console/operations.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { commandOf, planOf, type Running, stateOf } from './sample-actions.ts';
import { SAMPLE_CONSUMERS, sampleConsumers } from './sample-consumers.ts';

export interface SampleOptions {
  readonly allowsActions?: boolean;
  readonly showsValues?: boolean;
  /** @default 15,000 */
  readonly groups?: number;
  /** Of the largest group. @default 100,000 */
  readonly letters?: number;
  readonly nowMs?: number;
}

/** What a record may hold: markup, text that turns around, terminal codes, broken UTF-8 as a reader shows it. */
export const HOSTILE = [
  '<script>globalThis.pwned=1</script>',
  '<img src=x onerror="globalThis.pwned=1">',
  '"><svg onload=globalThis.pwned=1>',
  'javascript:globalThis.pwned=1',
  '\u202eevil\u202c reversed',
  '\u001b[31mred\u001b[0m',
  'broken \ufffd\ufffd utf-8',
  'zero\u200bwidth',
  "'; DROP TABLE article_minute; --",
  'x'.repeat(300),
] as const;

const TOPIC = 'news.pageviews';
/** Of a letter that was there once. */
export const GONE = 404_404;
/** Of a letter that no change lets through. */
export const BEYOND = 666;
const CODES = ['HANDLER_FAILED', 'AVRO_TRUNCATED', 'FRAME_UNKNOWN', 'SCHEMA_UNKNOWN', 'HANDLER_REJECTED'];

export function sampleOperations(options: SampleOptions = {}): Operations {
  const { allowsActions = false, showsValues = false } = options;
  const { groups: groupCount = 15_000, letters: letterCount = 100_000 } = options;
  const now = options.nowMs ?? Date.now();
  const place: Place = {
    app: 'newsroom',
    kind: 'laptop',
    at: '.millrace',
    flags: '',
    consumers: SAMPLE_CONSUMERS,
    topics: [TOPIC, 'shop.orders', `odd.${HOSTILE[0]}`],
    allowsActions,
    showsValues,
  };
  const groups = Array.from({ length: groupCount }, (_, at) => groupOf(at, letterCount, now));
  const actions: Running[] = [];
  const plans = new Map<string, ActionPlan>();
  let planned = 0;

  return {
    place: async () => place,
    async status() {
      const consumers = sampleConsumers(Date.now());
      const series = Object.fromEntries(consumers.map(({ look, sparkline }) => [look.consumer, sparkline]));
      return { at: Date.now(), place, consumers: consumers.map(({ look }) => look), series, problem: null };
    },
    async consumer(name) {
      const found = sampleConsumers(Date.now()).find(({ look }) => look.consumer === name);
      if (!found) throw new MillraceError('INPUT_INVALID', `There is no consumer ${JSON.stringify(name)}.`);
      const { look, series, marks } = found;
      return {
        at: Date.now(),
        look,
        problem: null,
        series,
        marks: [...marks, { at: now - 5 * 60_000, kind: 'action', text: `redrive by ${HOSTILE[0]}` }],
        ledger: look.partitions.map(barOf),
        ledgerProblem: null,
        generations: [
          { name, number: 1, isLive: true, lag: 0, state: 'live', commands: [] },
          {
            name: `${name}-g2`,
            number: 2,
            isLive: false,
            lag: 1_204,
            state: 'rebuilding: 1,204 records to go',
            commands: [`npx millrace rebuild promote ${name}`, `npx millrace rebuild drop ${name}`],
          },
        ],
        generationsProblem: null,
      };
    },
    groups: async (query) =>
      pageOf(
        groups
          .filter(({ consumer }) => !query.consumer || consumer === query.consumer)
          .filter(({ fingerprint }) => !query.fingerprint || fingerprint === query.fingerprint)
          .toSorted(ORDERS[query.sort ?? 'count']),
        query,
        (group) =>
          `${group.code} ${group.errorName} ${group.location} ${group.introducedBy} ${group.keys.map(({ key }) => key)}`,
      ),
    async letters({ fingerprint, ...query }) {
      const group = groups.find((each) => each.fingerprint === fingerprint) ?? groups[0]!;
      const from = Number(query.cursor ?? 0);
      const limit = query.limit ?? 50;
      const length = Math.max(0, Math.min(limit, group.count - from));
      return {
        items: Array.from({ length }, (_, at) => letterOf(group, from + at, now)),
        total: group.count,
        next: from + limit < group.count ? String(from + limit) : null,
        asOf: Date.now(),
        problem: null,
      };
    },
    async letter(id, reveal) {
      const [consumer = '', topic = '', partition, offset] = id.split('/');
      if (!/^[^/]+\/[^/]+\/\d+\/\d+$/.test(id) || Number(offset) === GONE)
        throw new MillraceError('DEAD_LETTER_NOT_FOUND', `There is no dead letter ${JSON.stringify(id)}.`);
      const row = { ...letterOf(groups[0]!, Number(offset), now), id };
      const hidden = !reveal;
      const value = {
        contentId: HOSTILE[0],
        sessionId: HOSTILE[4],
        text: `${HOSTILE[1]}${'y'.repeat(2_000)}`,
      };
      const shape = { contentId: '<string of 35>', sessionId: '<string of 18>', text: '<string of 2044>' };
      return {
        ...row,
        consumer,
        topic,
        partition: Number(partition),
        offset: Number(offset),
        timestamp: new Date(now - 60_000).toISOString(),
        schemaId: '0d5f8a3e-1f39-4b7c-9a44-5f1f0f4d2a11',
        schemaVersion: 1,
        readerVersion: 2,
        schemaDifferences: [
          'v2 adds referrer, with the default null.',
          'v2 widens engagedMs from int to long.',
        ],
        isMasked: hidden,
        isRevealed: reveal,
        isRevealable: true,
        decoded: JSON.stringify(hidden ? shape : value, null, 2),
        decodeProblem: null,
        bytes: ['key', 'value', 'header trace-id', `header ${HOSTILE[0]}`].map((name) => ({
          name,
          size: hidden ? 35 : 64,
          rows:
            hidden && name !== 'key'
              ? []
              : Array.from({ length: 4 }, (_, at) => ({
                  at: at * 16,
                  hex: '3c 73 63 72 69 70 74 3e 00 ff fe 61 62 63 64 65',
                  text: '<script>...abcde',
                })),
          isCut: false,
        })),
        error: {
          name: 'TypeError',
          message: hidden ? UNREVEALED : HOSTILE[1],
          stack: [
            'at handle (order-totals/consumer.ts:29:11)',
            'at settle (runtime/delivery/settle.ts:88:5)',
          ],
        },
        causes: [{ name: 'Error', message: hidden ? UNREVEALED : HOSTILE[5] }],
        earlier: [
          {
            at: new Date(now - 3_600_000).toISOString(),
            stage: 'handle',
            code: 'HANDLER_FAILED',
            message: hidden ? UNREVEALED : HOSTILE[0],
          },
        ],
        function: 'order-totals 41, request 6f1c',
        wouldPass:
          Number(offset) === BEYOND
            ? { isPassing: false, text: 'The value ends before its framing header does. [AVRO_TRUNCATED]' }
            : { isPassing: true, text: "It decodes by v2, today's contract. The handler was not run." },
        isBeyondRedrive: Number(offset) === BEYOND,
        before: ['A redrive helps only after a deployment without the bug.'],
        history: auditRows(2, now),
        where: `id=${id}`,
        command: `npx millrace dlq show ${id}`,
      };
    },
    parked: async (query) =>
      pageOf(
        Array.from({ length: 230 }, (_, at) => parkedOf(at)),
        query,
        ({ key }) => key,
      ),
    async find({ topic, key }) {
      const outcomes = ['applied', 'dead-lettered', 'parked', 'skipped', 'pending'];
      return {
        records: outcomes.map((outcome, at) => ({
          partition: 5,
          offset: 1_040 + at,
          timestamp: new Date(now - at * 90_000).toISOString(),
          key: key ?? '/about',
          outcomes: {
            billing: { outcome: 'applied', letter: null },
            'order-totals': {
              outcome,
              letter: outcome === 'dead-lettered' ? `order-totals/${topic}/5/${1_040 + at}` : null,
            },
          },
        })),
        looked: 12_311,
        unreadable: 2,
        isWhole: true,
        command: `npx millrace find ${topic} --key ${key}`,
      };
    },
    auditLog: async (query) =>
      pageOf(auditRows(400, now), query, ({ who, plan, result }) => `${who} ${plan} ${result}`),
    async plan(request) {
      const plan = planOf(request, groups, `plan-${++planned}`);
      plans.set(plan.id, plan);
      return plan;
    },
    async start(planId, request, confirmation) {
      const refuse = (message: string) => new MillraceError('INPUT_INVALID', message);
      if (!allowsActions) throw refuse('This console only looks. Start it with --allow-actions.');
      const known = plans.get(planId);
      if (!known) throw refuse(`There is no plan ${JSON.stringify(planId)} any more. Plan it again.`);
      if (known.refusal !== null) throw refuse(known.refusal);
      if (confirmation !== known.confirmation)
        throw refuse(
          `You typed ${JSON.stringify(confirmation)}, not ${JSON.stringify(known.confirmation)}: nothing was done.`,
        );
      if ('reason' in request && request.kind !== 'park-release' && request.reason.trim() === '')
        throw refuse('The reason is empty. Say why, for whoever asks later.');
      plans.delete(planId);
      const plan = { ...known, request, command: commandOf(request) };
      const running: Running = {
        id: `action-${actions.length + 1}`,
        plan,
        startedAt: Date.now(),
        pausedMs: 0,
        pausedAt: null,
        cancelledAt: null,
      };
      actions.unshift(running);
      return stateOf(running);
    },
    actions: async () => actions.map(stateOf),
    async steer(id, to) {
      const running = actions.find((each) => each.id === id);
      if (!running) throw new MillraceError('INPUT_INVALID', `There is no action ${JSON.stringify(id)}.`);
      const { kind } = running.plan.request;
      if (kind !== 'redrive' && (to !== 'cancel' || kind !== 'discard'))
        throw new MillraceError('INPUT_INVALID', `A ${kind} has no ${to}.`);
      if (to === 'pause') running.pausedAt ??= Date.now();
      if (to === 'resume' && running.pausedAt !== null) {
        running.pausedMs += Date.now() - running.pausedAt;
        running.pausedAt = null;
      }
      if (to === 'cancel') running.cancelledAt ??= Date.now();
      return stateOf(running);
    },
    async close() {},
  };
}

const ORDERS: Readonly<Record<GroupSort, (a: FailureGroup, b: FailureGroup) => number>> = {
  count: (a, b) => b.count - a.count,
  newest: (a, b) => b.lastSeenAt - a.lastSeenAt,
  introduced: (a, b) => b.firstSeenAt - a.firstSeenAt,
  expiry: (a, b) => (a.expiresAt ?? Number.POSITIVE_INFINITY) - (b.expiresAt ?? Number.POSITIVE_INFINITY),
};

/** The same numbers for the same words. */
function chance(...words: readonly (string | number)[]): number {
  let hash = 2_166_136_261;
  for (const letter of words.join('/')) hash = Math.imul(hash ^ letter.charCodeAt(0), 16_777_619) >>> 0;
  return (Math.imul(hash ^ (hash >>> 15), 2_246_822_507) >>> 0) / 2 ** 32;
}

/** A ledger up to where the partition is committed, with holes all along what the topic keeps of it. */
function barOf({ partition, start, committed, end }: PartitionLook): LedgerBar {
  const [from, next] = [Math.min(start ?? 0, committed ?? 0), committed ?? 0];
  const holes = next > from ? (partition === 5 ? 300 : 4) : 0;
  const segments = Array.from({ length: holes }, (_, at) => {
    const offset = from + Math.floor(((at + 0.5) / holes) * (next - from));
    const kind = (['dead-letter', 'parked', 'skipped', 'discarded'] as const)[at % 4]!;
    return { kind, from: offset, to: offset + 1 + Math.floor(chance(partition, at) * 12) };
  });
  const of = (kind: LedgerBar['segments'][number]['kind']) =>
    segments.reduce((sum, each) => sum + (each.kind === kind ? each.to - each.from : 0), 0);
  const counts = {
    deadLetters: of('dead-letter'),
    parked: of('parked'),
    skipped: of('skipped'),
    pending: (end ?? next) - Math.max(next, start ?? 0),
  };
  const settled = next - counts.deadLetters - counts.parked - counts.skipped;
  return {
    partition,
    start: start ?? 0,
    end: end ?? next,
    first: 0,
    next,
    counts: { settled, ...counts },
    segments,
  };
}

function groupOf(at: number, letterCount: number, now: number): FailureGroup {
  const consumer = SAMPLE_CONSUMERS[at % 3]!;
  const code = CODES[at % CODES.length]!;
  const count = at === 0 ? letterCount : 1 + Math.floor(chance('group', at) ** 4 * 900);
  const isCode = code.startsWith('HANDLER');
  const where = `error=${code},at=${consumer}/consumer.ts:${20 + (at % 4_000)}`;
  return {
    consumer,
    fingerprint: `f${at.toString(16).padStart(7, '0')}`,
    code,
    summary: isCode ? 'The handler threw.' : 'The value ends before its framing header does.',
    stage: isCode ? 'handle' : 'decode',
    topic: at % 97 === 3 ? `odd.${HOSTILE[0]}` : TOPIC,
    errorName: at % 50 === 1 ? HOSTILE[at % HOSTILE.length]! : isCode ? 'TypeError' : 'MillraceError',
    location: isCode ? `${consumer}/consumer.ts:${20 + (at % 4_000)}` : null,
    count,
    // The third one's letters are all overtaken.
    overtaken: at === 0 ? Math.min(1_204, count) : at === 2 ? count : at % 7 === 0 ? 1 : 0,
    partitions: [at % 12, (at + 5) % 12].toSorted((a, b) => a - b),
    keys: [
      {
        key: at % 20 === 0 ? HOSTILE[at % HOSTILE.length]! : `/news/2026/article-${at % 300}`,
        count: Math.ceil(count * 0.9),
      },
      { key: '/about', count: Math.floor(count * 0.1) },
    ],
    keyCount: 2 + (at % 40),
    firstSeenAt: now - 7_200_000 - at * 1_000,
    lastSeenAt: now - 30_000 - at * 500,
    expiresAt: at % 4 === 0 ? null : now + (at % 9 === 1 ? 7_200_000 : 900_000_000),
    introducedBy: at % 5 === 0 ? '41' : null,
    histogram: Array.from({ length: 24 }, (_, bucket) => Math.floor(chance(at, bucket) * 40)),
    isBeyondRedrive: code === 'AVRO_TRUNCATED',
    before:
      code === 'FRAME_UNKNOWN' ? ["A redrive helps only after you correct the contract's framing."] : [],
    where,
    sample: `${consumer}/${TOPIC}/${at % 12}/${1_000 + at}`,
    command: `npx millrace dlq redrive --consumer ${consumer} --where ${where}`,
  };
}

function letterOf(group: FailureGroup, at: number, now: number): LetterRow {
  const offset = 1_000 + at;
  // As many in all as the group says: the eighth, and others as far apart as they fit.
  const apart = Math.floor(group.count / Math.max(group.overtaken, 1));
  const isOvertaken = group.overtaken > 0 && (at - 7) % apart === 0;
  return {
    id: `${group.consumer}/${TOPIC}/${at % 12}/${offset}`,
    key: at % 25 === 3 ? HOSTILE[at % HOSTILE.length]! : `/news/2026/article-${at % 300}`,
    code: group.code,
    stage: group.stage,
    partition: at % 12,
    offset,
    attempts: 3,
    firstFailedAt: now - 60_000 - at * 20,
    lastFailedAt: now - 50_000 - at * 20,
    overtakenBy: isOvertaken ? offset + 12 : null,
    reason: `${group.errorName} ${UNREVEALED}`,
  };
}

function parkedOf(at: number): ParkedKey {
  const isHidden = at === 3;
  const known = at % 20 === 1 ? HOSTILE[at % HOSTILE.length]! : `reader-${4_700 + at}`;
  const partition = at % 12;
  const letter = `billing/shop.orders/${partition}/${900 + at}`;
  return {
    consumer: 'billing',
    topic: 'shop.orders',
    partition,
    key: isHidden ? '<key of 11 bytes>' : known,
    name: isHidden ? { letter } : { base64: Buffer.from(known).toString('base64'), partition },
    records: 1 + (at % 60),
    oldestAgeMs: 5_400_000 - at * 10_000,
    blockedBy: at % 30 === 7 ? null : letter,
    command: `npx millrace park show --consumer billing ${isHidden ? `--letter ${letter}` : `reader-${4_700 + at}`}`,
  };
}

function auditRows(length: number, now: number): readonly AuditRow[] {
  const actions = ['redrive', 'discard', 'pause', 'reveal', 'release'];
  return Array.from({ length }, (_, at) => ({
    id: `entry-${at}`,
    action: actions[at % actions.length]!,
    consumer: SAMPLE_CONSUMERS[at % 3]!,
    who: at % 40 === 5 ? HOSTILE[0] : 'ada@newsroom',
    begunAt: new Date(now - at * 600_000).toISOString(),
    endedAt: at === 3 ? null : new Date(now - at * 600_000 + 42_000).toISOString(),
    plan: `275 letters: error=HANDLER_FAILED, at most 100 a second`,
    result: at === 3 ? 'under way, or it was killed' : '275 applied',
  }));
}

function pageOf<Item>(
  all: readonly Item[],
  { cursor = '0', limit = 50, search = '' }: PageQuery,
  textOf: (item: Item) => string,
): Page<Item> {
  const wanted = search.toLowerCase();
  const found = wanted === '' ? all : all.filter((item) => textOf(item).toLowerCase().includes(wanted));
  const from = Number(cursor);
  const next = from + limit < found.length ? String(from + limit) : null;
  return {
    items: found.slice(from, from + limit),
    total: found.length,
    next,
    asOf: Date.now(),
    problem: null,
  };
}
