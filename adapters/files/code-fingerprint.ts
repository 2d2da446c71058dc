import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';

/** What a module names of the project: imports, and files that it reads by URL. */
const NAMED = /(?:\bfrom\s*|\bimport\s*\(?\s*|\bnew\s+URL\(\s*)(['"])(\.{1,2}\/[^'"]+)\1/g;
const SUFFIXES = ['', '.ts', '.mts', '.js', '.mjs', '/index.ts', '/index.js'];

/**
 * What tells the code of a consumer from any other, as it stands on the disk: its module under lambdas/, or else the app's,
 * and every file of the project that those lead to; its migrations, and its epoch. It does not see packages in node_modules,
 * environment variables, and what a handler reads while it runs.
 * @param module the app's
 */
export function codeFingerprint(
  module: URL,
  { name, migrations, epoch }: Pick<AnyConsumer, 'name' | 'migrations' | 'epoch'>,
): string {
  const config = fileURLToPath(module);
  const root = dirname(config);
  const own = join(root, 'lambdas', name, 'index.ts');
  const files = new Set<string>();
  const visit = (path: string) => {
    if (files.has(path) || !path.startsWith(root + sep) || path.includes(`${sep}node_modules${sep}`)) return;
    files.add(path);
    for (const [, , named] of readFileSync(path, 'utf8').matchAll(NAMED)) {
      const found = fileAt(resolve(dirname(path), named!));
      if (found) visit(found);
    }
  };
  visit(existsSync(own) ? own : config);
  const hash = createHash('sha256').update(JSON.stringify([epoch, migrations]));
  for (const path of [...files].sort()) {
    const content = readFileSync(path);
    hash.update(`\n${relative(root, path)} ${content.length}\n`).update(content);
  }
  return hash.digest('hex').slice(0, 16);
}

function fileAt(path: string): string | undefined {
  return SUFFIXES.map((suffix) => path + suffix).find((each) => existsSync(each) && statSync(each).isFile());
}
