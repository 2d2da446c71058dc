/**
 * The logical types of Avro 1.12: https://avro.apache.org/docs/1.12.0/specification/#logical-types (2026-11-24).
 * The engine reads and writes the type underneath; a logical type says what that number, text or bytes mean.
 */
export interface LogicalType {
  readonly name: string;
  /** Of a decimal; null for all others. */
  readonly precision: number | null;
  /** Of a decimal; null for all others. */
  readonly scale: number | null;
}

/** The type that a logical type stands on; `size` is a fixed's. */
interface Underlying {
  readonly kind: string;
  readonly size?: number;
}

interface KnownLogicalType {
  readonly allowed: readonly Underlying[];
  /** What a value means, as a sentence. */
  readonly meaning: string;
}

const BYTES = { kind: 'bytes' };
const FIXED = { kind: 'fixed' };
const INT = { kind: 'int' };
const LONG = { kind: 'long' };
const STRING = { kind: 'string' };

const KNOWN = new Map<string, KnownLogicalType>([
  [
    'decimal',
    { allowed: [BYTES, FIXED], meaning: "A decimal: the unscaled value in two's complement, big-endian." },
  ],
  ['big-decimal', { allowed: [BYTES], meaning: 'A decimal that carries its own scale.' }],
  ['uuid', { allowed: [STRING, { kind: 'fixed', size: 16 }], meaning: 'A UUID.' }],
  ['date', { allowed: [INT], meaning: 'Days since 1970-01-01.' }],
  ['time-millis', { allowed: [INT], meaning: 'Milliseconds after midnight.' }],
  ['time-micros', { allowed: [LONG], meaning: 'Microseconds after midnight.' }],
  ['timestamp-millis', { allowed: [LONG], meaning: 'Milliseconds since 1970-01-01T00:00:00Z.' }],
  ['timestamp-micros', { allowed: [LONG], meaning: 'Microseconds since 1970-01-01T00:00:00Z.' }],
  ['timestamp-nanos', { allowed: [LONG], meaning: 'Nanoseconds since 1970-01-01T00:00:00Z.' }],
  [
    'local-timestamp-millis',
    { allowed: [LONG], meaning: 'Milliseconds since 1970-01-01T00:00:00, local time.' },
  ],
  [
    'local-timestamp-micros',
    { allowed: [LONG], meaning: 'Microseconds since 1970-01-01T00:00:00, local time.' },
  ],
  [
    'local-timestamp-nanos',
    { allowed: [LONG], meaning: 'Nanoseconds since 1970-01-01T00:00:00, local time.' },
  ],
  [
    'duration',
    {
      allowed: [{ kind: 'fixed', size: 12 }],
      meaning: 'Months, days, milliseconds: three unsigned 32-bit little-endian integers.',
    },
  ],
]);

/** The logical type among a schema's attributes, null where there is none. A decimal's bad numbers become NaN. */
export function readLogicalType(attributes: Readonly<Record<string, unknown>>): LogicalType | null {
  const { logicalType: name, precision, scale = 0 } = attributes;
  if (typeof name !== 'string') return null;
  if (name !== 'decimal') return { name, precision: null, scale: null };
  return {
    name,
    precision: typeof precision === 'number' ? precision : Number.NaN,
    scale: typeof scale === 'number' ? scale : Number.NaN,
  };
}

/**
 * Why a logical type cannot be relied on, null where it can. Avro ignores a logical type that is not valid, so
 * that its fields silently mean something else; a name that Avro does not know is the schema author's own.
 */
export function findLogicalTypeFault(logical: LogicalType, underlying: Underlying): string | null {
  const known = KNOWN.get(logical.name);
  if (!known) return null;
  if (
    !known.allowed.some(
      ({ kind, size }) => kind === underlying.kind && (size ?? underlying.size) === underlying.size,
    )
  ) {
    return `${logical.name} is on ${describeUnderlying(underlying)}, where Avro ignores it. Put it on ${known.allowed.map(describeUnderlying).join(' or ')}.`;
  }
  if (logical.name.endsWith('-nanos')) {
    const micros = logical.name.replace('nanos', 'micros');
    return `${logical.name} cannot be read: the nanoseconds of today's date are beyond 2^53, where JavaScript's numbers stop being exact. Use ${micros}.`;
  }
  return logical.name === 'decimal' ? findDecimalFault(logical, underlying) : null;
}

function findDecimalFault({ precision, scale }: LogicalType, { size }: Underlying): string | null {
  if (!Number.isInteger(precision) || precision! < 1) {
    return 'decimal has no precision that Avro takes. Give it one: a whole number from 1.';
  }
  if (!Number.isInteger(scale) || scale! < 0 || scale! > precision!) {
    return `decimal has no scale that Avro takes. Give it a whole number from 0 to its precision, ${precision}.`;
  }
  if (size === undefined) return null;
  const digits = Math.max(0, Math.floor(Math.log10(2) * (8 * size - 1)));
  if (precision! <= digits) return null;
  return `decimal has precision ${precision}, but a fixed of size ${size} holds ${digits} digits. Make the fixed larger or the precision smaller.`;
}

export function isSameLogicalType(a: LogicalType | null, b: LogicalType | null): boolean {
  return a?.name === b?.name && a?.precision === b?.precision && a?.scale === b?.scale;
}

/** As in a message: `timestamp-millis`, `decimal(10, 2)`, `no logical type`. */
export function describeLogicalType(logical: LogicalType | null): string {
  if (!logical) return 'no logical type';
  return logical.name === 'decimal' ? `decimal(${logical.precision}, ${logical.scale})` : logical.name;
}

/** What a value means, as a sentence; null where Avro does not know the logical type. */
export function meaningOf(logical: LogicalType): string | null {
  const meaning = KNOWN.get(logical.name)?.meaning ?? null;
  if (!meaning || logical.name !== 'decimal') return meaning;
  return `${meaning.slice(0, -1)}; precision ${logical.precision}, scale ${logical.scale}.`;
}

function describeUnderlying({ kind, size }: Underlying): string {
  return size === undefined ? kind : `${kind} of size ${size}`;
}
