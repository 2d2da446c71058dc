/** The console: its page, and what its script asks for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from '../runtime/errors.ts';
import {
  type ActionRequest,
  GROUP_SORTS,
  type GroupQuery,
  type Operations,
  type PageQuery,
  type ParkedKeyName,
} from './operations.ts';
import { type Asset, type PageServer, type Route, servePages } from './page-server.ts';

export interface ConsoleOptions {
  readonly operations: Operations;
  readonly assets: Readonly<Record<string, Asset>>;
  readonly port: number;
  readonly orAnyPort?: boolean;
}

const LOOK_MS = 1_000;
/** One page for every path: the script shows what the path names. */
const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Millrace</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/theme.js"></script>
<link rel="stylesheet" href="/assets/console.css">
<script type="module" src="/assets/console.js"></script>
</head>
<body><div id="app"></div><noscript>The console needs JavaScript. The commands of the CLI show the same.</noscript></body>
</html>`;

/** Serves the console on this machine's loopback. @throws INPUT_INVALID when the port is taken */
export function serveConsole({ operations, assets, ...listening }: ConsoleOptions): Promise<PageServer> {
  return servePages({
    ...listening,
    assets,
    page: () => PAGE,
    routes: () => routes(operations),
  });
}

function routes(operations: Operations): readonly Route[] {
  return [
    { method: 'GET', path: '/api/session', answer: async () => ({ place: await operations.place() }) },
    // What a page asks before it keeps its word for writing: every POST needs that.
    { method: 'POST', path: '/api/session', answer: () => ({}) },
    { method: 'GET', path: '/api/status', answer: () => operations.status() },
    {
      method: 'GET',
      path: '/api/live',
      async stream(events, { signal }) {
        while (!signal.aborted) {
          events.send('status', await operations.status());
          await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
        }
      },
    },
    {
      method: 'GET',
      path: '/api/consumers/:name',
      answer: ({ parameters }) => operations.consumer(parameters.name!),
    },
    { method: 'GET', path: '/api/groups', answer: ({ query }) => operations.groups(groupQuery(query)) },
    {
      method: 'GET',
      path: '/api/letters',
      answer: ({ query }) =>
        operations.letters({
          ...pageQuery(query),
          consumer: query.get('consumer') ?? '',
          fingerprint: query.get('fingerprint') ?? undefined,
          where: query.get('where') ?? undefined,
        }),
    },
    {
      method: 'GET',
      path: '/api/letter',
      answer: ({ query }) => operations.letter(query.get('id') ?? '', false),
    },
    {
      method: 'POST',
      path: '/api/letter/reveal',
      answer: ({ body }) => operations.letter(textOf(body, 'id'), true),
    },
    { method: 'GET', path: '/api/parked', answer: ({ query }) => operations.parked(pageQuery(query)) },
    {
      method: 'GET',
      path: '/api/find',
      answer: ({ query, signal }) =>
        operations.find(
          {
            topic: query.get('topic') ?? '',
            key: query.get('key') ?? undefined,
            where: query.getAll('where'),
            since: query.get('since') ?? undefined,
          },
          signal,
        ),
    },
    { method: 'GET', path: '/api/audit', answer: ({ query }) => operations.auditLog(pageQuery(query)) },
    { method: 'POST', path: '/api/plan', answer: ({ body }) => operations.plan(requestOf(body)) },
    { method: 'GET', path: '/api/actions', answer: () => operations.actions() },
    {
      method: 'POST',
      path: '/api/actions',
      answer: ({ body }) =>
        operations.start(
          textOf(body, 'plan'),
          requestOf((body as { request?: unknown } | null)?.request),
          textOf(body, 'confirmation'),
        ),
    },
    ...(['pause', 'resume', 'cancel'] as const).map(
      (to): Route => ({
        method: 'POST',
        path: `/api/actions/:id/${to}`,
        answer: ({ parameters }) => operations.steer(parameters.id!, to),
      }),
    ),
  ];
}

function pageQuery(query: URLSearchParams): PageQuery {
  const limit = Number(query.get('limit') ?? 50);
  if (!Number.isInteger(limit) || limit < 1 || limit > 200)
    throw new MillraceError('INPUT_INVALID', 'limit is a whole number from 1 to 200.');
  return {
    limit,
    consumer: query.get('consumer') ?? undefined,
    search: query.get('search') ?? undefined,
    cursor: query.get('cursor') ?? undefined,
  };
}

/** @throws INPUT_INVALID for an order that there is not */
function groupQuery(query: URLSearchParams): GroupQuery {
  const asked = query.get('sort');
  const sort = GROUP_SORTS.find((each) => each === asked);
  if (asked !== null && sort === undefined)
    throw new MillraceError('INPUT_INVALID', `sort is one of ${GROUP_SORTS.join(', ')}.`);
  return { ...pageQuery(query), fingerprint: query.get('fingerprint') ?? undefined, sort };
}

function textOf(body: unknown, field: string): string {
  const value = (body as Readonly<Record<string, unknown>> | null)?.[field];
  if (typeof value === 'string') return value;
  throw new MillraceError('INPUT_INVALID', `${field} is missing; it is a text.`);
}

function wholeOf(fields: Readonly<Record<string, unknown>>, name: string, least: number): number {
  const value = fields[name];
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw new MillraceError('INPUT_INVALID', `${name} is a whole number from ${least}.`);
}

function keyOf(name: unknown): ParkedKeyName {
  const fields = (typeof name === 'object' ? (name ?? {}) : {}) as Readonly<Record<string, unknown>>;
  if ('letter' in fields) return { letter: textOf(fields, 'letter') };
  return { base64: textOf(fields, 'base64'), partition: wholeOf(fields, 'partition', 0) };
}

/** @throws INPUT_INVALID for what no page of ours sends */
function requestOf(body: unknown): ActionRequest {
  const fields = (body ?? {}) as Readonly<Record<string, unknown>>;
  const text = (name: string) => textOf(fields, name);
  const whole = (name: string, least: number) => wholeOf(fields, name, least);
  const kind = text('kind');
  if (kind === 'redrive')
    return {
      kind,
      consumer: text('consumer'),
      where: text('where'),
      allowOvertaken: fields.allowOvertaken === true,
      canary: whole('canary', 0),
      rate: whole('rate', 1),
      maxFailures: whole('maxFailures', 1),
    };
  if (kind === 'discard')
    return { kind, consumer: text('consumer'), where: text('where'), reason: text('reason') };
  if (kind === 'park-release' || kind === 'park-skip' || kind === 'park-discard')
    return {
      kind,
      consumer: text('consumer'),
      key: keyOf(fields.key),
      reason: text('reason'),
    };
  throw new MillraceError(
    'INPUT_INVALID',
    `kind is ${JSON.stringify(kind.slice(0, 40))}, which is no action.`,
  );
}
