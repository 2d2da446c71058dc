import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import {
  isGuarded,
  keyText,
  letterLines,
  letterToJson,
  stricter,
  type View,
  valueText,
  viewOf,
} from '../../../cli/dlq/letter-view.ts';
import { listLines } from '../../../cli/dlq/list.ts';
import { triageLines } from '../../../cli/dlq/triage-view.ts';
import { waitingWords } from '../../../cli/park/keys.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { createEncoder } from '../../../runtime/contract/codec.ts';
import { type Contract, type ContractVersion, defineTopic } from '../../../runtime/contract/contract.ts';
import { decodeFrame } from '../../../runtime/contract/framing.ts';
import type { SchemaRegistry } from '../../../runtime/contract/registry.ts';
import { decodeByWriter } from '../../../runtime/dead-letters/decode-value.ts';
import { decodeDeadLetter } from '../../../runtime/dead-letters/json-envelope.ts';
import type { StoredLetter } from '../../../runtime/dead-letters/reader.ts';
import type { LetterOwner } from '../../../runtime/dead-letters/resources.ts';
import { Triage } from '../../../runtime/dead-letters/triage.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { WaitingKey } from '../../../runtime/replay/waiting-keys.ts';
import { deadLetter } from '../../dead-letters.ts';

const SECRET = 'SECRET_joe_example';
const OPEN = 'open';

interface Field {
  readonly name: string;
  readonly type: AvroSchema;
  readonly pii?: boolean;
}

/** A schema without names: they are given when it is written out. */
type Shape =
  | { readonly kind: 'string' | 'bytes' | 'enum' | 'long' }
  | { readonly kind: 'array' | 'map' | 'optional' | 'either' | 'wrapped'; readonly of: Shape }
  | { readonly kind: 'record'; readonly fields: readonly { readonly of: Shape; readonly pii: boolean }[] };

const shapes: fc.Arbitrary<Shape> = fc.letrec<{ shape: Shape }>((tie) => ({
  shape: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    fc.record({
      kind: fc.constantFrom('string' as const, 'bytes' as const, 'enum' as const, 'long' as const),
    }),
    fc.record({
      kind: fc.constant('record' as const),
      fields: fc.array(fc.record({ of: tie('shape'), pii: fc.boolean() }), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      kind: fc.constantFrom(
        'array' as const,
        'map' as const,
        'optional' as const,
        'either' as const,
        'wrapped' as const,
      ),
      of: tie('shape'),
    }),
  ),
})).shape;

/** The shape's schema, and a value whose personal data holds the secret wherever a text can stand. */
function writeOut(shape: Shape, isPii: boolean, name: string): { schema: AvroSchema; value: unknown } {
  const text = isPii ? SECRET : OPEN;
  switch (shape.kind) {
    case 'string':
      return { schema: 'string', value: text };
    case 'bytes':
      return { schema: 'bytes', value: Buffer.from(text) };
    case 'long':
      return { schema: 'long', value: 7 };
    case 'enum':
      return { schema: { type: 'enum', name, symbols: [SECRET, OPEN] }, value: text };
    case 'record': {
      const fields = shape.fields.map(({ of, pii }, at) => ({
        pii,
        at,
        ...writeOut(of, isPii || pii, `${name}_${at}`),
      }));
      return {
        schema: {
          type: 'record',
          name,
          fields: fields.map(
            ({ pii, at, schema }): Field => ({ name: `f${at}`, type: schema, ...(pii && { pii }) }),
          ),
        },
        value: Object.fromEntries(fields.map(({ at, value }) => [`f${at}`, value])),
      };
    }
    case 'array': {
      const { schema, value } = writeOut(shape.of, isPii, `${name}_i`);
      return { schema: { type: 'array', items: schema }, value: [value, value] };
    }
    case 'map': {
      const { schema, value } = writeOut(shape.of, isPii, `${name}_v`);
      return { schema: { type: 'map', values: schema }, value: { [text]: value } };
    }
    case 'optional':
    case 'either': {
      // A union in a union is none; a string beside a string would be wrapped.
      const inner: Shape =
        shape.of.kind === 'record' ? shape.of : { kind: 'record', fields: [{ of: shape.of, pii: false }] };
      const { schema, value } = writeOut(inner, isPii, `${name}_u`);
      return { schema: shape.kind === 'optional' ? ['null', schema] : ['string', schema], value };
    }
    case 'wrapped': {
      const record: Shape = { kind: 'record', fields: [{ of: shape.of, pii: true }] };
      const { schema, value } = writeOut(record, isPii, `${name}_w`);
      return { schema: [schema, { type: 'map', values: 'int' }], value: { [`${name}_w`]: value } };
    }
  }
}

