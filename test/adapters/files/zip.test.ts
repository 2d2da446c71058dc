import { crc32, inflateRawSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { zip } from '../../../adapters/files/zip.ts';

/** Reads a zip as unzip does: from its end to its directory, and from that to each file. */
function unzip(bytes: Buffer): readonly { name: string; bytes: Buffer; date: number }[] {
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  let at = bytes.readUInt32LE(end + 16);
  return Array.from({ length: bytes.readUInt16LE(end + 10) }, () => {
    expect(bytes.readUInt32LE(at)).toBe(0x02014b50);
    const [compressed, size, nameLength] = [
      bytes.readUInt32LE(at + 20),
      bytes.readUInt32LE(at + 24),
      bytes.readUInt16LE(at + 28),
    ];
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    const local = bytes.readUInt32LE(at + 42);
    expect(bytes.readUInt32LE(local)).toBe(0x04034b50);
    const from = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const content = inflateRawSync(bytes.subarray(from, from + compressed));
    expect([content.length, crc32(content)]).toEqual([size, bytes.readUInt32LE(at + 16)]);
    const date = bytes.readUInt16LE(at + 14);
    at += 46 + nameLength;
    return { name, bytes: content, date };
  });
}

const entries = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-zäé/.]{1,20}$/),
    bytes: fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
  }),
  { selector: ({ name }) => name, maxLength: 8 },
);

test('what is in a zip comes out of it, sorted, all of one day', () => {
  fc.assert(
    fc.property(entries, (files) => {
      const found = unzip(zip(files));
      const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      expect(found.map(({ name, bytes }) => [name, bytes])).toEqual(
        sorted.map(({ name, bytes }) => [name, bytes]),
      );
      for (const { date } of found) expect(date).toBe(0x21);
    }),
  );
});

test('the same files make the same bytes, in whatever order they come', () => {
  const files = [1, 2, 3].map((n) => ({ name: `jar-${n}`, bytes: Buffer.alloc(n * 1_000, n) }));
  expect(zip(files.toReversed()).equals(zip(files))).toBe(true);
});
