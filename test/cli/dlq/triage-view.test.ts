import { describe, expect, test } from '@jest/globals';
import { auditLines } from '../../../cli/dlq/audit.ts';
import { parseWhere } from '../../../cli/dlq/options.ts';
import { moment, type ShownGroup, type TriageView, triageLines } from '../../../cli/dlq/triage-view.ts';
import { widthOf } from '../../../cli/terminal.ts';
import type { StoredLetter } from '../../../runtime/dead-letters/reader.ts';
import { matches, type Split, Triage } from '../../../runtime/dead-letters/triage.ts';
import { ERRORS, type ErrorCode } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';

const NOW = new Date(2026, 10, 26, 9, 33, 39).getTime();
const DAY_MS = 86_400_000;

const VIEW: TriageView = {
  consumer: 'editorial-analytics',
  isDeclared: true,
  where: {},
  place: { state: '.millrace' },
  nowMs: NOW,
  retentionMs: 14 * DAY_MS,
  columns: 80,
  textColumns: 80,
  showsValues: false,
};

const BUG: ShownGroup = {
  consumer: 'editorial-analytics',
  errorCode: 'HANDLER_FAILED',
  stage: 'handle',
  topic: 'news.pageviews',
  errorName: 'Error',
  location: 'editorial-analytics/consumer.ts:29',
  partitions: [5],
  keys: [{ key: '/about', count: 275 }],
  keyCount: 1,
  split: {},
  count: 275,
  overtaken: 0,
  firstSeenAt: NOW - 120_000,
  lastSeenAt: NOW - 74_000,
  oldestStoredAt: NOW - 120_000,
  sample: { id: 'editorial-analytics/news.pageviews/5/0', name: 'Error', value: '{}' },
};

const POISON: ShownGroup = {
  ...BUG,
  errorCode: 'FRAME_UNKNOWN',
  stage: 'decode',
  errorName: 'MillraceError',
  location: null,
  partitions: [1, 2, 3, 8],
  keys: [
    { key: 'poison-3', count: 1 },
    { key: 'poison-9', count: 1 },
    { key: 'poison-4', count: 1 },
  ],
  keyCount: 14,
  count: 14,
  sample: { id: 'editorial-analytics/news.pageviews/1/3', name: 'MillraceError', value: '{}' },
};

test('a group tells how many of its letters were overtaken; where all were, a redrive has to permit it', () => {
  const some = triageLines([{ ...BUG, overtaken: 12 }], VIEW).join('\n');
  expect(some).toContain('partition 5   12 overtaken   news.pageviews');
  expect(some).toContain(
    'npx millrace dlq redrive --consumer editorial-analytics --where error=HANDLER_FAILED',
  );
  expect(some).not.toContain('--allow-overtaken');
  const all = triageLines([{ ...BUG, overtaken: 275 }], VIEW);
  const where = '--consumer editorial-analytics --where error=HANDLER_FAILED';
  expect(all.join('\n')).toContain(`npx millrace dlq redrive ${where} --allow-overtaken`);
  expect(all.join('\n')).toContain(`npx millrace dlq discard ${where} --reason overtaken`);
  for (const line of all) if (!line.includes('npx')) expect(widthOf(line)).toBeLessThanOrEqual(80);
});

test('each group has its share, its keys, its times and the next command', () => {
  expect(triageLines([BUG, POISON], VIEW)).toEqual([
    'editorial-analytics: 289 dead letters in 2 groups, oldest 2 min, first one',
    '  expires in 13 d 23 h',
    '',
    ' 1    275  95%  HANDLER_FAILED  Error at editorial-analytics/consumer.ts:29',
    '        key /about (275)   partition 5   news.pageviews   09:31:39 to 09:32:25',
    '        look    npx millrace dlq show editorial-analytics/news.pageviews/5/0',
    '        A redrive helps only after a handler without the bug runs.',
    '        redrive npx millrace dlq redrive --consumer editorial-analytics --where error=HANDLER_FAILED',
    '',
    ' 2     14   5%  FRAME_UNKNOWN',
    `        ${ERRORS.FRAME_UNKNOWN.summary.replace(/\.$/, '')}`,
    '        keys poison-3 (1), poison-9 (1), poison-4 (1), 11 more',
    '        partitions 1-3, 8   news.pageviews   09:31:39 to 09:32:25',
    '        look    npx millrace dlq show editorial-analytics/news.pageviews/1/3',
    "        A redrive helps only after you correct the contract's framing.",
    '        redrive npx millrace dlq redrive --consumer editorial-analytics --where error=FRAME_UNKNOWN',
  ]);
});