async function letterOf(contract: Contract<never>, value: Readonly<Record<string, unknown>>) {
  const registry = createContractSchemaRegistry([contract]);
  const [encoded] = await createEncoder(contract, registry).encodeBatch([value]);
  if (!encoded || !('record' in encoded)) throw new Error(JSON.stringify(encoded));
  const bytes = encoded.record.value;
  const letter: DeadLetter = deadLetter({
    key: Buffer.from(String(value[contract.key])),
    value: bytes,
    headers: [{ name: 'user', value: Buffer.from(SECRET) }],
  });
  const failure = {
    ...letter.failure,
    message: `no such customer: ${SECRET}`,
    stack: `Error: no such customer: ${SECRET}\n    at the ${SECRET} before\n    at handle (file:///srv/app/orders/consumer.ts:29:1)`,
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
  const { schemaId } = decodeFrame(contract.framing, bytes!, contract.maxBodyBytes);
  const written = await decodeByWriter(bytes, contract, registry);
  return { letter: { ...letter, schemaId, failure }, written, registry };
}

function storedAs(letter: DeadLetter): StoredLetter {
  return { ref: 'r', storedAt: 0, letter, payload: null, message: null };
}

function sessionOf(topic: Contract<never>, contracts: readonly Contract<never>[], registry: SchemaRegistry) {
  return { consumer: { topic } as LetterOwner, contracts, registry };
}

/** Everything that a person can see of the letter, one text each; base64 as what it stands for. */
async function seen(
  contract: Contract<never>,
  value: Readonly<Record<string, unknown>>,
  showsValues: boolean,
  writtenAs = contract,
) {
  const { letter, written, registry } = await letterOf(writtenAs, value);
  const stored = storedAs(letter);
  const view = await viewOf(stored, sessionOf(contract, [], registry), showsValues);
  const triage = new Triage('c', { key: (bytes) => keyText(bytes, view), header: () => '(hidden)' });
  triage.add(stored);
  const groups = triage.groups().map(({ sample: { id, name }, ...group }) => ({
    ...group,
    sample: { id, name, value: valueText(written, view, !showsValues) },
  }));
  const at = {
    consumer: 'c',
    isDeclared: true,
    where: {},
    place: {},
    nowMs: 0,
    retentionMs: null,
    columns: 80,
    textColumns: 80,
  };
  const json = JSON.stringify(letterToJson(letter, view, written));
  return [
    letterLines(letter, written, view, 200).join('\n'),
    listLines(stored, view, 200).join('\n'),
    triageLines(groups, { ...at, showsValues: false }).join('\n'),
    JSON.stringify(groups),
    json,
    ...[...json.matchAll(/"([A-Za-z0-9+/]+=*)"/g)].map(([, text]) =>
      Buffer.from(text!, 'base64').toString('latin1'),
    ),
  ];
}

function topicOf(versions: readonly AvroSchema[], key = 'key', name = 't'): Contract<never> {
  return defineTopic<Readonly<Record<string, string>>>({
    name,
    owner: 'o',
    key,
    versions: versions.map((schema, at): ContractVersion => ({ version: at + 1, schema })),
  }) as Contract<never>;
}

describe('a field that is tagged as personal data', () => {
  test('is in nothing that a person sees, wherever it stands and whatever its type', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.boolean(), async (shape, isKeyPersonal) => {
        const { schema, value } = writeOut(shape, true, 'Inner');
        const contract = topicOf([
          {
            type: 'record',
            name: 'Event',
            fields: [
              { name: 'key', type: 'string', ...(isKeyPersonal && { pii: true }) },
              { name: 'inner', type: schema, pii: true },
            ],
          },
        ]);
        const whole = { key: isKeyPersonal ? SECRET : 'k1', inner: value };
        for (const text of await seen(contract, whole, false)) expect(text).not.toContain(SECRET);
        expect((await seen(contract, whole, true)).join('\n')).toContain(SECRET);
        // The app has an earlier version, without the tags.
        const behind = topicOf([
          { type: 'record', name: 'Event', fields: [{ name: 'key', type: 'string' }] },
        ]);
        for (const text of await seen(behind, whole, false, contract)) expect(text).not.toContain(SECRET);
      }),
      { numRuns: 150 },
    );
  });

  test('is masked field by field where the value that holds it is not tagged', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async (shape) => {
        const { schema, value } = writeOut(shape, false, 'Inner');
        const fields = [
          { name: 'key', type: 'string' },
          { name: 'inner', type: schema },
          { name: 'mail', type: 'string', pii: true },
        ];
        const contract = topicOf([{ type: 'record', name: 'Event', fields }]);
        const texts = await seen(contract, { key: 'k1', inner: value, mail: SECRET }, false);
        for (const text of texts) expect(text).not.toContain(SECRET);
        expect(texts[0]).toContain('"key":"k1"');
      }),
      { numRuns: 150 },
    );
  });

  test('is masked in records of versions that had no tag, and under its earlier name', async () => {
    const event = (...fields: object[]) => ({
      type: 'record',
      name: 'Event',
      fields: [{ name: 'key', type: 'string' }, ...fields],
    });
    const old = topicOf([event({ name: 'mail', type: 'string' })]);
    const now = topicOf([
      event({ name: 'mail', type: 'string' }),
      event({ name: 'address', aliases: ['mail'], type: 'string', default: '', pii: true }),
    ]);
    const { letter, written } = await letterOf(old, { key: 'k1', mail: SECRET });
    const view: View = { topic: now, showsValues: false };
    expect(letterLines(letter, written, view, 200).join('\n')).not.toContain(SECRET);
    expect(valueText(written, view)).toBe(`{"key":"k1","mail":"<string of ${SECRET.length}>"}`);
  });
});

