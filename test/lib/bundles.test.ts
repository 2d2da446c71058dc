import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { bundlesOf, DEAD_LETTERS_IN_KAFKA } from './synthesized.ts';

const MAX_BYTES = 200_000;

const bundles = bundlesOf({});
const [writing] = bundlesOf(DEAD_LETTERS_IN_KAFKA).filter((path) => existsSync(join(path, 'msk.js')));

const LAMBDAS = new URL('../../lambdas/', import.meta.url);
const entries = readdirSync(LAMBDAS).filter((name) => existsSync(new URL(`${name}/index.ts`, LAMBDAS)));

test('each function has a bundle', () => {
  expect(bundles).toHaveLength(entries.length);
});

describe.each([...bundles, writing!])('%#', (folder) => {
  const code = readFileSync(join(folder, 'index.js'), 'utf8');

  test('is under 200 kB, minified', () => {
    expect(Buffer.byteLength(code)).toBeLessThan(MAX_BYTES);
  });

  test('leaves the SDK to the runtime, and needs nothing else beside it', () => {
    const required = [...code.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name!);
    const foreign = required.filter((name) => !name.startsWith('node:') && !isBuiltIn(name));
    expect(foreign).toContain('@aws-sdk/rds-signer');
    expect(foreign.filter((name) => !name.startsWith('@aws-sdk/')).toSorted()).toEqual(['pgpass']);
  });

  test('starts, and says which setting is missing, and where by our own files and lines', () => {
    // The SDK is found in the repository as it is in the runtime.
    const NODE_PATH = new URL('../../node_modules', import.meta.url).pathname;
    const stderr = run(folder, "require('./index.js')", { NODE_PATH, AWS_REGION: 'eu-west-1' });
    expect(stderr).toContain('The environment variable MILLRACE_');
    expect(stderr).toContain('FUNCTION_MISCONFIGURED');
    expect(stderr).toMatch(/adapters\/aws\/function-settings\.ts:\d+/);
  });
});

test("Kafka's client is beside a function that writes to topics, and needs nothing else", () => {
  const options = { topic: 't', brokers: '127.0.0.1:1', region: 'eu-west-1', clientId: 'c' };
  const letters = [{ record: { headers: [] }, failure: { causes: [], earlier: [] } }];
  const script = `require('#msk').openMskLetters(${JSON.stringify(options)}).put(${JSON.stringify(letters)})`;
  const stderr = run(writing!, script);
  expect(stderr).toContain('DEAD_LETTER_STORE_UNAVAILABLE');
  expect(stderr).toContain('connect ECONNREFUSED 127.0.0.1:1');
  expect(stderr).toMatch(/adapters\/kafka\/kafka-errors\.ts:\d+/);
});

/** @returns what a script in a bundle's folder complains about */
function run(folder: string, script: string, settings: Readonly<Record<string, string>> = {}): string {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const args = ['--enable-source-maps', '--eval', script];
  return spawnSync(process.execPath, args, { cwd: folder, env: { ...env, ...settings }, encoding: 'utf8' })
    .stderr;
}

function isBuiltIn(name: string): boolean {
  return process.getBuiltinModule(name) !== undefined;
}