test.each([
  'RECORD_MALFORMED',
  'FRAME_TRUNCATED',
  'FRAME_COMPRESSION_UNKNOWN',
  'FRAME_COMPRESSION_CORRUPT',
  'AVRO_TRUNCATED',
  'AVRO_TRAILING_BYTES',
] as const)('%s is in the bytes: triage offers to discard', (errorCode) => {
  const text = triageLines([{ ...POISON, errorCode }], VIEW).join('\n');
  expect(text).toContain('A redrive cannot help: the bytes are wrong. Fix the producer, then:');
  expect(text).toContain(`--where error=${errorCode} --reason 'sent by mistake'`);
  expect(text).not.toContain('dlq redrive');
});

test.each([
  ['HANDLER_FAILED', 'a handler without the bug'],
  ['VALUE_MISSING', "cleanup: 'compact'"],
  ['FRAME_UNKNOWN', "the contract's framing"],
  ['FRAME_BODY_TOO_LARGE', 'maxBodyBytes'],
  ['AVRO_INVALID', 'a schema or code change'],
  ['PARK_LIMIT', 'park list'],
] as const)('%s can be redriven after a change: triage names it', (errorCode, change) => {
  const lines = triageLines([{ ...POISON, errorCode }], VIEW);
  const said = lines.find((line) => line.includes('A redrive helps only after'));
  expect(said).toContain(change);
  expect(said!.length).toBeLessThanOrEqual(VIEW.columns);
  expect(lines.join('\n')).toContain(`dlq redrive --consumer editorial-analytics --where error=${errorCode}`);
  expect(lines.join('\n')).not.toContain('discard');
});

test.each([
  ['DEAD_LETTER_VERSION_UNKNOWN', 'update Millrace'],
  ['DEAD_LETTER_UNREADABLE', 'Find what wrote them'],
] as const)('triage offers no discard of messages that it cannot read: %s', (errorCode, advice) => {
  const group = {
    ...POISON,
    errorCode,
    stage: 'unreadable',
    topic: '',
    keys: [],
    keyCount: 0,
    partitions: [],
  };
  const lines = triageLines([group], VIEW);
  const text = lines.map((line) => line.trim()).join(' ');
  expect(text).toContain(advice);
  expect(text).not.toMatch(/dlq (?:discard|redrive|show)|bytes are wrong/);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(VIEW.columns);
});

test('a wide terminal has a bar beside each group', () => {
  const lines = triageLines([BUG], { ...VIEW, columns: 120 });
  expect(lines[2]).toMatch(/HANDLER_FAILED {2}Error at .*:29 +█{18}$/);
  expect(lines[2]).toHaveLength(120);
});

test('a command leads to where the letters are, and to one of two bugs alone', () => {
  const other = { ...BUG, errorName: 'TypeError', location: 'editorial-analytics/consumer.ts:31' };
  const text = triageLines([BUG, other], { ...VIEW, place: { env: 'prod' } }).join('\n');
  expect(text).toContain('--where error=HANDLER_FAILED,at=editorial-analytics/consumer.ts:29 --env prod');
  expect(text).toContain('--where error=HANDLER_FAILED,at=editorial-analytics/consumer.ts:31 --env prod');
  expect(text).toContain('dlq show editorial-analytics/news.pageviews/5/0 --env prod');
});