describe('a tag that only another version of the field has', () => {
  const renamed = (names: readonly string[], isTagged: boolean[], key: object[] = []) =>
    names.map((name, at) => ({
      type: 'record',
      name: 'Event',
      fields: [
        ...key,
        {
          name,
          type: 'string',
          ...(at > 0 && { aliases: [names[at - 1]] }),
          ...(isTagged[at] && { pii: true }),
        },
      ],
    }));

  test('masks each version of a field that was renamed, and the key where it is that field', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 2, maxLength: 5 }),
        fc.nat(),
        fc.nat(),
        fc.boolean(),
        async (random, taggedAt, writtenAt, isKey) => {
          const names = random.map((name) => `f_${name}`);
          const tags = names.map((_, at) => at === taggedAt % names.length);
          const versions = renamed(names, tags, isKey ? [] : [{ name: 'key', type: 'string' }]);
          const key = isKey ? names.at(-1)! : 'key';
          const contract = topicOf(versions, key);
          const at = writtenAt % names.length;
          const value = { ...(!isKey && { key: 'k1' }), [names[at]!]: SECRET };
          const old = topicOf([versions[at]!], isKey ? names[at]! : 'key');
          for (const text of await seen(contract, value, false, old)) expect(text).not.toContain(SECRET);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('a letter is shown by the contract of its own topic', () => {
  const event = (isTagged: boolean) => ({
    type: 'record',
    name: 'Event',
    fields: [
      { name: 'key', type: 'string' },
      { name: 'mail', type: 'string', ...(isTagged && { pii: true }) },
    ],
  });
  const users = topicOf([event(true)], 'key', 'users');
  const orders = topicOf([event(false)], 'key', 'orders');
  const value = { key: 'k1', mail: SECRET };
  const linesIn = async (topic: string, contracts: readonly Contract<never>[]) => {
    const { letter, written, registry } = await letterOf(topic === 'orders' ? orders : users, value);
    const moved = { ...letter, record: { ...letter.record, topic } };
    const view = await viewOf(storedAs(moved), sessionOf(orders, contracts, registry), false);
    return [
      ...letterLines(moved, written, view, 200),
      ...listLines(storedAs(moved), view, 200),
      JSON.stringify(letterToJson(moved, view, written)),
    ].join('\n');
  };

  test('when its consumer has moved to a topic without tags', async () => {
    const shown = await linesIn('users', [users, orders]);
    expect(shown).not.toContain(SECRET);
    expect(shown).toContain('"key":"k1"');
    expect(await linesIn('orders', [users, orders])).toContain(SECRET);
  });

  test('and not at all when that topic is no longer declared', async () => {
    const shown = await linesIn('users', [orders]);
    expect(shown).not.toContain(SECRET);
    expect(shown).not.toContain('"k1"');
  });

  test('and a copy that cannot be read is hidden if any contract of the app has a tag', async () => {
    const error = new MillraceError('DEAD_LETTER_UNREADABLE', 'not read');
    const copy = { ref: 'r', storedAt: 0, message: { body: SECRET, attributes: {} }, error };
    const { registry } = await letterOf(orders, value);
    const isHidden = async (contracts: readonly Contract<never>[]) =>
      isGuarded(await viewOf(copy, sessionOf(orders, contracts, registry), false));
    expect(await isHidden([orders, users])).toBe(true);
    expect(await isHidden([orders])).toBe(false);
  });

  test('and not at all while the registry cannot say what its schema tags', async () => {
    const { letter, registry } = await letterOf(orders, value);
    const stored = storedAs({ ...letter, record: { ...letter.record, topic: 'orders' } });
    const schemaById = async () => {
      throw new MillraceError('REGISTRY_UNAVAILABLE', 'no answer');
    };
    const session = sessionOf(orders, [orders], { ...registry, schemaById });
    expect(isGuarded(await viewOf(stored, session, false))).toBe(true);
  });

  test('and a group of letters by the one that hides most', () => {
    const key = topicOf([
      { type: 'record', name: 'E', fields: [{ name: 'key', type: 'string', pii: true }] },
    ]);
    const [open, guarded, keyless] = [orders, users, key].map(
      (topic): View => ({ topic, showsValues: false }),
    ) as [View, View, View];
    for (const [one, other, expected] of [
      [open, guarded, guarded],
      [guarded, keyless, keyless],
      [open, keyless, keyless],
    ] as const) {
      expect(stricter(one, other)).toBe(expected);
      expect(stricter(other, one)).toBe(expected);
    }
  });
});

test('without a tag a letter is shown as it is', async () => {
  const contract = topicOf([
    {
      type: 'record',
      name: 'Event',
      fields: [
        { name: 'key', type: 'string' },
        { name: 'mail', type: 'string' },
      ],
    },
  ]);
  const [shown] = await seen(contract, { key: 'k1', mail: SECRET }, false);
  expect(shown).toContain(`"mail":"${SECRET}"`);
  expect(shown).toContain(`no such customer: ${SECRET}`);
});

test('a contract that is not declared any more may have tagged anything', () => {
  const view: View = { topic: { versions: [], key: 'key' as never }, showsValues: false };
  expect(keyText(Buffer.from(SECRET), view)).toBe(`<key of ${SECRET.length} bytes>`);
});

test('a key that is personal data, or very long, is named by the letter that it waits for', () => {
  const hides: View = { topic: { versions: [], key: 'key' as never }, showsValues: false };
  const session = { consumer: { name: 'c' } } as Parameters<typeof waitingWords>[2];
  const waiting = (key: string, blockedBy: number | null): WaitingKey => ({
    topic: 'shop.orders',
    partition: 3,
    key: Buffer.from(key),
    blockedBy,
    lastLetter: blockedBy,
    records: 1,
    oldestAt: 0,
  });
  const letter = ['--letter', 'c/shop.orders/3/41'];
  expect(waitingWords(waiting(SECRET, 41), hides, session)).toEqual(letter);
  expect(waitingWords(waiting(SECRET, null), hides, session)).toBeUndefined();
  const shows = { ...hides, showsValues: true };
  expect(waitingWords(waiting('x'.repeat(1_001), 41), shows, session)).toEqual(letter);
  expect(waitingWords(waiting('reader-7', 41), shows, session)).toEqual(['reader-7', '--partition', '3']);
});

test('a masked line is no letter that could be imported', async () => {
  const contract = topicOf([
    {
      type: 'record',
      name: 'Event',
      fields: [
        { name: 'key', type: 'string' },
        { name: 'mail', type: 'string', pii: true },
      ],
    },
  ]);
  const { letter, written } = await letterOf(contract, { key: 'k1', mail: SECRET });
  const line = JSON.stringify(letterToJson(letter, { topic: contract, showsValues: false }, written));
  expect(JSON.parse(line)).toMatchObject({
    masked: true,
    record: { value: expect.stringMatching(/^<bytes of/) },
  });
  expect(() => decodeDeadLetter(line)).toThrow();
});
