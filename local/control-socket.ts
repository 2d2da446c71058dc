import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';
import type { QueryResult } from './read-only-query.ts';
import type { QueryLimits } from './sinks.ts';
import type { StateFolder } from './state-folder.ts';

/** How a process asks the one that has the state folder: one request and one answer a connection, each a JSON line. */
interface Request {
  readonly sql: string;
  readonly timeoutMs: number;
}
type Response =
  | { readonly result: QueryResult }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

const SOCKET = 'control.sock';
// A socket's path has 104 bytes on macOS and 108 on Linux, the closing zero included (unix(7), 2026-11-24).
const MAX_PATH_BYTES = 100;

/** Answers queries of other processes until it is closed; one is cancelled when its process ends. The caller holds the folder's lock. */
export async function serveQueries(
  folder: StateFolder,
  query: (sql: string, limits: QueryLimits) => Promise<QueryResult>,
): Promise<{ close(): void }> {
  // A killed process leaves its socket behind, and with the lock in hand it can be nobody else's.
  removeSocket(folder);
  const path = makeSocketPath(folder);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    answer(socket, query);
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      if (dirname(path) !== folder.path) rmSync(dirname(path), { recursive: true, force: true });
    },
  };
}

/**
 * Has the process that holds the folder run a query; undefined where none is listening.
 * @throws INPUT_INVALID when the query is refused
 */
export async function queryOwner(
  folder: StateFolder,
  sql: string,
  timeoutMs: number,
): Promise<QueryResult | undefined> {
  const socket = connect(socketPathOf(folder));
  try {
    await once(socket, 'connect');
  } catch {
    return undefined;
  }
  socket.write(`${JSON.stringify({ sql, timeoutMs } satisfies Request)}\n`);
  const line = await readLine(socket).catch(() => undefined);
  if (line === undefined) return undefined;
  const response = JSON.parse(line) as Response;
  if ('error' in response) throw new MillraceError(response.error.code, response.error.message);
  return response.result;
}

async function answer(
  socket: Socket,
  query: (sql: string, limits: QueryLimits) => Promise<QueryResult>,
): Promise<void> {
  let response: Response;
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  try {
    const line = await readLine(socket);
    if (line === undefined) return;
    const { sql, timeoutMs } = JSON.parse(line) as Request;
    response = { result: await query(sql, { timeoutMs, signal: gone.signal }) };
  } catch (error) {
    const { code, message } =
      error instanceof MillraceError
        ? error
        : { code: 'UNEXPECTED' as const, message: (error as Error).message };
    response = { error: { code, message } };
  }
  socket.end(`${JSON.stringify(response)}\n`);
}

async function readLine(socket: Socket): Promise<string | undefined> {
  let text = '';
  for await (const chunk of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk;
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
  }
  return undefined;
}

/** In the state folder or, where its path is too long, in a folder of one's own whose name only the state folder tells. */
function makeSocketPath({ path, files }: StateFolder): string {
  const inside = join(path, SOCKET);
  if (Buffer.byteLength(inside) <= MAX_PATH_BYTES) return inside;
  const outside = join(mkdtempSync(join(tmpdir(), 'millrace-')), SOCKET);
  writeFileSync(files.socketPath, outside, { mode: 0o600 });
  return outside;
}

function socketPathOf({ path, files }: StateFolder): string {
  return existsSync(files.socketPath) ? readFileSync(files.socketPath, 'utf8') : join(path, SOCKET);
}

function removeSocket(folder: StateFolder): void {
  const path = socketPathOf(folder);
  const isInside = dirname(path) === folder.path;
  rmSync(isInside ? path : dirname(path), { recursive: true, force: true });
  rmSync(folder.files.socketPath, { force: true });
}
