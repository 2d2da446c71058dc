import { once } from 'node:events';
import { afterEach, expect, jest, test } from '@jest/globals';
import { CSRF_HEADER } from '../../console/guard.ts';
import { GROUP_SORTS, type Operations } from '../../console/operations.ts';
import type { PageServer } from '../../console/page-server.ts';
import { serveConsole } from '../../console/server.ts';
import { sampleOperations } from './sample-operations.ts';

const servers: PageServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

/** The answer's JSON. */
const bodyOf = async (answer: Response) => JSON.parse(await answer.text());

async function open(overrides: Partial<Operations> = {}) {
  const operations = { ...sampleOperations({ groups: 300, letters: 500 }), ...overrides };
  const server = await serveConsole({ operations, assets: {}, port: 0 });
  servers.push(server);
  const { origin } = new URL(server.url);
  const opened = await fetch(server.url, { redirect: 'manual' });
  const cookie = opened.headers.get('set-cookie')!.split(';')[0]!;
  const get = (path: string, signal?: AbortSignal) =>
    fetch(origin + path, { headers: { cookie }, ...(signal && { signal }) });
  const csrf = opened.headers.get('location')!.split('#csrf=')[1]!;
  const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    fetch(origin + path, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', [CSRF_HEADER]: csrf, ...headers },
      body: JSON.stringify(body),
    });
  return { get, post };
}

const REDRIVE = {
  kind: 'redrive',
  consumer: 'order-totals',
  where: 'error=HANDLER_FAILED',
  allowOvertaken: false,
  canary: 5,
  rate: 50,
  maxFailures: 1,
};

test('tells a page whether its word for writing is the right one', async () => {
  const { post } = await open();
  expect((await post('/api/session', {})).status).toBe(200);
  expect((await post('/api/session', {}, { [CSRF_HEADER]: 'evil' })).status).toBe(403);
});

test('serves the page at every path, and what it asks for', async () => {
  const { get } = await open();
  for (const path of ['/', '/failures', '/letters/a%2Fb/c', '/__proto__', '/%']) {
    const answer = await get(path);
    expect([path, answer.status, answer.headers.get('content-type')]).toEqual([
      path,
      200,
      'text/html; charset=utf-8',
    ]);
    expect(await answer.text()).not.toMatch(
      /<script(?![^>]* src="\/assets\/[a-z]+\.js"><\/script>)| style=| on\w+=/,
    );
  }
  for (const path of [
    'status',
    'groups',
    'parked',
    'audit',
    'actions',
    'consumers/billing',
    'find?topic=a&key=b',
  ])
    expect([path, (await get(`/api/${path}`)).status]).toEqual([path, 200]);
});

test('a list comes in pages, and no page is larger than it may be', async () => {
  const { get } = await open();
  const first = await bodyOf(await get('/api/groups?limit=120'));
  expect([first.items.length, first.total]).toEqual([120, 300]);
  const second = await bodyOf(await get(`/api/groups?limit=200&cursor=${first.next}`));
  expect([second.items.length, second.next]).toEqual([180, null]);
  for (const limit of ['0', '-1', '201', '1.5', 'x', '', '1e9', 'NaN'])
    expect([limit, (await get(`/api/groups?limit=${limit}`)).status]).toEqual([limit, 400]);
});

test('groups come in an order that there is, and one comes alone by its fingerprint', async () => {
  const groups = jest.fn(sampleOperations({ groups: 9 }).groups);
  const { get } = await open({ groups });
  const [alone] = (await bodyOf(await get('/api/groups?fingerprint=f0000007'))).items;
  expect(alone.fingerprint).toBe('f0000007');
  for (const sort of GROUP_SORTS) await get(`/api/groups?sort=${sort}&search=a&consumer=billing`);
  expect(groups.mock.calls.slice(1).map(([query]) => query)).toEqual(
    GROUP_SORTS.map((sort) => ({
      limit: 50,
      consumer: 'billing',
      search: 'a',
      cursor: undefined,
      fingerprint: undefined,
      sort,
    })),
  );
  for (const sort of ['', 'COUNT', 'toString', 'count,newest'])
    expect([sort, (await get(`/api/groups?sort=${sort}`)).status]).toEqual([sort, 400]);
});

test('a look asks for no secret value: only a POST with the header of the page reveals', async () => {
  const letter = jest.fn(sampleOperations({ groups: 1 }).letter);
  const { get, post } = await open({ letter });
  const id = 'order-totals/news.pageviews/5/7';
  await get(`/api/letter?id=${encodeURIComponent(id)}&reveal=true`);
  expect(letter.mock.calls).toEqual([[id, false]]);
  expect((await get(`/api/letter/reveal?id=${id}`)).status).toBe(404);
  expect((await post('/api/letter/reveal', { id }, { [CSRF_HEADER]: 'x' })).status).toBe(403);
  expect(letter).toHaveBeenCalledTimes(1);
  expect((await post('/api/letter/reveal', { id })).status).toBe(200);
  expect(letter.mock.calls[1]).toEqual([id, true]);
});

