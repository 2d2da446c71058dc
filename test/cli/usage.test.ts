import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace } from './millrace.ts';

jest.setTimeout(30_000);

let temporary: ReturnType<typeof createTemporaryFolder>;
let state: string;
beforeAll(() => {
  temporary = createTemporaryFolder();
  state = join(temporary.path, 'state');
});
afterAll(() => temporary.remove());

describe.each([
  [
    'an unknown option',
    ['up', '--fres'],
    /unknown option '--fres'.*Did you mean --fresh\?.*millrace up --help/s,
  ],
  ['an unknown command', ['ups'], /unknown command 'ups'.*Did you mean up\?/s],
  [
    'an unknown subcommand',
    ['dlq', 'lst'],
    /unknown command 'lst'.*Did you mean list\?.*millrace dlq --help/s,
  ],
  [
    'a share above 1',
    ['up', '--poison', '1.5'],
    /'--poison <share>' argument '1.5' is invalid\. Give a share/,
  ],
  ['a rate of none', ['up', '--rate', '0'], /'--rate <n>' argument '0' is invalid\. Give records a second/],
  ['an end that never comes', ['up', '--exit-when-drained'], /traffic has none\. Add --duration/],
  ['crashes without an end', ['up', '--crash', '1'], /with '--crash 1' no invocation ends/],
  [
    'a port that is none',
    ['up', '--collector-port', '65536'],
    /'65536' is invalid\. Give a port from 1 to 65535, or 0/,
  ],
  [
    'an origin that no browser writes',
    ['up', '--collector-origin', 'http://localhost:3000/', '--collector-port', '0'],
    /'http:\/\/localhost:3000\/' is invalid\. Give origins as browsers write them/,
  ],
  [
    'a collector where the end of the input is the end',
    ['up', '--no-publish', '--exit-when-drained', '--collector-port', '0'],
    /does not run with '--exit-when-drained'/,
  ],
  [
    'an unknown way of polling',
    ['up', '--polling', 'eager'],
    /'--polling <mode>' argument 'eager' is invalid\. Allowed choices are on-demand, provisioned\./,
  ],
  ['an empty statement', ['sql', ' '], /'statement' is empty/],
  ['two that exclude each other', ['up', '--no-publish', '--input', 'x'], /cannot be used together/],
  ['a missing argument', ['sql'], /missing required argument 'statement'/],
  ['a missing option', ['publish', 'news.pageviews'], /required option '--input/],
  [
    'an environment that is not declared',
    ['doctor', '--env', 'dve'],
    /has no environment "dve"\. Did you mean "dev"\? Use dev,/,
  ],
  ['a deployment of nothing', ['doctor', '--before'], /'--before' needs '--env'/],
  [
    'a cluster beside an environment',
    ['doctor', '--env', 'dev', '--kafka', 'localhost:9092'],
    /cannot be used with option '--kafka/,
  ],
  [
    'a folder beside an environment',
    ['doctor', '--env', 'dev', '--state', 'elsewhere'],
    /'--env <name>' cannot be used with option '--state/,
  ],
  [
    'two kinds of replay',
    ['replay', 'editorial-analytics', '--gaps', '--shadow'],
    /are two replays\. Give one/,
  ],
  ['a registry to register in', ['contracts', 'register'], /required option '--registry/],
])('%s', (_, args, message) => {
  test('ends with 2, says what is allowed, and touches nothing', async () => {
    // What is in AWS has no folder here, and takes none.
    const place = args.includes('--env') ? [] : ['--state', state];
    const { code, stdout, stderr } = await millrace([...args, ...place]);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(existsSync(state)).toBe(false);
  });
});

describe('a mistake that is none of usage', () => {
  test.each([
    [
      'no state folder',
      ['find', 'news.pageviews', '--key', 'k'],
      /Nothing has run in .* yet.*\[STATE_UNREADABLE\]/,
    ],
    [
      'no such topic',
      ['publish', 'news.nothing', '--input', '-'],
      /there is news\.pageviews.*\[TOPIC_UNKNOWN\]/,
    ],
    [
      'no such file',
      ['publish', 'news.pageviews', '--input', '/nowhere/x.log'],
      /\/nowhere\/x\.log cannot be read.*\[INPUT_INVALID\]/,
    ],
    [
      'no such consumer',
      ['dlq', 'list', '--consumer', 'nobody'],
      /There is no consumer "nobody"\. Use editorial-analytics\. \[INPUT_INVALID\]/,
    ],
    [
      'an environment that is nearly another one',
      ['dlq', 'list', '--env', 'dve'],
      /There is no environment "dve"\. Did you mean "dev"\?.*\[INPUT_INVALID\]/,
    ],
    [
      'no URL, which may hold a password,',
      ['up', '--postgres', 'me:hidden@host/db'],
      /^(?!.*hidden).*Give one such as postgres:.*\[INPUT_INVALID\]/,
    ],
    [
      'no registry',
      ['up', '--registry', 'glue'],
      /does not name a schema registry\. Give glue:NAME, or a URL.*\[INPUT_INVALID\]/,
    ],
    [
      "a registry's URL with a password",
      ['up', '--registry', 'http://me:hidden@localhost:8081'],
      /^(?!.*hidden).*login into MILLRACE_REGISTRY_USERNAME.*\[INPUT_INVALID\]/,
    ],
    [
      'a registry of another framing',
      ['publish', 'news.pageviews', '--input', '-', '--registry', 'http://localhost:8081'],
      /news\.pageviews has glue framing.*\[INPUT_INVALID\]/,
    ],
    [
      'a registry beside the one of an environment',
      ['dlq', 'list', '--env', 'prod', '--registry', 'glue:other'],
      /prod has its own registry.*\[INPUT_INVALID\]/,
    ],
  ])('%s ends with 1, one line and no stack trace', async (_, args, message) => {
    const folder = join(temporary.path, 'other');
    const { code, stderr } = await millrace([...args, '--state', folder]);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(code).toBe(1);
  });

  // 1 is a verdict there.
  test.each([
    ['status', ['status'], /\[STATE_UNREADABLE\]/],
    ['lag', ['lag'], /Nothing has run in .* yet.*\[STATE_UNREADABLE\]/],
    [
      'lag explain',
      ['lag', 'explain', 'editorial-analytic'],
      /Did you mean "editorial-analytics"\?.*\[INPUT_INVALID\]/,
    ],
  ])('%s ends with 3 where it cannot look, and says nothing on stdout', async (_, args, message) => {
    const { code, stdout, stderr } = await millrace([...args, '--state', join(temporary.path, 'other')]);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });
});

describe('without a region of AWS', () => {
  const before = { ...process.env };
  beforeEach(() => {
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE']) delete process.env[name];
    process.env.AWS_CONFIG_FILE = '/dev/null';
    process.env.AWS_EC2_METADATA_DISABLED = 'true';
  });
  afterEach(() => {
    process.env = before;
  });

  test.each([
    ['console', ['console', '--port', '0'], 1],
    ['dlq list', ['dlq', 'list', '--consumer', 'editorial-analytics'], 1],
    ['find', ['find', 'news.pageviews', '--key', 'k'], 1],
    ['status', ['status'], 3],
  ])('%s of an environment says which one is missing, in the same words', async (_, args, expected) => {
    const { code, stdout, stderr } = await millrace([...args, '--env', 'dev']);
    expect(stderr).toBe(
      'error: No AWS region is set. Set AWS_REGION, or AWS_PROFILE with a region. [INPUT_INVALID]\n',
    );
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
  });
});

test('a state folder where none can be made is refused, not waited for', async () => {
  const { code, stderr } = await millrace(['up', '--duration', '1', '--state', '/proc/none/here']);
  expect(stderr).toMatch(/cannot be used as a state folder.*\[STATE_UNREADABLE\]/);
  expect(code).toBe(1);
});

test('an input of which nothing can be published is a failure', async () => {
  const useless = join(temporary.path, 'useless');
  placeSink(useless);
  const { code, stdout } = await millrace(
    ['up', '--input', '-', '--exit-when-drained', '--json', '--state', useless],
    'neither JSON nor a log\n',
  );
  const [listening, summary] = stdout.split('\n').map((line) => line && JSON.parse(line));
  expect(listening).toEqual({ event: 'listening', newsroom: null, console: null, collector: null });
  expect(summary).toMatchObject({ published: 0, malformed: 1 });
  expect(code).toBe(1);
}, 120_000);

describe('help', () => {
  test('of the whole lists the commands', async () => {
    const { code, stdout, stderr } = await millrace(['--help']);
    for (const command of ['up', 'publish', 'contracts', 'lag', 'dlq', 'sql']) {
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test.each([
    ['up'],
    ['publish'],
    ['contracts'],
    ['contracts check'],
    ['contracts generate'],
    ['contracts list'],
    ['contracts register'],
    ['lag'],
    ['dlq'],
    ['dlq triage'],
    ['dlq list'],
    ['dlq show'],
    ['dlq redrive'],
    ['dlq audit'],
    ['sql'],
    ['audit'],
    ['find'],
    ['replay'],
  ])('of %s has an example and --json, and fits 80 columns', async (command) => {
    const { code, stdout } = await millrace([...command.split(' '), '--help']);
    expect(stdout).toMatch(new RegExp(`Examples?:\\n.*millrace ${command}`));
    if (!['contracts', 'dlq'].includes(command)) expect(stdout).toContain('--json');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(code).toBe(0);
  });
});

test('contracts check passes for this repository, and contracts list says what is promised', async () => {
  const check = await millrace(['contracts', 'check', '--json']);
  expect(JSON.parse(check.stdout)).toMatchObject({ ok: true, problems: [] });
  expect(check.code).toBe(0);
  const list = await millrace(['contracts', 'list', '--json']);
  expect(JSON.parse(list.stdout)).toContainEqual(
    expect.objectContaining({ topic: 'news.pageviews', key: 'contentId', versions: [1, 2] }),
  );
});
