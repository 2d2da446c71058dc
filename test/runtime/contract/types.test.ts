import { spawnSync } from 'node:child_process';
import { stripTypeScriptTypes } from 'node:module';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import type { ContractVersion } from '../../../runtime/contract/contract.ts';
import { generateSchemaModule } from '../../../runtime/contract/types.ts';

type Json = { readonly [attribute: string]: unknown };

function record(...fields: readonly Json[]): Json {
  return { type: 'record', name: 'Event', namespace: 'news', fields };
}

function generate(schema: AvroSchema): string {
  return generateSchemaModule('news.events', [{ version: 1, schema }]);
}

/** The types alone, without comments. */
function typesOf(schema: AvroSchema): string {
  const text = generate(schema).replace(/^ *\/\*\*.*\*\/\n/gm, '');
  return text.slice(text.indexOf('export'), text.indexOf('\nexport const versions'));
}

/** The type of a field `a`. */
function typeOf(type: unknown): string | undefined {
  return /readonly a: (.*);/.exec(typesOf(record({ name: 'a', type })))?.[1];
}

const device = { type: 'enum', name: 'Device', symbols: ['PHONE', 'OTHER'] };
const money = { type: 'fixed', name: 'Money', size: 8 };
const inner = { type: 'record', name: 'Inner', fields: [{ name: 'x', type: 'int' }] };

describe('types', () => {
  test.each<[unknown, string]>([
    ['null', 'null'],
    ['boolean', 'boolean'],
    ['int', 'number'],
    ['long', 'number'],
    ['float', 'number'],
    ['double', 'number'],
    ['string', 'string'],
    ['bytes', 'Buffer'],
    [money, 'Buffer'],
    [device, 'Device'],
    [inner, 'Inner'],
    [{ type: 'array', items: 'string' }, 'readonly string[]'],
    [{ type: 'array', items: ['null', 'string'] }, 'readonly (string | null)[]'],
    [{ type: 'array', items: { type: 'array', items: 'int' } }, 'readonly (readonly number[])[]'],
    [{ type: 'map', values: ['null', 'long'] }, '{ readonly [key: string]: number | null }'],
    [['null', 'string'], 'string | null'],
    [['string', 'null'], 'string | null'],
    [['null', 'string', 'int', 'boolean'], 'string | number | boolean | null'],
    [['null', 'string', device], "{ readonly string: string } | { readonly 'news.Device': Device } | null"],
    [['int', 'double'], '{ readonly int: number } | { readonly double: number }'],
    [
      ['null', inner, { type: 'map', values: 'int' }],
      "{ readonly 'news.Inner': Inner } | { readonly map: { readonly [key: string]: number } } | null",
    ],
    [['bytes', money], "{ readonly bytes: Buffer } | { readonly 'news.Money': Buffer }"],
  ])('%j', (type, text) => {
    expect(typeOf(type)).toBe(text);
  });

  test('a union is wrapped exactly where avsc wraps it', () => {
    const branches = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', money, device, inner];
    fc.assert(
      fc.property(fc.subarray([...branches, { type: 'map', values: 'int' }], { minLength: 1 }), (union) => {
        const isWrapped = avsc.Type.forSchema(union as never).typeName === 'union:wrapped';
        expect(/\{ readonly (?!\[)/.test(typesOf(record({ name: 'a', type: union })))).toBe(isWrapped);
      }),
      { numRuns: 200 },
    );
  });

  test('the newest version is the one that is typed; every version is a value', () => {
    const older = record({ name: 'a', type: 'int' });
    const newer = record({ name: 'a', type: 'int' }, { name: 'b', type: 'string', default: '' });
    const text = generateSchemaModule('news.events', [
      { version: 1, schema: older },
      { version: 2, schema: newer },
    ]);
    expect(text).toContain('  readonly b: string;');
    expect(text).toContain(
      '// Generated from v1.avsc, v2.avsc by `millrace contracts generate`. Do not edit.',
    );
    expect(versionsIn(text)).toEqual([
      { version: 1, schema: older, definition: JSON.stringify(older) },
      { version: 2, schema: newer, definition: JSON.stringify(newer) },
    ]);
  });

  test('records, enums and recursion', () => {
    const schema = record(
      { name: 'device', type: device },
      { name: 'parent', type: ['null', 'Event'] },
      { name: 'inner', type: { ...inner, fields: [] } },
    );
    expect(typesOf(schema)).toBe(
      [
        'export interface Event {',
        '  readonly device: Device;',
        '  readonly parent: Event | null;',
        '  readonly inner: Inner;',
        '}',
        '',
        "export type Device = 'PHONE' | 'OTHER';",
        '',
        'export type Inner = { readonly [field: string]: never };',
        '',
      ].join('\n'),
    );
  });

  test('two types of one short name, and names that the module needs itself', () => {
    const schema = record(
      { name: 'a', type: { ...device, name: 'event', namespace: 'other' } },
      { name: 'b', type: { ...device, name: 'Buffer' } },
      { name: 'c', type: 'bytes' },
    );
    expect(typesOf(schema)).toMatch(
      /readonly a: OtherEvent;\n {2}readonly b: NewsBuffer;\n {2}readonly c: Buffer;/,
    );
  });

  test('documentation: the schema’s own, and what a logical type’s number means', () => {
    const schema = {
      ...record(
        {
          name: 'at',
          type: ['null', { type: 'long', logicalType: 'timestamp-micros' }],
          doc: 'When */ it was.',
        },
        { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 8, scale: 2 } },
        { name: 'note', type: 'string', doc: 'First.\nSecond.' },
        { name: 'mail', type: 'string', doc: 'Where to write.', pii: true },
      ),
      doc: 'What happened.',
    };
    const text = generate(schema);
    expect(text).toContain('/** What happened. */\nexport interface Event {');
    expect(text).toContain(
      '  /** When *\\/ it was. Microseconds since 1970-01-01T00:00:00Z. */\n  readonly at:',
    );
    expect(text).toMatch(/Where to write\. Personal data \("pii": true\).*\n {2}readonly mail: string;/);
    expect(text).toContain('"pii":true');
    expect(text).toContain('big-endian; precision 8, scale 2. */\n  readonly price: Buffer;');
    expect(text).toContain('  /**\n   * First.\n   * Second.\n   */\n  readonly note: string;');
  });

  test('nothing to generate from is CONTRACT_INVALID', () => {
    const code = expect.objectContaining({ code: 'CONTRACT_INVALID' });
    expect(() => generateSchemaModule('news.events', [])).toThrow(code as unknown as Error);
    expect(() => generate(record({ name: 'a', type: 'Nothing' }))).toThrow(code as unknown as Error);
  });
});

describe('layout', () => {
  test('biome formats and lints none of it', () => {
    const numbers = Array.from({ length: 60 }, (_, index) => index ** 3);
    const symbols = Array.from({ length: 30 }, (_, index) => `SYMBOL_${index}`);
    const text = generateSchemaModule('news.events', [
      {
        version: 1,
        schema: {
          ...record(
            { name: 'few', type: device, default: 'PHONE', 'java-class': 'x.Y' },
            { name: 'many', type: { type: 'enum', name: 'Many', symbols } },
            {
              name: 'wrapped',
              type: [
                'null',
                inner,
                { ...inner, name: 'TheOtherRecord' },
                { ...inner, name: 'YetAnotherRecord' },
              ],
            },
            { name: 'list', type: { type: 'array', items: ['null', 'string', 'int'] }, default: [] },
            {
              name: 'lists',
              type: { type: 'array', items: { type: 'array', items: 'int' } },
              default: [
                [1, 2],
                [3, 4],
              ],
            },
            { name: 'numbers', type: { type: 'array', items: 'long' }, default: numbers },
            { name: 'one', type: { type: 'array', items: 'Inner' }, default: [{ x: 1 }] },
            {
              name: 'map',
              type: { type: 'map', values: 'double' },
              default: { 'a-b': 1e21, c: -0.5 },
            },
            { name: 'quotes', type: 'string', default: `it's "said"`, doc: `It's "here".` },
            { name: 'apostrophe', type: 'string', default: "it's" },
            { name: 'none', type: { ...inner, name: 'None', fields: [] }, default: {} },
          ),
          aliases: ['Old'],
        },
      },
    ]);
    const { status, stdout, stderr } = biome(
      ['check', '--write', '--stdin-file-path=contracts/news.events/schema.ts'],
      text,
    );
    expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: '', stdout: text });
  });
});

