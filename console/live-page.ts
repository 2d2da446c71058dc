/** Serves an app's own page: what its queries give after each commit, and how fresh that is. */
import { MillraceError } from '../runtime/errors.ts';
import type { PageAnswer, PageData, PageFreshness } from '../runtime/page.ts';
import type { EventStream } from './event-stream.ts';
import { type Asset, escaped, type PageServer, type Route, servePages } from './page-server.ts';

export interface LivePageOptions {
  readonly title: string;
  /** The script's and the style's are linked from the page. */
  readonly assets: Readonly<Record<string, Asset>>;
  readonly port: number;
  readonly orAnyPort?: boolean;
  /**
   * Looks at the tables. Not called while an earlier call is under way, nor while nobody looks at the page. APP_INVALID says that
   * a query is wrong; any other error is the sink's, and `freshness` tells of it.
   */
  read(): Promise<PageData>;
  /** Hears of a wrong query, once. */
  onProblem?(message: string): void;
  /** How the consumer was when it was last asked; null before the first time. Waits for nothing. */
  freshness(): PageFreshness | null;
}

export interface LivePage extends PageServer {
  /** There may be something new in the tables. */
  changed(): void;
}

/** Twice a second at most. */
const APART_MS = 500;
/** Consumers wait while a query runs: it may take a share of the time. */
const READ_SHARE = 0.2;
/** Windows move on, though nothing is committed. */
const QUIET_MS = 10_000;
const FRESHNESS_MS = 250;
/** How long `GET /data` waits for a sink that may be down. */
const ANSWER_MS = 2_000;

/** @throws INPUT_INVALID when the port is taken */
export async function serveLivePage(options: LivePageOptions): Promise<LivePage> {
  const { title, assets, read, freshness, onProblem, ...listening } = options;
  const viewers = new Set<EventStream>();
  const everyone = (event: string, value: unknown) => {
    for (const viewer of viewers) viewer.send(event, value);
  };
  let problem: string | null = null;
  const setProblem = (now: string | null) => {
    if (now === problem) return;
    problem = now;
    everyone('problem', now);
    if (now !== null) onProblem?.(now);
  };
  const reader = createReader(read, {
    onData(data) {
      setProblem(null);
      everyone('data', data);
    },
    onError(error) {
      if (error instanceof MillraceError && error.code === 'APP_INVALID') setProblem(error.message);
    },
  });
  let toldAt = 0;
  const tellFreshness = () => {
    const now = freshness();
    if (!now || now.at === toldAt) return;
    toldAt = now.at;
    everyone('freshness', now);
  };
  let ticking: ReturnType<typeof setInterval> | undefined;

  const routes: readonly Route[] = [
    {
      method: 'GET',
      path: '/events',
      async stream(events) {
        viewers.add(events);
        const [known, data] = [freshness(), reader.latest()];
        if (problem !== null) events.send('problem', problem);
        if (known) events.send('freshness', known);
        if (data) events.send('data', data);
        reader.watch(true);
        ticking ??= setInterval(tellFreshness, FRESHNESS_MS);
        await events.closed;
        viewers.delete(events);
        if (viewers.size > 0) return;
        reader.watch(false);
        clearInterval(ticking);
        ticking = undefined;
      },
    },
    {
      method: 'GET',
      path: '/data',
      answer: async (): Promise<PageAnswer> => ({
        data: await reader.newest(ANSWER_MS),
        freshness: freshness(),
        problem,
      }),
    },
  ];
  const html = liveDocument(title, Object.keys(assets));
  const server = await servePages({
    ...listening,
    assets,
    page: (path) => (path === '/' ? html : undefined),
    routes: () => routes,
  });
  return {
    ...server,
    changed: reader.changed,
    async close() {
      reader.watch(false);
      clearInterval(ticking);
      await server.close();
    },
  };
}

/** Reads while somebody looks: soon after a change, and never so often that it is in the way. */
function createReader(
  read: () => Promise<PageData>,
  { onData, onError }: { onData(data: PageData): void; onError(error: unknown): void },
) {
  let isWatched = false;
  let isStale = true;
  let latest: PageData | null = null;
  let reading: Promise<void> | undefined;
  let notBefore = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const readOnce = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const startedAt = performance.now();
    isStale = false;
    reading ??= read()
      .then((data) => {
        latest = data;
        onData(data);
      })
      // What is shown stays, with how old it is.
      .catch((error) => {
        isStale = true;
        onError(error);
      })
      .finally(() => {
        reading = undefined;
        const tookMs = performance.now() - startedAt;
        notBefore = startedAt + Math.max(APART_MS, tookMs / READ_SHARE);
        if (isWatched) plan(isStale ? notBefore : startedAt + QUIET_MS);
      });
    return reading;
  };
  const plan = (at: number) => {
    clearTimeout(timer);
    timer = setTimeout(readOnce, Math.max(0, at - performance.now()));
  };
  return {
    latest: () => latest,
    /** What there is by now; what was there before where the sink does not answer in time. */
    async newest(withinMs: number): Promise<PageData | null> {
      const late = new Promise<void>((resolve) => setTimeout(resolve, withinMs).unref());
      if (reading || (isStale && performance.now() >= notBefore)) await Promise.race([readOnce(), late]);
      return latest;
    },
    changed() {
      isStale = true;
      if (isWatched && !reading) plan(notBefore);
    },
    watch(isLooked: boolean) {
      isWatched = isLooked;
      if (isWatched && !reading) plan(notBefore);
      if (!isWatched) clearTimeout(timer);
    },
  };
}

/** The page itself. Its addresses are relative, so that it may stand anywhere. @param assets their paths, such as `/assets/newsroom.js` */
export function liveDocument(title: string, assets: readonly string[]): string {
  const each = (end: string, tag: (path: string) => string) =>
    assets
      .filter((path) => path.endsWith(end))
      .map((path) => tag(escaped(path.slice(1))))
      .join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<link rel="icon" href="assets/icon.svg" type="image/svg+xml">
${each('.css', (path) => `<link rel="stylesheet" href="${path}">`)}
${each('.js', (path) => `<script type="module" src="${path}"></script>`)}
</head>
<body><div id="app"></div><noscript>This page needs JavaScript.</noscript></body>
</html>`;
}
