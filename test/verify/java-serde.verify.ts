/** Our bytes beside those of AWS's own serializer and deserializer for Java, with moto's Glue between the two. */
import { inflateSync } from 'node:zlib';
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { createGlueSchemaRegistrar } from '../../adapters/aws/glue-schema-registrar.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { type AvroSchema, branchName, type SchemaNode, type UnionNode } from '../../runtime/avro/schema.ts';
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import { isWrapped, kindOfNode, kindOfValue } from '../../runtime/avro/value.ts';
import { createDecoder, createEncoder } from '../../runtime/contract/codec.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { FRAME_HEADER_BYTES } from '../../runtime/contract/framing.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { publishableText, schemaOf, shapes, valuesOf } from '../avro-arbitraries.ts';
import { sampleOf, schemaPair } from '../runtime/avro/schema-pair.ts';
import { runJava } from './java/run-java.ts';
import { part } from './part.ts';

jest.setTimeout(180_000);
const endpoint = part('MILLRACE_TEST_AWS');
const registryName = `java-serde-${process.pid}`;
const glue = new GlueClient({ endpoint });
const registry = createGlueSchemaRegistrar({ client: glue, registryName, clock: systemClock });

beforeAll(async () => {
  await glue.send(new CreateRegistryCommand({ RegistryName: registryName }));
});
afterAll(() => glue.destroy());

const SCHEMAS = 200;
const VALUES = 50;
/** Fixed, so that a build does not depend on luck; any other will do. */
const SEED = 20261125;

interface Line {
  readonly topic: string;
  readonly schema: string;
  readonly schemaId?: string;
  readonly json: string;
  readonly none: string;
  readonly zlib: string;
}
interface Answer {
  readonly readsNone: boolean;
  readonly readsZlib: boolean;
  readonly none: string;
  readonly zlib: string;
}

const askJava = (lines: readonly Line[]) =>
  runJava<Line, Answer>('GlueSerde', part('MILLRACE_TEST_GLUE_SERDE'), [endpoint, registryName], lines);

/** Records of any type, each with its values. */
const rows = [
  // Every extreme that a value may have.
  ...fc.sample(shapes, { numRuns: SCHEMAS / 2, seed: SEED }).map((shape) => ({
    schema: recordOf(schemaOf(shape)),
    values: fc
      .sample(fc.tuple(publishableText(), valuesOf(shape)), { numRuns: VALUES, seed: SEED })
      .map(([id, of]) => ({ id, of })),
  })),
  // Names, namespaces, defaults, logical types, unions, and records that hold themselves.
  ...fc
    .sample(schemaPair, { numRuns: SCHEMAS, seed: SEED })
    .map(({ before }) => recordOf(before))
    .filter((schema) => parseSchema(schema).node !== null)
    .slice(0, SCHEMAS / 2)
    .map((schema) => ({ schema, values: samplesOf(schema) })),
];

function samplesOf(schema: AvroSchema): unknown[] {
  const random = createSeededRandom(SEED);
  const node = nodeOf(schema);
  const choose = (below: number) => Math.floor(random.next() * below);
  return Array.from({ length: VALUES }, () => sampleOf(node, choose));
}

function recordOf(of: AvroSchema): AvroSchema {
  return {
    type: 'record',
    name: 'Row',
    namespace: 'verify',
    fields: [
      { name: 'id', type: 'string' },
      { name: 'of', type: of },
    ],
  };
}

/** What has to be among the schemas. */
const KINDS = [
  ...['"null"', '"boolean"', '"int"', '"long"', '"float"', '"double"', '"bytes"', '"string"'],
  ...['"record"', '"enum"', '"array"', '"map"', '"fixed"', '["null",', '["null","R0"]', '"namespace":"x"'],
  ...[
    '"default":',

    '"timestamp-millis"',
    '"timestamp-micros"',
    '"date"',
    '"uuid"',
    '"decimal"',
  ],
];

test('10,000 values of every type: Java reads ours, we read Java’s, and the bytes are the same', async () => {
  expect(rows).toHaveLength(SCHEMAS);
  const text = JSON.stringify(rows.map(({ schema }) => schema));
  expect(KINDS.filter((kind) => !text.includes(kind))).toEqual([]);

  const cases = [];
  for (const [index, { schema, values }] of rows.entries()) {
    const contract = contractOf(`row-${index}`, schema);
    const [schemaId] = await registry.register(contract);
    cases.push({ contract, values, lines: await linesOf(contract, values, schemaId) });
  }
  const answers = await askJava(cases.flatMap(({ lines }) => lines));
  expect(answers).toHaveLength(SCHEMAS * VALUES);

  let same = 0;
  for (const [index, { contract, values, lines }] of cases.entries()) {
    const theirs = answers.slice(index * VALUES, (index + 1) * VALUES);
    const node = nodeOf(contract.latest.schema);
    for (const [at, answer] of theirs.entries()) {
      const line = lines[at]!;
      expect({ line, ...answer }).toMatchObject({ line, readsNone: true, readsZlib: true });
      // Two zlibs may find different repetitions, of the same bytes.
      expect(inflated(answer.zlib)).toEqual(inflated(answer.none));
      expect(inflated(line.zlib)).toEqual(inflated(line.none));
      if (isOrderKept(node, values[at])) {
        same++;
        expect(answer.none).toBe(line.none);
      } else expect(answer.none).toHaveLength(line.none.length);
    }
    expect(
      await read(
        contract,
        theirs.map(({ none }) => none),
      ),
    ).toEqual(values);
    expect(
      await read(
        contract,
        theirs.map(({ zlib }) => zlib),
      ),
    ).toEqual(values);
  }
  expect(same).toBeGreaterThan((SCHEMAS * VALUES) / 2);
});