describe('versions', () => {
  const file =
    '{"type": "record", "name": "R", "fields": [\r\n\t{"name": "a", "type": "double", "default": 0.0}]}\n';

  test('hold the files’ texts to the character, and the schemas that these are', () => {
    const awkward = fc.string({
      unit: fc.constantFrom(
        '`',
        '$',
        '{',
        '}',
        '\\',
        '\r',
        '\n',
        "'",
        '"',
        '\u2028',
        'a',
        '</script>',
        '*/',
        '😀',
      ),
    });
    fc.assert(
      fc.property(awkward, awkward, (doc, blanks) => {
        const schema = { ...(JSON.parse(file) as Json), doc };
        const definition = `${blanks.replaceAll(/[^\r\n]/gu, ' ')}${JSON.stringify(schema)}\r\n`;
        const text = generateSchemaModule('news.events', [{ version: 1, schema, definition }]);
        expect(versionsIn(text)).toEqual([{ version: 1, schema, definition }]);
      }),
    );
    const text = generateSchemaModule('news.events', [
      { version: 1, schema: JSON.parse(file), definition: file },
    ]);
    expect(versionsIn(text)[0]!.definition).toBe(file);
  });

  test('hold a default that an object literal could not', () => {
    const schema = record({
      name: 'm',
      type: { type: 'map', values: 'double' },
      default: JSON.parse('{"__proto__": -0.0, "constructor": 1}'),
    });
    const [version] = versionsIn(generate(schema));
    expect(JSON.stringify(version!.schema)).toBe(JSON.stringify(schema));
  });
});

test('names that Avro takes become names that TypeScript takes, each another one', () => {
  const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,5}$/);
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 6 }), (found) => {
      const names = found.filter((each) => !AVRO_TYPES.includes(each));
      const fields = names.map((each, index) => ({
        name: `f${index}`,
        type: { type: 'enum', name: each, symbols: ['A'] },
      }));
      const text = generate({ type: 'record', name: '_', fields });
      expect(() => stripTypeScriptTypes(text)).not.toThrow();
      const declared = [...text.matchAll(/^export (?:type|interface) (\S+)/gm)].map(([, type]) => type);
      expect(new Set(declared).size).toBe(names.length + 1);
    }),
  );
  expect(typesOf({ type: 'record', name: '_2fa', fields: [{ name: 'a', type: 'int' }] })).toContain(
    'interface _2fa {',
  );
});

const AVRO_TYPES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string', '_'];

function versionsIn(text: string): readonly ContractVersion[] {
  const code = stripTypeScriptTypes(text.slice(text.indexOf('export const versions')));
  return new Function(`${code.replace('export const versions =', 'return')}`)();
}

function biome(args: readonly string[], input: string) {
  return spawnSync(resolve('node_modules/.bin/biome'), [...args], { input, encoding: 'utf8' });
}
