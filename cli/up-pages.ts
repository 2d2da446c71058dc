/** The pages that `millrace up` serves beside the run, for this machine's browser alone. */
import { resolve } from 'node:path';
import { bundled, pageIcon } from '../console/assets.ts';
import { serveLivePage } from '../console/live-page.ts';
import type { Stack } from '../local/stack.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import { freshnessOf } from '../runtime/page.ts';
import type { LoadedApp } from './app.ts';
import type { ConsoleThread } from './console/thread.ts';

export interface UpPages {
  /** URLs hold tokens. Null where there is no such page. */
  readonly newsroom: string | null;
  /** Its thread takes a while to load: nothing else waits for that. Rejects with INPUT_INVALID when a chosen port is taken. */
  readonly console: Promise<string | null>;
  close(): Promise<void>;
}

export interface UpPagesOptions {
  readonly app: LoadedApp;
  readonly stack: Pick<Stack, 'pageData'>;
  /** The newest status of the consumers, and when it was taken. */
  readonly looked: () => { readonly at: number; readonly consumers: readonly ConsumerStatus[] };
  /** Calls back after each batch, whichever consumer's. */
  readonly onBatch: (told: (consumer: string) => void) => void;
  readonly consoleThread: ConsoleThread;
  /** Hears of a query of the page's that is wrong, once. */
  readonly onProblem: (problem: string) => void;
  /** @default 4182, or any that is free */
  readonly pagePort?: number | undefined;
}

const PAGE_PORT = 4182;

/** With `--exit-when-drained` there is nobody to look. */
export const NO_PAGES: UpPages = { newsroom: null, console: Promise.resolve(null), async close() {} };

/** @throws APP_INVALID where the page's script cannot be bundled; INPUT_INVALID when its port is taken */
export async function serveUpPages(options: UpPagesOptions): Promise<UpPages> {
  const console = options.consoleThread.serve();
  // Whoever waits for it hears of it.
  console.catch(() => {});
  const newsroom = await serveNewsroom(options);
  return {
    newsroom: newsroom?.url ?? null,
    console,
    async close() {
      await Promise.all([newsroom?.close(), options.consoleThread.close()]);
    },
  };
}

async function serveNewsroom({ app, stack, looked, onBatch, pagePort, onProblem }: UpPagesOptions) {
  const { demo: { page } = {}, root, consumers } = app;
  if (!page || consumers.every(({ name }) => name !== page.consumer)) return undefined;
  const served = await serveLivePage({
    title: page.title,
    assets: { ...pageIcon, ...(await bundled(resolve(root, page.script))) },
    port: pagePort ?? PAGE_PORT,
    orAnyPort: pagePort === undefined,
    read: () => stack.pageData(page),
    onProblem,
    freshness() {
      const { at, consumers: statuses } = looked();
      const status = statuses.find(({ consumer }) => consumer === page.consumer);
      return status ? freshnessOf(status, at) : null;
    },
  });
  onBatch((consumer) => {
    // A later generation's is not what readers see, but it may become that any time.
    if (consumer.startsWith(page.consumer)) served.changed();
  });
  return served;
}
