import type { Processes } from './processes.mjs';

export declare const motoPython: string;
export declare const moto: {
  download(processes: Processes): Promise<string>;
  start(processes: Processes, command: string): Promise<{ readonly value: string }>;
};
