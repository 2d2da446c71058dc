/** What we read beside what Avro for Java reads; docs/contracts.md explains where they differ. */
import { isDeepStrictEqual } from 'node:util';
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { createAvroReader, parseAvro } from '../../runtime/avro/avro-type.ts';
import type { AvroSchema, SchemaNode } from '../../runtime/avro/schema.ts';
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import { inUnion, withOwn } from '../../runtime/avro/value.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { sampleOf, schemaPair } from '../runtime/avro/schema-pair.ts';
import { runJava } from './java/run-java.ts';
import { part } from './part.ts';

jest.setTimeout(300_000);

type Json = null | boolean | string | readonly Json[] | { readonly [name: string]: Json };
interface Line {
  readonly writer: string;
  readonly reader: string;
  readonly values: readonly string[];
}
type Answer = { readonly value: Json } | { readonly error: string };

const PAIRS = 3_000;
const LINES = 5_000;
const VALUES = 4;
/** Fixed, so that a build does not depend on luck; any other will do. */
const SEED = 20261126;
const random = createSeededRandom(SEED);
const choose = (below: number) => Math.floor(random.next() * below);

/** Names that every JavaScript object has, for some of the fields. */
const AWKWARD: Readonly<Record<string, string>> = { a: 'constructor', b: 'valueOf', c: 'hasOwnProperty' };
const renamed = (schema: unknown): AvroSchema =>
  JSON.parse(JSON.stringify(schema), (key, value) =>
    key === 'name' && Object.hasOwn(AWKWARD, value) ? AWKWARD[value] : value,
  );

/** Defaults that a writer's schema may have although they are none of their types: registries hold such. */
const NOISE = [null, 'NaN', '0', {}, [], -1e300];
const noisy = (schema: string, index: number): string =>
  JSON.stringify(
    JSON.parse(schema, (key, value) =>
      key === 'fields'
        ? value.map((field: object, at: number) => ({
            ...field,
            default: NOISE[(index + at) % NOISE.length],
          }))
        : value,
    ),
  );

/** Pairs of contracts' versions, each in both directions. */
const lines = fc
  .sample(schemaPair, { numRuns: 2 * PAIRS, seed: SEED })
  .filter(({ before, after }) => parseSchema(before).node !== null && parseSchema(after).node !== null)
  .map(({ before, after }, index) => (index % 3 === 0 ? [renamed(before), renamed(after)] : [before, after]))
  .flatMap(([before, after]) => [lineOf(before!, after!), lineOf(after!, before!)])
  .map((line, index) => line && (index % 4 === 0 ? { ...line, writer: noisy(line.writer, index) } : line))
  .filter((line) => line !== null)
  .slice(0, LINES);

