import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { askOwner, serveControl } from '../../local/control-socket.ts';
import { openStateFolder, type StateFolder } from '../../local/state-folder.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

const echo = { query: async ({ sql }: { sql: string }) => ({ columns: ['sql'], rows: [[sql]] }) };
const ask = async (folder: StateFolder, sql: string) =>
  (await askOwner(folder, 'query', { sql, timeoutMs: 10_000 }))?.result;

describe.each([
  ['a short path', 'state'],
  ['a path longer than a socket may have', join('x'.repeat(90), 'y'.repeat(90))],
])('%s', (_, name) => {
  const folderOf = () => {
    const path = join(temporary.path, name);
    mkdirSync(path, { recursive: true });
    return openStateFolder(path);
  };

  test('queries are answered, several at once, whatever is in them', async () => {
    const folder = folderOf();
    const server = await serveControl(folder, echo);
    const statements = ['select 1', 'select\n2', `select '${'é'.repeat(200_000)}'`];
    const answers = await Promise.all(statements.map((sql) => ask(folder, sql)));
    expect(answers.map((answer) => answer?.rows[0]?.[0])).toEqual(statements);
    server.close();
  });

  test('what is left of a killed process does not stand in the way', async () => {
    const folder = folderOf();
    const first = await serveControl(folder, echo);
    const second = await serveControl(folder, echo);
    expect(await ask(folder, 'select 1')).toEqual({
      columns: ['sql'],
      rows: [['select 1']],
    });
    second.close();
    first.close();
  });

  test('the socket is in a folder of its owner alone, and goes with its server', async () => {
    const folder = folderOf();
    const server = await serveControl(folder, echo);
    const { socketPath } = folder.files;
    const path = existsSync(socketPath)
      ? readFileSync(socketPath, 'utf8')
      : join(folder.path, 'control.sock');
    expect(statSync(path).isSocket()).toBe(true);
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
    server.close();
    expect([existsSync(path), existsSync(dirname(path))]).toEqual([false, dirname(path) === folder.path]);
  });
});

test('with nobody listening there is no answer', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  expect(await ask(folder, 'select 1')).toBeUndefined();
  const server = await serveControl(folder, echo);
  server.close();
  expect(await ask(folder, 'select 1')).toBeUndefined();
});

test('an error arrives with its code and message', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  const server = await serveControl(folder, {
    query: async () => {
      throw new MillraceError('INPUT_INVALID', 'No such table. Look again.');
    },
  });
  await expect(ask(folder, 'select')).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: 'No such table. Look again.',
  });
  server.close();
});

test('a call that this version does not know is refused by name', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  const server = await serveControl(folder, echo);
  await expect(askOwner(folder, 'toString' as 'query', { sql: '', timeoutMs: 1 })).rejects.toMatchObject({
    code: 'STATE_IN_USE',
  });
  server.close();
});

test('a caller that sends nonsense or leaves does not disturb the next one', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  const server = await serveControl(folder, echo);
  const path = join(folder.path, 'control.sock');
  connect(path).end('no JSON\n');
  connect(path).on('connect', function (this: { destroy(): void }) {
    this.destroy();
  });
  expect(await ask(folder, 'select 1')).toEqual({
    columns: ['sql'],
    rows: [['select 1']],
  });
  server.close();
});