describe('a command of a group', () => {
  const stored: StoredLetter[] = [];
  for (const code of ['HANDLER_FAILED', 'AVRO_TRUNCATED'] as const)
    for (const stage of ['handle', 'decode', 'write'] as const)
      for (const topic of ['a', 'b'])
        for (const partition of [0, 1])
          for (const line of [29, 31, null])
            for (const schemaId of ['s1', 's2', null]) {
              const letter = deadLetter({ topic, partition, offset: stored.length });
              const name = 'Error';
              const at = line === null ? '' : `\n    at f (/srv/app/orders/consumer.ts:${line}:1)`;
              const stack = `Error: ${letter.failure.message}${at}`;
              const failure = {
                ...letter.failure,
                code,
                stage,
                name,
                stack,
                lastFailedAt: NOW + stored.length,
              };
              const ref = String(stored.length);
              const copy = { ref, storedAt: NOW, payload: null, message: null };
              stored.push({ ...copy, letter: { ...letter, schemaId, failure } });
            }

  const commandsOf = (copies: readonly StoredLetter[], where: string, by: readonly Split[] = []) => {
    const filter = where === '' ? {} : parseWhere(where);
    const chosen = copies.filter((copy) => matches(copy, filter));
    const triage = new Triage('c', { key: String, header: String }, by);
    for (const copy of chosen) triage.add(copy);
    const groups = triage.groups().map(({ sample: { id, name }, ...group }) => ({
      ...group,
      sample: { id, name, value: '{}' },
    }));
    return groups.map((group) => {
      // One group's lines: as many as there are from its number to the next empty line.
      const lines = triageLines(groups, { ...VIEW, where: filter });
      const from = lines.findIndex((line) => line.endsWith(`dlq show ${group.sample.id}`));
      const to = lines.indexOf('', from);
      const text = lines.slice(from, to < 0 ? undefined : to).join('\n');
      const [, found] = /dlq (?:redrive|discard) .*--where (\S+)/.exec(text) ?? [];
      return { group, where: found };
    });
  };

  test.each<[string, Split[]]>([
    ['', []],
    ['', ['partition']],
    ['', ['schema', 'partition']],
    ['stage=handle', []],
    ['stage=handle,topic=a', ['partition']],
    ['at=orders/consumer.ts:29', ['schema']],
    ['offset=3-40', ['partition']],
    [`since=${new Date(NOW + 20).toISOString()},until=${new Date(NOW + 60).toISOString()}`, []],
  ])('covers exactly the group, with --where "%s" --by "%s"', (where, by) => {
    const commands = commandsOf(stored, where, by);
    for (const { group, where: own } of commands) {
      if (own === undefined) {
        // --where has no word for "at no line" and "no schema".
        expect(group.location === null || group.schemaId === undefined).toBe(true);
        continue;
      }
      const covered = stored.filter((copy) => matches(copy, parseWhere(own)));
      const ids = new Set(covered.map(({ letter }) => letter.id));
      expect(covered).toHaveLength(group.count);
      expect(ids.has(group.sample.id)).toBe(true);
      expect(new Set(covered.map(({ letter: { failure } }) => failure.code))).toEqual(
        new Set([group.errorCode]),
      );
    }
    expect(commands.filter((each) => each.where !== undefined).length).toBeGreaterThan(0);
  });

  test('is left out where --where cannot tell the group from another', () => {
    const named = stored.slice(0, 2).map((copy, n) => {
      const { letter } = copy;
      const failure = { ...letter.failure, name: `Error${n}`, stack: '' };
      return { ...copy, letter: { ...letter, failure } };
    });
    expect(commandsOf(named, '').map(({ where }) => where)).toEqual([undefined, undefined]);
    const [first] = named;
    const other = { ...first!.letter.failure, code: 'X,topic=b' as ErrorCode };
    expect(commandsOf([{ ...first!, letter: { ...first!.letter, failure: other } }], '')).toMatchObject([
      { where: undefined },
    ]);
  });
});

test('letters of a consumer that is gone are exported, not redriven', () => {
  const text = triageLines([BUG], { ...VIEW, consumer: 'old', isDeclared: false }).join('\n');
  expect(text).toContain('old (no longer declared): 275 dead letters');
  expect(text).toContain('export  npx millrace dlq export --consumer old --output old.jsonl');
  expect(text).not.toContain('redrive');
});

test('a text cannot steer the terminal', () => {
  const hostile = { ...BUG, errorName: 'E\u001b[2J', keys: [{ key: '\u009b31m', count: 1 }] };
  const text = triageLines([hostile], VIEW).join('\n');
  expect(text).toContain('E�[2J at');
  expect(text).toContain('key �31m (1)');
});

