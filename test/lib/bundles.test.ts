import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { appOf } from './synthesized.ts';

const MAX_BYTES = 200_000;

/** The code of each function as it is deployed, by the folder of its index.js. */
const { directory } = appOf('dev', { bundles: true }).synth();
const bundles = readdirSync(directory)
  .map((name) => join(directory, name))
  .filter((path) => existsSync(join(path, 'index.js.map')));

const LAMBDAS = new URL('../../lambdas/', import.meta.url);
const entries = readdirSync(LAMBDAS).filter((name) => existsSync(new URL(`${name}/index.ts`, LAMBDAS)));

test('each function has a bundle', () => {
  expect(bundles).toHaveLength(entries.length);
});

describe.each(bundles)('%#', (folder) => {
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

  test('starts, and says which setting is missing', () => {
    // From the repository, where the SDK is found as it is in the runtime.
    const script = `require(${JSON.stringify(join(folder, 'index.js'))})`;
    const { NODE_OPTIONS: _, ...env } = process.env;
    const { stderr } = spawnSync(process.execPath, ['-e', script], {
      cwd: join(folder),
      env: {
        ...env,
        AWS_REGION: 'eu-west-1',
        NODE_PATH: new URL('../../node_modules', import.meta.url).pathname,
      },
      encoding: 'utf8',
    });
    expect(stderr).toContain('The environment variable MILLRACE_');
    expect(stderr).toContain('FUNCTION_MISCONFIGURED');
  });
});

function isBuiltIn(name: string): boolean {
  return process.getBuiltinModule(name) !== undefined;
}
