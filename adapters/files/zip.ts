import { crc32, deflateRawSync } from 'node:zlib';

export interface ZipEntry {
  /** With "/" between folders. */
  readonly name: string;
  readonly bytes: Buffer;
}

// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (2026-11-27)
const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const VERSION = 20;
const UTF8 = 0x0800;
const DEFLATED = 8;
/** Midnight of 1 January 1980: the first moment that a zip can name. */
const [TIME, DATE] = [0, 0x21];

/** A zip of files, the same bytes for the same files: sorted by name, all of one time. */
export function zip(entries: readonly ZipEntry[]): Buffer {
  const [files, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const { name, bytes } of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const deflated = deflateRawSync(bytes, { level: 9 });
    const path = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(VERSION, 0);
    common.writeUInt16LE(UTF8, 2);
    common.writeUInt16LE(DEFLATED, 4);
    common.writeUInt16LE(TIME, 6);
    common.writeUInt16LE(DATE, 8);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(deflated.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(path.length, 22);
    files.push(signature(LOCAL), common, path, deflated);
    const [madeBy, attributesAndOffset] = [Buffer.alloc(2), Buffer.alloc(14)];
    madeBy.writeUInt16LE(VERSION, 0);
    attributesAndOffset.writeUInt32LE(offset, 10);
    directory.push(signature(CENTRAL), madeBy, common, attributesAndOffset, path);
    offset += 4 + common.length + path.length + deflated.length;
  }
  const listing = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(listing.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...files, listing, signature(END), end]);
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
