/**
 * The bytes of an Avro body, read strictly: anybody who may write to a topic can write anything. No count and no length
 * in them is believed further than there are bytes.
 *
 * Encodings: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding (2026-11-24)
 */

/** Thrown where a value goes on but the bytes do not. */
export class AvroTruncated extends Error {}

/** Thrown where bytes stand that Avro never writes. */
export class AvroMalformed extends Error {}

/** Array items of no bytes (null, or a record of nulls) that one body may hold: nothing else bounds them. */
const MAX_EMPTY_ITEMS = 10_000;

/** What `toString('utf8', …)` and `toString('latin1', …)` call, without what they check first. */
type NativeSlices = Buffer & Record<'utf8Slice' | 'latin1Slice', (start: number, end: number) => string>;

/**
 * Larger bodies have their strings decoded one by one: a string cut out of a text keeps all of it in memory for as
 * long as somebody holds the string.
 */
const MAX_TEXT_BYTES = 2_048;

const TWO_TO_27 = 2 ** 27;
/** Above the lowest 28 bits of 64. */
const TWO_TO_36 = 2 ** 36;
/** Ten groups of seven bits hold 64. */
const MAX_LONG_BYTES = 10;

export class AvroInput {
  buf: Buffer = Buffer.alloc(0);
  pos = 0;
  private end = 0;
  private emptyItemsLeft = 0;
  /** The body as Latin-1 text, and where it begins; made for the first string of a small body. */
  private text: string | null = null;
  private textStart = 0;

  /** Reads `bytes` from `start` to `end`. */
  open(bytes: Buffer, start: number, end: number): void {
    this.buf = bytes;
    this.pos = start;
    this.end = end;
    this.emptyItemsLeft = MAX_EMPTY_ITEMS;
    this.text = null;
  }

  /** Bytes after what was read. */
  get remaining(): number {
    return this.end - this.pos;
  }

  readBoolean(): boolean {
    const byte = this.readByte();
    if (byte > 1) throw new AvroMalformed('a boolean is neither 0 nor 1');
    return byte === 1;
  }

  readInt(): number {
    const value = this.readLong();
    if (value !== (value | 0)) throw new AvroMalformed('an int has more than 32 bits');
    return value;
  }

  /** Zigzag, seven bits a byte, lowest first. Beyond 2^53-1 the result is the double nearest to the number. */
  readLong(): number {
    let byte = this.readByte();
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let bits = byte & 0x7f;
    for (let shift = 7; shift < 28; shift += 7) {
      byte = this.readByte();
      bits |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (bits >>> 1) ^ -(bits & 1);
    }
    return this.readLongTail(bits);
  }

  readFloat(): number {
    return this.buf.readFloatLE(this.advance(4));
  }

  readDouble(): number {
    return this.buf.readDoubleLE(this.advance(8));
  }

  /**
   * UTF-8. Most strings are ASCII, where the bytes are the characters, and to cut them out of one text for the whole
   * body takes a third of the time of decoding each.
   */
  readString(): string {
    const length = this.readLength();
    const start = this.advance(length);
    const stop = this.pos;
    if (this.end - start > MAX_TEXT_BYTES || !this.isAscii(start, stop)) {
      return (this.buf as NativeSlices).utf8Slice(start, stop);
    }
    if (this.text === null) {
      this.text = (this.buf as NativeSlices).latin1Slice(start, this.end);
      this.textStart = start;
    }
    return this.text.substring(start - this.textStart, stop - this.textStart);
  }

  /** A copy: a value must not change when the bytes it came from do. */
  readBytes(): Buffer {
    return this.readFixed(this.readLength());
  }

  readFixed(length: number): Buffer {
    const start = this.advance(length);
    return Buffer.from(this.buf.subarray(start, start + length));
  }

  /** Which of so many branches, or symbols. */
  readBranch(count: number): number {
    const branch = this.readLong();
    if (branch < 0 || branch >= count) throw new AvroMalformed('a branch or symbol is not in the schema');
    return branch;
  }

  /** How many items the next block of an array or map holds, 0 after the last one. */
  readBlockCount(): number {
    const count = this.readLong();
    if (count >= 0) return count;
    this.readLong(); // The block's size in bytes, of use only for skipping.
    return -count;
  }

  /** Skips one block where it says how long it is; else gives the items to be skipped one by one. */
  skipBlock(): { readonly isLast: boolean; readonly items: number } {
    const count = this.readLong();
    if (count < 0) this.skipFixed(this.readLength());
    return { isLast: count === 0, items: Math.max(count, 0) };
  }

  /** Called for an item that began at `start` and may have taken no bytes. */
  countItem(start: number): void {
    if (this.pos !== start) return;
    if (this.emptyItemsLeft === 0)
      throw new AvroMalformed(`more than ${MAX_EMPTY_ITEMS} items of zero bytes`);
    this.emptyItemsLeft--;
  }

  skipLong(): void {
    this.readLong();
  }

  skipFixed(length: number): void {
    this.advance(length);
  }

  /** Skips `bytes` or a `string`. */
  skipBytes(): void {
    this.advance(this.readLength());
  }

  /**
   * What follows the lowest 28 bits, in doubles: bitwise operators would cut it to 32. `low` and `high` are exact, so
   * that the number is rounded at most once. Without the lowest bit, the sign: 54 bits would not be exact.
   */
  private readLongTail(bits: number): number {
    const low = bits >>> 1;
    let high = 0;
    let scale = 1;
    for (let bytes = 5; bytes <= MAX_LONG_BYTES; bytes++) {
      const byte = this.readByte();
      high += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (high >= TWO_TO_36) break;
        return bits & 1 ? -(high * TWO_TO_27 + (low + 1)) : high * TWO_TO_27 + low;
      }
      scale *= 128;
    }
    throw new AvroMalformed('a number has more than 64 bits');
  }

  private isAscii(start: number, stop: number): boolean {
    const { buf } = this;
    let bits = 0;
    for (let at = start; at < stop; at++) bits |= buf[at]!;
    return bits < 0x80;
  }

  private readByte(): number {
    if (this.pos >= this.end) throw new AvroTruncated();
    return this.buf[this.pos++]!;
  }

  private readLength(): number {
    const length = this.readLong();
    if (length < 0) throw new AvroMalformed('a length is negative');
    return length;
  }

  /** Moves on by `length` bytes and gives where they begin. */
  private advance(length: number): number {
    const start = this.pos;
    if (length > this.end - start) throw new AvroTruncated();
    this.pos = start + length;
    return start;
  }
}
