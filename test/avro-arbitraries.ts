import fc from 'fast-check';
import type { AvroSchema } from '../runtime/avro/schema.ts';

/** Text that publishing takes. */
export const publishableText: (constraints?: fc.StringConstraints) => fc.Arbitrary<string> = (constraints) =>
  fc.string({ ...constraints, unit: 'binary' }).map((text) => text.replaceAll('\0', '\u{1}'));

/** A schema without names, so that any two can stand in one. */
export type Shape =
  | { readonly kind: 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string' }
  | { readonly kind: 'enum' | 'fixed'; readonly size: number }
  | { readonly kind: 'array' | 'map' | 'optional'; readonly of: Shape }
  | { readonly kind: 'record'; readonly fields: readonly Shape[] }
  /** A union that JavaScript cannot tell apart: its values are `{int: 1}` or `{long: 1}`. */
  | { readonly kind: 'ambiguous' };

const primitives = ['boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
const size = fc.integer({ min: 1, max: 5 });

export const shapes: fc.Arbitrary<Shape> = fc.letrec<{ shape: Shape; value: Shape }>((tie) => ({
  shape: fc.oneof(
    { depthSize: 'small' },
    { arbitrary: tie('value'), weight: 8 },
    { arbitrary: fc.constant({ kind: 'null' }), weight: 1 },
    { arbitrary: fc.constant({ kind: 'ambiguous' }), weight: 1 },
    { arbitrary: fc.record({ kind: fc.constant('optional'), of: tie('value') }), weight: 2 },
  ),
  value: fc.oneof(
    { depthSize: 'small' },
    { arbitrary: fc.record({ kind: fc.constantFrom(...primitives) }), weight: 6 },
    { arbitrary: fc.record({ kind: fc.constantFrom('enum' as const, 'fixed' as const), size }), weight: 2 },
    {
      arbitrary: fc.record({ kind: fc.constantFrom('array' as const, 'map' as const), of: tie('shape') }),
      weight: 2,
    },
    {
      arbitrary: fc.record({
        kind: fc.constant('record' as const),
        fields: fc.array(tie('shape'), { maxLength: 4 }),
      }),
      weight: 2,
    },
  ),
})).shape;

/** The shape as Avro writes it; `name` is what the types in it are called, with more behind it. */
export function schemaOf(shape: Shape, name = 'T'): AvroSchema {
  switch (shape.kind) {
    case 'enum':
      return { type: 'enum', name, symbols: symbolsOf(shape.size) };
    case 'fixed':
      return { type: 'fixed', name, size: shape.size };
    case 'array':
      return { type: 'array', items: schemaOf(shape.of, `${name}_i`) };
    case 'map':
      return { type: 'map', values: schemaOf(shape.of, `${name}_v`) };
    case 'optional':
      return ['null', schemaOf(shape.of, `${name}_o`)];
    case 'ambiguous':
      return ['null', 'int', 'long'];
    case 'record':
      return {
        type: 'record',
        name,
        fields: shape.fields.map((field, index) => ({
          name: `f${index}`,
          type: schemaOf(field, `${name}_${index}`),
        })),
      };
    default:
      return shape.kind;
  }
}

/** Values that keep the shape's schema. */
export function valuesOf(shape: Shape): fc.Arbitrary<unknown> {
  const maxLong = Number.MAX_SAFE_INTEGER;
  switch (shape.kind) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'int':
      return fc.integer();
    case 'long':
      return fc.oneof(fc.integer(), fc.integer({ min: -maxLong, max: maxLong }));
    case 'float':
      return fc.float({ noDefaultInfinity: true });
    case 'double':
      return fc.double({ noDefaultInfinity: true });
    case 'bytes':
      return fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes));
    case 'string':
      return publishableText();
    case 'enum':
      return fc.constantFrom(...symbolsOf(shape.size));
    case 'fixed':
      return fc
        .uint8Array({ minLength: shape.size, maxLength: shape.size })
        .map((bytes) => Buffer.from(bytes));
    case 'array':
      return fc.array(valuesOf(shape.of), { maxLength: 5 });
    case 'map':
      return fc.array(fc.tuple(mapKeys, valuesOf(shape.of)), { maxLength: 5 }).map(Object.fromEntries);
    case 'optional':
      return fc.option(valuesOf(shape.of));
    case 'ambiguous':
      return fc.oneof(
        fc.constant(null),
        fc.record({ int: fc.integer() }),
        fc.record({ long: fc.integer({ min: -maxLong, max: maxLong }) }),
      );
    case 'record':
      return fc.record(
        Object.fromEntries(shape.fields.map((field, index) => [`f${index}`, valuesOf(field)])),
        { noNullPrototype: true },
      );
  }
}

const mapKeys = fc.oneof(
  publishableText({ maxLength: 8 }),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'length'),
);

function symbolsOf(count: number): string[] {
  return ['A', 'B', 'C', 'D', 'E'].slice(0, count);
}
