import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { type LoadedApp, loadApp } from '../../../cli/app.ts';
import { type ConsoleContext, placeOf } from '../../../cli/console/context.ts';
import { createFailures, type Failures } from '../../../cli/console/failures.ts';
import { showLetter } from '../../../cli/console/letter.ts';
import { letterSource } from '../../../cli/console/snapshots.ts';
import { openStateFolder } from '../../../local/state-folder.ts';
import { openStores } from '../../../local/stores.ts';
import { createEncoder } from '../../../runtime/contract/codec.ts';
import { type Contract, defineTopic } from '../../../runtime/contract/contract.ts';
import { schemaIdOf } from '../../../runtime/contract/framing.ts';
import { readAuditLog } from '../../../runtime/dead-letters/audit-log.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { deadLetter } from '../../dead-letters.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const SECRET = 'SECRET_ada_example';
const OPEN = 'open_article';
const runtime = (path: string) => new URL(`../../../runtime/${path}`, import.meta.url).href;

const CONFIG = `
import { defineApp } from '${runtime('app.ts')}';
import { defineTopic } from '${runtime('contract/contract.ts')}';
import { defineConsumer } from '${runtime('delivery/consumer.ts')}';

const record = (...fields) => ({ type: 'record', name: 'Visit', fields });
const id = { name: 'id', type: 'string' };
const note = { name: 'note', type: 'string' };
const mail = (pii) => ({ name: 'mail', type: 'string', ...(pii && { pii: true }) });
const added = { name: 'added', type: 'int', default: 0 };
const topic = (name, key, ...versions) =>
  defineTopic({ name, owner: 'web', key, versions: versions.map((schema, at) => ({ version: at + 1, schema })) });

const topics = [
  topic('open', 'id', record(id, note, mail(false)), record(id, note, mail(false), added)),
  topic('tagged', 'id', record(id, note, mail(true))),
  topic('tagged-key', 'mail', record(id, note, mail(true))),
];
const consumers = topics.map((of) =>
  defineConsumer({ name: of.name + '-reader', topic: of, sink: 'postgres', migrations: [], onOvertaken: 'apply', async handle() {} }));
export default defineApp({ name: 'visits', contracts: topics, consumers, environments: {} });
`;

