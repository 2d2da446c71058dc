/** The verdicts beside avsc's, over thousands of random pairs of versions, and what they promise of the values. */
import { describe, expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import { type AvroType, createAvroReader, parseAvro } from '../../../runtime/avro/avro-type.ts';
import { findIncompatibilities } from '../../../runtime/avro/compatibility.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { parseSchema } from '../../../runtime/avro/schema-parser.ts';
import { createValidator } from '../../../runtime/avro/validator.ts';
import { sampleOf, schemaPair } from './schema-pair.ts';

describe('findIncompatibilities beside avsc', () => {
  test('says the same, but for what avro-compatibility.test.ts explains', () => {
    const seen = { readable: 0, unreadable: 0 };
    fc.assert(
      fc.property(schemaPair, ({ before, after }) => {
        fc.pre(isValid(before) && isValid(after));
        for (const [writer, reader] of [
          [before, after],
          [after, before],
        ] as const) {
          const ours = isReadable(writer, reader);
          const theirs = isReadableByAvsc(writer, reader);
          seen[ours ? 'readable' : 'unreadable']++;

          // No disagreement is accepted in this direction.
          expect(theirs || !ours).toBe(true);
          // In the other one, taking away what avsc does not look at has to end it.
          expect(isReadable(bare(writer), bare(reader))).toBe(theirs);
        }
      }),
      { numRuns: 1_500 },
    );
    expect(seen.readable).toBeGreaterThan(500);
    expect(seen.unreadable).toBeGreaterThan(500);
  });

  test('what is readable is read: every value that the writer writes becomes one of the reader’s', () => {
    fc.assert(
      fc.property(schemaPair, fc.gen(), ({ before, after }, generate) => {
        fc.pre(isValid(before) && isValid(after) && isReadable(before, after));
        const [writer, reader] = [parseAvro(before), parseAvro(after)];
        const { read } = createAvroReader(reader, before, 'test');
        const choose = (below: number) => generate(fc.nat, { max: below - 1 });
        for (let count = 0; count < 5; count++) {
          const bytes = writer.toBuffer(sampleOf(writer.node, choose));
          expect(violationsOf(reader, read(bytes))).toEqual([]);
        }
      }),
      { numRuns: 150 },
    );
  });
});

const violationsOf = (type: AvroType, value: unknown) => createValidator(type)(value);

function isValid(schema: AvroSchema): boolean {
  return parseSchema(schema).node !== null;
}

function isReadable(writer: AvroSchema, reader: AvroSchema): boolean {
  return findIncompatibilities(version(1, writer), version(2, reader)).length === 0;
}

function version(number: number, schema: AvroSchema) {
  const { node, problems } = parseSchema(schema);
  if (!node) throw new Error(problems.map(({ message }) => message).join());
  return { version: number, node };
}

function isReadableByAvsc(writer: AvroSchema, reader: AvroSchema): boolean {
  const [from, to] = [writer, reader].map((schema) => avsc.Type.forSchema(schema as never));
  if (to!.equals(from!)) return true;
  try {
    to!.createResolver(from!, { ignoreNamespaces: true });
    return true;
  } catch {
    return false;
  }
}

/** Without logical types, which avsc is not told of, and namespaces, which it takes off aliases too. */
function bare(schema: AvroSchema): AvroSchema {
  return JSON.parse(JSON.stringify(schema), (key, value) =>
    key === 'logicalType' || key === 'namespace' ? undefined : value,
  );
}
