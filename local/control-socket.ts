import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ErrorCode, MillraceError } from '../runtime/errors.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import type { BatchResponse } from '../runtime/lambda/kafka-batch.ts';
import type { KafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { KeyCall } from '../runtime/operator/key-calls.ts';
import type { LedgerOwner, WholeLedger } from '../runtime/replay/ledgers.ts';
import type { GenerationCalls } from './generation-calls.ts';
import type { Pause } from './pauses.ts';
import type { QueryResult } from './read-only-query.ts';
import type { StateFolder } from './state-folder.ts';

/**
 * What a process may ask of the one that has the state folder. Each gets a signal that aborts when the process that asked
 * has ended.
 */
export interface ControlCalls extends GenerationCalls {
  /** How the consumers are, by all the samples of the run. */
  status(of: Readonly<Record<string, never>>): Promise<readonly ConsumerStatus[]>;
  /** @returns the pause that held before */
  pause(of: {
    readonly consumer: string;
    readonly by: string;
    readonly isPaused: boolean;
  }): Promise<{ readonly before: Pause | null }>;
  query(of: { readonly sql: string; readonly timeoutMs: number }, signal: AbortSignal): Promise<QueryResult>;
  ledgers(of: LedgerOwner, signal: AbortSignal): Promise<readonly WholeLedger[]>;
  /** What waits in the sink behind dead letters. */
  keys(of: { readonly owner: LedgerOwner; readonly call: KeyCall }): Promise<unknown>;
  /** Has a consumer's function settle a batch, as its event source would. */
  deliver(
    of: { readonly consumer: string; readonly event: KafkaEvent },
    signal: AbortSignal,
  ): Promise<BatchResponse>;
}

type Call = keyof ControlCalls;
type Parameters<Of extends Call> = Readonly<globalThis.Parameters<ControlCalls[Of]>[0]>;
type Answer<Of extends Call> = Awaited<ReturnType<ControlCalls[Of]>>;

/** One request and one answer a connection, each a JSON line. */
interface Request {
  readonly call: Call;
  readonly parameters: unknown;
}
type Response =
  | { readonly result: unknown }
  | {
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly details?: MillraceError['details'];
      };
    };

const SOCKET = 'control.sock';
// A socket's path has 104 bytes on macOS and 108 on Linux, the closing zero included (unix(7), 2026-11-24).
const MAX_PATH_BYTES = 100;

/** Answers other processes until it is closed; refuses calls that it is not given. The caller holds the folder's lock. */
export async function serveControl(
  folder: StateFolder,
  calls: Partial<ControlCalls>,
): Promise<{ close(): void }> {
  // A killed process leaves its socket behind, and with the lock in hand it can be nobody else's.
  removeSocket(folder);
  const path = makeSocketPath(folder);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    answer(socket, calls);
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
 * Asks the process that holds the folder to do something; undefined if no process listens.
 * @throws what the call throws; STATE_IN_USE where that process is of a version that does not know the call
 */
export async function askOwner<Of extends Call>(
  folder: StateFolder,
  call: Of,
  parameters: Parameters<Of>,
): Promise<{ readonly result: Answer<Of> } | undefined> {
  const socket = connect(socketPathOf(folder));
  try {
    await once(socket, 'connect');
  } catch {
    return undefined;
  }
  socket.write(`${JSON.stringify({ call, parameters } satisfies Request)}\n`);
  const line = await readLine(socket).catch(() => undefined);
  if (line === undefined) return undefined;
  const response = JSON.parse(line) as Response;
  if ('error' in response) {
    const { code, message, details = {} } = response.error;
    throw new MillraceError(code, message, { details });
  }
  return { result: response.result as Answer<Of> };
}

async function answer(socket: Socket, calls: Partial<ControlCalls>): Promise<void> {
  let response: Response;
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  try {
    const line = await readLine(socket);
    if (line === undefined) return;
    const { call, parameters } = JSON.parse(line) as Request;
    if (!Object.hasOwn(calls, call)) throw unknownCall(call);
    const run = calls[call] as (parameters: unknown, signal: AbortSignal) => Promise<unknown>;
    response = { result: await run(parameters, gone.signal) };
  } catch (error) {
    response = {
      error:
        error instanceof MillraceError
          ? { code: error.code, message: error.message, details: error.details }
          : { code: 'UNEXPECTED', message: (error as Error).message },
    };
  }
  socket.end(`${JSON.stringify(response)}\n`);
}

function unknownCall(call: string): MillraceError {
  return new MillraceError(
    'STATE_IN_USE',
    `The process that has the state folder cannot ${call}: it runs another version of Millrace. Stop it, and try again.`,
    { details: { call } },
  );
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
