import type { Processes } from '../../local/parts/processes.ts';

export interface BuiltFunction {
  /** Of its folder in lambdas/. */
  readonly name: string;
  readonly functionName: string;
  /** The folder of its bundle. */
  readonly code: string;
  readonly handler: string;
  readonly timeoutSeconds: number;
  readonly memoryMb: number;
  readonly environment: Readonly<Record<string, unknown>>;
}

export declare function buildFunctions(
  processes: Processes,
  environment: string,
): Promise<readonly BuiltFunction[]>;
export declare function bundle(contents: string): string;