/** Null where the writer's values hold themselves without end. */
function lineOf(writer: AvroSchema, reader: AvroSchema): Line | null {
  const { node, toBuffer } = parseAvro(writer);
  try {
    const values = Array.from({ length: VALUES }, () => toBuffer(sampleOf(node, choose)).toString('base64'));
    return { writer: JSON.stringify(writer), reader: JSON.stringify(reader), values };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** What becomes of a value here. */
type Outcome = { readonly value: unknown } | { readonly error: MillraceError };

/** Where the two differ, and why; docs/contracts.md has the specification's sentences. */
type Difference =
  /** Java looks at no record's name. */
  | 'record-name'
  /** Java rewrites all of the writer's schema by aliases, and fails where they clash in a part that the value has not. */
  | 'alias-clash'
  /** Java takes the reader's items for the written ones when it asks whether a list's bytes can be there. */
  | 'item-size'
  /** Java builds the writer's schema anew where the reader has aliases, and then finds fault with its defaults. */
  | 'writer-default'
  /** Java takes namespaces for a part of names, and so finds no fields' aliases of a record in another one. */
  | 'namespace';

test('20,000 values: we read what Java reads, and refuse what it refuses, but for five kinds of difference', async () => {
  const found = await compare(lines);
  expect(found).toHaveLength(LINES * VALUES);
  // Without what makes them, these end or turn out to be another kind.
  for (const [difference, attribute] of [
    ['namespace', 'namespace'],
    ['writer-default', 'default'],
  ] as const) {
    const lines = found.filter((one) => one.difference === difference).map(({ line }) => line);
    const others = await compare(lines.map((line) => without(attribute, line)));
    expect(others.filter((one) => one.difference === difference)).toEqual([]);
  }

  const count = (of: (one: Comparison) => boolean) => found.filter(of).length;
  expect(count(({ difference, outcome }) => !difference && 'value' in outcome)).toBeGreaterThan(8_000);
  expect(count(({ difference, outcome }) => !difference && 'error' in outcome)).toBeGreaterThan(8_000);
  for (const difference of ['record-name', 'alias-clash', 'item-size', 'namespace', 'writer-default']) {
    expect({ difference, count: count((one) => one.difference === difference) }).not.toEqual({
      difference,
      count: 0,
    });
  }
});

interface Comparison {
  readonly line: Line;
  readonly outcome: Outcome;
  readonly difference: Difference | null;
}

async function compare(asked: readonly Line[]): Promise<readonly Comparison[]> {
  const answers = await runJava<Line, readonly Answer[]>(
    'AvroReading',
    part('MILLRACE_TEST_AVRO'),
    [],
    asked,
  );
  return asked.flatMap((line, index) => {
    const type = parseAvro(JSON.parse(line.reader));
    const reader = createAvroReader(type, JSON.parse(line.writer), 'test');
    return line.values.map((body, at) => {
      const outcome = outcomeOf(() => reader.read(Buffer.from(body, 'base64')));
      const answer = answers[index]![at]!;
      const theirs = 'value' in answer ? { value: fromJava(type.node, answer.value) } : answer;
      return { line: { ...line, values: [body] }, outcome, difference: differenceOf(line, outcome, theirs) };
    });
  });
}

function outcomeOf(read: () => unknown): Outcome {
  try {
    return { value: read() };
  } catch (error) {
    // No other code: the bytes are what the writer's schema says.
    if (error instanceof MillraceError && error.code === 'SCHEMA_INCOMPATIBLE') return { error };
    throw error;
  }
}

function differenceOf(
  { writer, reader }: Line,
  ours: Outcome,
  theirs: { readonly value: unknown } | { readonly error: string },
): Difference | null {
  if ('error' in ours && 'error' in theirs) return null;
  if ('value' in ours && 'value' in theirs && isDeepStrictEqual(ours.value, theirs.value)) return null;
  if ('error' in ours && / record \S+ was written, and the reader takes /.test(ours.error.message))
    return 'record-name';
  if ('error' in theirs && theirs.error === 'AvroRuntimeException' && reader.includes('"aliases"'))
    return 'alias-clash';
  if ('error' in theirs && theirs.error === 'EOFException' && /"(array|map)"/.test(reader))
    return 'item-size';
  if (/"namespace"/.test(writer + reader)) return 'namespace';
  if ('error' in theirs && theirs.error === 'AvroTypeException' && reader.includes('"aliases"')) {
    return 'writer-default';
  }
  throw new Error(`a difference of no known kind: ${JSON.stringify({ writer, reader, ours, theirs })}`);
}

/** The reader keeps its defaults. */
function without(attribute: 'namespace' | 'default', line: Line): Line {
  const strip = (schema: string) =>
    JSON.stringify(JSON.parse(schema, (key, value) => (key === attribute ? undefined : value)));
  const reader = attribute === 'default' ? line.reader : strip(line.reader);
  return { ...line, writer: strip(line.writer), reader };
}

/** Java's answer as we have values of the type. */
function fromJava(node: SchemaNode, json: Json): unknown {
  switch (node.kind) {
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return Number(json);
    case 'bytes':
    case 'fixed':
      return Buffer.from(json as string, 'latin1');
    case 'array':
      return (json as readonly Json[]).map((item) => fromJava(node.items, item));
    case 'map':
      return Object.entries(json as object).reduce(
        (map, [key, value]) => withOwn(map, key, fromJava(node.values, value)),
        {},
      );
    case 'union': {
      const { branch, value } = json as { readonly branch: Json; readonly value: Json };
      const taken = node.branches[Number(branch)]!;
      return inUnion(node, taken, fromJava(taken, value));
    }
    case 'record':
      return node.fields.reduce(
        (record, { name, type }) =>
          withOwn(record, name, fromJava(type, (json as Record<string, Json>)[name]!)),
        {},
      );
    default:
      return json;
  }
}
