/** The commands of the pages about deploying, run by the CDK's own command line until it misses credentials, and no less far. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, expect, test } from '@jest/globals';
import { childEnvironment } from '../child-environment.ts';
import { appOf, ENVIRONMENT_NAMES } from '../lib/synthesized.ts';
import { ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const PAGES = ['README.md', ...globSync('docs/*.md', { cwd: ROOT }), 'create/template/README.md'];
const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

/** In the shell's blocks, a line each; and as code in the text. */
function commandsOf(page: string): readonly string[] {
  const lines = readFileSync(join(ROOT, page), 'utf8')
    .replaceAll(/\\\n\s*/g, ' ')
    .replaceAll(/\n(?=\s+region=)/g, ' ');
  const blocks = [...lines.matchAll(/^ *```sh\n(.*?)^ *```/gms)].flatMap(([, block]) => block!.split('\n'));
  const inline = [...lines.matchAll(/`(npx cdk [^`]+)`/g)].map(([, code]) => code!);
  return [...blocks.map((line) => line.trim()), ...inline].filter((line) => line.startsWith('npx cdk '));
}

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  NAME: 'editorial-analytics',
  $ACCOUNT: '123456789012',
};

/** A command's words as a shell would hand them over, its placeholders filled in. */
function wordsOf(command: string): readonly string[] {
  const [withoutComment] = command.split(/\s+#/);
  const words = withoutComment!.match(/'[^']*'|\S+/g)!.map((word) => word.replaceAll("'", ''));
  return words.map((word) => word.replaceAll(/\$ACCOUNT|\bNAME\b/g, (name) => PLACEHOLDERS[name]!));
}

const COMMANDS = [...new Set(PAGES.flatMap(commandsOf))];
const environmentOf = (command: string) => /\s-c env=(\S+)/.exec(command)?.[1];

/** Without credentials, and without anywhere to look for them. */
const NOBODY = {
  ...Object.fromEntries(Object.entries(childEnvironment()).filter(([name]) => !/^(AWS|CDK)_/.test(name))),
  // The app runs on the Node that npm's scripts run on.
  PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`,
  HOME: folder,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: join(folder, 'none'),
  AWS_SHARED_CREDENTIALS_FILE: join(folder, 'none'),
  CI: 'true',
};

async function cdk(...args: readonly string[]) {
  const command = join(ROOT, 'node_modules/aws-cdk/bin/cdk');
  const child = spawn(process.execPath, [command, ...args], {
    cwd: ROOT,
    env: NOBODY,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { status: child.exitCode, output: `${output}${errors}` };
}

/** Synthesized once; the command line is told where. */
const assemblies = new Map<string, string>();
function assemblyOf(env: string): string {
  const known = assemblies.get(env) ?? appOf(env).synth().directory;
  assemblies.set(env, known);
  return known;
}

function stacksOf(env: string): readonly string[] {
  return readdirSync(assemblyOf(env)).flatMap((file) => /^(.+)\.template\.json$/.exec(file)?.[1] ?? []);
}

const FIRST = 'npx cdk bootstrap -c env=dev';
const BUSY_MACHINE_MS = 300_000;
const MISSES_CREDENTIALS = /Unable to resolve AWS account to use/;

test('the pages have commands to run', () => {
  expect(COMMANDS.length).toBeGreaterThan(10);
  for (const verb of ['bootstrap', 'deploy', 'diff', 'destroy', 'list'])
    expect(COMMANDS.filter((command) => command.startsWith(`npx cdk ${verb} `)).length).toBeGreaterThan(0);
});

test.each(COMMANDS)('"%s" names an environment, without which the app refuses to synthesize', (command) => {
  expect(ENVIRONMENT_NAMES).toContain(environmentOf(command));
});

test(
  'the first command of all runs the app, and then misses nothing but credentials',
  async () => {
    expect(commandsOf('docs/deploy.md')).toContain(FIRST);
    const [, , ...words] = wordsOf(FIRST);
    const { status, output } = await cdk(...words, '--output', join(folder, 'bootstrap'));
    expect(output).toMatch(MISSES_CREDENTIALS);
    expect(status).toBe(1);
  },
  BUSY_MACHINE_MS,
);

test.each(COMMANDS)('"%s" names stacks that there are', (command) => {
  const stacks = stacksOf(environmentOf(command)!);
  const named = wordsOf(command).filter((word) => word.startsWith('millrace-'));
  for (const pattern of named)
    expect(stacks.some((name) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name))).toBe(true);
});

// One of each kind: the command line takes a second to start.
test(
  'every other kind is understood, and misses nothing but credentials',
  async () => {
    const kinds = new Map(COMMANDS.map((command) => [kindOf(command), command]));
    kinds.delete(kindOf(FIRST));
    expect(kinds.size).toBeGreaterThan(6);
    const waiting = [...kinds.values()];
    const faults: string[] = [];
    const worker = async () => {
      for (let command = waiting.shift(); command; command = waiting.shift())
        faults.push(...(await faultsOf(command)));
    };
    await Promise.all([worker(), worker()]);
    expect(faults).toEqual([]);
  },
  BUSY_MACHINE_MS,
);

/** Its verb and its options. */
function kindOf(command: string): string {
  const [, , verb, ...others] = wordsOf(command);
  return [verb, ...others.filter((word) => word.startsWith('-'))].join(' ');
}

async function faultsOf(command: string): Promise<readonly string[]> {
  const [, , verb, ...options] = wordsOf(command);
  // It asks before it destroys, and nobody is there to answer.
  const answers = verb === 'destroy' ? ['--force'] : [];
  const app = ['--app', assemblyOf(environmentOf(command)!)];
  const { status, output } = await cdk(verb!, ...options, ...answers, ...app);
  const isUnderstood = !/Unknown option|No stacks match/.test(output);
  const isLocal = verb === 'list' || verb === 'synth';
  const stopsThere = isLocal ? status === 0 : status === 1 && MISSES_CREDENTIALS.test(output);
  return isUnderstood && stopsThere ? [] : [`${command}: ${output}`];
}
