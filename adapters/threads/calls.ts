/** Calls between threads: what can be cloned goes across, and an error comes back as it was thrown. */
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';
import { type ErrorAction, type ErrorCode, MillraceError } from '../../runtime/errors.ts';

/** What one side answers, by name. Arguments and results are cloned: a Buffer arrives as a Uint8Array. */
// biome-ignore lint/suspicious/noExplicitAny: a call's own types are those of its name; only `any` accepts each.
export type Calls = Readonly<Record<string, (...args: any[]) => unknown>>;

export interface Connection<Remote extends Calls> {
  /** Resolves and rejects as the other side's does. Rejects with the reason once the connection has ended. */
  call<Name extends keyof Remote & string>(
    name: Name,
    ...args: Parameters<Remote[Name]>
  ): Promise<Awaited<ReturnType<Remote[Name]>>>;
  /** Without an answer; `transfer` has the ports among the arguments. */
  tell<Name extends keyof Remote & string>(
    name: Name,
    args: Parameters<Remote[Name]>,
    transfer?: readonly Transferable[],
  ): void;
  /** Rejects what is unanswered, and every later call. */
  end(reason: Error): void;
}

type Message =
  | { readonly kind: 'call'; readonly id: number | null; readonly name: string; readonly args: unknown[] }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorImage };

/** Calls the other side, and answers it with `own`. Messages arrive in the order in which they are sent. */
export function connect<Remote extends Calls>(
  port: MessagePort | Worker,
  own: Calls = {},
): Connection<Remote> {
  const unanswered = new Map<number, PromiseWithResolvers<never>>();
  let lastId = 0;
  let ended: Error | undefined;

  const answer = async (id: number | null, name: string, args: unknown[]) => {
    try {
      const result = await own[name]!(...args);
      if (id !== null) port.postMessage({ kind: 'result', id, result } satisfies Message);
    } catch (error) {
      if (id === null) throw error;
      port.postMessage({ kind: 'error', id, error: imageOf(error) } satisfies Message);
    }
  };
  (port as MessagePort).on('message', (message: Message) => {
    if (message.kind === 'call') {
      void answer(message.id, message.name, message.args);
      return;
    }
    const waiting = unanswered.get(message.id);
    unanswered.delete(message.id);
    if (message.kind === 'result') waiting?.resolve(message.result as never);
    else waiting?.reject(errorOf(message.error));
  });

  return {
    call(name, ...args) {
      if (ended) return Promise.reject(ended);
      const id = ++lastId;
      const waiting = Promise.withResolvers<never>();
      unanswered.set(id, waiting);
      try {
        port.postMessage({ kind: 'call', id, name, args } satisfies Message);
      } catch (error) {
        unanswered.delete(id);
        waiting.reject(error);
      }
      return waiting.promise;
    },
    tell(name, args, transfer = []) {
      if (!ended) port.postMessage({ kind: 'call', id: null, name, args } satisfies Message, transfer);
    },
    end(reason) {
      ended ??= reason;
      for (const { reject } of unanswered.values()) reject(ended);
      unanswered.clear();
    },
  };
}

/** The same bytes, as what they were before they went across. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** An error as it goes across: a clone of one would keep its words and lose its code. */
export interface ErrorImage {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** One of ours. */
  readonly ours?: {
    readonly code: ErrorCode;
    readonly action: ErrorAction;
    readonly isUnclear: boolean;
    readonly details: Readonly<Record<string, unknown>>;
  };
  /** A driver's own facts, such as SQLSTATE and constraint. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly cause?: ErrorImage;
}

const MAX_CAUSES = 8;

function imageOf(error: unknown, depth = 0): ErrorImage {
  if (!(error instanceof Error)) {
    return { name: typeof error, message: String(error), stack: undefined, facts: {} };
  }
  const { name, message, stack, cause } = error;
  return {
    name,
    message,
    stack,
    facts: factsOf(error),
    ...(error instanceof MillraceError && {
      ours: {
        code: error.code,
        action: error.action,
        isUnclear: error.isUnclear,
        details: factsOf(error.details),
      },
    }),
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: imageOf(cause, depth + 1) }),
  };
}

function errorOf({ name, message, stack, ours, facts, cause }: ErrorImage): Error {
  const options = cause ? { cause: errorOf(cause) } : {};
  const error = ours
    ? new MillraceError(ours.code, message, {
        ...options,
        action: ours.action,
        isUnclear: ours.isUnclear,
        details: ours.details,
      })
    : Object.assign(new Error(message, options), facts, { name });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What is plain among an object's own fields. */
function factsOf(object: object): Record<string, unknown> {
  const isPlain = ([name, value]: [string, unknown]) =>
    name !== 'stack' && (value === null || ['string', 'number', 'boolean'].includes(typeof value));
  return Object.fromEntries(Object.entries(object).filter(isPlain));
}
