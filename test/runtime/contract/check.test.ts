import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { type ContractProblem, checkContract } from '../../../runtime/contract/check.ts';
import { COMPATIBILITY_MODES, type CompatibilityMode } from '../../../runtime/contract/contract.ts';

type Field = { readonly name: string; readonly type: unknown; readonly default?: unknown };

const id: Field = { name: 'id', type: 'string' };

function record(...fields: readonly Field[]): AvroSchema {
  return { type: 'record', name: 'Event', fields };
}

function check(
  schemas: readonly AvroSchema[],
  compatibility: CompatibilityMode = 'FULL_TRANSITIVE',
  key = 'id',
  identity?: string,
): readonly ContractProblem[] {
  const versions = schemas.map((schema, index) => ({ version: index + 1, schema }));
  return checkContract({ name: 'news.events', key, identity, versions, compatibility });
}

/** `1→2` for each pair that is incompatible: what v1 wrote cannot be read with v2. */
function brokenPairs(problems: readonly ContractProblem[]): readonly string[] {
  return problems
    .filter(({ code }) => code === 'CONTRACT_INCOMPATIBLE')
    .map(({ versions }) => versions.join('→'));
}

describe('compatibility modes', () => {
  const plain = record(id);
  const required = record(id, { name: 'a', type: 'int' });
  const optional = record(id, { name: 'a', type: 'int', default: 0 });

  // v2 adds a field that v1 did not write: only v1 can read the other. v3 gives the field up.
  test.each<[CompatibilityMode, readonly string[]]>([
    ['BACKWARD', ['1→2']],
    ['BACKWARD_TRANSITIVE', ['1→2']],
    ['FORWARD', ['3→2']],
    ['FORWARD_TRANSITIVE', ['3→2']],
    ['FULL', ['1→2', '3→2']],
    ['FULL_TRANSITIVE', ['1→2', '3→2']],
    ['NONE', []],
  ])('%s', (mode, broken) => {
    expect(brokenPairs(check([plain, required, plain], mode))).toEqual(broken);
  });

  // Each step is fine by itself: the field gets its default in v2, so it may be given up in v3. But v1 still needs it.
  test.each<[CompatibilityMode, readonly string[]]>([
    ['FORWARD', []],
    ['FULL', []],
    ['FORWARD_TRANSITIVE', ['3→1']],
    ['FULL_TRANSITIVE', ['3→1']],
    ['BACKWARD_TRANSITIVE', []],
  ])('%s looks as far back as it says', (mode, broken) => {
    expect(brokenPairs(check([required, optional, plain], mode))).toEqual(broken);
  });

  test('a problem names topic, versions, path, rule and what to do', () => {
    expect(check([plain, required], 'BACKWARD')).toEqual([
      {
        topic: 'news.events',
        code: 'CONTRACT_INCOMPATIBLE',
        rule: 'field-without-default',
        versions: [1, 2],
        path: 'a',
        message: expect.stringMatching(
          /^v2 needs this field .* v1 does not write it\. Give it a default in v2/,
        ),
      },
    ]);
  });

  test('more compatible modes find no less', () => {
    const schema = fc.constantFrom(
      plain,
      required,
      optional,
      record(id, { name: 'a', type: 'long', default: 0 }),
    );
    const modes = ['BACKWARD', 'FORWARD', 'FULL'] as const;
    fc.assert(
      fc.property(fc.array(schema, { maxLength: 5 }), (schemas) => {
        const found = (mode: CompatibilityMode) => new Set(brokenPairs(check(schemas, mode)));
        for (const mode of modes) {
          expect([...found(mode)].every((pair) => found(`${mode}_TRANSITIVE`).has(pair))).toBe(true);
        }
        expect(found('FULL_TRANSITIVE')).toEqual(
          new Set([...found('BACKWARD_TRANSITIVE'), ...found('FORWARD_TRANSITIVE')]),
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe('each version by itself', () => {
  test('a schema that does not parse is told by version, and left out of the comparison', () => {
    const broken = record(id, { name: 'a', type: 'Nothing' });
    expect(check([record(id), broken, record(id)])).toEqual([
      expect.objectContaining({ code: 'CONTRACT_INVALID', rule: 'type-unknown', versions: [2], path: 'a' }),
    ]);
  });

  test('names that every JavaScript object has are names like any other, but for __proto__ of a field', () => {
    const names = Object.getOwnPropertyNames(Object.prototype).filter((name) => name !== '__proto__');
    const kind = { type: 'enum', name: 'constructor', symbols: [...names, '__proto__'] };
    const fields = names.map((name) => ({ name, type: 'string', default: '' }));
    expect(check([record(id, { name: 'kind', type: kind, default: 'valueOf' }, ...fields)])).toEqual([]);
    const [problem] = check([record(id, { name: '__proto__', type: 'string' })]);
    expect(problem).toMatchObject({ rule: 'name-invalid', message: expect.stringContaining('__proto__') });
  });

  test.each<[string, AvroSchema]>([
    ['a text', 'string'],
    ['a union', ['null', record(id)]],
    ['a map', { type: 'map', values: 'string' }],
  ])('the value is a record, not %s', (_, schema) => {
    expect(check([schema])).toEqual([expect.objectContaining({ rule: 'value-not-record', versions: [1] })]);
  });

  test('never throws, whatever the schemas are', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.constantFrom(...COMPATIBILITY_MODES), (schemas, mode) => {
        expect(check(schemas as AvroSchema[], mode).length).toBeGreaterThanOrEqual(schemas.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('the key', () => {
  test('is a field of every version', () => {
    const other = record({ name: 'other', type: 'string', default: '' });
    expect(check([other, record(id)], 'NONE')).toEqual([
      expect.objectContaining({ rule: 'key-missing', versions: [1], path: 'id' }),
    ]);
  });

  test.each<[string, unknown]>([
    ['a string', 'string'],
    ['an int', 'int'],
    ['a long', 'long'],
    ['an enum', { type: 'enum', name: 'E', symbols: ['A'] }],
    ['a uuid', { type: 'string', logicalType: 'uuid' }],
    ['a timestamp', { type: 'long', logicalType: 'timestamp-millis' }],
  ])('may be %s', (_, type) => {
    expect(check([record({ name: 'id', type })])).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['null', 'null'],
    ['a text or null', ['null', 'string']],
    ['one of several', ['string', 'int']],
    ['a boolean', 'boolean'],
    ['a float', 'float'],
    ['a double', 'double'],
    ['bytes', 'bytes'],
    ['a fixed', { type: 'fixed', name: 'F', size: 16, logicalType: 'uuid' }],
    ['a list', { type: 'array', items: 'string' }],
    ['a map', { type: 'map', values: 'string' }],
    ['a record', { type: 'record', name: 'R', fields: [] }],
  ])('is never %s, and the message says why', (_, type) => {
    const [problem, ...others] = check([record({ name: 'id', type })]);
    expect(problem).toMatchObject({ rule: 'key-unstable', path: 'id', versions: [1] });
    expect(problem?.message).toMatch(/^The key id is .+: .+\. Make it a string, int, long or enum/);
    expect(others).toEqual([]);
  });
});

describe('the identity', () => {
  const checkWith = (...schemas: readonly AvroSchema[]) => check(schemas, 'NONE', 'id', 'eventId');

  test.each<[string, Field]>([
    ['a string', { name: 'eventId', type: 'string' }],
    ['a string or null', { name: 'eventId', type: ['null', 'string'], default: null }],
    ['a string that older events lack', { name: 'eventId', type: 'string', default: '' }],
  ])('may be %s of the newest version', (_, field) => {
    expect(checkWith(record(id), record(id, field))).toEqual([]);
  });

  test.each<[rule: string, Field[]]>([
    ['identity-missing', []],
    ['identity-not-text', [{ name: 'eventId', type: 'long' }]],
    ['identity-not-text', [{ name: 'eventId', type: ['string', 'int'] }]],
    ['identity-not-text', [{ name: 'eventId', type: 'null' }]],
    ['identity-defaulted', [{ name: 'eventId', type: 'string', default: 'none' }]],
    ['identity-defaulted', [{ name: 'eventId', type: ['string', 'null'], default: 'none' }]],
  ])('is refused as %s, in the newest version', (rule, fields) => {
    expect(checkWith(record(id), record(id, ...fields))).toEqual([
      expect.objectContaining({ rule, path: 'eventId', versions: [2], code: 'CONTRACT_INVALID' }),
    ]);
  });

  test('is not looked for where the contract names none', () => {
    expect(check([record(id)])).toEqual([]);
  });
});
