/** Consumers that somebody has paused. A note in the state folder: the next run on it does not resume them either. */
import { readJsonFile, writeJsonFile } from './json-file.ts';
import type { StateFolder } from './state-folder.ts';

export interface Pause {
  readonly by: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface Pauses {
  /** By the consumer's declared name. */
  of(consumer: string): Pause | undefined;
  /** Durable once it returns. An earlier pause stays as it is. */
  pause(consumer: string, pause: Pause): void;
  resume(consumer: string): void;
  /** Hears of each change that this object makes. */
  onChange(listener: (consumer: string) => void): void;
}

/** Pauses or resumes. @returns the pause that held before; null where there was none */
export function setPause(
  pauses: Pauses,
  consumer: string,
  { by, at, isPaused }: Pause & { readonly isPaused: boolean },
): Pause | null {
  const before = pauses.of(consumer) ?? null;
  if (isPaused) pauses.pause(consumer, { by, at });
  else pauses.resume(consumer);
  return before;
}

/** @throws STATE_UNREADABLE where the note cannot be read */
export function openPauses({ files }: Pick<StateFolder, 'files'>): Pauses {
  const listeners: ((consumer: string) => void)[] = [];
  const read = (): Readonly<Record<string, Pause>> =>
    readJsonFile(files.pauses, 'Remove it, and pause again what is to be paused.') ?? {};
  const write = (consumer: string, pauses: Readonly<Record<string, Pause>>) => {
    writeJsonFile(files.pauses, pauses);
    for (const listener of listeners) listener(consumer);
  };
  return {
    of: (consumer) => read()[consumer],
    pause(consumer, pause) {
      const pauses = read();
      if (!pauses[consumer]) write(consumer, { ...pauses, [consumer]: pause });
    },
    resume(consumer) {
      const { [consumer]: over, ...others } = read();
      if (over) write(consumer, others);
    },
    onChange(listener) {
      listeners.push(listener);
    },
  };
}
