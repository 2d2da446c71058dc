import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  checkContracts,
  findStale,
  generateContracts,
  scanContracts,
} from '../../../adapters/files/contract-files.ts';

const v1 = { type: 'record', name: 'Event', fields: [{ name: 'id', type: 'string' }] };
const v2 = { ...v1, fields: [...v1.fields, { name: 'a', type: 'int', default: 0 }] };
const v3 = { ...v2, fields: [...v2.fields, { name: 'b', type: 'int', default: 0 }] };

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-contracts-'));
});

afterEach(() => rm(dir, { recursive: true }));

async function write(path: string, content: unknown): Promise<void> {
  await mkdir(join(dir, path, '..'), { recursive: true });
  await writeFile(join(dir, path), typeof content === 'string' ? content : JSON.stringify(content));
}

function declared(...names: readonly string[]) {
  return names.map((name) => ({ name, key: 'id', versions: [], compatibility: 'FULL_TRANSITIVE' as const }));
}

async function rulesOf(...names: readonly string[]): Promise<readonly string[]> {
  return (await checkContracts(dir, declared(...names))).map(({ topic, rule }) => `${topic} ${rule}`);
}

async function schemaModule(topic: string): Promise<string> {
  return readFile(join(dir, topic, 'schema.ts'), 'utf8');
}

describe('scanContracts', () => {
  test('reads every folder’s versions in order, without topic.ts or schema.ts', async () => {
    await write('b/v1.avsc', v1);
    for (let version = 1; version <= 11; version++) await write(`a/v${version}.avsc`, v1);
    await write('index.ts', '');
    const folders = await scanContracts(dir);
    expect(folders.map(({ topic, versions }) => [topic, versions.length])).toEqual([
      ['a', 11],
      ['b', 1],
    ]);
    expect(folders[0]?.versions.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(folders[1]?.versions).toEqual([{ version: 1, schema: v1, definition: JSON.stringify(v1) }]);
  });

  test.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['a gap in the numbers', { 'v1.avsc': v1, 'v3.avsc': v1 }, 'version-missing'],
    ['no first version', { 'v2.avsc': v1 }, 'version-missing'],
    ['no version at all', { 'topic.ts': '' }, 'version-missing'],
    ['a file that is no version', { 'v1.avsc': v1, 'pageview.avsc': v1 }, 'file-misnamed'],
    ['a number with a nought before it', { 'v1.avsc': v1, 'v02.avsc': v1 }, 'file-misnamed'],
    ['a file that is not JSON', { 'v1.avsc': '{"type": "record",' }, 'file-unreadable'],
  ])('%s is a problem', async (_, files, rule) => {
    for (const [name, content] of Object.entries(files)) await write(`a/${name}`, content);
    const [folder] = await scanContracts(dir);
    expect(folder?.problems).toEqual([
      expect.objectContaining({ topic: 'a', rule, code: 'CONTRACT_INVALID' }),
    ]);
    expect(await rulesOf('a')).toEqual([`a ${rule}`]);
  });

  test('a message about JSON says where and quotes nothing', async () => {
    await write('a/v1.avsc', '{\n  "secret": oops\n}');
    const [folder] = await scanContracts(dir);
    expect(folder?.problems[0]?.message).not.toMatch(/secret|oops/);
  });

  test('no folder is INPUT_INVALID', async () => {
    await expect(scanContracts(join(dir, 'nothing'))).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });
});

