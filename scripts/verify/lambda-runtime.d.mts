import type { Processes } from '../../local/parts/processes.ts';
import type { BuiltFunction } from './built-functions.mjs';

export interface RunningFunction {
  /** Resolves with what the handler returned, or with {errorType, errorMessage, trace}. */
  // biome-ignore lint/suspicious/noExplicitAny: an answer is any JSON.
  invoke(event: unknown): Promise<any>;
  log(): string;
  end(): Promise<void>;
}

interface Downloads {
  readonly emulator: string;
  readonly client: string;
}

export declare const lambdaRuntime: {
  download(processes: Processes): Promise<Downloads>;
  start(processes: Processes, downloads: Downloads): Promise<{ readonly value: string }>;
};
export declare function startFunction(
  processes: Processes,
  runtime: string,
  fn: BuiltFunction,
  settings: Readonly<Record<string, string>>,
): Promise<RunningFunction>;