test('a time has its day where it is not today', () => {
  expect(moment(NOW, NOW)).toBe('09:33:39');
  expect(moment(NOW - DAY_MS, NOW)).toBe('2026-11-25 09:33:39');
  expect(moment(Number.NaN, NOW)).toBe('at no time that exists');
});

test('the audit log is read as paragraphs', () => {
  const entry = {
    id: 'i',
    action: 'redrive' as const,
    consumer: 'orders',
    who: 'root@vm',
    begunAt: new Date(NOW - 29_000).toISOString(),
    plan: { where: 'all', letters: 31, ratePerSecond: 100, patienceMs: 60_000 },
    endedAt: null,
    result: null,
  };
  expect(auditLines(entry, 80, NOW)).toEqual([
    '09:33:10  root@vm  redrive of 31 letters of orders (all); rate per second 100,',
    '    patience 1 min',
    '    → no end: it was killed, or is still running',
  ]);
  const stopped = {
    ...entry,
    result: { error: 'REDRIVE_STOPPED', message: 'stopped: 5 of 5 failed again.' },
  };
  expect(auditLines(stopped, 80, NOW)[2]).toBe('    → stopped: 5 of 5 failed again. [REDRIVE_STOPPED]');
  const applied = { ...entry, result: { applied: 31, alreadyApplied: 0 } };
  expect(auditLines(applied, 80, NOW)[2]).toBe('    → applied 31, already applied 0');
});

test.each([
  ['pause', {}, { before: 'running' }, 'pause of orders', 'paused; before: running'],
  [
    'resume',
    { env: 'prod' },
    { before: 'paused', state: 'Enabling' },
    'resume of orders in prod',
    'goes on; before: paused; state Enabling',
  ],
  [
    'replay',
    { kind: 'gaps', records: 7, rate: 100 },
    { applied: 5, deadLettered: 2, left: 0, isWhole: true },
    'replay of the gaps of orders, 7 offsets, at most 100/s',
    'applied 5, dead lettered 2, left 0',
  ],
  [
    'replay',
    { kind: 'shadow', from: '2026-11-24T10:00:00.000Z', to: '2026-11-24T12:00:00.000Z' },
    {
      consumer: 'orders',
      records: 12,
      isWhole: true,
      tables: [{ table: 'total', same: 3, changed: 1, missing: 0, other: 0 }],
    },
    'shadow replay of orders; from 2026-11-24T10:00:00.000Z, to 2026-11-24T12:00:00.000Z',
    '12 records replayed; total: same 3, changed 1, missing 0, other 0',
  ],
  [
    'rebuild',
    { records: 1_200, code: 'abc' },
    { generation: 2, records: 1_200, deadLetters: 1 },
    'rebuild of orders, 1,200 records',
    'generation 2 is filled: 1,200 records, 1 dead letter',
  ],
  [
    'promote',
    { generation: 2, mayLose: 0 },
    { from: 1, to: 2, heldMs: 12 },
    'promote of generation 2 of orders; may lose 0',
    'readers see generation 2, no longer generation 1; readers waited 12 ms',
  ],
  [
    'rollback',
    { generation: 1 },
    { from: 2, to: 1, heldMs: 9 },
    'rollback to generation 1 of orders',
    'readers see generation 1, no longer generation 2; readers waited 9 ms',
  ],
  [
    'drop',
    { generation: 2 },
    {},
    'drop of generation 2 of orders',
    'generation 2 is deleted, with its tables, its ledger and its dead letters',
  ],
] as const)('the audit log says in words what a %s did', (action, plan, result, planned, became) => {
  const entry = {
    id: 'i',
    action,
    consumer: 'orders',
    who: 'me',
    begunAt: new Date(NOW).toISOString(),
    plan,
    endedAt: null,
    result,
  };
  expect(auditLines(entry, 200, NOW)).toEqual([`${moment(NOW, NOW)}  me  ${planned}`, `    → ${became}`]);
  for (const line of auditLines(entry, 80, NOW)) expect(line.length).toBeLessThanOrEqual(80);
});
