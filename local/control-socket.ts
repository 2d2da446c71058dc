import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';
import type { QueryResult } from './read-only-query.ts';
import type { StateFolder } from './state-folder.ts';

/** How a process asks the one that has the state folder: one request and one answer a connection, each a JSON line. */
interface Request {
  readonly sql: string;
}
type Response =
  | { readonly result: QueryResult }
  | { readonly error: { readonly code: ErrorCode; readonly message: string } };

// A socket's path has 104 bytes on macOS and 108 on Linux, the closing zero included (unix(7), 2026-11-24).
const MAX_PATH_BYTES = 100;

/** Answers queries of other processes until it is closed. The caller holds the folder's lock. */
export async function serveQueries(
  folder: StateFolder,
  query: (sql: string) => Promise<QueryResult>,
): Promise<{ close(): void }> {
  const path = socketPath(folder);
  // A killed process leaves its socket behind, and with the lock in hand it can be nobody else's.
  rmSync(path, { force: true });
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
    },
  };
}

/**
 * Has the process that holds the folder run a query; undefined where none is listening.
 * @throws INPUT_INVALID when the query is refused
 */
export async function queryOwner(folder: StateFolder, sql: string): Promise<QueryResult | undefined> {
  const socket = connect(socketPath(folder));
  try {
    await once(socket, 'connect');
  } catch {
    return undefined;
  }
  socket.write(`${JSON.stringify({ sql } satisfies Request)}\n`);
  const line = await readLine(socket).catch(() => undefined);
  if (line === undefined) return undefined;
  const response = JSON.parse(line) as Response;
  if ('error' in response) throw new MillraceError(response.error.code, response.error.message);
  return response.result;
}

async function answer(socket: Socket, query: (sql: string) => Promise<QueryResult>): Promise<void> {
  let response: Response;
  try {
    const line = await readLine(socket);
    if (line === undefined) return;
    response = { result: await query((JSON.parse(line) as Request).sql) };
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

function socketPath({ path }: StateFolder): string {
  const inside = join(path, 'control.sock');
  if (Buffer.byteLength(inside) <= MAX_PATH_BYTES) return inside;
  const name = createHash('sha256').update(path).digest('hex').slice(0, 16);
  return join(tmpdir(), `millrace-${name}.sock`);
}
