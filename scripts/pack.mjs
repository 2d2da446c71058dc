// Builds both packages and packs them: npm run pack -- --out DIR writes millrace-VERSION.tgz and create-millrace-VERSION.tgz there.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Packs both packages into a folder.
 * @returns what npm says of each: its filename, its unpackedSize, its entryCount
 */
export function pack(out) {
  mkdirSync(out, { recursive: true });
  const run = (command, args, cwd) => {
    const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
    if (status !== 0)
      throw new Error(
        `${command} ${args.join(' ')} ended with ${status ?? error?.message}:\n${stdout}${stderr}`,
      );
    return stdout;
  };
  run(process.execPath, [join(root, 'scripts/build.mjs')], root);
  return [root, join(root, 'create')].map((folder) => {
    // Built already: prepack would build both again.
    const args = ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', resolve(out)];
    return JSON.parse(run('npm', args, folder))[0];
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({ options: { out: { type: 'string', default: '.' } } });
    for (const { filename } of pack(values.out)) console.log(join(values.out, filename));
  } catch (error) {
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
