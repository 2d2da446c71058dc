import type { Processes } from './processes.mjs';

export declare function pythonPackages(
  processes: Processes,
  requirements: readonly string[],
): Promise<string>;