test('Java finds the id of a definition that we registered, and we the one of what it writes', async () => {
  const contract = contractOf('by-definition', recordOf(['null', 'long']));
  const [id] = await registry.register(contract);
  const lines = await linesOf(contract, [{ id: 'a', of: 7 }]);
  const [answer] = await askJava(lines);
  expect(answer).toMatchObject({ readsNone: true, readsZlib: true, none: lines[0]!.none });
  expect(createDecoder(contract, registry).schemaIdOf(rawOf(answer!.none))).toBe(id);
});

function contractOf(
  name: string,
  schema: AvroSchema,
  compression: 'none' | 'zlib' = 'none',
): Contract<{ id: string }> {
  return defineTopic({ name, owner: 'tests', key: 'id', versions: [{ version: 1, schema }], compression });
}

async function linesOf(
  { name, latest: { schema } }: Contract<never>,
  values: readonly unknown[],
  schemaId?: string,
): Promise<Line[]> {
  const node = nodeOf(schema);
  const [none, zlib] = await Promise.all(
    (['none', 'zlib'] as const).map(async (compression) => {
      const encoder = createEncoder(contractOf(name, schema, compression), registry);
      return (await encoder.encodeBatch(values)).map((result) => {
        if ('violations' in result) throw new Error(JSON.stringify({ schema, ...result }));
        return result.record.value.toString('base64');
      });
    }),
  );
  return values.map((value, at) => ({
    topic: name,
    schema: JSON.stringify(schema),
    ...(schemaId && { schemaId }),
    json: avroJson(node, value),
    none: none![at]!,
    zlib: zlib![at]!,
  }));
}

/** The values of framed records, as the engine reads them. */
async function read(contract: Contract<{ id: string }>, framed: readonly string[]): Promise<unknown[]> {
  const decoded = await createDecoder(contract, registry).decodeBatch(framed.map(rawOf));
  return decoded.map((result) => {
    if (!('record' in result)) throw 'error' in result ? result.error : result.held;
    return result.record.value;
  });
}

function rawOf(framed: string): RawRecord {
  const value = Buffer.from(framed, 'base64');
  return {
    topic: 't',
    partition: 0,
    offset: 0,
    timestamp: 0,
    timestampType: 'CREATE_TIME',
    key: null,
    value,
    headers: [],
  };
}

/** Header and body, whichever compression the header names. */
function inflated(framed: string) {
  const value = Buffer.from(framed, 'base64');
  const body = value.subarray(FRAME_HEADER_BYTES.glue);
  return {
    schemaId: value.toString('hex', 2, 18),
    body: (value[1] === 5 ? inflateSync(body) : body).toString('hex'),
  };
}

/** Java puts a map's entries into an order of its own. */
function isOrderKept(node: SchemaNode, value: unknown): boolean {
  const isOrdered = node.kind !== 'map' || Object.keys(value as object).length < 2;
  return isOrdered && inside(node, value).every(([of, part]) => isOrderKept(of, part));
}

/** The values in a value, each with its type. */
function inside(node: SchemaNode, value: unknown): (readonly [SchemaNode, unknown])[] {
  switch (node.kind) {
    case 'union':
      return value === null ? [] : [branchOf(node, value)];
    case 'array':
      return (value as unknown[]).map((item) => [node.items, item]);
    case 'map':
      return Object.values(value as object).map((item) => [node.values, item]);
    case 'record':
      return node.fields.map(({ name, type }) => [type, (value as Record<string, unknown>)[name]]);
    default:
      return [];
  }
}

function branchOf(node: UnionNode, value: unknown): readonly [SchemaNode, unknown] {
  if (!isWrapped(node)) {
    return [node.branches.find((branch) => kindOfNode(branch) === kindOfValue(value))!, value];
  }
  const [[name, inner]] = Object.entries(value as object) as [[string, unknown]];
  return [node.branches.find((branch) => branchName(branch) === name)!, inner];
}

/** In Avro's JSON encoding: https://avro.apache.org/docs/1.12.0/specification/#json-encoding (2026-11-25). */
function avroJson(node: SchemaNode, value: unknown): string {
  const parts = inside(node, value).map(([of, part]) => avroJson(of, part));
  const object = (names: readonly string[]) =>
    `{${names.map((name, at) => `${JSON.stringify(name)}:${parts[at]}`).join()}}`;
  if (node.kind === 'union') return value === null ? 'null' : object([branchName(branchOf(node, value)[0])]);
  if (node.kind === 'array') return `[${parts.join()}]`;
  if (node.kind === 'map') return object(Object.keys(value as object));
  if (node.kind === 'record') return object(node.fields.map(({ name }) => name));
  if (Buffer.isBuffer(value)) return JSON.stringify(value.toString('latin1'));
  if (typeof value !== 'number') return JSON.stringify(value);
  if (!Number.isFinite(value)) return `"${value}"`;
  return Object.is(value, -0) ? '-0.0' : String(value);
}

function nodeOf(schema: AvroSchema): SchemaNode {
  return parseSchema(schema).node!;
}
