import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkReadable, parseJsonLine, readInput } from '../../../local/publishing/input.ts';
import type { LineParser } from '../../../runtime/app.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

const asText: LineParser<string> = (value, line) => ({ kind: 'value', line, value });

let folder: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  folder = createTemporaryFolder();
});
afterEach(() => folder.remove());

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function read<Value>(content: Buffer | string, parser: LineParser<Value>) {
  const path = join(folder.path, 'input');
  writeFileSync(path, content);
  return collect(readInput(path, () => parser));
}

describe('lines', () => {
  test('are numbered from 1; blank ones count as lines and are skipped', async () => {
    expect(await read('one\n\n   \r\nfour\r\nfive', asText)).toEqual([
      { kind: 'value', line: 1, value: 'one' },
      { kind: 'value', line: 4, value: 'four' },
      { kind: 'value', line: 5, value: 'five' },
    ]);
  });

  test('come out of any text as they went in, gzipped or not', async () => {
    const text = fc
      .string({ unit: 'grapheme' })
      .filter((line) => line.trim() !== '' && !/[\n\r]|^\ufeff/.test(line));
    await fc.assert(
      fc.asyncProperty(fc.array(text), fc.boolean(), async (lines, isGzip) => {
        const bytes = Buffer.from(lines.join('\n').toWellFormed());
        const items = await read(isGzip ? gzipSync(bytes) : bytes, asText);
        expect(items.map((item) => item.kind === 'value' && item.value)).toEqual(
          lines.map((line) => line.toWellFormed()),
        );
      }),
      { numRuns: 50 },
    );
  });

  test('are without a byte order mark, in files that are joined as well, gzipped or not', async () => {
    const expected = [
      { kind: 'value', line: 1, value: 'one' },
      { kind: 'value', line: 3, value: 'two\ufeff' },
    ];
    const text = '\ufeffone\n\ufeff\n\ufefftwo\ufeff\n';
    expect(await read(text, asText)).toEqual(expected);
    expect(await read(gzipSync(text), asText)).toEqual(expected);
    expect(await read('\ufeff{"a":1}', parseJsonLine)).toEqual([{ kind: 'value', line: 1, value: { a: 1 } }]);
  });

  test('may span chunks', async () => {
    const long = 'x'.repeat(300_000);
    expect(await read(`${long}\nshort`, asText)).toEqual([
      { kind: 'value', line: 1, value: long },
      { kind: 'value', line: 2, value: 'short' },
    ]);
  });

  test('one too long to hold is malformed, and the next one is read', async () => {
    const items = await read(gzipSync(`${'x'.repeat(3_000_000)}\nshort`), asText);
    expect(items).toEqual([
      { kind: 'malformed', line: 1, reason: 'longer than 1048576 bytes' },
      { kind: 'value', line: 2, value: 'short' },
    ]);
  });

  test('an empty file has none', async () => {
    expect(await read('', asText)).toEqual([]);
  });

  test('gzip members one after the other, as rotated logs are joined, are one input', async () => {
    const items = await read(Buffer.concat([gzipSync('a\n'), gzipSync('b\n')]), asText);
    expect(items.map(({ line }) => line)).toEqual([1, 2]);
  });
});

test('the parser is picked by the first line that is not blank', async () => {
  const path = join(folder.path, 'input');
  writeFileSync(path, '\n{"a":1}\n');
  const seen: string[] = [];
  const items = await collect(
    readInput(path, (first) => {
      seen.push(first);
      return parseJsonLine;
    }),
  );
  expect(seen).toEqual(['{"a":1}']);
  expect(items).toEqual([{ kind: 'value', line: 2, value: { a: 1 } }]);
});

test.each(['{"a":', '[1]', '"text"', 'null', '7'])('%s is a malformed JSON line', async (text) => {
  expect(await read(text, parseJsonLine)).toEqual([
    { kind: 'malformed', line: 1, reason: expect.any(String) },
  ]);
});

describe('INPUT_INVALID names the file and the reason', () => {
  test.each([
    ['there is no such file', () => join(folder.path, 'nowhere')],
    ['it is a folder', () => folder.path],
    [
      'the gzip data ends too early',
      () => {
        const path = join(folder.path, 'cut.gz');
        writeFileSync(path, gzipSync('line\n'.repeat(1000)).subarray(0, -12));
        return path;
      },
    ],
    [
      'the gzip data is damaged',
      () => {
        const path = join(folder.path, 'damaged.gz');
        writeFileSync(path, Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff]));
        return path;
      },
    ],
  ])('%s', async (reason, create) => {
    const path = create();
    if (/no such|folder/.test(reason)) {
      expect(() => checkReadable(['-', path])).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    }
    await expect(collect(readInput(path, () => asText))).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringMatching(new RegExp(`${path}.*${reason}`)),
    });
  });
});
