import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { queryOwner, serveQueries } from '../../local/control-socket.ts';
import { openStateFolder } from '../../local/state-folder.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

const TIMEOUT_MS = 10_000;
const echo = async (sql: string) => ({ columns: ['sql'], rows: [[sql]] });

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
    const server = await serveQueries(folder, echo);
    const statements = ['select 1', 'select\n2', `select '${'é'.repeat(200_000)}'`];
    const answers = await Promise.all(statements.map((sql) => queryOwner(folder, sql, TIMEOUT_MS)));
    expect(answers.map((answer) => answer?.rows[0]?.[0])).toEqual(statements);
    server.close();
  });

  test('what is left of a killed process does not stand in the way', async () => {
    const folder = folderOf();
    const first = await serveQueries(folder, echo);
    const second = await serveQueries(folder, echo);
    expect(await queryOwner(folder, 'select 1', TIMEOUT_MS)).toEqual({
      columns: ['sql'],
      rows: [['select 1']],
    });
    second.close();
    first.close();
  });

  test('the socket is in a folder of its owner alone, and goes with its server', async () => {
    const folder = folderOf();
    const server = await serveQueries(folder, echo);
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
  expect(await queryOwner(folder, 'select 1', TIMEOUT_MS)).toBeUndefined();
  const server = await serveQueries(folder, echo);
  server.close();
  expect(await queryOwner(folder, 'select 1', TIMEOUT_MS)).toBeUndefined();
});

test('an error arrives with its code and message', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  const server = await serveQueries(folder, async () => {
    throw new MillraceError('INPUT_INVALID', 'No such table. Look again.');
  });
  await expect(queryOwner(folder, 'select', TIMEOUT_MS)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: 'No such table. Look again.',
  });
  server.close();
});

test('a caller that sends nonsense or leaves does not disturb the next one', async () => {
  const folder = openStateFolder(join(temporary.path, 'state'));
  const server = await serveQueries(folder, echo);
  const path = join(folder.path, 'control.sock');
  connect(path).end('no JSON\n');
  connect(path).on('connect', function (this: { destroy(): void }) {
    this.destroy();
  });
  expect(await queryOwner(folder, 'select 1', TIMEOUT_MS)).toEqual({
    columns: ['sql'],
    rows: [['select 1']],
  });
  server.close();
});