describe('generateContracts', () => {
  test('writes once, then finds nothing to do; what it writes is up to date', async () => {
    await write('a/v1.avsc', v1);
    expect(await generateContracts(dir)).toMatchObject([{ topic: 'a', outcome: 'written', problems: [] }]);
    expect(await schemaModule('a')).toContain('export interface Event {');
    expect(await generateContracts(dir)).toMatchObject([{ topic: 'a', outcome: 'unchanged', problems: [] }]);
    expect(await rulesOf('a')).toEqual([]);
  });

  test('leaves a folder with a problem as it is, and does the others', async () => {
    await write('a/v1.avsc', { ...v1, fields: [{ name: 'id', type: 'Nothing' }] });
    await write('b/v1.avsc', v1);
    const [a, b] = await generateContracts(dir);
    expect(a).toMatchObject({
      outcome: null,
      problems: [{ rule: 'type-unknown', versions: [1], path: 'id' }],
    });
    expect(b).toMatchObject({ outcome: 'written' });
    await expect(schemaModule('a')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('takes a change to the newest version', async () => {
    await write('a/v1.avsc', v1);
    await generateContracts(dir);
    await write('a/v1.avsc', v2);
    expect(await rulesOf('a')).toEqual(['a schema-stale']);
    expect(await generateContracts(dir)).toMatchObject([{ outcome: 'written' }]);
  });

  test('takes a new version', async () => {
    await write('a/v1.avsc', v1);
    await generateContracts(dir);
    await write('a/v2.avsc', v2);
    expect(await rulesOf('a')).toEqual(['a schema-stale']);
    expect(await generateContracts(dir)).toMatchObject([{ outcome: 'written' }]);
    expect(await rulesOf('a')).toEqual([]);
  });

  test('refuses a change to a version that another has followed', async () => {
    await write('a/v1.avsc', v1);
    await write('a/v2.avsc', v2);
    await generateContracts(dir);
    await write('a/v1.avsc', { ...v1, doc: 'Changed later.' });
    const edited = { rule: 'version-edited', versions: [1], code: 'CONTRACT_INVALID' };
    expect(await generateContracts(dir)).toMatchObject([{ outcome: null, problems: [edited] }]);
    expect(await rulesOf('a')).toEqual(['a version-edited']);
  });

  test('refuses a change to the newest version once another follows it', async () => {
    await write('a/v1.avsc', v1);
    await generateContracts(dir);
    await write('a/v1.avsc', v2);
    await write('a/v2.avsc', v3);
    expect(await generateContracts(dir)).toMatchObject([
      { outcome: null, problems: [{ rule: 'version-edited' }] },
    ]);
  });

  test('a byte order mark does not count as a change', async () => {
    await write('a/v1.avsc', v1);
    await generateContracts(dir);
    await write('a/v1.avsc', `\ufeff${JSON.stringify(v1)}`);
    await generateContracts(dir);
    expect(await rulesOf('a')).toEqual([]);
  });

  test('a published version may have another layout, and not another spelling of a number', async () => {
    const fields = '[{"name": "id", "type": "string"}, {"name": "a", "type": "double", "default": 0.0}]';
    const v0 = `{"type": "record", "name": "Event", "fields": ${fields}}`;
    await write('a/v1.avsc', v0);
    await write('a/v2.avsc', v0);
    await generateContracts(dir);
    await write('a/v1.avsc', `${v0.replaceAll(', ', ',\r\n\t')}\r\n`);
    expect(await rulesOf('a')).toEqual(['a schema-stale']);
    expect(await generateContracts(dir)).toMatchObject([{ outcome: 'written', problems: [] }]);
    expect(await rulesOf('a')).toEqual([]);
    await write('a/v1.avsc', v0.replace('0.0', '0'));
    expect(await generateContracts(dir)).toMatchObject([
      { outcome: null, problems: [{ rule: 'version-edited' }] },
    ]);
  });

  test('a file may begin with a byte order mark, which is none of its text', async () => {
    await write('a/v1.avsc', `\u{feff}${JSON.stringify(v1)}`);
    expect(await scanContracts(dir)).toMatchObject([
      { problems: [], versions: [{ schema: v1, definition: JSON.stringify(v1) }] },
    ]);
  });

  test('replaces a schema.ts that cannot be loaded', async () => {
    await write('a/v1.avsc', v1);
    await write('a/schema.ts', 'this is not TypeScript (');
    expect(await generateContracts(dir)).toMatchObject([{ outcome: 'written' }]);
  });
});

describe('checkContracts', () => {
  test('a schema.ts that is missing or edited by hand is CONTRACT_STALE', async () => {
    await write('a/v1.avsc', v1);
    const [folder] = await scanContracts(dir);
    expect(await findStale(folder!)).toMatchObject([
      { code: 'CONTRACT_STALE', rule: 'schema-stale', topic: 'a' },
    ]);
    await generateContracts(dir);
    expect(await findStale(folder!)).toEqual([]);
    await write('a/schema.ts', `${await schemaModule('a')}// mine\n`);
    expect(await findStale(folder!)).toMatchObject([{ code: 'CONTRACT_STALE' }]);
  });

  test('goes by the .avsc files, not by what schema.ts still says', async () => {
    await write('a/v1.avsc', v1);
    await write('a/v2.avsc', { ...v1, fields: [...v1.fields, { name: 'a', type: 'int' }] });
    await generateContracts(dir);
    expect(await checkContracts(dir, declared('a'))).toMatchObject([
      { code: 'CONTRACT_INCOMPATIBLE', rule: 'field-without-default', versions: [1, 2], path: 'a' },
    ]);
  });

  test('every folder has a contract in the list, and every contract a folder', async () => {
    await write('a/v1.avsc', v1);
    await generateContracts(dir);
    expect(await rulesOf('b')).toEqual(['a contract-unlisted', 'b folder-missing']);
  });
});