describe('a letter', () => {
  const { path, remove } = createTemporaryFolder();
  const before = process.cwd();
  let app: LoadedApp;
  beforeAll(async () => {
    writeFileSync(join(path, 'millrace.config.ts'), CONFIG);
    process.chdir(path);
    app = await loadApp();
  });
  afterAll(() => {
    process.chdir(before);
    remove();
  });

  let folders = 0;
  let state: string;
  let failures: Failures;
  let context: ConsoleContext;
  const open = (showValues = false) => {
    const options = { state, ...(showValues && { showValues: true as const }) };
    context = { app, options, place: placeOf(app, options) };
    failures = createFailures(context);
  };
  beforeEach(() => {
    state = join(path, `state-${folders++}`);
    openStateFolder(state);
    open();
  });
  afterEach(() => failures.close());

  const consumerOf = (topic: string) => app.consumers.find((each) => each.topic.name === topic)!;
  const contractOf = (topic: string) => consumerOf(topic).topic as Contract<never>;

  /** With the secret wherever a record or its failure can hold a text. */
  async function letterOf(topic: string, parts: Parameters<typeof deadLetter>[0] = {}): Promise<DeadLetter> {
    const contract = contractOf(topic);
    const registry = createContractSchemaRegistry([contract]);
    const value = { id: OPEN, note: OPEN, mail: SECRET, ...(topic === 'open' && { added: 0 }) };
    const [encoded] = await createEncoder(contract, registry).encodeBatch([value]);
    const { key, value: bytes } = (encoded as { record: { key: Buffer; value: Buffer } }).record;
    const letter = deadLetter({
      consumer: `${topic}-reader`,
      topic,
      key,
      value: bytes,
      headers: [{ name: 'user', value: Buffer.from(SECRET) }],
      ...parts,
    });
    const message = `no such reader: ${SECRET}`;
    const failure = {
      ...letter.failure,
      message,
      stack: `Error: ${message}\n    at handle (file:///srv/app/visits/consumer.ts:29:1)`,
      causes: [{ name: 'Error', message: SECRET }],
      earlier: [
        {
          stage: 'handle' as const,
          code: 'HANDLER_FAILED' as const,
          name: 'Error',
          message: SECRET,
          failedAt: 1,
        },
      ],
    };
    return { ...letter, schemaId: schemaIdOf(contract.framing, letter.record.value), failure };
  }

  async function store(...letters: readonly DeadLetter[]): Promise<void> {
    const stores = await openStores(openStateFolder(state));
    for (const letter of letters)
      await stores.deadLettersOf(consumerOf(letter.record.topic)).store.put([letter]);
    await stores.close();
  }
  async function auditOf(topic: string) {
    const stores = await openStores(openStateFolder(state));
    const { entries } = await readAuditLog(stores.deadLettersOf(consumerOf(topic) as AnyConsumer).objects);
    await stores.close();
    return entries;
  }
  const show = (id: string, reveal = false) => showLetter(id, reveal, context, failures);

  test('shows shapes and sizes until it is revealed, and the audit log has that first', async () => {
    const letter = await letterOf('open', { headers: [{ name: 'h', value: Buffer.from(OPEN) }] });
    await store(letter);
    const masked = await show(letter.id);
    expect(masked).toMatchObject({
      isMasked: true,
      isRevealable: true,
      consumer: 'open-reader',
      history: [],
    });
    expect(JSON.parse(masked.decoded!)).toMatchObject({ note: `<string of ${OPEN.length}>` });
    expect(masked.bytes).toMatchObject([
      { name: 'key', size: OPEN.length, rows: [{ at: 0, text: OPEN }] },
      { name: 'value', rows: [] },
      { name: 'header h', size: OPEN.length, rows: [] },
    ]);
    expect(await auditOf('open')).toEqual([]);
    const revealed = await show(letter.id, true);
    expect(revealed).toMatchObject({ isMasked: false, isRevealable: false });
    expect(JSON.parse(revealed.decoded!)).toMatchObject({ note: OPEN, mail: SECRET });
    expect(revealed.bytes[0]!.rows).toEqual([
      {
        at: 0,
        hex: Buffer.from(OPEN)
          .toString('hex')
          .replace(/..(?=.)/g, '$& '),
        text: OPEN,
      },
    ]);
    expect(await auditOf('open')).toMatchObject([
      { action: 'reveal', consumer: 'open-reader', plan: { letter: letter.id }, result: {} },
    ]);
    expect(revealed.history).toMatchObject([
      {
        action: 'reveal',
        plan: expect.stringContaining(letter.id),
        result: expect.stringContaining('shown'),
      },
    ]);
  });

  test('hides what errors say of it until it is revealed, but for what Millrace says of bytes that do not decode', async () => {
    const letter = await letterOf('open', { headers: [], offset: 1 });
    const own = { name: 'MillraceError', message: 'The value is not framed.', stack: '' };
    const decode = { ...letter.failure, ...own, stage: 'decode' as const, code: 'FRAME_UNKNOWN' as const };
    const unframed = await letterOf('open', { headers: [], offset: 2 });
    const elsewhere = await letterOf('open', { headers: [], offset: 3 });
    const foreign = {
      ...{ ...elsewhere.failure, stage: 'decode' as const, code: 'DEAD_LETTERED_ELSEWHERE' as const },
      stack: `java.lang.Exception: ${SECRET}\n\tat a.B.c(B.java:7)\nCaused by: d.E: ${SECRET}\n    at f (g/h.ts:1:2)`,
    };
    await store(letter, { ...unframed, failure: decode }, { ...elsewhere, failure: foreign });

    const shown = await Promise.all([letter, unframed, elsewhere].map(({ id }) => show(id)));
    const rows = (await failures.letters({ consumer: 'open-reader' })).items;
    const groups = (await failures.groups({})).items;
    expect(groups).toHaveLength(3);
    expect(JSON.stringify([shown, rows, groups])).not.toContain(SECRET);
    for (const search of [SECRET, 'no such reader'])
      expect(await failures.letters({ consumer: 'open-reader', search })).toMatchObject({ total: 0 });
    expect(shown[0]).toMatchObject({
      isRevealed: false,
      reason: 'TypeError (hidden until you reveal the letter: it can quote the record)',
      error: { name: 'TypeError', stack: ['at handle (file:///srv/app/visits/consumer.ts:29:1)'] },
    });
    expect(shown[1]).toMatchObject({
      reason: 'MillraceError: The value is not framed.',
      error: { message: 'The value is not framed.' },
    });
    expect(shown[2]).toMatchObject({ isRevealed: false, error: { stack: ['at f (g/h.ts:1:2)'] } });
    expect(rows.map(({ reason }) => reason).toSorted()).toEqual(shown.map(({ reason }) => reason).toSorted());

    const revealed = await show(elsewhere.id, true);
    expect(revealed).toMatchObject({
      isRevealed: true,
      isMasked: false,
      reason: `TypeError: no such reader: ${SECRET}`,
      error: { message: `no such reader: ${SECRET}` },
      causes: [{ message: SECRET }],
      earlier: [{ message: SECRET }],
    });
    expect(JSON.stringify(await auditOf('open'))).not.toContain(SECRET);
  });

  test.each(['tagged', 'tagged-key'])(
    'of the topic %s shows no byte of a tagged field, revealed or not',
    async (topic) => {
      const letter = await letterOf(topic);
      await store(letter);
      const masked = await show(letter.id);
      const revealed = await show(letter.id, true);
      const lists = [
        await failures.groups({}),
        await failures.letters({ consumer: `${topic}-reader` }),
        await failures.groups({ search: SECRET }),
      ];
      const answers = [JSON.stringify(masked), JSON.stringify(revealed), JSON.stringify(lists)];
      for (const text of answers) {
        expect(text).not.toContain(SECRET);
        expect(text).not.toContain(Buffer.from(SECRET).toString('base64').slice(0, -4));
        expect(text).not.toContain(
          Buffer.from(SECRET)
            .toString('hex')
            .replace(/..(?=.)/g, '$& ')
            .slice(0, 23),
        );
      }
      expect(JSON.parse(revealed.decoded!)).toMatchObject({
        note: OPEN,
        mail: `<string of ${SECRET.length}>`,
      });
      expect(revealed).toMatchObject({ isMasked: true, isRevealed: true, isRevealable: false });
      expect(revealed.error.stack).toEqual(['at handle (file:///srv/app/visits/consumer.ts:29:1)']);

      await failures.close();
      open(true);
      // Values still wait for a reveal.
      expect(JSON.stringify([await show(letter.id), await failures.groups({})])).not.toContain(SECRET);
      const all = await show(letter.id, true);
      expect(all).toMatchObject({ isMasked: false, key: topic === 'tagged' ? OPEN : SECRET });
      expect(JSON.parse(all.decoded!)).toMatchObject({ mail: SECRET });
      expect((await auditOf(topic)).map(({ plan }) => plan.personalData)).toEqual(['masked', 'shown']);
    },
  );

  test('that cannot be noted in the audit log is not revealed', async () => {
    const letter = await letterOf('open');
    await store(letter);
    const source = letterSource(context);
    const full = new MillraceError('OBJECT_STORE_UNAVAILABLE', 'The disk is full.');
    const inSession: typeof source.inSession = (owner, work) =>
      source.inSession(owner, (session) => {
        const objects = { ...session.resources.objects, put: async () => Promise.reject(full) };
        return work({ ...session, resources: { ...session.resources, objects } });
      });
    await expect(
      showLetter(letter.id, true, context, failures, { ...source, inSession }),
    ).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' });
  });

  test('of a contract that is not declared any more can only be revealed with --show-values', async () => {
    const letter = deadLetter({ consumer: 'open-reader', topic: 'open', value: Buffer.from(SECRET) });
    await store(letter);
    const gone = letterSource(context);
    const inSession: typeof gone.inSession = (owner, work) =>
      gone.inSession(owner, (session) => {
        const topic = {
          ...defineTopic({ name: 'other', owner: 'o', key: 'k', versions: [{ version: 1, schema: 'null' }] }),
        };
        return work({ ...session, consumer: { ...session.consumer, topic: topic as never }, contracts: [] });
      });
    const masked = await showLetter(letter.id, false, context, failures, { ...gone, inSession });
    expect(masked).toMatchObject({ isMasked: true, isRevealable: false, wouldPass: { isPassing: false } });
    expect(JSON.stringify(masked)).not.toContain(SECRET);
    await expect(
      showLetter(letter.id, true, context, failures, { ...gone, inSession }),
    ).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('--show-values'),
    });
    expect(await auditOf('open')).toEqual([]);
  });

  test('says whether it decodes today, and by which version', async () => {
    const good = await letterOf('open', { offset: 1 });
    const cut = {
      ...good,
      id: 'open-reader/open/0/2',
      record: { ...good.record, offset: 2, value: good.record.value!.subarray(0, 25) },
    };
    const none = { ...cut, id: 'open-reader/open/0/3', record: { ...cut.record, offset: 3, value: null } };
    await store(good, cut, none);
    expect((await show(good.id)).wouldPass).toEqual({
      isPassing: true,
      text: "It decodes by v2, today's contract. The handler was not run.",
    });
    const broken = await show(cut.id);
    expect(broken.wouldPass).toEqual({ isPassing: false, text: expect.stringContaining('[AVRO_TRUNCATED]') });
    expect(broken).toMatchObject({
      decoded: null,
      decodeProblem: expect.stringContaining('[AVRO_TRUNCATED]'),
    });
    const missing = await show(none.id);
    expect(missing.wouldPass).toMatchObject({ isPassing: false });
    expect(missing.bytes[1]).toEqual({ name: 'value', size: null, rows: [], isCut: false });
  });

  test('names the version that wrote it and how the reader’s differs', async () => {
    const old = { ...contractOf('open') };
    const first = { ...old, versions: old.versions.slice(0, 1), latest: old.versions[0]! } as Contract<never>;
    const [encoded] = await createEncoder(first, createContractSchemaRegistry([old])).encodeBatch([
      { id: OPEN, note: OPEN, mail: SECRET },
    ]);
    const { value } = (encoded as { record: { value: Buffer } }).record;
    const letter = await letterOf('open', { value });
    await store(letter);
    expect(await show(letter.id)).toMatchObject({
      schemaVersion: 1,
      readerVersion: 2,
      schemaDifferences: ['v2 adds added, which v1 does not have; it reads as 0.'],
    });
  });

  test('of any size and any bytes is shown as text, the first 4,096 bytes of each', async () => {
    const hostile = '<script>alert(1)</script>\u202e\u001b[31m';
    const letter = await letterOf('open', {
      key: Buffer.from([0xff, 0xfe, 0x00]),
      value: Buffer.alloc(700_000, '<'),
      headers: Array.from({ length: 1_000 }, (_, n) => ({
        name: `${hostile}${n}`,
        value: Buffer.from([0xc3, n]),
      })),
    });
    await store({ ...letter, failure: { ...letter.failure, message: hostile + 'x'.repeat(100_000) } });
    const shown = await show(letter.id, true);
    expect(shown.key).toBe('<key of 3 bytes>');
    expect(shown.bytes[0]!.rows).toEqual([{ at: 0, hex: 'ff fe 00', text: '...' }]);
    expect(shown.bytes[1]).toMatchObject({ size: 700_000, isCut: true });
    expect(shown.bytes[1]!.rows).toHaveLength(256);
    expect(shown.bytes).toHaveLength(2 + 50 + 1);
    expect(shown.bytes.at(-1)).toMatchObject({ name: '950 more headers', size: 1_900, isCut: true });
    expect(shown.error.message.startsWith(hostile)).toBe(true);
    expect(JSON.stringify(shown).length).toBeLessThan(300_000);
    expect((await failures.letters({ consumer: 'open-reader' })).items[0]!.reason.length).toBeLessThan(310);
  });

  test('is found where it was seen, and by a scan where it was not or has moved', async () => {
    const letter = await letterOf('open');
    await store(letter);
    const source = letterSource(context);
    let scans = 0;
    const inSession: typeof source.inSession = (owner, work) =>
      source.inSession(owner, (session) => {
        const { reader } = session.marked;
        const counting = {
          ...reader,
          scan() {
            scans++;
            return reader.scan();
          },
        };
        return work({ ...session, marked: { ...session.marked, reader: counting } });
      });
    const shown = () => showLetter(letter.id, false, context, failures, { ...source, inSession });
    await shown();
    expect(scans).toBe(1);
    await failures.letters({ consumer: 'open-reader' });
    await shown();
    expect(scans).toBe(1);
    // Redriven in vain, it is another message.
    const stores = await openStores(openStateFolder(state));
    const { reader, store: again } = stores.deadLettersOf(consumerOf('open'));
    await reader.remove(await Array.fromAsync(reader.scan()));
    await again.put([{ ...letter, failure: { ...letter.failure, attempts: 9 } }]);
    await stores.close();
    expect(await shown()).toMatchObject({ attempts: 9 });
    expect(scans).toBe(2);
  });

  test('that nobody has is told in the words of the command', async () => {
    await expect(show('open-reader/open/0/77')).rejects.toMatchObject({ code: 'DEAD_LETTER_NOT_FOUND' });
    await expect(show('nobody/open/0/77')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});
