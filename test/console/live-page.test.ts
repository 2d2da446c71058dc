import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type LivePage, serveLivePage } from '../../console/live-page.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { PageAnswer, PageData } from '../../runtime/page.ts';
import { freshnessAt } from '../verify/newsroom-data.ts';

let page: LivePage;
let headers: Record<string, string>;
let origin: string;
let reads: (() => Promise<PageData>)[];
let timesRead: number;
let problems: string[];
const numbered = (asOf: number): PageData => ({ at: 1, asOf, rows: { each: [{ asOf }] } });

beforeEach(async () => {
  timesRead = 0;
  reads = [];
  problems = [];
  page = await serveLivePage({
    title: 'A <page> & "more"',
    assets: {
      '/assets/page.js': { type: 'text/javascript', body: '1' },
      '/assets/page.css': { type: 'text/css', body: '' },
    },
    port: 0,
    read: () => (reads.shift() ?? (async () => numbered(timesRead)))().finally(() => timesRead++),
    freshness: () => freshnessAt(7),
    onProblem: (message) => problems.push(message),
  });
  ({ origin } = new URL(page.url));
  const { headers: given } = await fetch(page.url, { redirect: 'manual' });
  headers = { cookie: given.get('set-cookie')!.split(';')[0]! };
});
afterEach(() => page.close());

const get = (path: string) => fetch(`${origin}${path}`, { headers });
const answer = async () => (await (await get('/data')).json()) as PageAnswer;

/** The events as they come. */
async function* events(signal: AbortSignal): AsyncGenerator<[string, unknown]> {
  const { body } = await fetch(`${origin}/events`, { headers, signal });
  let text = '';
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (event) yield [event, JSON.parse(data!)];
    }
  }
}

/** The first event of the name that passes, then the stream ends. */
async function firstEvent(name: string, passes: (value: never) => boolean, meanwhile = () => {}) {
  const gone = new AbortController();
  try {
    for await (const [event, value] of events(gone.signal)) {
      if (event === name && passes(value as never)) return value;
      meanwhile();
    }
  } finally {
    gone.abort();
  }
  throw new Error('The stream ended.');
}

test('the page links what it is given, and its title is text', async () => {
  const html = await (await get('/')).text();
  expect(html).toContain('<title>A &#60;page&#62; &#38; &#34;more&#34;</title>');
  expect(html).toContain('href="assets/page.css"');
  expect(html).toContain('src="assets/page.js"');
});

test('who asks without events gets the newest data with its freshness', async () => {
  expect(await answer()).toEqual({ data: numbered(0), freshness: freshnessAt(7), problem: null });
});

test('nothing is read while nobody looks', async () => {
  for (let times = 0; times < 5; times++) page.changed();
  await get('/');
  expect(timesRead).toBe(0);
});

test('who looks is sent the data, and what a commit changes', async () => {
  await firstEvent('data', () => true);
  await expect(firstEvent('data', ({ asOf }: PageData) => asOf! > 1, page.changed)).resolves.toMatchObject({
    rows: { each: [{ asOf: expect.any(Number) }] },
  });
});

test('a sink that does not answer keeps back neither freshness nor what was there before', async () => {
  await answer();
  reads.push(() => new Promise(() => {}));
  page.changed();
  await expect(firstEvent('freshness', () => true)).resolves.toEqual(freshnessAt(7));
  expect((await answer()).data).toEqual(numbered(0));
});

test('a sink that fails is asked again', async () => {
  reads.push(async () => {
    throw new Error('down');
  });
  await expect(firstEvent('data', () => true)).resolves.toMatchObject({ asOf: 1 });
  expect(problems).toEqual([]);
});

describe('a wrong query', () => {
  const wrong = async () => {
    throw new MillraceError('APP_INVALID', 'The query "most" is wrong.');
  };

  test('is said once, however often it fails, and each page hears of it', async () => {
    reads.push(wrong, wrong, wrong);
    expect(await answer()).toEqual({
      data: null,
      freshness: freshnessAt(7),
      problem: 'The query "most" is wrong.',
    });
    await expect(firstEvent('problem', () => true)).resolves.toBe('The query "most" is wrong.');
    await firstEvent('problem', (problem) => problem === null);
    expect(timesRead).toBeGreaterThanOrEqual(4);
    expect(problems).toEqual(['The query "most" is wrong.']);
  });

  test('is forgotten once the tables can be read', async () => {
    reads.push(wrong);
    expect((await answer()).problem).not.toBeNull();
    await firstEvent('data', () => true);
    expect((await answer()).problem).toBeNull();
  });
});

test('without the token there is nothing', async () => {
  for (const path of ['/', '/data', '/events']) expect((await fetch(`${origin}${path}`)).status).toBe(401);
});
