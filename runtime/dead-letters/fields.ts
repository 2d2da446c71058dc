import { MillraceError } from '../errors.ts';

/**
 * Reads a JSON object's fields, each checked, and names the path of the one that does not fit. Never quotes a value: it
 * may be a payload.
 */
export class Fields {
  readonly #path: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  /** @throws DEAD_LETTER_UNREADABLE, as every method here does, where the value is not what is asked for */
  constructor(value: unknown, path = '') {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw unreadable(path || 'the letter', value, 'an object');
    }
    this.#path = path;
    this.#fields = value as Record<string, unknown>;
  }

  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }
  check(name: string, expected: string | number): void {
    this.#read(name, JSON.stringify(expected), (value) => (value === expected ? expected : undefined));
  }
  text(name: string): string {
    return this.#read(name, 'a string', (value) => (typeof value === 'string' ? value : undefined));
  }
  textOrNull(name: string): string | null {
    return this.#fields[name] === null ? null : this.text(name);
  }
  whole(name: string, from: number, to = Number.MAX_SAFE_INTEGER): number {
    const isWhole = (value: unknown): value is number =>
      Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to;
    return this.#read(name, `a whole number from ${from} to ${to}`, (value) =>
      isWhole(value) ? value : undefined,
    );
  }
  /** Any number at all: a record's time is an int64, and what lies beyond 2^53 is rounded. */
  number(name: string): number {
    return this.#read(name, 'a number', (value) => (Number.isFinite(value) ? (value as number) : undefined));
  }
  oneOf<Name extends string>(name: string, allowed: readonly Name[]): Name {
    return this.#read(name, allowed.join(', '), (value) => allowed.find((each) => each === value));
  }
  bytesOrNull(name: string): Buffer | null {
    if (this.#fields[name] === null) return null;
    return this.#read(name, 'base64 or null', (value) => {
      if (typeof value !== 'string') return undefined;
      const bytes = Buffer.from(value, 'base64');
      // Node skips what is not base64, so only the way back tells whether anything was lost.
      return bytes.toString('base64') === value ? bytes : undefined;
    });
  }
  object(name: string): Fields {
    return new Fields(this.#fields[name], this.pathOf(name));
  }
  objects(name: string): Fields[] {
    const items = this.#read(name, 'a list', (value) =>
      Array.isArray(value) ? (value as unknown[]) : undefined,
    );
    return items.map((item, index) => new Fields(item, `${this.pathOf(name)}[${index}]`));
  }
  /** The field's path in the whole document, for messages. */
  pathOf(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name;
  }

  #read<Value>(name: string, allowed: string, accept: (value: unknown) => Value | undefined): Value {
    const accepted = accept(this.#fields[name]);
    if (accepted === undefined) throw unreadable(this.pathOf(name), this.#fields[name], allowed);
    return accepted;
  }
}

/** @throws DEAD_LETTER_UNREADABLE where the text is no JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Without its cause: JSON.parse quotes the text, which holds the record's payload.
    throw unreadable('the letter', text, 'JSON, whole');
  }
}

/** DEAD_LETTER_UNREADABLE, naming the field, what kind of thing stands there and what it takes. */
export function unreadable(field: string, got: unknown, allowed: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_UNREADABLE',
    `A stored dead letter cannot be read: ${field} is ${kindOf(got)}; it takes ${allowed}. It was cut off, or another tool wrote it. Check it where it is stored.`,
    { details: { field } },
  );
}

/** What kind of value it is, never the value: it may be a payload. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'other text';
  return typeof value === 'object' ? 'an object' : `another ${typeof value}`;
}
