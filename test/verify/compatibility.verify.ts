/** The contract check's verdicts beside those of Avro for Java; docs/contracts.md explains where they differ. */
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import { checkContract } from '../../runtime/contract/check.ts';
import type { CompatibilityMode } from '../../runtime/contract/contract.ts';
import { schemaPair } from '../runtime/avro/schema-pair.ts';
import { runJava } from './java/run-java.ts';
import { part } from './part.ts';

jest.setTimeout(120_000);
const classPath = part('MILLRACE_TEST_AVRO');

interface Answer {
  /** By SchemaCompatibility, which registries ask. */
  readonly compatible: boolean;
  /** By the grammar that Java's decoder would read with, or the error that kept it from being made. */
  readonly decodes: boolean | 'AvroRuntimeException' | 'StackOverflowError';
}
interface Pair {
  readonly before: AvroSchema;
  readonly after: AvroSchema;
}

const PAIRS = 10_000;
/** Fixed, so that a build does not depend on luck; any other will do. */
const SEED = 20261125;
const isValid = (schema: AvroSchema) => parseSchema(schema).node !== null;
const pairs: readonly Pair[] = fc
  .sample(schemaPair, { numRuns: 2 * PAIRS, seed: SEED })
  .filter(({ before, after }) => isValid(before) && isValid(after))
  .slice(0, PAIRS);

/** The rules that an order of versions breaks in a mode. */
const rulesBroken = ({ before, after }: Pair, compatibility: CompatibilityMode) => {
  const versions = [before, after].map((schema, index) => ({ version: index + 1, schema }));
  return checkContract({ name: 't', key: 'a', versions, compatibility })
    .filter(({ code }) => code === 'CONTRACT_INCOMPATIBLE')
    .map(({ rule }) => rule);
};
const isAllowed = (pair: Pair, mode: CompatibilityMode) => rulesBroken(pair, mode).length === 0;

/** Java's answers for each pair: the later version reading the earlier one, and the other way round. */
async function askJava(of: readonly Pair[]): Promise<readonly { backward: Answer; forward: Answer }[]> {
  const line = (writer: AvroSchema, reader: AvroSchema) => ({
    writer: JSON.stringify(writer),
    reader: JSON.stringify(reader),
  });
  const lines = of.flatMap(({ before, after }) => [line(before, after), line(after, before)]);
  const answers = await runJava<unknown, Answer>('AvroCompatibility', classPath!, [], lines);
  expect(answers).toHaveLength(lines.length);
  return of.map((_, index) => ({ backward: answers[2 * index]!, forward: answers[2 * index + 1]! }));
}

function without(attribute: string, { before, after }: Pair): Pair {
  const strip = (schema: AvroSchema) =>
    JSON.parse(JSON.stringify(schema), (key, value) => (key === attribute ? undefined : value));
  return { before: strip(before), after: strip(after) };
}

test('10,000 pairs of versions: in every mode what SchemaCompatibility says, but for logical types', async () => {
  expect(pairs).toHaveLength(PAIRS);
  const answers = await askJava(pairs);
  const count = { allowed: 0, refused: 0, byLogicalType: 0 };
  for (const [index, pair] of pairs.entries()) {
    const { backward, forward } = answers[index]!;
    const theirs = {
      BACKWARD: backward.compatible,
      FORWARD: forward.compatible,
      FULL: backward.compatible && forward.compatible,
    };
    for (const mode of ['BACKWARD', 'FORWARD', 'FULL'] as const) {
      const ours = isAllowed(pair, mode);
      count[ours ? 'allowed' : 'refused']++;
      if (ours === theirs[mode]) continue;
      // SchemaCompatibility compares the types under them: to take them away has to end every disagreement.
      count.byLogicalType++;
      expect({ pair, mode, ours }).toEqual({ pair, mode, ours: false });
      expect(rulesBroken(pair, mode)).toContain('logical-type-changed');
      const bare = without('logicalType', pair);
      expect({ pair, mode, ours: isAllowed(bare, mode) }).toEqual({ pair, mode, ours: theirs[mode] });
    }
  }
  expect(count.allowed).toBeGreaterThan(PAIRS / 2);
  expect(count.refused).toBeGreaterThan(PAIRS / 2);
  expect(count.byLogicalType).toBeGreaterThan(PAIRS / 200);
});

test('the same pairs: what passes is read by Java’s decoder, and what it reads beyond that is known', async () => {
  // Without namespaces: the next test is about them.
  const plain = pairs.map((pair) => without('namespace', pair));
  const answers = await askJava(plain);
  const count = { decoded: 0, failed: 0, lenient: 0 };
  for (const [index, pair] of plain.entries()) {
    for (const mode of ['BACKWARD', 'FORWARD'] as const) {
      const { decodes } = answers[index]![mode === 'BACKWARD' ? 'backward' : 'forward'];
      const broken = rulesBroken(pair, mode);
      if (typeof decodes === 'string') count.failed++;
      else if (decodes) count.decoded++;
      if (broken.length === 0) expect({ pair, mode, decodes }).not.toEqual({ pair, mode, decodes: false });
      else if (decodes === true) {
        count.lenient++;
        expect(LENIENCIES).toEqual(expect.arrayContaining(broken));
      }
    }
  }
  expect(count.decoded).toBeGreaterThan(PAIRS / 2);
  expect(count.lenient).toBeGreaterThan(PAIRS / 200);
  // Aliases that clash in a part that is not read, and records that hold themselves without an end.
  expect(count.failed).toBeLessThan(PAIRS / 10);
});

/** Java's decoder looks at no record's name, meets a symbol that is missing only when it is read, and knows no logical type. */
const LENIENCIES = ['name-changed', 'branch-missing', 'symbol-missing', 'logical-type-changed'];

test('Java’s decoder does not find a field by its alias when the record’s namespace is another one', async () => {
  const before: AvroSchema = { type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] };
  const fields = [{ name: 'b', type: 'long', aliases: ['a'] }];
  const after = (namespace: string) => ({ type: 'record', name: 'R', namespace, fields });
  const [same, other] = await askJava([
    { before: { ...before, namespace: 'x' }, after: after('x') },
    { before: { ...before, namespace: 'x' }, after: after('y') },
  ]);
  expect(same!.backward).toEqual({ compatible: true, decodes: true });
  expect(other!.backward).toEqual({ compatible: true, decodes: false });
  expect(isAllowed({ before: { ...before, namespace: 'x' }, after: after('y') }, 'BACKWARD')).toBe(true);
});
