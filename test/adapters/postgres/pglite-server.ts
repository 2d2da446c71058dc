/**
 * A PGlite database behind a TCP port on the loopback, so that `pg` can be tested where no PostgreSQL is installed.
 * PGlite has one session: whoever begins a transaction has the database to itself until it ends.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { PGlite } from '@electric-sql/pglite';

const SSL_REQUEST = 80877103;
const QUERY = 'Q'.charCodeAt(0);
const SYNC = 'S'.charCodeAt(0);
const TERMINATE = 'X'.charCodeAt(0);

export interface PgliteServer {
  readonly port: number;
  /** Cuts every client off, as a failover would. */
  disconnectAll(): void;
  close(): Promise<void>;
}

export async function servePglite(pglite: PGlite): Promise<PgliteServer> {
  await pglite.waitReady;
  const turns = new Turns();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    void serve(socket, pglite, turns);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const disconnectAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    disconnectAll,
    async close() {
      disconnectAll();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}

async function serve(socket: Socket, pglite: PGlite, turns: Turns): Promise<void> {
  let endTurn: (() => void) | undefined;
  try {
    for await (const message of requests(socket)) {
      endTurn ??= await turns.take();
      if (socket.destroyed) break;
      socket.write(await pglite.execProtocolRaw(message));
      if (pglite.isInTransaction()) continue;
      endTurn();
      endTurn = undefined;
    }
  } catch {
    // The client has gone.
  } finally {
    if (endTurn && pglite.isInTransaction()) await pglite.execProtocolRaw(rollbackMessage());
    endTurn?.();
  }
}

/** What a client sends, cut where the server would answer: a simple query, or all messages up to a Sync. */
async function* requests(socket: Socket): AsyncGenerator<Buffer> {
  let pending = Buffer.alloc(0);
  let isStarted = false;
  for await (const chunk of socket) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    let end = 0;
    for (;;) {
      const lengthAt = isStarted ? end + 1 : end;
      if (pending.length < lengthAt + 4) break;
      const next = lengthAt + pending.readUInt32BE(lengthAt);
      if (pending.length < next) break;
      const type = isStarted ? pending[end] : undefined;
      end = next;
      if (type === TERMINATE) return;
      if (!isStarted && pending.readUInt32BE(4) === SSL_REQUEST) {
        socket.write('N');
        pending = pending.subarray(next);
        end = 0;
        continue;
      }
      if (isStarted && type !== QUERY && type !== SYNC) continue;
      isStarted = true;
      yield pending.subarray(0, next);
      pending = pending.subarray(next);
      end = 0;
    }
  }
}

class Turns {
  #last: Promise<void> = Promise.resolve();

  async take(): Promise<() => void> {
    const turn = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await turn;
    return resolve;
  }
}

function rollbackMessage(): Buffer {
  const body = Buffer.from('ROLLBACK\0');
  const message = Buffer.alloc(5 + body.length);
  message[0] = QUERY;
  message.writeUInt32BE(4 + body.length, 1);
  body.copy(message, 5);
  return message;
}
