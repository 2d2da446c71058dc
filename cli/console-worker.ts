/** The console beside a run: a thread of its own, so that what a page asks for never keeps the pipeline waiting. */
import { parentPort, workerData } from 'node:worker_threads';
import { connect } from '../adapters/threads/calls.ts';
import { consoleAssets } from '../console/assets.ts';
import type { Operations } from '../console/operations.ts';
import type { PageServer } from '../console/page-server.ts';
import { serveConsole } from '../console/server.ts';
import { loadApp } from './app.ts';
import type { ConsoleOptions } from './console/context.ts';
import { createOperations } from './console/operations.ts';

export interface ConsoleWorkerData {
  readonly options: ConsoleOptions;
  readonly port: number;
  readonly orAnyPort: boolean;
}

export type ConsoleCalls = {
  /** @returns the URL. @throws APP_INVALID; INPUT_INVALID when the port is taken */
  serve(): Promise<string>;
  /** Resolves when what was under way has been cancelled. */
  close(): Promise<void>;
};

const { options, port, orAnyPort } = workerData as ConsoleWorkerData;
// While the run starts: nothing of this needs it.
const loading = Promise.all([loadApp(), consoleAssets()]);
loading.catch(() => {});
let operations: Operations | undefined;
let server: PageServer | undefined;

connect(parentPort!, {
  async serve() {
    const [app, assets] = await loading;
    operations = await createOperations(app, options);
    server = await serveConsole({ operations, assets, port, orAnyPort });
    return server.url;
  },
  async close() {
    await server?.close();
    await operations?.close();
  },
} satisfies ConsoleCalls);
