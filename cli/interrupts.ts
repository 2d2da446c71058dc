export interface Interrupts {
  /** Resolves at the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly first: Promise<void>;
  /** Resolves at the second. */
  readonly second: Promise<void>;
  /** Gives the signals their usual effect back. */
  ignore(): void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
// One Ctrl-C arrives up to three times: from the terminal, passed on by npm, and passed on by our launcher.
const ONE_PRESS_MS = 500;

/** Takes signals over from their default, which is to end the process. */
export function watchInterrupts(): Interrupts {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let firstAt: number | undefined;
  const onSignal = () => {
    const now = performance.now();
    firstAt ??= now;
    if (now - firstAt >= ONE_PRESS_MS) second.resolve();
    else first.resolve();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    first: first.promise,
    second: second.promise,
    ignore() {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
