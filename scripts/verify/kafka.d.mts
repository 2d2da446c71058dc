/** What tests use of it: those that take a broker down have one of their own. */
import type { Processes } from './processes.mjs';

export interface KafkaNode {
  readonly id: number;
  readonly address: string;
  start(): Promise<void>;
  kill(): Promise<void>;
  hang(): void;
  resume(): void;
  restart(): Promise<void>;
}

export declare const kafka: { download(processes: Processes): Promise<string> };
export declare const guardedKafka: {
  start(processes: Processes): Promise<{ readonly value: string }>;
};
export declare function startKafka(
  processes: Processes,
  options: { readonly nodes: number; readonly settings?: Readonly<Record<string, string>> },
): Promise<readonly KafkaNode[]>;