test('the cookie alone writes nothing: a server on another port of this machine gets it along', async () => {
  const start = jest.fn(sampleOperations({ groups: 5 }).start);
  const { get, post } = await open({ start });
  const answers = await Promise.all(
    ['/', '/api/session', '/api/status', '/api/actions'].map(async (path) => (await get(path)).text()),
  );
  const words = new Set(answers.join(' ').match(/[\w-]{32,}/g));
  for (const word of [...words, ''])
    expect(
      (await post('/api/actions', { plan: 'plan-1', request: REDRIVE }, { [CSRF_HEADER]: word })).status,
    ).toBe(403);
  expect(start).not.toHaveBeenCalled();
});

test('an action reaches the operations as the page sent it, with its plan and what was typed', async () => {
  const start = jest.fn(sampleOperations({ allowsActions: true, groups: 5 }).start);
  const { post } = await open({ start });
  const body = { plan: 'plan-1', request: { ...REDRIVE, more: 1 }, confirmation: 'order-totals', more: 1 };
  await post('/api/actions', body);
  expect(start.mock.calls).toEqual([['plan-1', REDRIVE, 'order-totals']]);
});

test('without --allow-actions an action is refused', async () => {
  const { post, get } = await open();
  const body = { plan: 'plan-1', request: REDRIVE, confirmation: 'order-totals' };
  const answer = await post('/api/actions', body);
  expect([answer.status, (await bodyOf(answer)).error.message]).toEqual([
    400,
    expect.stringContaining('--allow-actions'),
  ]);
  expect(await bodyOf(await get('/api/actions'))).toEqual([]);
});

test('what no page of ours sends is refused before it reaches the operations', async () => {
  const start = jest.fn(sampleOperations({ groups: 5 }).start);
  const plan = jest.fn(sampleOperations({ groups: 5 }).plan);
  const { post } = await open({ start, plan });
  for (const body of [
    null,
    [],
    'text',
    7,
    {},
    { plan: 'p', request: null, confirmation: 'x' },
    { plan: 'p', request: REDRIVE },
    { plan: 'p', request: REDRIVE, confirmation: 7 },
    { plan: 'p', request: { ...REDRIVE, kind: 'drop-table' }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, kind: '__proto__' }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, consumer: ['a'] }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, where: undefined }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, rate: 0 }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, rate: '50' }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, canary: -1 }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, canary: 1e300 }, confirmation: 'x' },
    { plan: 'p', request: { ...REDRIVE, maxFailures: null }, confirmation: 'x' },
    { plan: 'p', request: { kind: 'discard', consumer: 'a', where: 'b' }, confirmation: 'x' },
    ...[undefined, null, 'b', 7, [], { base64: 'b' }, { base64: 'b', partition: -1 }, { letter: 7 }].map(
      (key) => ({
        plan: 'p',
        request: { kind: 'park-skip', consumer: 'a', key, reason: 'c' },
        confirmation: 'x',
      }),
    ),
    { request: REDRIVE, confirmation: 'x' },
    { plan: null, request: REDRIVE, confirmation: 'x' },
  ]) {
    const answer = await post('/api/actions', body);
    expect([body, answer.status, (await bodyOf(answer)).error.code]).toEqual([body, 400, 'INPUT_INVALID']);
    expect((await post('/api/plan', (body as { request?: unknown } | null)?.request ?? null)).status).toBe(
      (body as { request?: unknown } | null)?.request === REDRIVE ? 200 : 400,
    );
  }
  expect(start).not.toHaveBeenCalled();
});

test('only what truly says so lets overtaken letters through', async () => {
  const plan = jest.fn(sampleOperations({ groups: 5 }).plan);
  const { post } = await open({ plan });
  for (const allowOvertaken of [1, 'true', {}, true]) await post('/api/plan', { ...REDRIVE, allowOvertaken });
  expect(plan.mock.calls.map(([request]) => 'allowOvertaken' in request && request.allowOvertaken)).toEqual([
    false,
    false,
    false,
    true,
  ]);
});

test('the newest look is pushed, and a page that leaves ends the asking', async () => {
  let asked = 0;
  const sample = sampleOperations({ groups: 1 });
  const { get } = await open({
    async status() {
      asked++;
      return sample.status();
    },
  });
  const answer = await get('/api/live');
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  const reader = answer.body!.getReader();
  const { value } = await reader.read();
  expect(new TextDecoder().decode(value)).toMatch(/^event: status\ndata: \{"at":/);
  await reader.cancel();
  expect(asked).toBe(1);
});

test('a find is given up when its page has gone', async () => {
  const begun = Promise.withResolvers<AbortSignal>();
  const { get } = await open({
    find: (_query, signal) => {
      begun.resolve(signal);
      return new Promise(() => {});
    },
  });
  const gone = new AbortController();
  const asking = get('/api/find?topic=a&key=b', gone.signal);
  const signal = await begun.promise;
  expect(signal.aborted).toBe(false);
  gone.abort();
  await expect(asking).rejects.toThrow('aborted');
  if (!signal.aborted) await once(signal, 'abort');
});
